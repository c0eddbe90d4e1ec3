//! The day files of a stream. No other code writes them.
//!
//! Imports: fs, json, output, record, window.
//!
//! A tailing agent sees only whole lines. A byte of a day file, once written, never changes and never moves. A record
//! counts as archived only once it is on disk. The day files are enough to go on; `lib.rs` lists what cannot be rebuilt
//! from them.

#![expect(
    clippy::disallowed_methods,
    reason = "this folder writes the day files and the state files"
)]

mod append;
mod backward_lines;
mod batch;
mod count;
mod day;
mod day_file;
mod day_files;
mod day_forms;
mod day_name;
mod day_parts;
mod day_times;
mod end;
mod expire;
mod expired_list;
#[cfg(test)]
#[cfg(unix)]
pub(crate) mod faulty;
mod repair;
mod repaired_lines;
mod dedup;
mod file_stamp;
mod held_files;
mod holds;
mod hours;
mod key;
mod lines;
mod listing;
mod location;
mod lock;
mod misplaced;
mod moves;
mod takeover;
mod time_index;
mod durable_appender;
mod newest_records;
mod pack;
mod packed;
mod packed_lines;
mod piece;
mod notes;
mod recover;
mod revisions;
mod seekable;
mod state_file;
mod storage;
mod restored;
mod resume;
mod trial;
mod turn;
mod verify;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

pub(crate) use append::Appended;
pub use batch::Batch;
pub(crate) use count::LineCounter;
pub(crate) use day_file::DayFile;
pub(crate) use day_file::ReadRange;
pub(crate) use day_name::day_of_name;
pub(crate) use day_parts::{DayParts, while_days_move};
pub(crate) use day_times::DayTimes;
pub(crate) use dedup::Dedup;
pub(crate) use durable_appender::{Incomplete, WriteError};
pub(crate) use expire::{ExpireError, Expirer};
pub(crate) use expired_list::{EXPIRED, ExpiredDay, ExpiredList};
pub(crate) use file_stamp::FileStamp;
pub(crate) use held_files::HeldFile;
pub(crate) use holds::{HOLDS, Hold, Holds, HoldsError};
pub(crate) use hours::Hours;
pub(crate) use listing::Listing;
pub(crate) use location::SINKS;
pub use location::{Location, NameError, STATE_FOLDER};
pub(crate) use lock::RESTORING;
pub use lock::{Holder, Lock, LockError};
pub(crate) use misplaced::newest_local_day;
pub(crate) use moves::while_files_move;
pub(crate) use notes::{NewlyNoted, Noted, REJECTED, REVISED};
pub(crate) use pack::{PackError, PackedDay, Packer, content_of};
pub(crate) use packed_lines::PackedLines;
pub(crate) use piece::{Piece, PieceLines};
pub use recover::Recovery;
pub(crate) use repair::Repairs;
pub(crate) use repaired_lines::RepairedLines;
pub(crate) use restored::{Restoring, go_on_as_restored, restored_from, unfinished_restoring};
pub(crate) use state_file::StateFile;
pub(crate) use takeover::{Takeover, days_that_can_hold};
pub(crate) use trial::{FileUse, try_files, try_out, try_out_state, try_state_files};
pub(crate) use turn::Turn;
pub(crate) use verify::{DayReport, Problem, verify_day};

#[cfg(test)]
pub(crate) use seekable::packed as seekable;

use day::{Day, Part};
use dedup::DedupIndex;
use durable_appender::DurableAppender;
use misplaced::Misplaced;
use notes::NotesFile;
use repair::Repairer;
use resume::ResumePoint;
use revisions::{ArchivedValues, Suspects};
use storage::{DryRun, Storage};

use crate::fs::FileError;
use crate::record::{Identified, Reader, Rejected, Shape};

