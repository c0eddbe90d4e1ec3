//! The journal file: reads the newest line or the last ones, and appends a line.

use chrono::{DateTime, Utc};

use super::completed_runs::CompletedRuns;
use super::entry::Entry;
use crate::archive::{Location, StateFile, WriteError};
use crate::fs::FileError;

/// Name of the journal, after `<base>.`.
const FILE: &str = "coverage.jsonl";

/// The coverage journal of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    file: StateFile,
}

impl Journal {
    /// Returns the journal of the stream at a location, whether it exists or not.
    #[must_use]
    pub(crate) fn of(location: &Location) -> Self {
        Self {
            file: location.state(FILE),
        }
    }

    /// Returns the newest line.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one has no lines.
    pub(crate) fn newest(&self) -> Result<Option<Entry>, FileError> {
        self.file.newest_line(Entry::read)
    }

    /// Returns the completed runs that began at `since` or later.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one has none.
    pub(crate) fn completed_runs(&self, since: DateTime<Utc>) -> Result<CompletedRuns, FileError> {
        let mut newest_first = Vec::new();
        self.file.newest_line(|line| {
            let entry = Entry::read(line)?;
            if entry.at < since {
                return Some(());
            }
            newest_first.extend(entry.completed_run());
            None
        })?;
        Ok(CompletedRuns::from_newest(newest_first))
    }

    /// Appends a line and syncs it.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub(crate) fn append(&self, entry: &Entry) -> Result<(), WriteError> {
        match entry.to_line() {
            Ok(line) => self.file.append_line(&line),
            Err(error) => Err(FileError::io("write to", self.file.path(), error.into()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::coverage::End;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(29_000_000 + minutes)
    }

    fn entry(at_minute: i64, end: End) -> Entry {
        let mut entry = Entry::new(at(at_minute), None);
        entry.from = Some(at(at_minute - 10));
        entry.to = Some(at(at_minute));
        entry.end = end;
        entry.last_before = Some(at(at_minute - 8));
        entry
    }

    #[test]
    fn complete_runs_are_read_back_as_far_as_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::of(&Location::new(folder.path(), "mail", "log").unwrap());
        assert_eq!(journal.newest().unwrap(), None);
        assert_eq!(journal.completed_runs(at(0)).unwrap(), CompletedRuns::default());
        for (minute, end) in [
            (0, End::Exhausted),
            (5, End::Failed),
            (10, End::Exhausted),
            (15, End::Exhausted),
        ] {
            journal.append(&entry(minute, end)).unwrap();
        }
        assert_eq!(journal.newest().unwrap().unwrap().at, at(15));
        let least = |since| {
            let runs = journal.completed_runs(at(since)).unwrap();
            runs.least_overlap(at(3), at(14)).map(|least| least.num_minutes())
        };
        assert_eq!(
            least(-20),
            Some(4),
            "the run at 10 covered it, and the one at 15 asked from 7 on"
        );
        assert_eq!(least(14), None, "nothing that old was read");
    }
}
