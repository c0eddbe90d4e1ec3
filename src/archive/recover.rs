//! Finds the time of the last record from the day files alone, and the records that the next run should come upon.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Archive;
use crate::fs::FileError;
use crate::record::Anchor;

/// What the day files end with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The day of the first file.
    pub(crate) first_day: Option<NaiveDate>,
    /// The time of the last record.
    pub last: Option<DateTime<Utc>>,
    /// The newest records from before the overlap of the next run, a few: an answer that reaches down to there holds
    /// one of them.
    pub(crate) below: Vec<Anchor>,
}

impl Archive {
    /// Returns the time of the last record: the greatest in the newest day file that holds one.
    ///
    /// This is not always the time of the last line. Records and files dated after `now` do not count: one of them
    /// would make every later run skip what lies before it. A file without records, such as an empty one that a full
    /// disk left, is skipped. Where the newest file has no record from before `overlap`, the one before may have some.
    ///
    /// # Errors
    ///
    /// If the folder or a day file cannot be read.
    pub fn recover(&mut self, now: DateTime<Utc>, overlap: TimeDelta) -> Result<Recovery, FileError> {
        let files = self.location.day_files()?;
        let mut recovery = Recovery {
            first_day: files.first().map(|file| file.date),
            ..Recovery::default()
        };
        for file in files.iter().rev().filter(|file| file.date <= now.date_naive()) {
            let is_first = recovery.last.is_none();
            let (day, newest) = self.read_end(file.date, now, overlap, recovery.last)?;
            if is_first {
                // The first slice begins on this day: its file is not read again.
                self.known.put(file.date, day);
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
