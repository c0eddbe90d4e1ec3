//! Appends the records of a day to its file.

use chrono::NaiveDate;

use super::Archive;
use super::batch::Batch;
use super::count::LineCounter;
use super::day::Day;
use super::day_file::DayFile;
use super::durable_appender::{Incomplete, WriteError, Written};
use crate::fs::FileError;
use crate::record::Record;

/// How much is written at once, in bytes. Copying a whole batch would double its memory.
const CHUNK_BYTES: u64 = 256 * 1024;

/// What was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub(crate) records: u64,
    /// Number of bytes, newlines included.
    pub(crate) bytes: u64,
    /// Where they end in the day file, in bytes; `None` in a dry run, which writes nothing.
    pub(crate) end: Option<u64>,
    /// Name of the day file.
    pub(crate) file: String,
    /// Whether they are on disk for certain; always, unless a sync failed.
    pub(crate) is_synced: bool,
}

impl Archive {
    /// Appends records to the file of their day, in writes of 256 KiB and one sync. An empty batch creates no file.
    ///
    /// Days must come oldest first: each is on disk before the next begins, so that nothing is ever missing before the
    /// newest record. The records must be deduplicated with [`Archive::deduplicate`]; nothing is compared here.
    ///
    /// # Errors
    ///
    /// If a write or sync fails, with the records whose lines came to be in the file all the same. Nothing more is
    /// appended until the archive is opened again.
    pub fn append(&mut self, batch: &Batch) -> Result<Option<Appended>, Incomplete<Option<Appended>>> {
        let records = batch.records();
        let Some(first) = records.first() else { return Ok(None) };
        let file = self
            .location
            .day_name(batch.date())
            .ok_or(WriteError::NoDay { time: first.time })?;
        let path = self.location.folder().join(&file);
        match self.appender.append(&path, self.file_mode, chunks(records)) {
            Ok(written) => {
                // A dry run has written nothing.
                let offset = (written.bytes > 0).then_some(written.start);
                self.known.learn(batch.date(), records, offset);
                Ok(Appended::of(records, file, written))
            }
            Err(Incomplete { done: written, cause }) => {
                let records = &records[..count_within(records, written.bytes)];
                let done = Appended::of(records, file, written);
                Err(Incomplete { done, cause })
            }
        }
    }
}

impl Appended {
    /// Describes what was written of these records; `None` if there are none.
    fn of(records: &[Record], file: String, written: Written) -> Option<Self> {
        let bytes = byte_length(records) as u64;
        (bytes > 0).then(|| Self {
            records: records.len() as u64,
            bytes,
            end: (written.bytes > 0).then_some(written.start + bytes),
            file,
            is_synced: written.is_synced,
        })
    }
}

impl Archive {
    /// Returns how many lines the day file of a date has; none if it is missing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn count_lines(&mut self, date: NaiveDate) -> Result<u64, FileError> {
        let noted = self.rejected.noted(&mut self.appender)?;
        let Some(file) = self.location.file_of(date) else {
            return Ok(0);
        };
        match file.count_lines_from(0) {
            Err(error) if error.is_missing() => Ok(0),
            lines => Ok(lines?.saturating_sub(noted.repaired_in(&file)?.len() as u64)),
        }
    }

    /// Returns how many records only the compressed file of a date has, once the day was read.
    pub(crate) fn only_compressed(&self, date: NaiveDate) -> u64 {
        self.known.day(date).map_or(0, Day::only_compressed)
    }

    /// Returns how many lines the compressed file of a date has; none if it is missing or damaged.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn count_packed_lines(&self, date: NaiveDate) -> Result<u64, FileError> {
        let Some(packed) = self.location.packed_file_of(date) else {
            return Ok(0);
        };
        match LineCounter::of(&self.location).count(&packed) {
            Ok(counted) => Ok(counted.lines),
            Err(error) if error.is_damaged() => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Returns the length of the day file of a date in bytes; 0 if it is missing.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub(crate) fn length(&self, date: NaiveDate) -> Result<u64, FileError> {
        self.of_day_file(date, DayFile::length)
    }

    fn of_day_file(
        &self,
        date: NaiveDate,
        read: impl FnOnce(&DayFile) -> Result<u64, FileError>,
    ) -> Result<u64, FileError> {
        match self.location.file_of(date).map(|file| read(&file)) {
            None => Ok(0),
            Some(Err(error)) if error.is_missing() => Ok(0),
            Some(result) => result,
        }
    }
}

/// Joins records into chunks of lines.
fn chunks(mut records: &[Record]) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let chunk;
        (chunk, records) = records.split_at(count_in_chunk(records));
        let mut lines = String::with_capacity(byte_length(chunk));
        for record in chunk {
            debug_assert!(!record.line.contains('\n'), "a record is one line");
            lines.push_str(&record.line);
            lines.push('\n');
        }
        (!lines.is_empty()).then_some(lines)
    })
}

/// Returns how many records fit into the next chunk: at least one, unless there are none.
fn count_in_chunk(records: &[Record]) -> usize {
    count_within(records, CHUNK_BYTES).max(1).min(records.len())
}

/// Returns how many records have their whole line in the first bytes.
fn count_within(records: &[Record], bytes: u64) -> usize {
    let ends = records.iter().scan(0, |end, record| {
        *end += record.line.len() as u64 + 1;
        Some(*end)
    });
    ends.take_while(|end| *end <= bytes).count()
}

/// Returns the length of the lines in bytes, newlines included.
fn byte_length(records: &[Record]) -> usize {
    records.iter().map(|record| record.line.len() + 1).sum()
}
