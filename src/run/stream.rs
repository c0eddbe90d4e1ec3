//! One stream of a run: what to ask for, given how far the archive goes, and the walks over it, whose completed ranges
//! go to the writer.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::clocks::{Clocks, apart_warning, set_back_warning};
use super::collected::CollectError;
use super::spans::Question;
use super::steps::{Ending, Recovered, Step, StepSender, WriterStopped};
use super::writer::{Access, Finished, WriterHandle, WriterJob};
use crate::config::StreamSettings;
use crate::coverage::{Asked, Purpose};
use crate::fetch::as_given::AsGiven;
use crate::fetch::host::Hosts;
use crate::fetch::plan::{TIME_TO_DISK, WalkPlan};
use crate::fetch::walk::Walk;
use crate::fetch::{FetchError, Fetcher, WalkEnd};
use crate::forward::AppendNotifier;
use crate::http::Http;
use crate::http::retry::RetryPolicy;
use crate::output::progress::StreamProgress;
use crate::process::shutdown::Shutdown;
use crate::record::Anchor;
use crate::source::Paging;
use crate::window::{Range, TICK, Window, bound};

/// What the streams of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct RunContext {
    /// When the run began: the end of every window, unless the service's clock is ahead.
    pub(crate) now: DateTime<Utc>,
    /// The same moment, to compare clocks by.
    pub(crate) began: Instant,
    /// Which span to ask for.
    pub(crate) range: Range,
    /// Whether to reconcile: to ask at least from the range's start on, or as far back as configured.
    pub(crate) reconcile: bool,
    /// Whether what earlier runs have noted counts no more.
    pub(crate) starts_over: bool,
    /// The client that all streams share.
    pub(crate) http: Http,
    /// The hosts of their services.
    pub(crate) hosts: Arc<Hosts>,
    /// Ends the run early, between two writes.
    pub(crate) shutdown: Shutdown,
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
        starts_over: context.starts_over,
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
pub(crate) async fn fetch(
    settings: &StreamSettings,
    context: &RunContext,
    steps: StepSender,
    recovered: &Recovered,
) -> Ending {
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
        let spans = Question {
            range: context.range,
            reconcile: context.reconcile,
            limits,
            retention: self.settings.kind.retention,
            clocks,
            last: self.recovered.last,
            is_last_deleted: self.recovered.is_last_deleted,
            sum: &self.recovered.sum,
            is_doubtful: self.recovered.doubt.is_some(),
        };
        let spans = spans.spans();
        if spans.is_empty() {
            return Ok(());
        }
        self.plan(spans.clone()).await?;
        self.fetcher
            .expect(spans.iter().map(|asked| asked.to - asked.from).sum());
        for (index, asked) in spans.iter().enumerate() {
            self.announce(asked);
            let plan = WalkPlan {
                window: asked.span(),
                read_to: self.read_to(asked),
                files_beyond: self.files_beyond(),
                now: clocks.later(),
                grace: limits.overlap,
                max_pages: limits.max_pages,
                concurrency: limits.concurrency,
                time_to_disk: TIME_TO_DISK,
            };
            self.walk_span(index, asked.purpose, plan, clocks).await?;
        }
        Ok(())
    }

    /// Returns up to when earlier runs have read a span; one that is asked for once more is read as if they had not, and what a clock
    /// that was ahead has claimed was not all read.
    fn read_to(&self, asked: &Asked) -> Option<DateTime<Utc>> {
        let sum = &self.recovered.sum;
        let is_claimed_too_early = sum.claimed_to().is_some_and(|claimed| claimed > self.context.now);
        let is_read_before = asked.purpose == Purpose::New && !is_claimed_too_early;
        is_read_before.then(|| sum.covered.covers_to(asked.from)).flatten()
    }

    /// Returns whether what a service gives beyond what it was asked for is filed: where it has no upper bound, and nobody has
    /// given one. What comes late while a gap is read is in no other answer.
    fn files_beyond(&self) -> bool {
        self.settings.source.paging() == Paging::Numbered && self.context.range.until.is_none()
    }

    /// Has the writer note what is asked for: nothing is before that is on disk.
    async fn plan(&self, asked: Vec<Asked>) -> Result<(), WalkError> {
        let (noted, is_noted) = oneshot::channel();
        self.steps.send(Step::Plan { asked, noted }).await?;
        is_noted.await.map_err(|_| WalkError::Writer(WriterStopped))
    }

    /// Walks one of the spans. One that is not new and that the service does not give is reported to the writer, and
    /// holds up nothing else.
    async fn walk_span(&self, index: usize, purpose: Purpose, plan: WalkPlan, clocks: Clocks) -> Result<(), WalkError> {
        let archived = match purpose {
            Purpose::New => self.context.anchors(plan.window, self.settings, self.recovered),
            Purpose::Gap | Purpose::Range | Purpose::Reconcile => Vec::new(),
        };
        self.steps.send(Step::Begin(index)).await?;
        let walked = match self.walk(plan, clocks, archived).await {
            Ok(()) => Ok(()),
            Err(WalkError::Fetch(error)) if purpose != Purpose::New => Err(error),
            Err(error) => return Err(error),
        };
        Ok(self.steps.send(Step::End(walked)).await?)
    }

    fn announce(&self, asked: &Asked) {
        let (from, to) = (bound(asked.from), bound(asked.to));
        match asked.purpose {
            Purpose::New => {
                let last_record = self.recovered.last.map_or_else(|| "none".to_owned(), bound);
                tracing::info!(last_record, from, to, "collecting");
            }
            Purpose::Gap => tracing::info!(from, to, "fetching a gap: what no run has fetched, or what is lost"),
            Purpose::Range => tracing::info!(from, to, "fetching the range that was asked for"),
            Purpose::Reconcile => {
                tracing::info!(from, to, "fetching again, for records that came late or were lacking")
            }
        }
    }

    /// Walks a span above these records of the archive and hands its completed ranges to the writer, until a shutdown.
    async fn walk(&self, plan: WalkPlan, clocks: Clocks, archived: Vec<Anchor>) -> Result<(), WalkError> {
        let handover = Handover {
            files_as_given: self.recovered.sum.files_as_given(),
            fetcher: Arc::clone(&self.fetcher),
            steps: self.steps.clone(),
            unchecked: (!clocks.are_apart()).then_some((self.context.now, self.context.began)),
        };
        // A task of its own: requests go on while a range is written. Dropping the set ends it.
        let mut walking = JoinSet::new();
        walking.spawn(handover.walk(plan, archived).in_current_span());
        tokio::select! {
            biased;
            () = self.context.shutdown.requested() => {
                // Until it has ended, it may be given something.
                walking.shutdown().await;
                Err(WalkError::Shutdown)
            }
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
        let of_archive = [
            self.recovered.doubt.clone(),
            self.recovered.lost.clone(),
            self.recovered.unknown.clone(),
        ];
        let of_clocks = [
            ahead.and_then(|ahead| apart_warning(ahead, overlap)),
            self.fetcher.warning(),
            self.recovered
                .sum
                .claimed_to()
                .and_then(|claimed| set_back_warning(claimed, clocks, overlap)),
        ];
        let warnings = of_archive.into_iter().chain(of_clocks).flatten();
        let warnings: Vec<String> = warnings.chain(self.recovered.warnings.clone()).collect();
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let end = if failure.is_some() {
            WalkEnd::Early
        } else {
            WalkEnd::Reached
        };
        Ending {
            failure,
            request_counts: self.fetcher.request_counts(),
            request_stats: self.fetcher.request_stats(),
            clock_offset: ahead,
            service_date: clock.date(),
            assumptions: Some(self.fetcher.assumptions()),
            service_time: clock.at(Instant::now()).map(|time| time.latest),
            warnings,
            left_over: self.fetcher.take_left_over(end),
        }
    }
}

