//! Spans of time: the window of a run, and the slices in which it is walked.

use chrono::{DateTime, Utc};

/// A span of time that a service is asked for; `from` is not after `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The older end.
    pub from: DateTime<Utc>,
    /// The newer end.
    pub to: DateTime<Utc>,
}
