//! Resume points: where the ends of large day files begin, so that the rest need not be read.
//!
//! `.trailkeeper/<base>.resume.json` holds, for a day file, one [`IndexEntry`], some earlier ones, each twice as far from the
//! end as the one after it, and how to recognize the file. It is
//! used only if the metadata of the file is the same, the bytes before the entry and at the end of the file are the
//! same, and the record of the entry is in its place. Otherwise, also after another program appended a line, the whole
//! file is read. The note is optional and may be deleted at any time.
//!
//! It does not detect bytes in the middle of the file that another program changes while a run holds the lock.

use std::io;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::file_stamp::{FileStamp, hash, hash_before};
use super::location::Location;
use super::storage::StoredFile;
use super::time_index::{IndexEntry, TimeIndex};
use crate::fs::FileError;

/// Before this offset, in bytes, a resume point is not worth noting: reading the whole file costs next to nothing.
pub(super) const SMALLEST_OFFSET: u64 = 256 << 10;

/// How many earlier entries are noted: enough for terabytes.
const MOST_EARLIER: usize = 24;

/// An earlier entry is at least twice as far from the end as this, in bytes.
const SMALLEST_DISTANCE: u64 = 128 << 10;

/// Version of the note; others are ignored.
const VERSION: u32 = 2;

/// Larger notes were not written by this program.
const MAX_NOTE: u64 = 64 << 10;

/// Where the end of one day file begins, and how to recognize the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResumePoint {
    /// Day of the file, `2025-06-09`.
    day: String,
    /// Time of the entry, RFC 3339.
    time: String,
    /// Offset of the entry, in bytes.
    offset: u64,
    stamp: FileStamp,
    /// Hash of the bytes before the entry and before the end of the file, in hexadecimal digits.
    bytes: String,
    /// Earlier entries, the latest first: for records from before the first.
    #[serde(default)]
    earlier: Vec<EarlierEntry>,
}

/// An entry before that of a resume point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EarlierEntry {
    time: String,
    offset: u64,
    /// Hash of the bytes before it, in hexadecimal digits.
    bytes: String,
}

#[derive(Serialize, Deserialize)]
struct Note {
    version: u32,
    resume_points: Vec<ResumePoint>,
    /// Hash of the resume points, in hexadecimal digits.
    check: String,
}

impl ResumePoint {
    /// Describes a file that was read up to `end`; `None` if it has another length by now.
    pub(super) fn describe(
        day: NaiveDate,
        file: &mut dyn StoredFile,
        entry: IndexEntry,
        earlier: &[IndexEntry],
        end: u64,
    ) -> io::Result<Option<Self>> {
        let stamp = FileStamp::of(&file.metadata()?);
        if !stamp.is_reliable() || stamp.length != end {
            return Ok(None);
        }
        Ok(Some(Self {
            day: day.to_string(),
            time: written(entry.time),
            offset: entry.offset,
            stamp,
            bytes: hash_before(file, &[entry.offset, end])?,
            earlier: earlier
                .iter()
                .map(|entry| EarlierEntry::describe(file, *entry))
                .collect::<io::Result<_>>()?,
        }))
    }

    /// Returns the day of the file.
    pub(super) fn day(&self) -> Option<NaiveDate> {
        self.day.parse().ok()
    }

    /// Returns all entries, the latest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = IndexEntry> {
        let own = entry(&self.time, self.offset);
        let earlier = self.earlier.iter();
        own.into_iter()
            .chain(earlier.filter_map(|earlier| entry(&earlier.time, earlier.offset)))
    }

    /// Returns the latest entry from which on all records from `oldest` on stand, or the latest of all, if the file is still the
    /// one described.
    pub(super) fn entry_in(
        &self,
        file: &mut dyn StoredFile,
        oldest: Option<DateTime<Utc>>,
    ) -> io::Result<Option<IndexEntry>> {
        if FileStamp::of(&file.metadata()?) != self.stamp || self.offset > self.stamp.length {
            return Ok(None);
        }
        let is_same = hash_before(file, &[self.offset, self.stamp.length])? == self.bytes;
        let is_enough = |entry: &IndexEntry| oldest.is_none_or(|oldest| entry.time <= oldest);
        let Some(found) = self.entries().find(is_enough).filter(|_| is_same) else {
            return Ok(None);
        };
        match self.earlier.iter().find(|earlier| earlier.offset == found.offset) {
            Some(earlier) if hash_before(file, &[earlier.offset])? != earlier.bytes => Ok(None),
            _ => Ok(Some(found)),
        }
    }
}

impl EarlierEntry {
    fn describe(file: &mut dyn StoredFile, entry: IndexEntry) -> io::Result<Self> {
        Ok(Self {
            time: written(entry.time),
            offset: entry.offset,
            bytes: hash_before(file, &[entry.offset])?,
        })
    }
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn entry(time: &str, offset: u64) -> Option<IndexEntry> {
    let time = time.parse().ok()?;
    Some(IndexEntry { time, offset })
}

/// Returns, of these entries and others before them, those that are worth noting besides the one at `offset` of a file of this
/// length: each at least twice as far from the end as the one after it, the latest first.
pub(super) fn earlier_entries(
    time_index: &TimeIndex,
    others: impl Iterator<Item = IndexEntry>,
    offset: u64,
) -> Vec<IndexEntry> {
    let end = time_index.end();
    let before: Vec<IndexEntry> = others.filter(|entry| entry.offset < time_index.start()).collect();
    let mut entries = Vec::new();
    let mut after = offset;
    while entries.len() < MOST_EARLIER
        && let Some(sought) = end.checked_sub(2 * (end - after).max(SMALLEST_DISTANCE))
    {
        let found = time_index
            .at_most(sought)
            .or_else(|| before.iter().copied().find(|entry| entry.offset <= sought));
        let Some(entry) = found.filter(|entry| entry.offset > 0) else {
            break;
        };
        entries.push(entry);
        after = entry.offset;
    }
    entries
}

/// Reads the resume points; none if the note is missing or not valid.
pub(super) fn read(location: &Location) -> Vec<ResumePoint> {
    match read_note(location) {
        Ok(resume_points) => resume_points.unwrap_or_default(),
        Err(error) => {
            tracing::debug!("cannot read the resume points, so whole day files are read: {error}");
            Vec::new()
        }
    }
}

fn read_note(location: &Location) -> Result<Option<Vec<ResumePoint>>, FileError> {
    let Some(text) = location.state(FILE).read_text(MAX_NOTE)? else {
        return Ok(None);
    };
    let note: Option<Note> = serde_json::from_str(&text).ok();
    let valid = note.filter(|note| note.version == VERSION && check(&note.resume_points) == Some(note.check.clone()));
    Ok(valid.map(|note| note.resume_points))
}

/// Name of the note, after `<base>.`.
pub(super) const FILE: &str = "resume.json";

/// Returns the text of a note with these resume points.
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
