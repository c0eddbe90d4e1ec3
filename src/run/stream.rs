//! One stream of a run: recover how far the archive goes, then range by range fetch, drop what is known, append.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::task::spawn_blocking;
use tracing::Span;

use super::journal::Journal;
use super::writer::{Desk, Filing};
use crate::archive::{Appended, Archive, Batch, CompletedRun, Dedup, Lock, Runs, WriteError};
use crate::config::{Limits, StreamSettings};
use crate::coverage::Closed;
use crate::fetch::host::Hosts;
use crate::fetch::plan::{TIME_TO_DISK, WalkPlan};
use crate::fetch::walk::CompletedRange;
use crate::fetch::{FetchError, Fetcher, RequestCounts};
use crate::forward::{AppendNotifier, Forwarded};
use crate::fs::FileError;
use crate::http::Http;
use crate::http::request_stats::RequestStats;
use crate::http::retry::RetryPolicy;
use crate::output::progress::StreamProgress;
use crate::process::shutdown::Shutdown;
use crate::record::Rejected;
use crate::run::lateness::{Lateness, LatenessBaseline};
use crate::window::{Asked, Range, Window, bound};

/// What a run does with a stream.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// When the run began: the end of every window.
    pub now: DateTime<Utc>,
    /// What to ask for.
    pub range: Range,
    /// Whether to reconcile: to ask at least from the range's start on, or as far back as the settings say.
    pub reconcile: bool,
    /// The client that all streams share.
    pub http: Http,
    /// The hosts that they ask.
    pub hosts: Arc<Hosts>,
}

/// What came of a stream.
#[derive(Debug, Default)]
pub struct Collected {
    /// The window that was asked for, once it was known.
    pub window: Option<Window>,
    /// Up to where it was asked for and filed.
    pub covered_to: Option<DateTime<Utc>>,
    /// The gaps that the run went back for, before the window.
    pub closed: Vec<Closed>,
    /// What was asked of the service.
    pub request_counts: RequestCounts,
    /// How its requests ended and how long they took.
    pub request_stats: RequestStats,
    /// Records that the service gave, repeated ones included.
    pub received: u64,
    /// Records that were in the archive already, or came more than once.
    pub duplicates: u64,
    /// Records that cannot be filed and were not noted before.
    pub rejected: u64,
    /// Records that were appended and are on disk.
    pub appended: u64,
    /// The day files that they were appended to.
    pub files: BTreeSet<String>,
    /// Of these, the records that an ordinary run would not have brought.
    pub late: Lateness,
    /// The time of the archive's last record.
    pub last_record: Option<DateTime<Utc>>,
    /// What came of forwarding it, for each sink of the run.
    pub forwarded: Vec<Forwarded>,
    /// Why it is not complete; what was appended before stays.
    pub failure: Option<CollectError>,
}

/// Why a stream is not complete.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
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

/// Where the day files of a stream are opened: under a lock, or for a run that writes nothing.
#[derive(Debug)]
pub enum Access {
    /// Under this lock, which can outlive the run.
    Write(Arc<Lock>),
    /// Without one, for counting alone.
    DryRun(crate::archive::Location),
}

/// Collects one stream, and notifies the forwarders after each append.
pub async fn collect(
    settings: &StreamSettings,
    access: Access,
    context: &RunContext,
    progress: &mut StreamProgress,
    shutdown: &Shutdown,
    appended: &AppendNotifier,
) -> Collected {
    let journal = Journal::open(settings, &access);
    let mut collected = Collected::default();
    let ties = Ties {
        progress,
        shutdown,
        appended,
    };
    if let Err(error) = run(settings, access, context, &journal, ties, &mut collected).await {
        collected.failure = Some(error);
    }
    if let Err(error) = journal.note(context.now, &collected) {
        collected.failure.get_or_insert(error.into());
    }
    collected
}

/// What ties a stream to the rest of the run.
struct Ties<'a> {
    progress: &'a mut StreamProgress,
    shutdown: &'a Shutdown,
    appended: &'a AppendNotifier,
}

async fn run(
    settings: &StreamSettings,
    access: Access,
    context: &RunContext,
    journal: &Journal,
    ties: Ties<'_>,
    collected: &mut Collected,
) -> Result<(), CollectError> {
    let limits = &settings.limits;
    let (archive, last) = recover(settings, access, context.now).await?;
    collected.last_record = last;
    let runs = archive.runs();
    let range = context.range(limits, last, &runs);
    let asked = range.window(context.now, last, limits.overlap, limits.initial_lookback);
    let Some(window) = announce(asked, last) else {
        return Ok(());
    };
    collected.window = Some(window);
    let policy = RetryPolicy {
        max_retries: limits.max_retries,
        delay: limits.retry_delay,
    };
    let http = context.http.with_timeout(limits.request_timeout);
    let host = context.hosts.of(settings.source.address());
    let fetcher = Fetcher::new(settings.source.clone(), http, policy).sharing(host, limits.concurrency);
    let fetcher = Arc::new(fetcher);
    let plan = WalkPlan {
        window,
        now: context.now,
        grace: limits.overlap,
        max_pages: limits.max_pages,
        concurrency: limits.concurrency,
        time_to_disk: TIME_TO_DISK,
    };
    let baseline = LatenessBaseline {
        last,
        overlap: limits.overlap,
        runs,
    };
    let gaps = match context.range == Range::default() && !context.reconcile {
        true => journal.gaps(window, context.now, limits.overlap),
        false => Vec::new(),
    };
    let desk = Desk {
        archive,
        now: context.now,
        baseline,
        collected: std::mem::take(collected),
    };
    let mut filing = Filing {
        progress: ties.progress,
        shutdown: ties.shutdown,
        appended: ties.appended,
        desk: Some(desk),
    };
    let result = filing.file_all(&fetcher, plan, &gaps).await;
    let Some(desk) = filing.desk else { return result };
    let Desk {
        mut archive, baseline, ..
    } = desk;
    *collected = desk.collected;
    collected.request_counts = fetcher.request_counts();
    collected.request_stats = fetcher.request_stats();
    if let Some(last) = collected.last_record {
        archive.note_resume_points(last, limits.overlap);
    }
    result?;
    note_run(&mut archive, baseline, window, context.now, limits);
    Ok(())
}

