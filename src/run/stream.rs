//! One stream of a run: what to ask for, given how far the archive goes, and the walks over it, whose completed ranges
//! go to the writer.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::collected::CollectError;
use super::writer::{Access, Ending, Finished, Recovered, Step, StepSender, WriterHandle, WriterJob, WriterStopped};
use crate::config::{Limits, StreamSettings};
use crate::coverage::{self, Entry};
use crate::fetch::host::Hosts;
use crate::fetch::plan::{TIME_TO_DISK, WalkPlan};
use crate::fetch::walk::Walk;
use crate::fetch::{FetchError, Fetcher};
use crate::forward::AppendNotifier;
use crate::http::Http;
use crate::http::retry::RetryPolicy;
use crate::output::progress::StreamProgress;
use crate::process::shutdown::Shutdown;
use crate::record::Anchor;
use crate::source::Retention;
use crate::window::{Range, ResolvedRange, Window, bound};

/// Windows are rounded to this.
const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// What the streams of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct RunContext {
    /// When the run began: the end of every window.
    pub(super) now: DateTime<Utc>,
    /// Which span to ask for.
    pub(super) range: Range,
    /// Whether to reconcile: to ask at least from the range's start on, or as far back as configured.
    pub(super) reconcile: bool,
    /// The client that all streams share.
    pub(super) http: Http,
    /// The hosts of their services.
    pub(super) hosts: Arc<Hosts>,
    /// Ends the run early, between two writes.
    pub(super) shutdown: Shutdown,
}

/// Collects one stream.
pub(super) async fn collect(
    settings: Arc<StreamSettings>,
    access: Access,
    context: &RunContext,
    progress: StreamProgress,
    appended: AppendNotifier,
) -> Finished {
    let job = WriterJob {
        settings: Arc::clone(&settings),
        access,
        now: context.now,
        progress,
        appended,
    };
    let (writer, recovered) = WriterHandle::start(job).await;
    let ending = match recovered {
        Ok(recovered) => fetch(&settings, context, writer.steps(), &recovered).await,
        Err(WriterStopped) => Ending::default(),
    };
    writer.finish(ending).await
}

/// Fetches everything, as long as the writer accepts it.
async fn fetch(settings: &StreamSettings, context: &RunContext, steps: StepSender, recovered: &Recovered) -> Ending {
    let limits = &settings.limits;
    let range = context.range(limits, recovered);
    let asked = range.window(context.now, recovered.last, limits.overlap, limits.initial_lookback);
    let Some(window) = announce(asked, recovered.last) else {
        return Ending::default();
    };
    let gaps = context.gaps(window, settings, recovered);
    let archived = context.anchors(window, settings, recovered);
    let fetching = Fetching {
        fetcher: Arc::new(context.fetcher(settings)),
        plan: WalkPlan {
            window,
            now: context.now,
            grace: limits.overlap,
            max_pages: limits.max_pages,
            concurrency: limits.concurrency,
            time_to_disk: TIME_TO_DISK,
        },
        shutdown: &context.shutdown,
        steps,
    };
    let failure = match fetching.walk_all(&gaps, archived).await {
        Ok(()) | Err(WalkError::Writer(WriterStopped)) => None,
        Err(WalkError::Fetch(error)) => Some(error.into()),
        Err(WalkError::Shutdown) => Some(CollectError::Stopped),
        Err(WalkError::Panic) => Some(CollectError::Internal("the walk over a window panicked".into())),
    };
    Ending {
        failure,
        request_counts: fetching.fetcher.request_counts(),
        request_stats: fetching.fetcher.request_stats(),
    }
}

/// What is needed to fetch a window and the gaps before it.
struct Fetching<'a> {
    fetcher: Arc<Fetcher>,
    plan: WalkPlan,
    shutdown: &'a Shutdown,
    steps: StepSender,
}

/// Why a walk did not reach its end.
#[derive(Debug)]
enum WalkError {
    /// The span could not be fetched completely.
    Fetch(FetchError),
    /// The writer takes no more steps; its result says why.
    Writer(WriterStopped),
    /// A shutdown was requested.
    Shutdown,
    /// A bug in the program.
    Panic,
}

impl From<WriterStopped> for WalkError {
    fn from(stopped: WriterStopped) -> Self {
        Self::Writer(stopped)
    }
}

impl Fetching<'_> {
    /// Walks the gaps, oldest first, and then the window. A gap that the service cannot fill is reported to the writer,
    /// and does not hold up newer records.
    async fn walk_all(&self, gaps: &[Window], archived: Vec<Anchor>) -> Result<(), WalkError> {
        let window = self.plan.window;
        self.steps.send(Step::Plan(window)).await?;
        for gap in gaps {
            tracing::info!(
                from = bound(gap.from),
                to = bound(gap.to),
                "fetching a gap that no run has fetched yet"
            );
            let (span, is_gap) = (*gap, true);
            self.steps.send(Step::Begin { span, is_gap }).await?;
            let walked = match self.walk(span, Vec::new()).await {
                Ok(()) => Ok(()),
                Err(WalkError::Fetch(error)) => Err(error),
                Err(error) => return Err(error),
            };
            self.steps.send(Step::End(walked)).await?;
        }
        let (span, is_gap) = (window, false);
        self.steps.send(Step::Begin { span, is_gap }).await?;
        self.walk(span, archived).await?;
        self.steps.send(Step::End(Ok(()))).await?;
        Ok(())
    }

    /// Walks a span above these records of the archive and hands its completed ranges to the writer, until a shutdown.
    async fn walk(&self, span: Window, archived: Vec<Anchor>) -> Result<(), WalkError> {
        let plan = WalkPlan {
            window: span,
            ..self.plan
        };
        // A task of its own: requests go on while a range is written. Dropping the set ends it.
        let mut walking = JoinSet::new();
        let walk = hand_over(Arc::clone(&self.fetcher), plan, archived, self.steps.clone());
        walking.spawn(walk.in_current_span());
        tokio::select! {
            biased;
            () = self.shutdown.requested() => Err(WalkError::Shutdown),
            walked = walking.join_next() => match walked {
                Some(Ok(result)) => result,
                _ => Err(WalkError::Panic),
            },
        }
    }
}

