//! Collecting one stream repeatedly, at its own interval, with its lock held from start to end. One that could not be
//! taken, or whose file or folder was removed or replaced, is taken before the next run.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use crate::archive::{Lock, LockError};
use crate::config::{StreamSettings, UpkeepSettings};
use crate::fetch::host::Hosts;
use crate::forward::{AppendNotifier, ForwardContext, Forwarded, Targets};
use crate::http::Http;
use crate::output::progress::Progress;
use crate::process::shutdown::Shutdown;
use crate::run::collected::{CollectError, Collected};
use crate::run::slots::Slots;
use crate::run::stream::{RunContext, collect};
use crate::run::summary::{StreamSummary, Times};
use crate::run::upkeep::{Due, Upkeep};
use crate::run::writer::{Access, not_locked};
use crate::run::{Job, StartError, can_take_long, lock_all};
use crate::upkeep::Kept;
use crate::window::{Range, bound};

/// The longest wait between runs of a failing stream; a longer configured interval stays as it is.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// What holds the locks.
const COMMAND: &str = "collect --follow";

/// How to continue.
#[derive(Clone, Debug)]
pub(crate) struct FollowOptions {
    /// The range until a stream was complete once; afterwards it continues from its last record.
    pub(crate) range: Range,
    /// The wait between the end of a run and the start of the next.
    pub(crate) interval: Duration,
    /// Whether a catalog that another run holds is waited for, as are those that cannot be locked for other reasons.
    pub(crate) waits_for_locks: bool,
    /// The client for all requests.
    pub(crate) http: Http,
    /// Returns the current time.
    pub(crate) clock: fn() -> DateTime<Utc>,
}

/// One run of one stream.
#[derive(Debug)]
pub(crate) struct RunReport {
    /// Its result.
    pub(crate) summary: StreamSummary,
    /// When it began and ended.
    pub(crate) times: Times,
    /// How many runs in a row have failed, including this one.
    pub(crate) failures: u32,
    /// The wait until the next run; `None` after a shutdown.
    pub(crate) wait: Option<Duration>,
}

/// Takes the locks; one that cannot be taken now is tried again with each run.
pub(super) fn first_locks(jobs: &[Job], options: &FollowOptions) -> Result<Vec<Option<Lock>>, StartError> {
    if options.waits_for_locks {
        return Ok(jobs.iter().map(|_| None).collect());
    }
    let locks = lock_all(jobs, COMMAND, (options.clock)())?.into_iter();
    Ok(locks.map(Result::ok).collect())
}

/// A stream, and what it is collected with.
pub(super) struct Stream {
    pub(super) settings: Arc<StreamSettings>,
    pub(super) lock: Option<Arc<Lock>>,
    pub(super) options: FollowOptions,
    pub(super) hosts: Arc<Hosts>,
    pub(super) slots: Arc<Slots>,
    pub(super) targets: Targets,
    pub(super) upkeep: Arc<UpkeepSettings>,
    pub(super) progress: Progress,
    /// Ends it, after the write under way.
    pub(super) shutdown: Shutdown,
}

