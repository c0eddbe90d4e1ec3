//! Why something was not searched, so that records may not be found.

use std::fmt;
use std::path::PathBuf;

use crate::fs::FileError;
use crate::source::Kind;

/// Why a part of a stream is not searched.
#[derive(Debug)]
pub(crate) struct Unsearched {
    pub(crate) kind: &'static Kind,
    pub(crate) problem: String,
}

/// Why a part of a file is not searched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {lines}; trailkeeper verify names them", path.display())]
    NotRecords { path: PathBuf, lines: NotRecords },
}

/// Lines of a file that are no records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotRecords {
    pub(crate) count: u64,
    /// Where the first begins, in bytes of the content of the file.
    first: Option<u64>,
}

impl NotRecords {
    pub(super) fn add(&mut self, offset: u64) {
        *self += Self {
            count: 1,
            first: Some(offset),
        };
    }
}

impl std::ops::AddAssign for NotRecords {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.into_iter().chain(other.first).min();
    }
}

impl fmt::Display for NotRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first.unwrap_or_default();
        match self.count {
            1 => write!(f, "the line at byte {first} is no record"),
            count => write!(f, "{count} lines are no records, the first at byte {first}"),
        }
    }
}
