//! Reading only the end of a day file, where a note says where it begins and the end tells all that is asked.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Archive;
use super::batch::Batch;
use super::day::{Day, Part};
use super::storage::{FileError, open_for_reading};
use super::tail::{self, Tail};

/// How much more than the overlap a noted end holds: services are asked for a little more, and round.
const TAIL_MARGIN: TimeDelta = TimeDelta::seconds(10);

/// Ends of day files that are noted: just after midnight the overlap lies in two.
const NOTED_TAILS: usize = 2;

/// The coarsest clock by which a system notes the change of a file: after so long another change has another time.
const CLOCK_TICK: Duration = Duration::from_millis(10);

impl Archive {
    /// Notes where the ends of the newest day files begin, so that the next run, which asks again from `overlap` before
    /// the last record on, need not read what lies before. Nothing rests on the note, so a failure is only logged.
    pub fn note_tails(&mut self, last: DateTime<Utc>, overlap: TimeDelta) {
        let from = last - overlap - TAIL_MARGIN;
        let dates: BTreeSet<NaiveDate> = self
            .known
            .dates()
            .chain(self.tails.iter().filter_map(Tail::day))
            .collect();
        let newest = dates.into_iter().rev().take(NOTED_TAILS);
        let tails: Vec<Tail> = newest.filter_map(|date| self.tail(date, from)).collect();
        if tails == self.tails {
            return;
        }
        std::thread::sleep(CLOCK_TICK);
        let path = self.location.state_file(tail::FILE);
        let Some(text) = tail::text(tails.clone()) else { return };
        match self.pen.replace(&path, text.as_bytes()) {
            Ok(()) => self.tails = tails,
            Err(error) => tracing::debug!("the ends of day files are not noted: {error}"),
        }
    }

    /// The end of a day file that holds everything from a time on; what was noted before, for a day that was not read.
    fn tail(&self, date: NaiveDate, from: DateTime<Utc>) -> Option<Tail> {
        let Some(day) = self.known.day(date) else {
            return self.tails.iter().find(|tail| tail.day() == Some(date)).cloned();
        };
        let outline = day.outline()?;
        let milestone = outline
            .before(from)
            .filter(|milestone| milestone.offset >= self.worthwhile)?;
        let path = self.location.folder().join(self.location.day_name(date)?);
        let mut file = open_for_reading(&path).ok()?;
        Tail::describe(date, &mut file, milestone, outline.end()).ok()?
    }

    /// Reads the end of the day's file if that tells all of these records, else all of it.
    pub(super) fn read_as_little(&mut self, batch: &Batch) -> Result<Day, FileError> {
        if let Some(day) = self.read_tail(batch.date(), |_| {})?
            && batch.records().iter().all(|record| day.can_judge(record))
        {
            return Ok(day);
        }
        self.read_day(batch.date(), |_| {})
    }

    /// Reads the day file of a date from the milestone that is noted for it; `None` where the note does not fit.
    fn read_tail(&mut self, date: NaiveDate, mut visit: impl FnMut(DateTime<Utc>)) -> Result<Option<Day>, FileError> {
        let Some(tail) = self.tails.iter().find(|tail| tail.day() == Some(date)) else {
            return Ok(None);
        };
        let Some(name) = self.location.day_name(date) else {
            return Ok(None);
        };
        let path = self.location.folder().join(&name);
        let mut file = match open_for_reading(&path) {
            Err(error) if error.is_missing() => return Ok(None),
            opened => opened?,
        };
        let noted = tail.milestone_in(&mut file);
        let Some(milestone) = noted.map_err(|cause| FileError::io("read", &path, cause))? else {
            tracing::debug!(path = %path.display(), "not as it was noted: reading all of it");
            return Ok(None);
        };
        let part = Part {
            path: &path,
            file,
            from: Some(milestone),
        };
        let mut first = None;
        let day = self.read_part(part, &name, |time| {
            first.get_or_insert(time);
            visit(time);
        })?;
        Ok((first == Some(milestone.time)).then_some(day))
    }

    /// Reads the end of a day file where that is known and tells all, else all of it; and the greatest time up to `now`.
    pub(super) fn read_end(
        &mut self,
        date: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<(Day, Option<DateTime<Utc>>), FileError> {
        let mut last = None;
        let mut note = |time| last = last.max(Some(time).filter(|time| *time <= now));
        // Every record before the end is earlier than those in it: one of these up to `now` is the last of the file.
        if let Some(day) = self.read_tail(date, &mut note)?
            && last.is_some()
        {
            return Ok((day, last));
        }
        let mut note = |time| last = last.max(Some(time).filter(|time| *time <= now));
        Ok((self.read_day(date, &mut note)?, last))
    }
}
