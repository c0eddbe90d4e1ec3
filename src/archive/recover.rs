//! How far the archive goes: the time of its last record, from the day files alone.

use chrono::{DateTime, Utc};

use super::Archive;
use crate::fs::FileError;

impl Archive {
    /// The time of the last record: the greatest in the newest day file that holds one.
    ///
    /// That is not always the time of the last line. Records and files dated after `now` do not count, since one of
    /// them would make every run after it skip what lies between. A file without a record is passed over, as an empty
    /// one that a full disk left. `None` when there is no record at all.
    ///
    /// # Errors
    ///
    /// If the folder or a day file cannot be read.
    pub fn recover(&mut self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, FileError> {
        let files = self.location.day_files()?;
        for file in files.iter().rev().filter(|file| file.date <= now.date_naive()) {
            let (day, last) = self.read_end(file.date, now)?;
            // The first slice begins in this day: it is not read again.
            self.known.put(file.date, day);
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }
}
