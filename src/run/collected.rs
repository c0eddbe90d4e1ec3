//! The result of one stream of a run, and why it is not complete.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::lateness::Lateness;
use crate::archive::WriteError;
use crate::coverage::Closed;
use crate::fetch::{FetchError, RequestCounts};
use crate::forward::Forwarded;
use crate::fs::FileError;
use crate::http::request_stats::RequestStats;
use crate::window::{Window, floor_to_millisecond};

/// The result of one stream.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The requested window, once it is known.
    pub(crate) window: Option<Window>,
    /// The time up to which it was fetched and filed.
    pub(crate) covered_to: Option<DateTime<Utc>>,
    /// The gaps before the window that the run closed.
    pub(crate) closed: Vec<Closed>,
    /// How many requests were sent.
    pub(crate) request_counts: RequestCounts,
    /// By how much the service's clock was ahead of ours, or behind it if negative; `None` if its answers did not show it.
    pub(crate) clock_offset: Option<TimeDelta>,
    /// The date of the service's last answer.
    pub(crate) service_date: Option<DateTime<Utc>>,
    /// What is to be known although it is no failure.
    pub(crate) warnings: Vec<String>,
    /// How its requests ended and how long they took.
    pub(crate) request_stats: RequestStats,
    /// Records returned by the service, including repeated ones.
    pub(crate) received: u64,
    /// Records that were archived already, or came more than once.
    pub(crate) duplicates: u64,
    /// Records that cannot be filed and were not noted before.
    pub(crate) rejected: u64,
    /// Records that are newer than the run; the next one asks for them again.
    pub(crate) left_for_next_run: u64,
    /// Records that did not come as JSON in UTF-8, and were not noted before. They are among the others.
    pub(crate) repaired: u64,
    /// Records that were appended and are on disk.
    pub(crate) appended: u64,
    /// The day files that they were appended to.
    pub(crate) files: BTreeSet<String>,
    /// Which of these an ordinary run would have missed.
    pub(crate) late: Lateness,
    /// The time of the archive's last record.
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// The result of forwarding, for each sink of the run.
    pub(crate) forwarded: Vec<Forwarded>,
    /// Why it is not complete; what was appended before stays.
    pub(crate) failure: Option<CollectError>,
}

/// Why a stream is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// The window could not be fetched completely.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A day file could not be read.
    #[error(transparent)]
    Read(#[from] FileError),
    /// A day file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The window is complete, but a gap before it is not.
    #[error("the gap from {from} to {to} is still missing: {cause}")]
    Gap {
        /// Its older end, RFC 3339.
        from: String,
        /// Its newer end, RFC 3339.
        to: String,
        cause: FetchError,
    },
    /// A shutdown was requested.
    #[error("stopped by a shutdown before it was complete; the next run continues from here")]
    Stopped,
    /// A bug in the program.
    #[error("an internal error: {0}; please report it")]
    Internal(String),
}

impl Collected {
    /// Claims to have covered no time after this one, which had not come yet for the service.
    pub(super) fn claim_nothing_after(&mut self, time: DateTime<Utc>) {
        let time = floor_to_millisecond(time);
        let claims = self.closed.iter_mut().map(|gap| &mut gap.covered_to);
        for covered_to in claims.chain([&mut self.covered_to]).flatten() {
            *covered_to = time.min(*covered_to);
        }
    }

    /// Returns an empty result with this failure.
    pub(super) fn failed(failure: CollectError) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// Returns an empty result with an internal error.
    pub(super) fn internal(what: &str) -> Self {
        Self::failed(CollectError::Internal(what.to_owned()))
    }
}