impl Stream {
    /// Collects until the shutdown; every run is sent to the receiver.
    pub(super) async fn keep_collecting(mut self, reports: mpsc::Sender<RunReport>) {
        let mut range = self.options.range;
        let mut failures = 0;
        let mut is_first = true;
        let mut forwarding = None;
        let mut due = Due::default();
        while !self.shutdown.is_requested() {
            let slots = Arc::clone(&self.slots);
            let slot = slots.take(can_take_long(&self.settings, range)).await;
            let began = (self.options.clock)();
            let context = RunContext {
                now: began,
                began: std::time::Instant::now(),
                range,
                reconcile: false,
                starts_over: false,
                http: self.options.http.clone(),
                hosts: Arc::clone(&self.hosts),
                shutdown: self.shutdown.clone(),
            };
            let lock = self.hold_lock(began).await;
            let held = lock.as_ref().ok().map(Arc::clone);
            let mut collected = match lock {
                Ok(lock) => self.collect(lock, context, &mut forwarding).await,
                Err(error) => not_locked(Arc::clone(&self.settings), began, error).await,
            };
            drop(slot);
            match &collected.failure {
                None => (range, failures) = (Range::default(), 0),
                Some(_) => failures += 1,
            }
            let next = Instant::now() + self.wait(is_first, failures);
            is_first = false;
            collected.forwarded = self.forwarded_until(next, &mut forwarding).await;
            if let Some(lock) = held.filter(|_| due.is_due(began)) {
                collected.kept = self.keep_up(&lock, began).await;
                due.note(collected.kept.as_ref(), began);
            }
            let report = RunReport {
                summary: StreamSummary::new(self.settings.name(), collected).of(self.settings.organization),
                times: Times {
                    began,
                    ended: (self.options.clock)(),
                },
                failures,
                wait: (!self.shutdown.is_requested()).then(|| next.saturating_duration_since(Instant::now())),
            };
            log(&report);
            // If the receiver is gone, nobody needs the runs.
            if reports.send(report).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.shutdown.requested() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        if let Some(forwarding) = forwarding {
            // Its result was logged there.
            let _ = forwarding.await;
        }
    }

    /// Returns the wait after a run. After the first one of an organization's stream it is shorter, by its name, so that from then on
    /// the streams of many begin at different moments.
    fn wait(&self, is_first: bool, failures: u32) -> Duration {
        let interval = self.options.interval;
        if is_first && failures == 0 && self.settings.organization.is_some() {
            return interval.mul_f64(share(self.settings.name()));
        }
        wait(interval, failures, fastrand::f64())
    }

    async fn keep_up(&self, lock: &Arc<Lock>, now: DateTime<Utc>) -> Option<Kept> {
        let upkeep = Upkeep {
            settings: Arc::clone(&self.upkeep),
            shutdown: self.shutdown.clone(),
        };
        upkeep.keep_up(&self.settings, lock, now).await
    }

    /// Takes the lock if it is not held, or again if its file is not in its place any more: the folder may be another one.
    async fn hold_lock(&mut self, now: DateTime<Utc>) -> Result<Arc<Lock>, CollectError> {
        let (lock, settings, span) = (self.lock.clone(), Arc::clone(&self.settings), Span::current());
        let held = spawn_blocking(move || {
            span.in_scope(|| match lock {
                Some(lock) => held(lock, now),
                None => Lock::acquire_for_run(&settings.location, COMMAND, now).map(Arc::new),
            })
        });
        let panicked = |_| CollectError::Internal("looking at the lock panicked".into());
        let lock = held.await.map_err(panicked)??;
        self.lock = Some(Arc::clone(&lock));
        Ok(lock)
    }

    /// Makes one run, in its own task: a panic is a failed run, and the next one follows.
    ///
    /// Forwarders of an earlier run that have not ended keep their cursors; others are started.
    async fn collect(
        &self,
        lock: Arc<Lock>,
        context: RunContext,
        forwarding: &mut Option<JoinHandle<Vec<Forwarded>>>,
    ) -> Collected {
        let settings = Arc::clone(&self.settings);
        let access = Access::Write(lock);
        let bar = self.progress.stream(settings.name());
        let forward_context = ForwardContext {
            now: context.now,
            progress: self.progress.clone(),
            shutdown: self.shutdown.clone(),
        };
        let mut notifier = AppendNotifier::disconnected();
        if forwarding.is_none() {
            let started;
            (notifier, started) = self.targets.clone().start(settings.place(), forward_context).await;
            *forwarding = Some(tokio::spawn(started.finish().in_current_span()));
        }
        // The forwarders end after the notifier is dropped, however this ends.
        let work = async move { collect(settings, access, &context, bar, notifier).await.collected };
        let run = tokio::spawn(work.in_current_span());
        run.await.unwrap_or_else(|error| {
            tracing::error!("a run failed with an internal error: {error}; please report it");
            Collected::internal("its task panicked")
        })
    }

    /// Returns the results of forwarding, if they are known by `next`: fetching waits for no sink. At the end it does
    /// wait.
    async fn forwarded_until(
        &self,
        next: Instant,
        forwarding: &mut Option<JoinHandle<Vec<Forwarded>>>,
    ) -> Vec<Forwarded> {
        let Some(mut running) = forwarding.take() else {
            return Vec::new();
        };
        let due = async {
            tokio::time::sleep_until(next).await;
            if self.shutdown.is_requested() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            forwarded = &mut running => return forwarded.unwrap_or_default(),
            () = due => {}
        }
        tracing::info!("forwarding is not done yet; the next run does not wait for it");
        *forwarding = Some(running);
        Vec::new()
    }
}

/// Returns this lock, or that of what is in the place of its file now.
fn held(lock: Arc<Lock>, now: DateTime<Utc>) -> Result<Arc<Lock>, LockError> {
    let Err(LockError::Lost { path }) = lock.check() else {
        return Ok(lock);
    };
    let taken = Lock::acquire_for_run(lock.location(), COMMAND, now)?;
    tracing::warn!(path = %path.display(), "the lock file or its folder was removed or replaced: took the new lock");
    Ok(Arc::new(taken))
}

/// Returns a number from 0 to 1 for a name, always the same, and evenly spread over many names.
pub(crate) fn share(name: &str) -> f64 {
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    (hash >> 32) as f64 / f64::from(u32::MAX)
}

/// Returns the wait after a run: the interval, doubled with each failure after the first. `jitter`, from 0 to 1, makes
/// it up to a tenth shorter or longer, so that many collectors do not stay in step.
pub(crate) fn wait(interval: Duration, failures: u32, jitter: f64) -> Duration {
    let doubled = interval.saturating_mul(1_u32 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST_WAIT.max(interval)).mul_f64(0.9 + 0.2 * jitter)
}

/// Logs a run in one line.
fn log(report: &RunReport) {
    let summary = &report.summary;
    let records = summary.records();
    let next_seconds = report.wait.map_or(0, |wait| wait.as_secs());
    match summary.error() {
        None => tracing::info!(
            appended = records.appended,
            duplicates = records.duplicates,
            rejected = records.rejected,
            revised = records.revised,
            last_record = summary.last_record().map_or_else(|| "none".to_owned(), bound),
            next_seconds,
            "complete"
        ),
        Some(_) if summary.is_stopped() => {
            tracing::info!(
                appended = records.appended,
                "stopped before it was complete; the next run continues from here"
            )
        }
        Some(error) => tracing::error!(
            appended = records.appended,
            failures = report.failures,
            next_seconds,
            "failed: {error}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_failing_stream_is_asked_less_and_less_often() {
        let waits: Vec<_> = (0..7).map(|failures| wait(MINUTE, failures, 0.5).as_secs()).collect();
        assert_eq!(waits, [60, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn the_moments_of_many_streams_are_spread_over_the_interval() {
        let mut tenths = [0; 10];
        for number in 0..1_000 {
            for kind in ["yandex-mail", "yandex-disk", "tfc"] {
                let share = share(&format!("o{number}/{kind}"));
                assert!((0.0..=1.0).contains(&share));
                tenths[((share * 10.0) as usize).min(9)] += 1;
            }
        }
        assert!(tenths.iter().all(|count| (240..=360).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_long_interval_stays_as_it_is() {
        let day = Duration::from_secs(86_400);
        assert_eq!(wait(day, 9, 0.5), day);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_wait_is_within_a_tenth_of_what_is_meant(seconds in 1..=86_400_u64, failures in 0_u32.., jitter in 0.0..=1.0) {
            let interval = Duration::from_secs(seconds);
            let wait = wait(interval, failures, jitter);
            prop_assert!(wait >= interval.mul_f64(0.899));
            prop_assert!(wait <= interval.max(LONGEST_WAIT).mul_f64(1.101));
        }
    }
}
