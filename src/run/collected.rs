//! The result of one stream of a run, and why it is not complete.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::lateness::Lateness;
use crate::archive::{LockError, WriteError};
use crate::coverage::{Asked, GapCounts, Gone, PendingError, Purpose, Silence, Unproved, asked};
use crate::fetch::{Assumptions, FetchError, RequestCounts};
use crate::forward::Forwarded;
use crate::fs::FileError;
use crate::http::request_stats::RequestStats;
use crate::upkeep::Kept;
use crate::window::{Window, bound};

/// The result of one stream.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The spans that it asks for, once they are known, and how far it came.
    pub(crate) asked: Vec<Asked>,
    /// The index of the span whose walk has begun and not ended.
    pub(crate) walk: Option<usize>,
    /// How many requests were sent.
    pub(crate) request_counts: RequestCounts,
    /// By how much the service's clock was ahead of ours, or behind it if negative; `None` if its answers did not show it.
    pub(crate) clock_offset: Option<TimeDelta>,
    /// The date of the service's last answer.
    pub(crate) service_date: Option<DateTime<Utc>>,
    /// What is known of the service, for the next run.
    pub(crate) assumptions: Option<Assumptions>,
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
    /// Archived records that came with other fields and were not noted like this before.
    pub(crate) revised: u64,
    /// Records that are newer than the run; the next one asks for them again.
    pub(crate) left_for_next_run: u64,
    /// Records that did not come as JSON in UTF-8, and were not noted before. They are among the others.
    pub(crate) repaired: u64,
    /// Records of days that were deleted for their age; they are not kept.
    pub(crate) expired: u64,
    /// Records of days whose file could not be read or written; the next run asks for them again.
    pub(crate) skipped: u64,
    /// Records that were appended. They are on disk, but for those that a warning names.
    pub(crate) appended: u64,
    /// The day files that they were appended to.
    pub(crate) files: BTreeSet<String>,
    /// Which of these an ordinary run would have missed.
    pub(crate) late: Lateness,
    /// What is missing after the run, if that is known.
    pub(crate) gaps: Option<GapCounts>,
    /// The time of the archive's last record.
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// For how long it has been quiet, where that can be compared with its past.
    pub(crate) silence: Option<Silence>,
    /// The result of forwarding, for each sink of the run.
    pub(crate) forwarded: Vec<Forwarded>,
    /// What was done with old days, if that was to be.
    pub(crate) kept: Option<Kept>,
    /// Why it is not complete; what was appended before stays.
    pub(crate) failure: Option<CollectError>,
}

/// Why a stream is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// The window could not be fetched completely.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file could not be read.
    #[error("{}{}", .0, promise(Some(.0)))]
    Read(#[from] FileError),
    /// A file could not be written.
    #[error("{}{}", .0, promise(.0.of_file()))]
    Write(#[from] WriteError),
    /// Records that were given and not filed could not be kept.
    #[error(transparent)]
    Pending(#[from] PendingError),
    /// The catalog is not locked, or not any more.
    #[error("{}{}", .0, promise(.0.of_file()))]
    Lock(#[from] LockError),
    /// What is new is complete, but an older span is not.
    #[error("the span from {from} to {to} is still missing: {cause}")]
    Older {
        /// Its older end, RFC 3339.
        from: String,
        /// Its newer end, RFC 3339.
        to: String,
        cause: FetchError,
    },
    /// A day file could not be read or written; the other days were filed.
    #[error("the records of {date} were not filed, and are asked for again by the next run: {cause}")]
    Day {
        /// The day.
        date: NaiveDate,
        /// The reason.
        cause: Box<CollectError>,
    },
    /// A day file cannot be read, or its torn line not be repaired; the other days were filed.
    #[error("no record of {date} is filed until its file can be used: {cause}")]
    Unusable {
        /// The day.
        date: NaiveDate,
        /// The reason.
        cause: String,
    },
    /// The service's answers contradict each other, run after run.
    #[error(
        "{} to {} is filed as the service gives it, and cannot be proved to be complete: {}; it is asked for again \
         from time to time",
        bound(.0.from), bound(.0.to), .0.reason
    )]
    Unproved(Unproved),
    /// The archive is gone, but for its journal.
    #[error("{0}")]
    NoDayFile(Gone),
    /// Nothing is asked for, since days were deleted for their age that are to come.
    #[error("{0}")]
    ExpiryAhead(String),
    /// The catalog belongs to a fleet.
    #[error("{0}")]
    OfFleet(String),
    /// In a fleet, the bucket of the stream is another member's by now, or is taken over anew.
    #[error("nothing can be kept before the bucket of the stream is taken over again, by this member or another one")]
    BucketGone,
    /// A shutdown was requested.
    #[error("stopped before it was complete; the next run continues from here")]
    Stopped,
    /// A bug in the program.
    #[error("an internal error: {0}; please report it")]
    Internal(String),
}

/// Says that nothing else is to be done for the archive than what the error says. One of a file alone is told with its day.
fn promise(error: Option<&FileError>) -> &'static str {
    match error {
        Some(error) if !error.is_of_this_file() => "; the next run completes the archive",
        _ => "",
    }
}

impl Collected {
    /// Returns the span from the oldest to the newest time that was asked for, but for gaps.
    pub(crate) fn window(&self) -> Option<Window> {
        asked::window(&self.asked)
    }

    /// Returns what was seen of the service, if it was seen to the end of what is new.
    pub(crate) fn seen(&self) -> Option<Assumptions> {
        let is_new = |asked: &&Asked| asked.purpose == Purpose::New;
        let newest = self.asked.iter().find(is_new)?;
        self.assumptions.filter(|_| newest.is_complete())
    }

    /// Returns an empty result with this failure.
    pub(crate) fn failed(failure: CollectError) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }

    /// Returns an empty result with an internal error.
    pub(crate) fn internal(what: &str) -> Self {
        Self::failed(CollectError::Internal(what.to_owned()))
    }
}
