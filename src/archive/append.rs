//! Records → the day files of their own UTC days.

use super::Archive;
use super::pen::WriteError;
use crate::record::Record;

/// Lines are written so many bytes at a time: a copy of a whole piece would take as much memory again.
const BATCH_BYTES: usize = 256 * 1024;

/// What was appended; all of it is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many records.
    pub records: u64,
    /// How many bytes, newlines included.
    pub bytes: u64,
    /// To which day files, by name, oldest first.
    pub files: Vec<String>,
}

/// Appending stopped.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct AppendError {
    /// What was appended before: whole days, oldest first, on disk.
    pub appended: Appended,
    /// Why it stopped.
    pub cause: WriteError,
}

impl Archive {
    /// Appends records to the day files of their own UTC days, sorted by time, equal times in the order given.
    ///
    /// Days follow each other from the oldest, and each is on disk before the next is begun, so that nothing is ever
    /// missing behind the newest record. The records must be [`Archive::sift`]ed: nothing is compared here.
    ///
    /// # Errors
    ///
    /// If a write or sync fails; then nothing more is appended until the archive is opened anew. See [`AppendError`]
    /// for what is on disk.
    pub fn append(&mut self, mut records: Vec<Record>) -> Result<Appended, AppendError> {
        // Times are moved about, not whole records.
        records.sort_by_cached_key(|record| record.time);
        let mut appended = Appended::default();
        for day in records.chunk_by(|one, next| one.time.date_naive() == next.time.date_naive()) {
            if let Err(cause) = self.append_day(day, &mut appended) {
                return Err(AppendError { appended, cause });
            }
        }
        Ok(appended)
    }

    /// Appends the records of one day, in writes of [`BATCH_BYTES`] and one sync.
    fn append_day(&mut self, records: &[Record], appended: &mut Appended) -> Result<(), WriteError> {
        let Some(first) = records.first() else { return Ok(()) };
        let date = first.time.date_naive();
        let name = self
            .location
            .day_name(date)
            .ok_or(WriteError::NoDay { time: first.time })?;
        let bytes = length(records) as u64;
        let path = self.location.folder().join(&name);
        let end = self.pen.append(&path, self.file_mode, batches(records))?;
        self.known.learn(date, records, end.saturating_sub(bytes));
        appended.records += records.len() as u64;
        appended.bytes += bytes;
        appended.files.push(name);
        Ok(())
    }
}

/// The lines of records, a batch at a time.
fn batches(mut records: &[Record]) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let batch;
        (batch, records) = records.split_at(fitting(records));
        let mut lines = String::with_capacity(length(batch));
        for record in batch {
            debug_assert!(!record.line.contains('\n'), "a record is one line");
            lines.push_str(&record.line);
            lines.push('\n');
        }
        (!lines.is_empty()).then_some(lines)
    })
}

/// How many of the first records make a batch: at least one, where there is one.
fn fitting(records: &[Record]) -> usize {
    let ends = records.iter().scan(0, |end, record| {
        *end += record.line.len() + 1;
        Some(*end)
    });
    let count = ends.take_while(|end| *end <= BATCH_BYTES).count();
    count.max(1).min(records.len())
}

/// How long the lines of records are, in bytes, with their newlines.
fn length(records: &[Record]) -> usize {
    records.iter().map(|record| record.line.len() + 1).sum()
}
