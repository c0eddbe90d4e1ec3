//! Finds the time of the last record from the day files alone, and the records that the next run should come upon.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Archive, Location};
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
    /// Returns the time of the last record, for whoever only reads and writes nothing.
    ///
    /// # Errors
    /// Those of [`Archive::recover`].
    pub(crate) fn last_record(
        location: &Location,
        shape: Shape,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, FileError> {
        let mut archive = Self::dry_run(location.clone(), shape);
        Ok(archive.recover(now, TimeDelta::zero())?.last)
    }

    /// Returns the time of the last record: the greatest in the newest day file that holds one.
    ///
    /// This is not always the time of the last line. Records and files dated after `now` do not count: one of them
    /// would make every later run skip what lies before it. A file without records, such as an empty one that a full
    /// disk left, is skipped. So is one that cannot be read: from an older time on, more is asked for, and nothing is left
    /// out. Where the newest file has no record from before `overlap`, the one before may have some.
    ///
    /// # Errors
    ///
    /// If the folder or the rejected file cannot be read.
    pub fn recover(&mut self, now: DateTime<Utc>, overlap: TimeDelta) -> Result<Recovery, FileError> {
        let listing = self.location.listing()?;
        listing.warn_of_odd_ones();
        let dates = listing.dates();
        // Read with each day file, and no fault of any of them.
        self.rejected.noted(&mut self.appender)?;
        let mut recovery = Recovery::default();
        for date in dates.into_iter().rev().filter(|date| *date <= now.date_naive()) {
            let is_first = recovery.last.is_none();
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
                // The first slice begins on this day: its file is not read again.
                self.known.put(date, day);
                recovery.last = newest.last();
            }
            recovery.below = newest.into_below();
            if !recovery.below.is_empty() {
                break;
            }
        }
        Ok(recovery)
    }
}
