//! A run: first the locks of all streams, then the streams concurrently, then the summary.
//!
//! Imports: archive, config, coverage, env, fetch, forward, fs, http, output, process, record, source, upkeep, window.

pub(crate) mod clocks;
mod collected;
pub(crate) mod follow;
pub(crate) mod following;
mod job;
pub(crate) mod lateness;
mod run_journal;
pub(crate) mod slots;
mod spans;
pub(crate) mod steps;
pub(crate) mod stream;
pub(crate) mod summary;
mod upkeep;
mod walks;
mod writer;

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::task::{JoinSet, spawn_blocking};
use tracing::Instrument;

use crate::archive::{Lock, LockError};
use crate::config::{StreamSettings, UpkeepSettings};
use crate::fetch::host::{Address, Hosts};
use crate::forward::{ForwardContext, Targets};
use crate::http::{Http, SetupError};
use crate::output::progress::{Progress, StreamProgress};
use crate::process::shutdown::Shutdown;
use crate::window::Range;
pub(crate) use collected::{CollectError, Collected};
pub(crate) use job::Job;
use lateness::minutes;
use slots::Slots;
use stream::{RunContext, collect};
use summary::{StreamSummary, Summary};
use upkeep::Upkeep;
use writer::{Access, Finished, not_locked};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// When it begins.
    pub now: DateTime<Utc>,
    /// Which span to ask for.
    pub range: Range,
    /// Fetch and count, but write nothing.
    pub dry_run: bool,
    /// Ask at least from the range's start on, or as far back as configured.
    pub reconcile: bool,
    /// Forget what earlier runs have noted.
    pub starts_over: bool,
}

/// Why nothing was collected.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another run holds a catalog.
    #[error("{stream}: {cause}")]
    Lock {
        /// Its stream.
        stream: &'static str,
        /// The reason.
        cause: LockError,
    },
    /// The client could not be set up.
    #[error(transparent)]
    Client(#[from] SetupError),
}

impl StartError {
    /// Returns whether another run is the reason.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, StartError::Lock { cause, .. } if cause.is_held())
    }
}

/// Collects all of these streams; one that fails, or whose catalog cannot be used, does not stop the others.
///
/// # Errors
/// Another run holds one of the catalogs; then nothing is collected.
pub async fn run(
    streams: &[StreamSettings],
    options: RunOptions,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<Summary, StartError> {
    let jobs = Job::all(streams, &Targets::default(), &UpkeepSettings::default());
    run_and_forward(&jobs, options, progress, shutdown).await
}

/// Collects like [`run`], forwards what is appended, and packs and deletes old days; a sink that fails does not stop the collecting.
///
/// # Errors
/// Those of [`run`].
pub(crate) async fn run_and_forward(
    jobs: &[Job],
    options: RunOptions,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<Summary, StartError> {
    let accesses = open_all(jobs, options)?;
    let context = RunContext {
        now: options.now,
        began: Instant::now(),
        range: options.range,
        reconcile: options.reconcile,
        starts_over: options.starts_over,
        http: client(jobs.iter().map(Job::settings))?,
        hosts: hosts_of(jobs.iter().map(Job::settings)),
        shutdown: shutdown.clone(),
    };
    let forward_context = ForwardContext {
        now: options.now,
        progress: progress.clone(),
        shutdown: shutdown.clone(),
    };
    let slots = Arc::new(Slots::of(jobs.len()));
    let mut tasks = JoinSet::new();
    for (index, (job, access)) in jobs.iter().zip(accesses).enumerate() {
        // A dry run appends nothing, and its result must not depend on a sink.
        let targets = (!options.dry_run).then(|| job.targets.clone());
        let run = StreamRun {
            settings: Arc::clone(&job.settings),
            slots: Arc::clone(&slots),
            access,
            context: context.clone(),
            targets: targets.unwrap_or_default(),
            upkeep: Upkeep {
                settings: Arc::clone(&job.upkeep),
                shutdown: shutdown.clone(),
            },
            forward_context: forward_context.clone(),
            progress: progress.stream(job.settings.name()),
        };
        // Adds the stream's name to each of its log lines; at the error level, so that `-q` keeps it.
        let span = tracing::error_span!("stream", stream = job.settings.name());
        tasks.spawn(async move { (index, run.collect_and_forward().await) }.instrument(span));
    }
    let collected = join_all(tasks, jobs.len()).await;
    let summaries = jobs.iter().zip(collected);
    let summaries = summaries
        .map(|(job, collected)| StreamSummary::new(job.settings.name(), collected).of(job.settings.organization));
    Ok(Summary::new(summaries.collect()).of_dry_run(options.dry_run))
}

/// One stream of a run, and where its lines are forwarded to.
struct StreamRun {
    settings: Arc<StreamSettings>,
    slots: Arc<Slots>,
    access: Result<Access, LockError>,
    context: RunContext,
    targets: Targets,
    upkeep: Upkeep,
    forward_context: ForwardContext,
    progress: StreamProgress,
}

impl StreamRun {
    async fn collect_and_forward(self) -> Collected {
        let is_long = can_take_long(&self.settings, self.context.range);
        let _slot = self.slots.take(is_long).await;
        let access = match self.access {
            Ok(access) => access,
            Err(error) => {
                let failed = not_locked(self.settings, self.context.now, error.into()).await;
                log_end(&failed);
                return failed;
            }
        };
        // Before anything is appended: whether the archive is empty, and where it ends, is as of now.
        let starting = self.targets.start(self.settings.place(), self.forward_context);
        let (notifier, forwarding) = starting.await;
        let lock = access.lock();
        let Finished {
            mut collected,
            progress: _shown,
        } = collect(
            Arc::clone(&self.settings),
            access,
            &self.context,
            self.progress,
            notifier,
        )
        .await;
        log_end(&collected);
        collected.forwarded = forwarding.finish().await;
        if let Some(lock) = lock {
            collected.kept = self.upkeep.keep_up(&self.settings, &lock, self.context.now).await;
        }
        collected
    }
}

/// Returns whether the run of a stream can take long: it begins an archive, or asks for a range.
pub(crate) async fn can_take_long(settings: &Arc<StreamSettings>, range: Range) -> bool {
    let settings = Arc::clone(settings);
    // The folder may be on a disk that is slow.
    let is_empty = || spawn_blocking(move || settings.location.listing().is_ok_and(|listing| listing.is_empty()));
    range.since.is_some() || is_empty().await.unwrap_or(false)
}

/// Waits for all streams; returns what came of each, in their order.
async fn join_all(mut tasks: JoinSet<(usize, Collected)>, streams: usize) -> Vec<Collected> {
    let mut all: Vec<_> = (0..streams).map(|_| Collected::internal("its task panicked")).collect();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((index, collected)) => all[index] = collected,
            Err(error) => tracing::error!("a stream failed with an internal error: {error}; please report it"),
        }
    }
    all
}

