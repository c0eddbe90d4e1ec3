//! What a walk hands out: a part of its window, with every record that the service returned for it.

use chrono::{DateTime, Utc};

use crate::record::{Record, Rejected};

/// Everything that the service returned for a part of the window; all older parts were handed out before.
#[derive(Debug)]
pub struct CompletedRange {
    /// The records, each once.
    pub records: Vec<Record>,
    /// Records that cannot be filed.
    pub(crate) rejected: Vec<Rejected>,
    /// Records that were repaired, as they came.
    pub(crate) originals: Vec<Rejected>,
    /// How many the service returned.
    pub received: u64,
    /// How many are newer than the run, and not among these.
    pub(crate) left_for_next_run: u64,
    /// The time up to which the window is complete with this range; all of it if no further range follows.
    pub(crate) done_to: DateTime<Utc>,
}
