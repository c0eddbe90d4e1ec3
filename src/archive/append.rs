//! The records of a day → its file.

use super::Archive;
use super::batch::Batch;
use super::durable_appender::WriteError;
use crate::record::Record;

/// Lines are written so many bytes at a time: a copy of a whole batch would take as much memory again.
const CHUNK_BYTES: usize = 256 * 1024;

/// What was appended; all of it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many records.
    pub(crate) records: u64,
    /// How many bytes, newlines included.
    pub(crate) bytes: u64,
    /// To which day file, by name.
    pub(crate) file: String,
}

impl Archive {
    /// Appends records to the file of their day, in writes of 256 KiB and one sync. Nothing to append makes no
    /// file.
    ///
    /// Days must come from the oldest on: each is on disk before the next is begun, so that nothing is ever missing behind
    /// the newest record. The records must be [`Archive::deduplicate`]ed: nothing is compared here.
    ///
    /// # Errors
    ///
    /// If a write or sync fails; then nothing more is appended until the archive is opened anew.
    pub fn append(&mut self, batch: &Batch) -> Result<Option<Appended>, WriteError> {
        let records = batch.records();
        let Some(first) = records.first() else { return Ok(None) };
        let file = self
            .location
            .day_name(batch.date())
            .ok_or(WriteError::NoDay { time: first.time })?;
        let bytes = length(records) as u64;
        let path = self.location.folder().join(&file);
        let end = self.appender.append(&path, self.file_mode, chunks(records))?;
        self.known.learn(batch.date(), records, end.saturating_sub(bytes));
        Ok(Some(Appended {
            records: records.len() as u64,
            bytes,
            file,
        }))
    }
}

/// The lines of records, a chunk at a time.
fn chunks(mut records: &[Record]) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let chunk;
        (chunk, records) = records.split_at(fitting(records));
        let mut lines = String::with_capacity(length(chunk));
        for record in chunk {
            debug_assert!(!record.line.contains('\n'), "a record is one line");
            lines.push_str(&record.line);
            lines.push('\n');
        }
        (!lines.is_empty()).then_some(lines)
    })
}

/// How many of the first records make a chunk: at least one, where there is one.
fn fitting(records: &[Record]) -> usize {
    let ends = records.iter().scan(0, |end, record| {
        *end += record.line.len() + 1;
        Some(*end)
    });
    let count = ends.take_while(|end| *end <= CHUNK_BYTES).count();
    count.max(1).min(records.len())
}

/// How long the lines of records are, in bytes, with their newlines.
fn length(records: &[Record]) -> usize {
    records.iter().map(|record| record.line.len() + 1).sum()
}
