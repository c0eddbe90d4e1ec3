//! The days that were deleted for their age, for ever: the journal, which names them too, is put aside when it is full.
//!
//! `.trailkeeper/<base>.expired.jsonl` has a line for each, written and synced before its files are deleted. If the deleting was
//! interrupted, a day can be there all the same, and is named again when it is deleted: its last line counts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::durable_appender::WriteError;
use super::location::Location;
use super::state_file::StateFile;
use crate::fs::FileError;

/// Name of the file, after `<base>.`.
pub(crate) const EXPIRED: &str = "expired.jsonl";

/// A day whose files are about to be deleted for their age, as it is written down before they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpiredDay {
    pub(crate) file: String,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Of its content, in hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) reason: String,
    pub(crate) at: DateTime<Utc>,
}

/// The list of a stream.
pub(crate) struct ExpiredList(StateFile);

impl ExpiredList {
    pub(crate) fn of(location: &Location) -> Self {
        Self(location.state(EXPIRED))
    }

    /// Adds days, and syncs them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn add(&self, days: &[ExpiredDay]) -> Result<(), WriteError> {
        let lines = days.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|error| FileError::io("write to", self.0.path(), error.into()))?;
        self.0.append_lines(&lines)
    }

    #[cfg(test)]
    pub(crate) fn read(&self) -> Vec<ExpiredDay> {
        let content = self.0.read().unwrap().unwrap_or_default();
        let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}
