//! The note of where the ends of large day files begin, `.trailkeeper/<base>.resume.json`: it saves reading the rest.
//!
//! The note holds, for a day file, one [`IndexEntry`] and what the file looked like when that was true. It is believed
//! only while the file is the same to the last detail that the system keeps of it, has the same bytes in front of the
//! entry and at its end, and the entry's record stands in its place; anything else, also a line that another
//! program appended, has the whole file read. The note is never needed and may be deleted at any time.
//!
//! What it cannot see: bytes in the middle of the file that another program changes while a run holds the lock.

use std::io;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::file_stamp::{FileStamp, hash, hash_before};
use super::location::Location;
use super::storage::StoredFile;
use super::time_index::IndexEntry;
use crate::fs::FileError;

/// Where the end of a file begins earlier than this, in bytes, reading all of it costs next to nothing.
pub(super) const WORTHWHILE: u64 = 256 << 10;

/// The form of the note; another one is not read.
const VERSION: u32 = 1;

/// A larger note is none of this program's.
const LARGEST_NOTE: u64 = 64 << 10;

/// Where the end of one day file begins, and how the file is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResumePoint {
    /// The day of the file, `2025-06-09`.
    day: String,
    /// The time of the entry, RFC 3339.
    time: String,
    /// The place of the entry, in bytes.
    offset: u64,
    stamp: FileStamp,
    /// Hash of the bytes before the entry and before the end of the file, in hexadecimal digits.
    bytes: String,
}

/// The whole note.
#[derive(Serialize, Deserialize)]
struct Note {
    version: u32,
    resume_points: Vec<ResumePoint>,
    /// Hash of the resume points, in hexadecimal digits.
    check: String,
}

impl ResumePoint {
    /// Describes a file that was taken in up to `end`; `None` if that is not its end any more.
    pub(super) fn describe(
        day: NaiveDate,
        file: &mut dyn StoredFile,
        entry: IndexEntry,
        end: u64,
    ) -> io::Result<Option<Self>> {
        let stamp = FileStamp::of(&file.metadata()?);
        if !stamp.is_reliable() || stamp.length != end {
            return Ok(None);
        }
        Ok(Some(Self {
            day: day.to_string(),
            time: entry.time.to_rfc3339_opts(SecondsFormat::Nanos, true),
            offset: entry.offset,
            stamp,
            bytes: hash_before(file, &[entry.offset, end])?,
        }))
    }

    /// The day of the file.
    pub(super) fn day(&self) -> Option<NaiveDate> {
        self.day.parse().ok()
    }

    /// The entry, if the file is still the one that was described.
    pub(super) fn entry_in(&self, file: &mut dyn StoredFile) -> io::Result<Option<IndexEntry>> {
        if FileStamp::of(&file.metadata()?) != self.stamp || self.offset > self.stamp.length {
            return Ok(None);
        }
        let is_same = hash_before(file, &[self.offset, self.stamp.length])? == self.bytes;
        let entry = self.time.parse().ok().map(|time: DateTime<Utc>| IndexEntry {
            time,
            offset: self.offset,
        });
        Ok(entry.filter(|_| is_same))
    }
}

/// The resume points that the note holds; none where there is no note that can be believed.
pub(super) fn read(location: &Location) -> Vec<ResumePoint> {
    match read_note(location) {
        Ok(resume_points) => resume_points.unwrap_or_default(),
        Err(error) => {
            tracing::debug!("the ends of day files are looked for anew: {error}");
            Vec::new()
        }
    }
}

fn read_note(location: &Location) -> Result<Option<Vec<ResumePoint>>, FileError> {
    let Some(text) = location.state(FILE).read_text(LARGEST_NOTE)? else {
        return Ok(None);
    };
    let note: Option<Note> = serde_json::from_str(&text).ok();
    let believed =
        note.filter(|note| note.version == VERSION && check(&note.resume_points) == Some(note.check.clone()));
    Ok(believed.map(|note| note.resume_points))
}

/// The name of the note behind the stream's base name.
pub(super) const FILE: &str = "resume.json";

/// The text of a note with these resume points.
pub(super) fn text(resume_points: Vec<ResumePoint>) -> Option<String> {
    let note = Note {
        version: VERSION,
        check: check(&resume_points)?,
        resume_points,
    };
    serde_json::to_string(&note).ok().map(|text| text + "\n")
}

fn check(resume_points: &[ResumePoint]) -> Option<String> {
    serde_json::to_vec(resume_points).ok().map(|bytes| hash(&bytes))
}