/// The day files of one stream, open for a run.
///
/// The order of calls: `open`, `recover`; for each slice of the window, oldest first, `deduplicate`, `append` what is
/// new and `note_revisions`; at the end `note_resume_points`.
pub struct Archive {
    location: Location,
    reader: Reader,
    file_mode: u32,
    appender: DurableAppender,
    rejected: NotesFile,
    revised: NotesFile,
    known: DedupIndex,
    misplaced: Misplaced,
    resume_points: Vec<ResumePoint>,
    /// A resume point before this offset, in bytes, is not noted.
    smallest_offset: u64,
    repaired: Repairs,
    torn: Vec<(NaiveDate, u64)>,
    /// The days whose file cannot be read or repaired, and why.
    unusable: BTreeMap<NaiveDate, String>,
    /// What there was of day files before anything was written.
    listing: Option<Arc<Listing>>,
}

impl Archive {
    /// Opens the day files that `lock` guards and repairs those that a crash left without a final newline. New day
    /// files get `file_mode`, whatever the umask is.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read, or a newline or note cannot be written. A day file that cannot be used is one of
    /// [`Archive::unusable`].
    pub fn open(
        lock: impl Into<Arc<Lock>>,
        shape: Shape,
        file_mode: u32,
        now: DateTime<Utc>,
    ) -> Result<Self, WriteError> {
        let lock = lock.into();
        let listing = Arc::new(lock.location().listing()?);
        Self::open_in_turn(lock, shape, file_mode, now, Turn::All, listing)
    }

    /// The same; `listing` is of what there is since the lock is held, and only those files whose turn it is are repaired.
    pub(crate) fn open_in_turn(
        lock: impl Into<Arc<Lock>>,
        shape: Shape,
        file_mode: u32,
        now: DateTime<Utc>,
        turn: Turn,
        mut listing: Arc<Listing>,
    ) -> Result<Self, WriteError> {
        let lock = lock.into();
        let location = lock.location().clone();
        let storage = Arc::clone(location.storage());
        if !listing.left_over.is_empty() {
            Packer::under(Arc::clone(&lock)).finish_before_run(&listing)?;
            listing = location.listing()?.into();
        }
        let mut archive = Self::new(location, storage, Some(lock), shape, file_mode);
        archive.repair(now, turn, &listing)?;
        archive.listing = Some(listing);
        Ok(archive)
    }

    /// Opens the day files for a dry run, without a lock. It takes every step of a run but writes nothing: what it
    /// reports as appended or noted is what a run would have written. Nothing is repaired: a torn line at the end of a
    /// file is ignored.
    pub fn dry_run(location: Location, shape: Shape) -> Self {
        Self::dry_run_over(None, location, shape)
    }

    /// The same, with what there is of day files, if that is known.
    pub(crate) fn dry_run_over(listing: Option<Arc<Listing>>, location: Location, shape: Shape) -> Self {
        let storage = Arc::new(DryRun(Arc::clone(location.storage())));
        Self {
            listing,
            ..Self::new(location, storage, None, shape, 0)
        }
    }

    fn new(
        location: Location,
        storage: Arc<dyn Storage>,
        lock: Option<Arc<Lock>>,
        shape: Shape,
        file_mode: u32,
    ) -> Self {
        let rejected = NotesFile::rejected(&location);
        let revised = NotesFile::revised(&location);
        let resume_points = resume::read(&location);
        Self {
            location,
            reader: Reader::new(shape),
            file_mode,
            appender: DurableAppender::under(lock, storage),
            rejected,
            revised,
            known: DedupIndex::default(),
            misplaced: Misplaced::default(),
            resume_points,
            smallest_offset: resume::SMALLEST_OFFSET,
            repaired: Repairs::default(),
            torn: Vec::new(),
            unusable: BTreeMap::new(),
            listing: None,
        }
    }

    fn repair(&mut self, now: DateTime<Utc>, turn: Turn, listing: &Listing) -> Result<(), WriteError> {
        let mut repairer = Repairer {
            location: &self.location,
            appender: &mut self.appender,
            rejected: &mut self.rejected,
            reader: &mut self.reader,
            file_mode: self.file_mode,
            now,
            unusable: &mut self.unusable,
            torn: &mut self.torn,
        };
        self.repaired = repairer.repair(listing, turn)?;
        Ok(())
    }

