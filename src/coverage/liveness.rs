//! Whether the last run of a stream is under way or was killed, by the journal and the lock file.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use super::entry::{End, Entry};
use crate::archive::Holder;

/// A run that has not written how it ended: it is still running, or was killed.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    pub(crate) running: Option<Running>,
    /// When a run began that was killed.
    pub(crate) silent_since: Option<DateTime<Utc>>,
}

impl Liveness {
    /// Returns whether the run of the newest line is under way, by who took the lock last.
    pub(crate) fn of(holder: Option<Holder>, newest: Option<&Entry>) -> Self {
        // The lock file has whole seconds.
        let last = newest.map(|entry| entry.at.trunc_subsecs(0));
        let is_open = newest.is_some_and(|entry| entry.end == End::Open);
        let Some(holder) = holder.filter(|holder| is_open || last.is_none_or(|last| holder.since > last)) else {
            return Self::default();
        };
        match holder.is_running() {
            Some(true) => Self {
                running: Some(Running {
                    pid: holder.pid,
                    since: holder.since,
                }),
                silent_since: None,
            },
            Some(false) => Self {
                running: None,
                silent_since: Some(holder.since),
            },
            None => Self::default(),
        }
    }
}

/// A run in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Running {
    /// Its process id.
    pub(crate) pid: u32,
    pub(crate) since: DateTime<Utc>,
}
