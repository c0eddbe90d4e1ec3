//! Finds the time of the last record from the day files alone.

use chrono::{DateTime, Utc};

use super::Archive;
use crate::fs::FileError;

impl Archive {
    /// Returns the time of the last record: the greatest in the newest day file that holds one.
    ///
    /// This is not always the time of the last line. Records and files dated after `now` do not count: one of them
    /// would make every later run skip what lies before it. A file without records, such as an empty one that a full
    /// disk left, is skipped. `None` if there are no records.
    ///
    /// # Errors
    ///
    /// If the folder or a day file cannot be read.
    pub fn recover(&mut self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, FileError> {
        let files = self.location.day_files()?;
        for file in files.iter().rev().filter(|file| file.date <= now.date_naive()) {
            let (day, last) = self.read_end(file.date, now)?;
            // The first slice begins on this day: its file is not read again.
            self.known.put(file.date, day);
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }
}