impl RunContext {
    /// The range to ask for: further back than usual when this is to reconcile, or it is time to.
    fn range(&self, limits: &Limits, last: Option<DateTime<Utc>>, runs: &Runs) -> Range {
        let is_due = || limits.reconcile_every.is_some_and(|every| runs.is_due(self.now, every));
        let reach = self.now - limits.reconcile_reach;
        match (self.reconcile, self.range) {
            (true, range) => {
                Range { since: None, ..range }.reaching_back(range.since.unwrap_or(reach), last, limits.overlap)
            }
            (false, usual) if usual == Range::default() && is_due() => usual.reaching_back(reach, last, limits.overlap),
            (false, range) => range,
        }
    }
}

/// Remembers what was asked for, if that was everything up to now. A failure costs no record and so fails no stream.
fn note_run(archive: &mut Archive, baseline: LatenessBaseline, window: Window, now: DateTime<Utc>, limits: &Limits) {
    if window.to < now {
        return;
    }
    let mut runs = baseline.runs;
    let run = CompletedRun {
        at: now,
        from: window.from,
        last: baseline.last.unwrap_or(window.from),
    };
    runs.note(run, limits.reconcile_reach);
    if let Err(error) = archive.keep_runs(&runs) {
        tracing::warn!("{error}: this run is complete but not noted, so the next one may reconcile again");
    }
}

/// The archive and the time of its last record, for which it may have to read gigabytes: on a thread that may block, so
/// that the requests of the other streams go on.
async fn recover(
    settings: &StreamSettings,
    access: Access,
    now: DateTime<Utc>,
) -> Result<(Archive, Option<DateTime<Utc>>), CollectError> {
    let (shape, file_mode, span) = (settings.kind.shape, settings.file_mode, Span::current());
    let recovering = spawn_blocking(move || {
        let _span = span.entered();
        let mut archive = match access {
            Access::Write(lock) => Archive::open(lock, shape, file_mode, now)?,
            Access::DryRun(location) => Archive::dry_run(location, shape),
        };
        let last = archive.recover(now)?;
        Ok((archive, last))
    });
    recovering
        .await
        .unwrap_or_else(|_| Err(CollectError::Internal("the recovery of the archive panicked".into())))
}

/// Says what is asked for, and whether it differs from what the operator typed.
fn announce(asked: Asked, last: Option<DateTime<Utc>>) -> Option<Window> {
    let last = last.map_or_else(|| "none".to_owned(), bound);
    let window = match asked {
        Asked::Window(window) => window,
        Asked::MovedBack(window) => {
            tracing::warn!(
                last_record = last,
                "--since is later than the last record, which would leave a hole: asking from before that record"
            );
            window
        }
        Asked::Nothing { from, to } => {
            tracing::warn!(
                from = bound(from),
                to = bound(to),
                "the range ends before it begins: nothing to ask for; give --since to ask for an older one"
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

impl Collected {
    pub(super) fn file(
        &mut self,
        range: CompletedRange,
        archive: &mut Archive,
        now: DateTime<Utc>,
        baseline: &LatenessBaseline,
    ) -> Result<(), CollectError> {
        self.received += range.received;
        self.reject(&range.rejected, archive, now)?;
        for batch in Batch::by_day(range.records) {
            let date = batch.date();
            self.file_day(batch, archive, now, baseline)?;
            // What comes next is newer, but for a little at the seam.
            archive.forget_before(date.pred_opt().unwrap_or(date));
        }
        self.duplicates = self.received - self.appended - self.rejected;
        Ok(())
    }

    fn file_day(
        &mut self,
        batch: Batch,
        archive: &mut Archive,
        now: DateTime<Utc>,
        baseline: &LatenessBaseline,
    ) -> Result<(), CollectError> {
        let newest = batch.records().last().map(|record| record.time);
        let Dedup { new, conflicts, .. } = archive.deduplicate(batch)?;
        self.reject(&conflicts, archive, now)?;
        if let Some(appended) = archive.append(&new)? {
            self.note(appended);
        }
        let needed = new.records().iter().filter_map(|record| baseline.needed(record.time));
        needed.for_each(|needed| self.late.add(needed));
        self.last_record = self.last_record.max(newest.filter(|newest| *newest <= now));
        Ok(())
    }

    fn reject(&mut self, records: &[Rejected], archive: &mut Archive, now: DateTime<Utc>) -> Result<(), CollectError> {
        self.rejected += archive.reject(records, now)?;
        for record in records {
            tracing::debug!(reason = record.reason, "a record cannot be filed");
        }
        Ok(())
    }

    fn note(&mut self, appended: Appended) {
        tracing::debug!(file = appended.file, "appended to");
        self.appended += appended.records;
        self.files.insert(appended.file);
    }
}
