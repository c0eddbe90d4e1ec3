//! The note of where the ends of large day files begin, `.trailkeeper/<base>.tails.json`: it saves reading the rest.
//!
//! The note holds, for a day file, one [`Milestone`] and what the file looked like when that was true. It is believed
//! only while the file is the same to the last detail that the system keeps of it, has the same bytes in front of the
//! milestone and at its end, and the milestone's record stands in its place; anything else, also a line that another
//! program appended, has the whole file read. The note is never needed and may be deleted at any time.
//!
//! What it cannot see: bytes in the middle of the file that another program changes while a run holds the lock.

use std::fs::{File, Metadata};
use std::io;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::lines::read_at;
use super::location::Location;
use super::outline::Milestone;
use super::storage::{FileError, open_for_reading};

/// Where the end of a file begins earlier than this, in bytes, reading all of it costs next to nothing.
pub(super) const WORTHWHILE: u64 = 256 << 10;

/// How many bytes are compared at each of the two places.
const COMPARED: u64 = 4096;

/// The form of the note; another one is not read.
const VERSION: u32 = 1;

/// A larger note is none of this program's.
const LARGEST_NOTE: u64 = 64 << 10;

/// Where the end of one day file begins, and how the file is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// The day of the file, `2025-06-09`.
    day: String,
    /// The time of the milestone, RFC 3339.
    time: String,
    /// The place of the milestone, in bytes.
    offset: u64,
    stamp: Stamp,
    /// Hash of the bytes before the milestone and before the end of the file, in hexadecimal digits.
    bytes: String,
}

/// What the system keeps of a file; every write changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    length: u64,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970.
    modified: [i64; 2],
    /// The same for the change of anything, which no program can set.
    changed: [i64; 2],
}

/// The whole note.
#[derive(Serialize, Deserialize)]
struct Note {
    version: u32,
    tails: Vec<Tail>,
    /// Hash of the tails, in hexadecimal digits.
    check: String,
}

impl Tail {
    /// Describes a file that was taken in up to `end`; `None` if that is not its end any more.
    pub(super) fn describe(
        day: NaiveDate,
        file: &mut File,
        milestone: Milestone,
        end: u64,
    ) -> io::Result<Option<Self>> {
        let stamp = Stamp::of(&file.metadata()?);
        let Some(stamp) = stamp.filter(|stamp| stamp.length == end) else {
            return Ok(None);
        };
        Ok(Some(Self {
            day: day.to_string(),
            time: milestone.time.to_rfc3339_opts(SecondsFormat::Nanos, true),
            offset: milestone.offset,
            stamp,
            bytes: compared_bytes(file, milestone.offset, end)?,
        }))
    }

    /// The day of the file.
    pub(super) fn day(&self) -> Option<NaiveDate> {
        self.day.parse().ok()
    }

    /// The milestone, if the file is still the one that was described.
    pub(super) fn milestone_in(&self, file: &mut File) -> io::Result<Option<Milestone>> {
        if Stamp::of(&file.metadata()?) != Some(self.stamp) || self.offset > self.stamp.length {
            return Ok(None);
        }
        let is_same = compared_bytes(file, self.offset, self.stamp.length)? == self.bytes;
        let milestone = self.time.parse().ok().map(|time: DateTime<Utc>| Milestone {
            time,
            offset: self.offset,
        });
        Ok(milestone.filter(|_| is_same))
    }
}

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        Some(Self {
            length: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: [metadata.mtime(), metadata.mtime_nsec()],
            changed: [metadata.ctime(), metadata.ctime_nsec()],
        })
    }

    /// Without a time of change that no program can set, no note is kept.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }
}

/// The hash of what stands before two places of a file.
fn compared_bytes(file: &mut File, offset: u64, end: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    for place in [offset, end] {
        let start = place.saturating_sub(COMPARED);
        let held = bytes.len();
        bytes.resize(held + (place - start) as usize, 0);
        read_at(file, start, &mut bytes[held..])?;
    }
    Ok(hash(&bytes))
}

fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// The tails that the note holds; none where there is no note that can be believed.
pub(super) fn read(location: &Location) -> Vec<Tail> {
    match read_note(location) {
        Ok(tails) => tails.unwrap_or_default(),
        Err(error) if error.is_missing() => Vec::new(),
        Err(error) => {
            tracing::debug!("the ends of day files are looked for anew: {error}");
            Vec::new()
        }
    }
}

fn read_note(location: &Location) -> Result<Option<Vec<Tail>>, FileError> {
    use std::io::Read;

    let path = location.state_file(FILE);
    let mut text = String::new();
    open_for_reading(&path)?
        .take(LARGEST_NOTE)
        .read_to_string(&mut text)
        .map_err(|cause| FileError::io("read", &path, cause))?;
    let note: Option<Note> = serde_json::from_str(&text).ok();
    let believed = note.filter(|note| note.version == VERSION && check(&note.tails) == Some(note.check.clone()));
    Ok(believed.map(|note| note.tails))
}

/// The name of the note behind the stream's base name.
pub(super) const FILE: &str = "tails.json";

/// The text of a note with these tails.
pub(super) fn text(tails: Vec<Tail>) -> Option<String> {
    let note = Note {
        version: VERSION,
        check: check(&tails)?,
        tails,
    };
    serde_json::to_string(&note).ok().map(|text| text + "\n")
}

fn check(tails: &[Tail]) -> Option<String> {
    serde_json::to_vec(tails).ok().map(|bytes| hash(&bytes))
}
