//! Reads only the end of a day file, if a resume point says where it begins and the end is enough.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Archive;
use super::batch::Batch;
use super::day::{Day, Part};
use super::newest_records::NewestRecords;
use super::resume::{self, ResumePoint};
use crate::fs::FileError;
use crate::record::Identified;

/// Added to the overlap: services are asked for a little more, and for rounded times.
const MARGIN: TimeDelta = TimeDelta::seconds(10);

/// Number of day files with a resume point: just after midnight the overlap spans two.
const NOTED_POINTS: usize = 2;

/// The coarsest clock tick of file times: after this wait a later change has another time.
const CLOCK_TICK: Duration = Duration::from_millis(10);

impl Archive {
    /// Notes where the ends of the newest day files begin, so that the next run, which asks again from `overlap` before
    /// the last record, need not read what lies before. The note is optional, so a failure is only logged.
    pub(crate) fn note_resume_points(&mut self, last: DateTime<Utc>, overlap: TimeDelta) {
        let from = last - overlap - MARGIN;
        let dates: BTreeSet<NaiveDate> = self
            .known
            .dates()
            .chain(self.resume_points.iter().filter_map(ResumePoint::day))
            .collect();
        let newest = dates.into_iter().rev().take(NOTED_POINTS);
        let resume_points: Vec<ResumePoint> = newest.filter_map(|date| self.resume_point(date, from)).collect();
        if resume_points == self.resume_points || self.appender.check_lock().is_err() {
            return;
        }
        std::thread::sleep(CLOCK_TICK);
        let path = self.location.state_file(resume::FILE);
        let Some(text) = resume::text(resume_points.clone()) else {
            return;
        };
        match self.appender.replace(&path, text.as_bytes()) {
            Ok(()) => self.resume_points = resume_points,
            Err(error) => tracing::debug!("cannot store the resume points: {error}"),
        }
    }

    /// Returns the resume point of a day file for a time; the earlier one if the day was not read.
    fn resume_point(&self, date: NaiveDate, from: DateTime<Utc>) -> Option<ResumePoint> {
        let Some(day) = self.known.day(date) else {
            return self
                .resume_points
                .iter()
                .find(|point| point.day() == Some(date))
                .cloned();
        };
        let time_index = day.time_index()?;
        let entry = time_index
            .before(from)
            .filter(|entry| entry.offset >= self.smallest_offset)?;
        // What was read began at one of these, if not at the start of the file.
        let before = self.resume_points.iter().find(|point| point.day() == Some(date));
        let before = before.into_iter().flat_map(ResumePoint::entries);
        let earlier = resume::earlier_entries(time_index, before, entry.offset);
        let mut file = self.location.file_of(date)?.open().ok()?;
        ResumePoint::describe(date, file.as_mut(), entry, &earlier, time_index.end()).ok()?
    }

    /// Reads the end of the day's file if that is enough for these records, else all of it.
    pub(super) fn read_as_little(&mut self, batch: &Batch) -> Result<Day, FileError> {
        let oldest = batch.records().iter().map(|record| record.time).min();
        if let Some(day) = self.read_from_resume_point(batch.date(), oldest, |_| {})?
            && batch.records().iter().all(|record| day.can_judge(record.time))
        {
            return Ok(day);
        }
        Ok(self.read_day(batch.date(), || (), |(), _| {})?.0)
    }

    /// Reads the records of a day file from `oldest` on, or from its resume point; `None` if it has none from which on they all
    /// are, or it does not match the file.
    fn read_from_resume_point(
        &mut self,
        date: NaiveDate,
        oldest: Option<DateTime<Utc>>,
        mut visit: impl FnMut(Identified),
    ) -> Result<Option<Day>, FileError> {
        let Some(point) = self.resume_points.iter().find(|point| point.day() == Some(date)) else {
            return Ok(None);
        };
        if self.location.packed_file_of(date).is_some() {
            return Ok(None);
        }
        let Some(day_file) = self.location.file_of(date) else {
            return Ok(None);
        };
        let mut file = match day_file.open() {
            Err(error) if error.is_missing() => return Ok(None),
            opened => opened?,
        };
        let entry = point.entry_in(file.as_mut(), oldest);
        let Some(entry) = entry.map_err(|cause| FileError::io("read", &day_file.path, cause))? else {
            tracing::debug!(path = %day_file.path.display(), "the file does not match its resume point: reading all of it");
            return Ok(None);
        };
        let part = Part {
            day_file: &day_file,
            file,
            from: Some(entry),
            old_to: self.known.end_before_this_run(date),
        };
        let mut first = None;
        let day = self.read_part(part, |identified| {
            first.get_or_insert(identified.time);
            visit(identified);
        })?;
        Ok((first == Some(entry.time)).then_some(day))
    }

    /// Reads the end of a day file if that is enough, else all of it. Also returns what its records end with; `last` is the
    /// time of the last record of newer files.
    pub(super) fn read_end(
        &mut self,
        date: NaiveDate,
        now: DateTime<Utc>,
        overlap: TimeDelta,
        last: Option<DateTime<Utc>>,
    ) -> Result<(Day, NewestRecords), FileError> {
        let mut newest = NewestRecords::new(now, overlap, last);
        // Every record before the resume point is earlier than those after it: if one of these is not after `now`, the
        // last of them is the last of the file.
        if let Some(day) = self.read_from_resume_point(date, None, |identified| newest.add(identified))?
            && newest.last().is_some()
        {
            return Ok((day, newest));
        }
        self.read_day(date, || NewestRecords::new(now, overlap, last), NewestRecords::add)
    }
}