/// What hands the ranges of a walk to the writer.
struct Handover {
    /// Whether what contradicts itself is filed as the service gives it.
    files_as_given: bool,
    fetcher: Arc<Fetcher>,
    steps: StepSender,
    /// When the run began, as long as it is not known whether the service's clock is apart.
    unchecked: Option<(DateTime<Utc>, Instant)>,
}

impl Handover {
    /// Walks, and hands on each completed range.
    async fn walk(self, plan: WalkPlan, archived: Vec<Anchor>) -> Result<(), WalkError> {
        let fetcher = Arc::clone(&self.fetcher);
        if self.files_as_given {
            fetcher.expect_another_reading();
        }
        let mut walk = Walk::above(&fetcher, plan, archived);
        let walked = self.hand_on(&mut walk, plan).await;
        self.tell_lapses(walk.has_lapsed()).await?;
        walked
    }

    /// Has the writer note that answers have lacked something, as soon as it is known, since a run may be killed.
    async fn tell_lapses(&self, has_lapsed: bool) -> Result<(), WriterStopped> {
        if has_lapsed {
            self.steps.send(Step::Lapse).await?;
        }
        Ok(())
    }

    async fn hand_on(&self, walk: &mut Walk<'_>, plan: WalkPlan) -> Result<(), WalkError> {
        let mut done_to = plan.window.from;
        loop {
            self.tell_lapses(walk.has_lapsed()).await?;
            // Room first, so that no range waits for it. After a failed write there is never room.
            let room = self.steps.room().await?;
            let range = match walk.next_range().await {
                Ok(range) => range,
                Err(error) => {
                    // What cannot be filed by one clock may well be by the other.
                    if let Some(clocks) = self.clocks_apart(plan.grace) {
                        return Err(WalkError::ClocksApart(clocks));
                    }
                    let Some(contradiction) = error.contradiction().filter(|_| self.files_as_given) else {
                        return Err(WalkError::Fetch(error));
                    };
                    drop(room);
                    let window = Window {
                        from: done_to,
                        ..plan.window
                    };
                    let rest = (!error.is_of_what_was_given()).then_some(WalkPlan { window, ..plan });
                    return self.hand_on_as_given(rest, contradiction).await;
                }
            };
            if let Some(clocks) = self.clocks_apart(plan.grace) {
                range.into_iter().for_each(|range| self.fetcher.take_back(range));
                return Err(WalkError::ClocksApart(clocks));
            }
            let Some(range) = range else { return Ok(()) };
            done_to = range.done_to;
            room.send(Step::File(range));
        }
    }

    /// Hands on what the service gives of the rest of a window, once it is noted that this is not proved to be everything.
    async fn hand_on_as_given(&self, rest: Option<WalkPlan>, contradiction: String) -> Result<(), WalkError> {
        let (noted, is_noted) = oneshot::channel();
        // If nothing is left to be read, what was handed on is all, and all of it is in doubt.
        let is_of_all = rest.is_none();
        let step = Step::AsGiven {
            contradiction,
            is_of_all,
            noted,
        };
        self.steps.send(step).await?;
        is_noted.await.map_err(|_| WalkError::Writer(WriterStopped))?;
        let Some(rest) = rest else { return Ok(()) };
        let mut reading = AsGiven::new(&self.fetcher, rest);
        loop {
            let room = self.steps.room().await?;
            match reading.next_range().await.map_err(WalkError::Fetch)? {
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
        if let Some(stale) = recovered.stale_date {
            http.distrust_date(stale);
        }
        let host = self.hosts.share(settings.source.address(), settings.organization);
        Fetcher::new(settings.source.clone(), http, policy)
            .sharing(host, limits.concurrency)
            .remembering(recovered.assumptions)
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
}
