//! Day files as commands read them that write nothing.

use super::lines::Lines;
use super::location::DayFile;
use super::state::{FIRST_READ, newest_line};
use super::storage::{FileError, open_for_reading};

impl DayFile {
    /// Visits the whole lines of the file that are text, from its start; tells how many lines were not. A torn line at its
    /// end, which somebody may be writing, counts as nothing.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn lines(&self, mut visit: impl FnMut(&str)) -> Result<u64, FileError> {
        let mut unreadable = 0;
        let mut lines = Lines::of(open_for_reading(&self.path)?);
        while let Some(line) = lines.next().map_err(|cause| FileError::io("read", &self.path, cause))? {
            match std::str::from_utf8(line.bytes) {
                Ok(text) if line.ended => visit(text),
                Ok(_) => {}
                Err(_) => unreadable += 1,
            }
        }
        Ok(unreadable)
    }

    /// The first of the whole lines from `start` on, where one begins, that `read` makes something of.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn first_behind<T>(&self, start: u64, mut read: impl FnMut(&str) -> Option<T>) -> Result<Option<T>, FileError> {
        let failed = |cause| FileError::io("read", &self.path, cause);
        let mut lines = Lines::from_offset(open_for_reading(&self.path)?, start).map_err(failed)?;
        while let Some(line) = lines.next().map_err(failed)? {
            let text = str::from_utf8(line.bytes).ok().filter(|_| line.ended);
            if let Some(found) = text.and_then(&mut read) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The last of the lines before `end`, where one ends, that `read` makes something of. Only as much of the file is
    /// read as that takes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn last_before<T>(&self, end: u64, read: impl FnMut(&str) -> Option<T>) -> Result<Option<T>, FileError> {
        let mut file = open_for_reading(&self.path)?;
        newest_line(&mut file, end, FIRST_READ, read).map_err(|cause| FileError::io("read", &self.path, cause))
    }
}