/// Walks, and hands each completed range to the writer.
async fn hand_over(
    fetcher: Arc<Fetcher>,
    plan: WalkPlan,
    archived: Vec<Anchor>,
    steps: StepSender,
) -> Result<(), WalkError> {
    let mut walk = Walk::above(&fetcher, plan, archived);
    loop {
        // Room first, so that no range waits for it. After a failed write there is never room.
        let room = steps.room().await?;
        match walk.next_range().await {
            Ok(Some(range)) => room.send(Step::File(range)),
            Ok(None) => return Ok(()),
            Err(error) => return Err(WalkError::Fetch(error)),
        }
    }
}

impl RunContext {
    /// Creates the fetcher of a stream.
    fn fetcher(&self, settings: &StreamSettings) -> Fetcher {
        let limits = &settings.limits;
        let policy = RetryPolicy {
            max_retries: limits.max_retries,
            delay: limits.retry_delay,
        };
        let http = self.http.with_timeout(limits.request_timeout);
        let host = self.hosts.of(settings.source.address());
        Fetcher::new(settings.source.clone(), http, policy).sharing(host, limits.concurrency)
    }

    /// Returns the range to ask for: further back than usual if this run reconciles, or if it is time to.
    fn range(&self, limits: &Limits, recovered: &Recovered) -> Range {
        let (last, reach) = (recovered.last, self.now - limits.reconcile_reach);
        if self.reconcile {
            let since = self.range.since.unwrap_or(reach);
            let range = Range {
                since: None,
                ..self.range
            };
            return range.reaching_back(since, last, limits.overlap);
        }
        let is_due = |every| {
            let journal = recovered.journal.as_ref();
            journal.is_none_or(|newest| newest.is_reconciling_due(self.now, every))
        };
        if self.asks_for_what_is_new() && limits.reconcile_every.is_some_and(is_due) {
            return self.range.reaching_back(reach, last, limits.overlap);
        }
        self.range
    }

    /// Returns the gaps before the window.
    fn gaps(&self, window: Window, settings: &StreamSettings, recovered: &Recovered) -> Vec<Window> {
        let journal = recovered.journal.as_ref().filter(|_| self.asks_for_what_is_new());
        journal.map_or_else(Vec::new, |newest| {
            gaps_before(
                window,
                newest,
                settings.kind.retention,
                settings.limits.overlap,
                self.now,
            )
        })
    }

    /// Returns the records of the archive that the window should come upon at its older end, if it begins where the
    /// archive ends, and as far as the service still has them.
    fn anchors(&self, window: Window, settings: &StreamSettings, recovered: &Recovered) -> Vec<Anchor> {
        let oldest = settings.kind.retention.oldest(self.now) + TimeDelta::days(1);
        let begins_there = recovered
            .last
            .is_some_and(|last| window.from >= last - settings.limits.overlap - TICK);
        let anchors = recovered
            .below
            .iter()
            .filter(|anchor| begins_there && anchor.time > oldest);
        anchors.copied().collect()
    }

    /// Returns whether no range was given.
    fn asks_for_what_is_new(&self) -> bool {
        self.range == Range::default() && !self.reconcile
    }
}

/// Returns the spans before `window`, oldest first, that no run has fetched and the service still has, with `overlap`
/// at both ends, as bounds may be inclusive or not.
fn gaps_before(
    window: Window,
    newest: &Entry,
    retention: Retention,
    overlap: TimeDelta,
    now: DateTime<Utc>,
) -> Vec<Window> {
    coverage::gaps(&newest.covered, retention, now)
        .into_iter()
        .filter(|gap| !gap.is_gone && gap.from < window.from)
        .map(|gap| Window::new(gap.from - overlap, (gap.to.min(window.from) + overlap).min(now)))
        .collect()
}

/// Logs the range if it differs from what the operator asked for, and returns its window.
fn announce(asked: ResolvedRange, last: Option<DateTime<Utc>>) -> Option<Window> {
    let last = last.map_or_else(|| "none".to_owned(), bound);
    let window = match asked {
        ResolvedRange::Window(window) => window,
        ResolvedRange::StartMoved(window) => {
            tracing::warn!(
                last_record = last,
                "--since is later than the last record, which would leave a gap: starting before that record"
            );
            window
        }
        ResolvedRange::Empty { from, to } => {
            tracing::warn!(
                from = bound(from),
                to = bound(to),
                "the range ends before it begins, so there is nothing to fetch; for an older range, add --since"
            );
            return None;
        }
    };
    tracing::info!(
        last_record = last,
        from = bound(window.from),
        to = bound(window.to),
        "collecting"
    );
    Some(window)
}
