//! The day files of a stream: the only code that writes them.
//!
//! Imports: fs, json, output, record.
//!
//! What may be tailed is whole lines; a byte of a day file, once written, never changes and never moves; records count
//! as kept only when they are on disk. The day files are enough to go on; `lib.rs` says what else cannot be rebuilt.

#![expect(
    clippy::disallowed_methods,
    reason = "this folder writes the day files and what stands beside them"
)]

mod append;
mod backward_lines;
mod batch;
mod count;
mod day;
mod day_file;
mod day_name;
mod end;
#[cfg(test)]
#[cfg(unix)]
pub(crate) mod faulty;
mod repair;
mod dedup;
mod file_stamp;
mod lines;
mod location;
mod lock;
mod time_index;
mod durable_appender;
mod recover;
mod rejected;
mod state_file;
mod storage;
mod resume;
mod verify;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

pub use batch::Batch;
pub(crate) use count::{DayCount, count_days};
pub(crate) use day_file::DayFile;
pub(crate) use day_file::ReadRange;
pub(crate) use dedup::Dedup;
pub(crate) use durable_appender::WriteError;
pub use location::{Location, NameError, STATE_FOLDER};
pub use lock::{Holder, Lock, LockError};
pub(crate) use rejected::Noted;
pub(crate) use repair::Repairs;
pub(crate) use state_file::StateFile;
pub(crate) use verify::{DayReport, verify_day};

use day::{Day, Part};
use dedup::DedupIndex;
use durable_appender::DurableAppender;
use rejected::RejectedFile;
use repair::Repairer;
use resume::ResumePoint;
use storage::{DryRun, Storage};

use crate::fs::FileError;
use crate::record::{Reader, Rejected, Shape};

/// The day files of one stream, open for a run.
///
/// Calls follow each other so: `open`, `recover`, and for each slice of the window, oldest first, `deduplicate`, `append` what
/// is new, `reject` what conflicts; at the end `note_resume_points`.
pub struct Archive {
    location: Location,
    reader: Reader,
    file_mode: u32,
    appender: DurableAppender,
    rejected: RejectedFile,
    known: DedupIndex,
    resume_points: Vec<ResumePoint>,
    /// An end that begins earlier than this, in bytes, is not noted.
    worthwhile: u64,
    repaired: Repairs,
    _lock: Option<Arc<Lock>>,
}

impl Archive {
    /// Opens the day files that `lock` guards, and before anything else repairs those that a crash left without a
    /// newline at their end. New day files get `file_mode`, whatever the umask says.
    ///
    /// # Errors
    ///
    /// If the folder or a day file cannot be read, or a newline or note not be written.
    pub fn open(
        lock: impl Into<Arc<Lock>>,
        shape: Shape,
        file_mode: u32,
        now: DateTime<Utc>,
    ) -> Result<Self, WriteError> {
        let lock = lock.into();
        let location = lock.location().clone();
        let storage = Arc::clone(location.storage());
        let mut archive = Self::new(location, storage, Some(lock), shape, file_mode);
        archive.repair(now)?;
        Ok(archive)
    }

    /// Opens the day files for a dry run, without a lock: it does all that a run does and writes nothing, so what it
    /// says was appended or noted would have been. It repairs nothing: a torn line at the end of a file counts for nothing.
    pub fn dry_run(location: Location, shape: Shape) -> Self {
        let storage = Arc::new(DryRun(Arc::clone(location.storage())));
        Self::new(location, storage, None, shape, 0)
    }

    fn new(
        location: Location,
        storage: Arc<dyn Storage>,
        lock: Option<Arc<Lock>>,
        shape: Shape,
        file_mode: u32,
    ) -> Self {
        let rejected = RejectedFile::of(&location);
        let resume_points = resume::read(&location);
        Self {
            location,
            reader: Reader::new(shape),
            file_mode,
            appender: DurableAppender::new(storage),
            rejected,
            known: DedupIndex::default(),
            resume_points,
            worthwhile: resume::WORTHWHILE,
            repaired: Repairs::default(),
            _lock: lock,
        }
    }

    fn repair(&mut self, now: DateTime<Utc>) -> Result<(), WriteError> {
        let mut repairer = Repairer {
            location: &self.location,
            appender: &mut self.appender,
            rejected: &mut self.rejected,
            reader: &mut self.reader,
            file_mode: self.file_mode,
            now,
        };
        self.repaired = repairer.repair()?;
        Ok(())
    }

    /// What was mended when the archive was opened.
    pub fn repaired(&self) -> Repairs {
        self.repaired
    }

    /// Sorts the records of a day out: those that its file does not hold, and the others.
    ///
    /// The file is read if it was not yet, and remembered; see [`Archive::forget_before`]. New records are remembered only
    /// when they have been appended: deduplicate all that came of a day as one.
    ///
    /// # Errors
    ///
    /// If the day file cannot be read.
    pub fn deduplicate(&mut self, batch: Batch) -> Result<Dedup, FileError> {
        let date = batch.date();
        let can_judge = |day: &Day| batch.records().iter().all(|record| day.can_judge(record));
        let read = match self.known.day(date) {
            Some(day) if can_judge(day) => None,
            Some(_) => Some(self.read_day(date, |_| {})?),
            None => Some(self.read_as_little(&batch)?),
        };
        if let Some(day) = read {
            self.known.put(date, day);
        }
        let nothing = Day::default();
        Ok(dedup::deduplicate(batch, self.known.day(date).unwrap_or(&nothing)))
    }

    /// Forgets what the day files before `date` hold, so that a walk over many days takes the memory of few. A record of
    /// such a day is deduplicated rightly all the same: its file is read again.
    pub(crate) fn forget_before(&mut self, date: NaiveDate) {
        self.known.forget_before(date);
    }

    /// Notes records in `<folder>/.trailkeeper/<base>.rejected.jsonl`; tells how many were not noted there before.
    ///
    /// They are compared by content, and on disk when this returns.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, or an earlier write of this archive failed.
    pub(crate) fn reject(&mut self, records: &[Rejected], now: DateTime<Utc>) -> Result<u64, WriteError> {
        self.rejected.note(&mut self.appender, records, now)
    }

    /// Reads the day file of a date whole; a missing one is an empty day.
    fn read_day(&mut self, date: NaiveDate, visit: impl FnMut(DateTime<Utc>)) -> Result<Day, FileError> {
        let Some(day_file) = self.location.file_of(date) else {
            return Ok(Day::empty());
        };
        match Part::whole(&day_file) {
            Err(error) if error.is_missing() => Ok(Day::empty()),
            part => self.read_part(part?, visit),
        }
    }

    fn read_part(&mut self, part: Part<'_>, visit: impl FnMut(DateTime<Utc>)) -> Result<Day, FileError> {
        let day_file = part.day_file;
        let name = self.location.day_name(day_file.date).unwrap_or_default();
        let repaired = self.rejected.noted(&mut self.appender)?.repaired_in(&name);
        let (day, _) = day::read(part, &mut self.reader, repaired, visit)?;
        self.appender.sync_existing(&day_file.path)?;
        Ok(day)
    }
}