/// Locks the catalogs, except in a dry run.
fn open_all(jobs: &[Job], options: RunOptions) -> Result<Vec<Result<Access, LockError>>, StartError> {
    if options.dry_run {
        return Ok(jobs.iter().map(|_| Ok(Access::DryRun)).collect());
    }
    let command = if options.reconcile { "reconcile" } else { "collect" };
    let locks = lock_all(jobs, command, options.now)?.into_iter();
    Ok(locks
        .map(|lock| lock.map(|lock| Access::Write(Arc::new(lock))))
        .collect())
}

/// Takes the locks of all streams, or none if another run holds one: a run that finds one catalog in use must not have begun
/// with another, but for that of another organization. A catalog that cannot be used, as one whose disk is not mounted, is no
/// concern of the others.
pub(crate) fn lock_all(
    jobs: &[Job],
    command: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Result<Lock, LockError>>, StartError> {
    let lock = |settings: &StreamSettings| {
        let stream = settings.name();
        match Lock::acquire_for_run(&settings.location, command, now) {
            Err(cause) if cause.is_held() && settings.organization.is_none() => Err(StartError::Lock { stream, cause }),
            locked => Ok(locked),
        }
    };
    jobs.iter().map(Job::settings).map(lock).collect()
}

/// Creates the client of these streams, which all have the same proxies.
pub(crate) fn client<'a>(streams: impl Iterator<Item = &'a StreamSettings> + Clone) -> Result<Http, SetupError> {
    let proxies = streams.clone().next().map(|settings| settings.proxies.clone());
    let addresses = streams.map(|settings| settings.source.address());
    Http::to(addresses, &proxies.unwrap_or_default())
}

/// Returns the hosts of these streams' services.
pub(crate) fn hosts_of<'a>(streams: impl Iterator<Item = &'a StreamSettings>) -> Arc<Hosts> {
    Arc::new(Hosts::new(addresses(streams)))
}

fn addresses<'a>(streams: impl Iterator<Item = &'a StreamSettings>) -> impl Iterator<Item = Address<'a>> {
    streams.map(|settings| Address {
        url: settings.source.address(),
        organization: settings.organization,
        concurrency: settings.limits.concurrency,
    })
}

fn log_end(collected: &Collected) {
    match &collected.failure {
        None => tracing::info!(
            appended = collected.appended,
            duplicates = collected.duplicates,
            rejected = collected.rejected,
            revised = collected.revised,
            "complete"
        ),
        Some(failure) => tracing::error!(appended = collected.appended, "failed: {failure}"),
    }
    if let Some(needed) = collected.late.overlap_for(100) {
        tracing::info!(
            late = collected.late.records(),
            overlap_minutes_at_least = minutes(needed.at_least),
            overlap_minutes_surely = minutes(needed.surely),
            "appended late records"
        );
    }
    if collected.rejected > 0 {
        tracing::warn!(
            rejected = collected.rejected,
            "records that cannot be filed were written to the rejected file, with the reason"
        );
    }
    if collected.revised > 0 {
        tracing::info!(
            revised = collected.revised,
            "archived events came with other fields; they were written to the revised file"
        );
    }
    if collected.repaired > 0 {
        tracing::warn!(
            repaired = collected.repaired,
            "records were not JSON in UTF-8; they were written to the rejected file as they came"
        );
    }
}