    /// Returns whether an earlier write or sync failed, so that nothing more is written.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.appender.is_poisoned()
    }

    /// Returns the days whose file cannot be read, or is torn and cannot be written to, with the reason. Nothing may be filed on
    /// them: what the file holds is not known, or its last line is torn.
    pub(crate) fn unusable(&self) -> &BTreeMap<NaiveDate, String> {
        &self.unusable
    }

    /// Returns in which day files torn lines were repaired, and at which offsets these began.
    pub(crate) fn torn(&self) -> &[(NaiveDate, u64)] {
        &self.torn
    }

    /// Returns what was repaired when the archive was opened.
    pub fn repaired(&self) -> Repairs {
        self.repaired
    }

    /// Splits the records of a day into those that its file does not hold, duplicates and revisions.
    ///
    /// The file is read on first use and remembered until [`Archive::forget_before`]. New records are remembered only
    /// once they are appended, so pass all records of a day in one batch, and of one time always all.
    ///
    /// # Errors
    ///
    /// If the day file cannot be read.
    pub fn deduplicate(&mut self, batch: Batch) -> Result<Dedup, FileError> {
        self.read_day_of(&batch)?;
        let nothing = Day::default();
        let day = self.known.day(batch.date()).unwrap_or(&nothing);
        let mut verdicts = dedup::by_content(&batch, day, &self.known.revisions());
        let suspects = Suspects::find(&batch, &verdicts, day, self.known.given());
        let values = self.read_values(&suspects, &batch)?;
        let revised = suspects.judge(&batch, &mut verdicts, &values);
        self.known.note_given(&batch, &verdicts, revised);
        Ok(dedup::split(batch, &verdicts))
    }

    /// The same for records of which none is a revision, since who has sent them has told those apart: they differ from what is archived,
    /// or are duplicates.
    ///
    /// # Errors
    /// If the day file cannot be read.
    pub(crate) fn deduplicate_by_content(&mut self, batch: Batch) -> Result<Dedup, FileError> {
        self.read_day_of(&batch)?;
        let nothing = Day::default();
        let day = self.known.day(batch.date()).unwrap_or(&nothing);
        let verdicts = dedup::by_content(&batch, day, &Default::default());
        Ok(dedup::split(batch, &verdicts))
    }

    /// Reads what the file of a day holds, as far as it is not known and these records need it.
    fn read_day_of(&mut self, batch: &Batch) -> Result<(), FileError> {
        let date = batch.date();
        let can_judge_all = |day: &Day| batch.records().iter().all(|record| day.can_judge(record.time));
        if !self.known.day(date).is_some_and(can_judge_all) {
            let day = self.read_as_little(batch)?;
            self.known.put(date, day);
        }
        if let Some(mut day) = self.known.take_incomplete(date) {
            self.add_misplaced(date, &mut day)?;
            self.known.put(date, day);
        }
        Ok(())
    }

    /// Reads the archived records with the id and time of several others, once for all of a batch; mostly there are none.
    fn read_values(&mut self, suspects: &Suspects, batch: &Batch) -> Result<ArchivedValues, FileError> {
        let times = suspects.contested().map(|place| batch.records()[place].time);
        let (Some(oldest), Some(day_file)) = (times.min(), self.location.file_of(batch.date())) else {
            return Ok(ArchivedValues::default());
        };
        let time_index = self.known.day(batch.date()).and_then(Day::time_index);
        let entry = time_index.and_then(|time_index| time_index.before(oldest));
        let start = entry.map_or(0, |entry| entry.offset);
        let mut values = ArchivedValues::default();
        let holders = self.holders_of(batch.date())?;
        let others = holders.iter().filter_map(|date| self.location.file_of(*date));
        let dates = [batch.date()].into_iter().chain(holders.iter().copied());
        let packed = dates.filter_map(|date| self.location.packed_file_of(date));
        let from_start = others.chain(packed).map(|file| (file, 0));
        for (file, start) in [(day_file, start)].into_iter().chain(from_start) {
            let content = match file.open() {
                Err(error) if error.is_missing() => continue,
                opened => opened?,
            };
            let read = suspects.read_values(content, start, &mut self.reader);
            match read.map_err(|cause| file.unreadable(cause)) {
                Err(error) if error.is_damaged() => {}
                read => values.extend(read?),
            }
        }
        Ok(values)
    }

    /// Forgets what the day files before `date` hold, so that a walk over many days needs the memory of a few. A record
    /// of a forgotten day is still deduplicated: its file is read again.
    pub(crate) fn forget_before(&mut self, date: NaiveDate) {
        self.known.forget_before(date);
        self.misplaced.forget_before(date);
    }

    /// Notes records in `<folder>/.trailkeeper/<base>.rejected.jsonl` and returns how many were not noted there before.
    ///
    /// Records are compared by content. They are on disk when this returns.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, or an earlier write of this archive failed; with what was noted all the same.
    pub(crate) fn reject(
        &mut self,
        records: &[Rejected],
        now: DateTime<Utc>,
    ) -> Result<NewlyNoted, Incomplete<NewlyNoted>> {
        self.rejected.note(&mut self.appender, records, now)
    }

    /// Notes revisions in `<folder>/.trailkeeper/<base>.revised.jsonl`, as [`Archive::reject`] does with other records, and
    /// returns how many were not noted there before.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::reject`].
    pub(crate) fn note_revisions(
        &mut self,
        revisions: &[Rejected],
        now: DateTime<Utc>,
    ) -> Result<NewlyNoted, Incomplete<NewlyNoted>> {
        if revisions.is_empty() {
            return Ok(NewlyNoted::default());
        }
        self.revised.note(&mut self.appender, revisions, now)
    }

    /// Reads all of the day file of a date, and the compressed one beside it; without either the day is empty. Each record is
    /// passed to `visit` with what `start` returns.
    ///
    /// A compressed file that is damaged counts for nothing, not even as far as it can be read: what it held is filed
    /// again, so that all of the day is in a file that can be read.
    fn read_day<T>(
        &mut self,
        date: NaiveDate,
        start: impl Fn() -> T,
        visit: impl Fn(&mut T, Identified),
    ) -> Result<(Day, T), FileError> {
        let mut visited = start();
        let mut day = self.read_plain(date, |identified| visit(&mut visited, identified))?;
        let Some(packed) = self.location.packed_file_of(date) else {
            return Ok((day, visited));
        };
        let part = Part::whole(&packed, u64::MAX);
        match part.and_then(|part| self.read_part(part, |identified| visit(&mut visited, identified))) {
            Ok(compressed) => day.absorb(compressed),
            Err(error) if error.is_damaged() => {
                tracing::warn!("{error}");
                visited = start();
                day = self.read_plain(date, |identified| visit(&mut visited, identified))?;
            }
            Err(error) => return Err(error),
        }
        Ok((day, visited))
    }

    /// Reads all of the day file of a date that is not compressed; without one the day is empty.
    fn read_plain(&mut self, date: NaiveDate, visit: impl FnMut(Identified)) -> Result<Day, FileError> {
        let Some(day_file) = self.location.file_of(date) else {
            return Ok(Day::empty());
        };
        match Part::whole(&day_file, self.known.end_before_this_run(date)) {
            Err(error) if error.is_missing() => Ok(Day::empty()),
            part => self.read_part(part?, visit),
        }
    }

    fn read_part(&mut self, part: Part<'_>, visit: impl FnMut(Identified)) -> Result<Day, FileError> {
        let day_file = part.day_file;
        let Self {
            reader,
            rejected,
            appender,
            ..
        } = self;
        // Mostly there is no such line, and so no need to read all that was ever rejected.
        let mut repaired = None;
        let is_repaired = |offset| {
            let repaired = match &mut repaired {
                Some(repaired) => repaired,
                none => none.insert(rejected.noted(appender)?.repaired_in(day_file)?),
            };
            Ok(repaired.contains(&offset))
        };
        let (day, _) = day::read(part, reader, is_repaired, visit)?;
        self.appender.sync_existing(&day_file.path)?;
        Ok(day)
    }
}
