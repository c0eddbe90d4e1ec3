//! Finds the time of the last record from the day files alone, and the records that the next run should come upon.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{Archive, Location, Takeover, newest_local_day};
use crate::fs::FileError;
use crate::record::{Anchor, Shape};

/// What the day files end with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The time of the last record.
    pub last: Option<DateTime<Utc>>,
    /// The newest records from before the overlap of the next run, a few: an answer that reaches down to there holds
    /// one of them.
    pub(crate) below: Vec<Anchor>,
}

impl Archive {
    /// Returns the time of the last record, for whoever only reads and writes nothing. `takeover` is what another program has left,
    /// where no run has begun yet.
    ///
    /// # Errors
    /// Those of [`Archive::recover`].
    pub(crate) fn last_record(
        location: &Location,
        shape: Shape,
        now: DateTime<Utc>,
        takeover: Option<Takeover>,
    ) -> Result<Option<DateTime<Utc>>, FileError> {
        let mut archive = Self::dry_run(location.clone(), shape);
        takeover
            .into_iter()
            .for_each(|takeover| archive.know_takeover(takeover));
        Ok(archive.recover(now, TimeDelta::zero())?.last)
    }

    /// Returns the time of the last record: the greatest in the newest day file that holds one.
    ///
    /// This is not always the time of the last line. Records and files dated after `now` do not count: one of them
    /// would make every later run skip what lies before it. A file without records, such as an empty one that a full
    /// disk left, is skipped. So is one that cannot be read: from an older time on, more is asked for, and nothing is left
    /// out. Where the newest file has no record from before `overlap`, the one before may have some. Where another program has
    /// left records in the files of other days, the newest can be in a file before the newest one.
    ///
    /// # Errors
    ///
    /// If the folder or the rejected file cannot be read.
    pub fn recover(&mut self, now: DateTime<Utc>, overlap: TimeDelta) -> Result<Recovery, FileError> {
        let (listing, is_of_before) = match self.listing.take() {
            Some(listing) => (listing, true),
            None => (self.location.listing()?.into(), false),
        };
        listing.warn_of_odd_ones();
        // It can be read with each day file, and is no fault of any of them.
        self.rejected.look()?;
        let mut recovery = Recovery::default();
        let mut before = None;
        while let Some(date) = listing.date_before(before) {
            before = Some(date);
            if !self.counts(date, now)? {
                continue;
            }
            let is_first = match recovery.last {
                None => true,
                Some(last) => self.can_hold(date, last)?,
            };
            if !is_first && !recovery.below.is_empty() {
                break;
            }
            if is_of_before && listing.has_moved(date) {
                // Somebody has moved it since, as who compresses it does.
                return self.recover(now, overlap);
            }
            let (day, newest) = match self.read_end(date, now, overlap, recovery.last) {
                Ok(read) => read,
                Err(error) if self.is_poisoned() => return Err(error),
                Err(error) => {
                    self.unusable.insert(date, error.to_string());
                    // Records from before the overlap only spare requests.
                    if is_first {
                        continue;
                    }
                    break;
                }
            };
            if is_first {
                // The first slice begins on this day: its file is not read again. Of several it is the newest.
                self.known.put(date, day);
                recovery.last = newest.last();
            }
            recovery.below.extend(newest.into_below());
        }
        Ok(recovery)
    }

    /// Returns whether a day file counts at `now`: it is not dated in the future, or another program has left it, which named it
    /// by local time.
    fn counts(&mut self, date: NaiveDate, now: DateTime<Utc>) -> Result<bool, FileError> {
        let is_local_day = || date <= newest_local_day(now);
        Ok(date <= now.date_naive() || (is_local_day() && self.was_left(date)?))
    }

    /// Returns whether a day file can hold a record that is later than `last`, which is in a newer file: only where a file holds
    /// records of another day.
    fn can_hold(&mut self, date: NaiveDate, last: DateTime<Utc>) -> Result<bool, FileError> {
        let is_day_before = || date.succ_opt() == Some(last.date_naive());
        Ok(date >= last.date_naive() || (is_day_before() && self.was_left(date)?))
    }
}
