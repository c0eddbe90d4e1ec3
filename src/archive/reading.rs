//! Day files as commands read them that write nothing.

use super::lines::Lines;
use super::location::DayFile;
use super::storage::{FileError, open_for_reading};

impl DayFile {
    /// Visits the whole lines of the file that are text, from its start; tells how many lines were not. Half a line at its
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
}
