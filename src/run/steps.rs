//! The seam between what fetches a stream and the place where its records are kept: what is known of it before a run, the steps
//! of the run in their order, and how the fetching ended.
//!
//! Two writers take these steps: that of the day files (`run/writer/`) and that of a fleet, in Kafka (`fleet/writer.rs`). What fetches knows
//! neither. A writer answers for this:
//!
//! - [`Step::Plan`]: what is asked for is named where the records are kept before anything newer is filed.
//! - [`Step::File`]: the records of a range that are new, and how far the range goes, are kept all or nothing, or are asked for again.
//! - [`Step::AsGiven`]: what follows is named as unproved before it is filed.
//! - What cannot be filed is kept elsewhere, with the reason.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, oneshot};

use super::collected::CollectError;
use crate::coverage::{Asked, Expiry, Sum};
use crate::fetch::walk::CompletedRange;
use crate::fetch::{Assumptions, FetchError, LeftOver, RequestCounts};
use crate::http::request_stats::RequestStats;
use crate::record::Anchor;

/// How many steps may wait for the current one: completed ranges are held in memory.
const WAITING_STEPS: usize = 1;

/// What is known of a stream before a run: by the day files, or by the state in Kafka.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The time of the archive's last record.
    pub(crate) last: Option<DateTime<Utc>>,
    /// Whether there is no day file, since another program was to delete it.
    pub(crate) is_last_deleted: bool,
    /// Of which days nothing is kept.
    pub(crate) expiry: Expiry,
    /// Records from before the overlap; see [`crate::archive::Recovery::below`].
    pub(crate) below: Vec<Anchor>,
    /// What the runs before have come to.
    pub(crate) sum: Sum,
    /// Why less is known of them than there might be.
    pub(crate) doubt: Option<String>,
    /// Which days have lost records, and of which that is not known.
    pub(crate) lost: Option<String>,
    pub(crate) unknown: Option<String>,
    /// What else is to be told, and is not mended.
    pub(crate) warnings: Vec<String>,
    /// What they have seen of the service.
    pub(crate) assumptions: Assumptions,
    /// The date of the last answer before, which a clock has left behind by now.
    pub(crate) stale_date: Option<DateTime<Utc>>,
}

/// A step of the writer, in this order: what is asked for, then each of its spans from begin to end.
#[derive(Debug)]
pub(crate) enum Step {
    /// What the run asks for is known. It is told when that is on disk.
    Plan {
        asked: Vec<Asked>,
        noted: oneshot::Sender<()>,
    },
    /// The walk over the span with this index begins.
    Begin(usize),
    /// A completed range of the walk.
    File(CompletedRange),
    /// What follows is what the service gives, although its answers contradict each other. It is told when that is on
    /// disk.
    AsGiven {
        contradiction: String,
        /// Whether that puts all of the walk in doubt, and not only what follows.
        is_of_all: bool,
        noted: oneshot::Sender<()>,
    },
    /// Answers of the walk have lacked records that others hold.
    Lapse,
    /// The walk is over: its span was fetched to its end, or cannot be.
    End(Result<(), FetchError>),
}

/// How the fetching ended.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Why not everything was fetched.
    pub(crate) failure: Option<CollectError>,
    pub(crate) request_counts: RequestCounts,
    pub(crate) request_stats: RequestStats,
    /// By how much the service's clock was ahead of ours, if it is known.
    pub(crate) clock_offset: Option<TimeDelta>,
    /// The service's own time at the end, if it is known.
    pub(crate) service_time: Option<DateTime<Utc>>,
    /// The date of the last answer.
    pub(crate) service_date: Option<DateTime<Utc>>,
    /// What is known of the service by now.
    pub(crate) assumptions: Option<Assumptions>,
    pub(crate) warnings: Vec<String>,
    /// What the service gave and no completed range has.
    pub(crate) left_over: LeftOver,
}

/// The writer takes no further steps; its result says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterStopped;

/// Sends steps to the writer.
#[derive(Clone, Debug)]
pub(crate) struct StepSender(mpsc::Sender<Step>);

impl StepSender {
    /// Creates a sender, and what a writer takes its steps from.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Step>) {
        let (steps, receiver) = mpsc::channel(WAITING_STEPS);
        (Self(steps), receiver)
    }

    /// Waits for room for a step, so that nothing is fetched that would wait for long.
    pub(crate) async fn room(&self) -> Result<mpsc::Permit<'_, Step>, WriterStopped> {
        self.0.reserve().await.map_err(|_| WriterStopped)
    }

    /// Sends a step as soon as there is room.
    pub(crate) async fn send(&self, step: Step) -> Result<(), WriterStopped> {
        self.0.send(step).await.map_err(|_| WriterStopped)
    }
}

impl Ending {
    /// The fetching task is gone without sending an ending.
    pub(crate) fn panicked() -> Self {
        Self {
            failure: Some(CollectError::Internal("fetching a stream panicked".into())),
            ..Self::default()
        }
    }
}
