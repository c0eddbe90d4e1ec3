//! One stream of a run: what to ask for, given how far the archive goes, and the walks over it, whose completed ranges
//! go to the writer.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::clocks::{Clocks, apart_warning, set_back_warning};
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
    /// When the run began: the end of every window, unless the service's clock is ahead.
    pub(super) now: DateTime<Utc>,
    /// The same moment, to compare clocks by.
    pub(super) began: Instant,
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

/// Fetches everything, as long as the writer accepts it. When answers show that the clocks are apart, which the first one
/// does or none, they are not used, and everything is asked for again by both clocks.
async fn fetch(settings: &StreamSettings, context: &RunContext, steps: StepSender, recovered: &Recovered) -> Ending {
    let fetching = Fetching {
        settings,
        context,
        recovered,
        fetcher: Arc::new(context.fetcher(settings, recovered)),
        steps,
    };
    let mut clocks = Clocks::same(context.now);
    let failure = loop {
        match fetching.fetch_all(clocks).await {
            Ok(()) | Err(WalkError::Writer(WriterStopped)) => break None,
            Err(WalkError::Fetch(error)) => break Some(error.into()),
            Err(WalkError::Shutdown) => break Some(CollectError::Stopped),
            Err(WalkError::Panic) => {
                break Some(CollectError::Internal("the walk over a window panicked".into()));
            }
            Err(WalkError::ClocksApart(both)) => clocks = both,
        }
    };
    fetching.ending(failure, clocks)
}

/// What is needed to fetch a window and the gaps before it.
struct Fetching<'a> {
    settings: &'a StreamSettings,
    context: &'a RunContext,
    recovered: &'a Recovered,
    fetcher: Arc<Fetcher>,
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
    /// The service's clock turned out to be apart from ours.
    ClocksApart(Clocks),
    /// A bug in the program.
    Panic,
}

impl From<WriterStopped> for WalkError {
    fn from(stopped: WriterStopped) -> Self {
        Self::Writer(stopped)
    }
}

impl Fetching<'_> {
    /// Fetches what the settings and these clocks say is to be fetched.
    async fn fetch_all(&self, clocks: Clocks) -> Result<(), WalkError> {
        let (context, limits) = (self.context, &self.settings.limits);
        let range = context.range(limits, self.recovered, clocks);
        // A first run reaches as far back by the earlier clock as by the later one.
        let lookback = limits.initial_lookback + clocks.distance();
        let asked = range.window(clocks.later(), self.recovered.last, limits.overlap, lookback);
        let Some(window) = announce(asked, self.recovered.last) else {
            return Ok(());
        };
        let plan = WalkPlan {
            window,
            now: clocks.later(),
            grace: limits.overlap,
            max_pages: limits.max_pages,
            concurrency: limits.concurrency,
            time_to_disk: TIME_TO_DISK,
        };
        let gaps = context.gaps(window, self.settings, self.recovered, clocks);
        let archived = context.anchors(window, self.settings, self.recovered);
        self.walk_all(plan, clocks, &gaps, archived).await
    }

    /// Walks the gaps, oldest first, and then the window. A gap that the service cannot fill is reported to the writer,
    /// and does not hold up newer records.
    async fn walk_all(
        &self,
        plan: WalkPlan,
        clocks: Clocks,
        gaps: &[Window],
        archived: Vec<Anchor>,
    ) -> Result<(), WalkError> {
        let window = plan.window;
        self.steps.send(Step::Plan(window)).await?;
        for gap in gaps {
            tracing::info!(
                from = bound(gap.from),
                to = bound(gap.to),
                "fetching a gap that no run has fetched yet"
            );
            let (span, is_gap) = (*gap, true);
            self.steps.send(Step::Begin { span, is_gap }).await?;
            let walked = match self.walk(WalkPlan { window: span, ..plan }, clocks, Vec::new()).await {
                Ok(()) => Ok(()),
                Err(WalkError::Fetch(error)) => Err(error),
                Err(error) => return Err(error),
            };
            self.steps.send(Step::End(walked)).await?;
        }
        let (span, is_gap) = (window, false);
        self.steps.send(Step::Begin { span, is_gap }).await?;
        self.walk(plan, clocks, archived).await?;
        self.steps.send(Step::End(Ok(()))).await?;
        Ok(())
    }

    /// Walks a span above these records of the archive and hands its completed ranges to the writer, until a shutdown.
    async fn walk(&self, plan: WalkPlan, clocks: Clocks, archived: Vec<Anchor>) -> Result<(), WalkError> {
        let handover = Handover {
            fetcher: Arc::clone(&self.fetcher),
            steps: self.steps.clone(),
            unchecked: (!clocks.are_apart()).then_some((self.context.now, self.context.began)),
        };
        // A task of its own: requests go on while a range is written. Dropping the set ends it.
        let mut walking = JoinSet::new();
        walking.spawn(handover.walk(plan, archived).in_current_span());
        tokio::select! {
            biased;
            () = self.context.shutdown.requested() => Err(WalkError::Shutdown),
            walked = walking.join_next() => match walked {
                Some(Ok(result)) => result,
                _ => Err(WalkError::Panic),
            },
        }
    }

    /// Returns how the fetching ended, and what its answers say of the service's clock.
    fn ending(&self, failure: Option<CollectError>, clocks: Clocks) -> Ending {
        let overlap = self.settings.limits.overlap;
        let clock = self.fetcher.service_clock();
        let ahead = clock.at(self.context.began).map(|time| time.ahead_of(self.context.now));
        let covered = self
            .recovered
            .journal
            .as_ref()
            .and_then(|newest| newest.covered.spans().last());
        let warnings: Vec<String> = [
            ahead.and_then(|ahead| apart_warning(ahead, overlap)),
            covered.and_then(|newest| set_back_warning(newest.to, clocks, overlap)),
        ]
        .into_iter()
        .flatten()
        .collect();
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ending {
            failure,
            request_counts: self.fetcher.request_counts(),
            request_stats: self.fetcher.request_stats(),
            clock_offset: ahead,
            service_date: clock.date(),
            service_time: clock.at(Instant::now()).map(|time| time.latest),
            warnings,
        }
    }
}

