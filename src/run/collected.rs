//! What came of one stream of a run, and why it is not complete.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::lateness::Lateness;
use crate::archive::WriteError;
use crate::coverage::Closed;
use crate::fetch::{FetchError, RequestCounts};
use crate::forward::Forwarded;
use crate::fs::FileError;
use crate::http::request_stats::RequestStats;
use crate::window::Window;

/// What came of a stream.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The window that was asked for, once it was known.
    pub(crate) window: Option<Window>,
    /// Up to where it was asked for and filed.
    pub(crate) covered_to: Option<DateTime<Utc>>,
    /// The gaps that the run went back for, before the window.
    pub(crate) closed: Vec<Closed>,
    /// What was asked of the service.
    pub(crate) request_counts: RequestCounts,
    /// How its requests ended and how long they took.
    pub(crate) request_stats: RequestStats,
    /// Records that the service gave, repeated ones included.
    pub(crate) received: u64,
    /// Records that were in the archive already, or came more than once.
    pub(crate) duplicates: u64,
    /// Records that cannot be filed and were not noted before.
    pub(crate) rejected: u64,
    /// Records that were appended and are on disk.
    pub(crate) appended: u64,
    /// The day files that they were appended to.
    pub(crate) files: BTreeSet<String>,
    /// Of these, the records that an ordinary run would not have brought.
    pub(crate) late: Lateness,
    /// The time of the archive's last record.
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// What came of forwarding it, for each sink of the run.
    pub(crate) forwarded: Vec<Forwarded>,
    /// Why it is not complete; what was appended before stays.
    pub(crate) failure: Option<CollectError>,
}

/// Why a stream is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// The service could not be asked for everything.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A day file could not be read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// A day file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The window is complete, and a gap before it is not.
    #[error("the time from {from} to {to}, which no run has asked for, is still missing: {cause}")]
    Gap {
        /// Its older end, RFC 3339.
        from: String,
        /// Its newer end, RFC 3339.
        to: String,
        /// Why.
        cause: FetchError,
    },
    /// Somebody asked the program to end.
    #[error("ended before it was complete, as was asked for; the next run goes on from here")]
    Stopped,
    /// The program is at fault.
    #[error("an error inside the program: {0}; please report it")]
    Internal(String),
}

impl Collected {
    /// Nothing, for this reason.
    pub(super) fn failed(failure: CollectError) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// Nothing, for a fault of the program.
    pub(super) fn internal(what: &str) -> Self {
        Self::failed(CollectError::Internal(what.to_owned()))
    }
}