/// What hands the ranges of a walk to the writer.
struct Handover {
    fetcher: Arc<Fetcher>,
    steps: StepSender,
    /// When the run began, as long as it is not known whether the service's clock is apart.
    unchecked: Option<(DateTime<Utc>, Instant)>,
}

impl Handover {
    /// Walks, and hands on each completed range.
    async fn walk(self, plan: WalkPlan, archived: Vec<Anchor>) -> Result<(), WalkError> {
        let mut walk = Walk::above(&self.fetcher, plan, archived);
        loop {
            // Room first, so that no range waits for it. After a failed write there is never room.
            let room = self.steps.room().await?;
            let range = walk.next_range().await.map_err(WalkError::Fetch)?;
            if let Some(clocks) = self.clocks_apart(plan.grace) {
                return Err(WalkError::ClocksApart(clocks));
            }
            match range {
                Some(range) => room.send(Step::File(range)),
                None => return Ok(()),
            }
        }
    }

    /// Returns the clocks if the answers have shown that they are further apart than the overlap.
    fn clocks_apart(&self, overlap: TimeDelta) -> Option<Clocks> {
        let (now, began) = self.unchecked?;
        let service = self.fetcher.service_clock().at(began)?;
        Clocks::apart(now, service, overlap)
    }
}

impl RunContext {
    /// Creates the fetcher of a stream.
    fn fetcher(&self, settings: &StreamSettings, recovered: &Recovered) -> Fetcher {
        let limits = &settings.limits;
        let policy = RetryPolicy {
            max_retries: limits.max_retries,
            delay: limits.retry_delay,
        };
        let http = self.http.with_timeout(limits.request_timeout);
        let newest = recovered.journal.as_ref();
        if let Some(stale) = newest.and_then(|newest| newest.stale_date(self.now)) {
            http.distrust_date(stale);
        }
        let host = self.hosts.of(settings.source.address());
        Fetcher::new(settings.source.clone(), http, policy).sharing(host, limits.concurrency)
    }

    /// Returns the range to ask for: further back than usual if this run reconciles, or if it is time to.
    fn range(&self, limits: &Limits, recovered: &Recovered, clocks: Clocks) -> Range {
        let (last, reach) = (recovered.last, clocks.service() - limits.reconcile_reach);
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
    fn gaps(&self, window: Window, settings: &StreamSettings, recovered: &Recovered, clocks: Clocks) -> Vec<Window> {
        let journal = recovered.journal.as_ref().filter(|_| self.asks_for_what_is_new());
        journal.map_or_else(Vec::new, |newest| {
            gaps_before(
                window,
                newest,
                settings.kind.retention,
                settings.limits.overlap,
                clocks.service(),
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
