//! The writer of a stream: one thread that owns its archive, its counts and its journal, and files what was fetched.
//!
//! Everything that reads, writes, syncs or waits for a disk during a run happens here, so that no request of any stream
//! waits for it. What is on disk is counted whatever goes wrong, even a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::Span;

use super::collected::{CollectError, Collected};
use super::lateness::LatenessBaseline;
use crate::archive::{Archive, Batch, Dedup, Lock, NewlyNoted, Recovery};
use crate::config::StreamSettings;
use crate::coverage::{Closed, CompletedRuns, End, Entry, Journal};
use crate::fetch::walk::CompletedRange;
use crate::fetch::{FetchError, RequestCounts};
use crate::forward::AppendNotifier;
use crate::http::request_stats::RequestStats;
use crate::output::progress::StreamProgress;
use crate::record::{Anchor, Rejected};
use crate::window::{Window, bound};

/// How many steps may wait for the current one: completed ranges are held in memory.
const WAITING_STEPS: usize = 1;

/// Whether a stream's files are written to.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// Under this lock, which can outlive the run.
    Write(Arc<Lock>),
    /// No: what would be written is only counted.
    DryRun,
}

/// What a writer needs to start.
pub(super) struct WriterJob {
    pub(super) settings: Arc<StreamSettings>,
    pub(super) access: Access,
    /// When the run began.
    pub(super) now: DateTime<Utc>,
    pub(super) progress: StreamProgress,
    /// Notified after each append; the forwarders end when it is dropped, which is when the writer ends.
    pub(super) appended: AppendNotifier,
}

/// What the files said before the run.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The time of the archive's last record.
    pub(super) last: Option<DateTime<Utc>>,
    /// Records from before the overlap; see [`Recovery::below`].
    pub(super) below: Vec<Anchor>,
    /// The newest line of the journal.
    pub(super) journal: Option<Entry>,
}

/// A step of the writer, in this order: the window, then each gap and the window itself from begin to end.
#[derive(Debug)]
pub(super) enum Step {
    /// The window of the run is known.
    Plan(Window),
    /// A walk begins: over a gap, or over the window.
    Begin { span: Window, is_gap: bool },
    /// A completed range of the walk.
    File(CompletedRange),
    /// The walk is over: its span was fetched to its end, or the gap could not be closed.
    End(Result<(), FetchError>),
}

/// How the fetching ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Why not everything was fetched.
    pub(super) failure: Option<CollectError>,
    pub(super) request_counts: RequestCounts,
    pub(super) request_stats: RequestStats,
    /// By how much the service's clock was ahead of ours, if it is known.
    pub(super) clock_offset: Option<TimeDelta>,
    /// The service's own time at the end, if it is known.
    pub(super) service_time: Option<DateTime<Utc>>,
    /// The date of the last answer.
    pub(super) service_date: Option<DateTime<Utc>>,
    pub(super) warnings: Vec<String>,
}

/// A writer, for the code that fetches.
pub(super) struct WriterHandle {
    steps: StepSender,
    ending: oneshot::Sender<Ending>,
    thread: JoinHandle<Finished>,
}

/// The result of a writer.
pub(super) struct Finished {
    pub(super) collected: Collected,
    /// The progress line stays until this is dropped.
    pub(super) progress: Option<StreamProgress>,
}

/// The writer takes no further steps; its result says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WriterStopped;

/// Sends steps to the writer.
#[derive(Clone, Debug)]
pub(super) struct StepSender(mpsc::Sender<Step>);

impl StepSender {
    /// Waits for room for a step, so that nothing is fetched that would wait for long.
    pub(super) async fn room(&self) -> Result<mpsc::Permit<'_, Step>, WriterStopped> {
        self.0.reserve().await.map_err(|_| WriterStopped)
    }

    /// Sends a step as soon as there is room.
    pub(super) async fn send(&self, step: Step) -> Result<(), WriterStopped> {
        self.0.send(step).await.map_err(|_| WriterStopped)
    }
}

impl WriterHandle {
    /// Starts a writer, and waits until it has read how far the archive goes.
    pub(super) async fn start(job: WriterJob) -> (Self, Result<Recovered, WriterStopped>) {
        let (steps, receiver) = mpsc::channel(WAITING_STEPS);
        let (ending, end) = oneshot::channel();
        let (recovered, answer) = oneshot::channel();
        let span = Span::current();
        let thread = spawn_blocking(move || span.in_scope(|| run(job, recovered, receiver, end)));
        let steps = StepSender(steps);
        let handle = Self { steps, ending, thread };
        (handle, answer.await.map_err(|_| WriterStopped))
    }

    /// Returns a sender of steps; the writer works until the last of these is dropped.
    pub(super) fn steps(&self) -> StepSender {
        self.steps.clone()
    }

    /// Ends the writer after the steps that it has; its result is on disk then.
    pub(super) async fn finish(self, ending: Ending) -> Finished {
        drop(self.steps);
        // If the writer has ended early, its result says why.
        let _ = self.ending.send(ending);
        self.thread.await.unwrap_or_else(|_| Finished {
            collected: Collected::internal("the writer panicked"),
            progress: None,
        })
    }
}

/// Runs a writer, on its own thread.
fn run(
    job: WriterJob,
    recovered: oneshot::Sender<Recovered>,
    mut steps: mpsc::Receiver<Step>,
    ending: oneshot::Receiver<Ending>,
) -> Finished {
    let started = Instant::now();
    let (settings, now, access) = (Arc::clone(&job.settings), job.now, job.access.clone());
    let journal = Journal::of(&settings.location);
    let before = journal.newest().unwrap_or_else(|error| {
        tracing::warn!("{error}; gaps in the coverage stay unknown");
        None
    });
    let opened = guarded("opening the archive", || open(&job));
    let last_before = opened.as_ref().ok().and_then(|(_, recovery)| recovery.last);
    let worked = opened.map(|(archive, Recovery { last, below })| {
        let _ = recovered.send(Recovered {
            last,
            below,
            journal: before.clone(),
        });
        let mut writer = Writer::new(job, archive, last, journal.clone());
        writer.work(&mut steps);
        writer
    });
    // Wakes senders that wait for room, or for what was recovered.
    drop(steps);
    let ending = ending.blocking_recv().unwrap_or_else(|_| Ending::panicked());
    let (mut collected, progress) = match worked {
        Ok(writer) => writer.end(ending),
        Err(error) => (Collected::failed(error), None),
    };
    if matches!(access, Access::Write(_)) {
        let mut entry = entry(&settings, now, started, before, &collected);
        entry.last_before = last_before;
        entry.note_reconciled(settings.limits.reconcile_reach);
        if let Err(error) = guarded("writing the journal", || Ok(journal.append(&entry)?)) {
            // Logged here, since an earlier failure hides it from the summary.
            tracing::error!("{error}");
            collected.failure.get_or_insert(error);
        }
    }
    Finished { collected, progress }
}

impl Ending {
    /// The fetching task is gone without sending an ending.
    fn panicked() -> Self {
        Self {
            failure: Some(CollectError::Internal("fetching a stream panicked".into())),
            ..Self::default()
        }
    }
}

/// Does something that may panic; a panic becomes an error, and what was done before stays.
fn guarded<T>(what: &str, act: impl FnOnce() -> Result<T, CollectError>) -> Result<T, CollectError> {
    let done = catch_unwind(AssertUnwindSafe(act));
    done.unwrap_or_else(|_| Err(CollectError::Internal(format!("{what} panicked"))))
}

fn open(job: &WriterJob) -> Result<(Archive, Recovery), CollectError> {
    let shape = job.settings.kind.shape;
    let mut archive = match &job.access {
        Access::Write(lock) => Archive::open(Arc::clone(lock), shape, job.settings.file_mode, job.now)?,
        Access::DryRun => Archive::dry_run(job.settings.location.clone(), shape),
    };
    let recovery = archive.recover(job.now, job.settings.limits.overlap)?;
    Ok((archive, recovery))
}

struct Writer {
    archive: Archive,
    journal: Journal,
    settings: Arc<StreamSettings>,
    now: DateTime<Utc>,
    baseline: LatenessBaseline,
    /// The complete runs before this one, read when the first late record comes.
    runs: Option<CompletedRuns>,
    /// The walk that has begun and not ended.
    walk: Option<Walk>,
    progress: StreamProgress,
    appended: AppendNotifier,
    collected: Collected,
}

/// A walk, and how far it is filed.
struct Walk {
    span: Window,
    is_gap: bool,
    filed_to: Option<DateTime<Utc>>,
}

impl Writer {
    fn new(job: WriterJob, archive: Archive, last: Option<DateTime<Utc>>, journal: Journal) -> Self {
        let overlap = job.settings.limits.overlap;
        Self {
            archive,
            journal,
            settings: job.settings,
            now: job.now,
            baseline: LatenessBaseline { last, overlap },
            runs: None,
            walk: None,
            progress: job.progress,
            appended: job.appended,
            collected: Collected {
                last_record: last,
                ..Collected::default()
            },
        }
    }

    /// Takes steps until there are no more, or one fails.
    fn work(&mut self, steps: &mut mpsc::Receiver<Step>) {
        while let Some(step) = steps.blocking_recv() {
            match step {
                Step::Plan(window) => self.collected.window = Some(window),
                Step::Begin { span, is_gap } => self.begin(span, is_gap),
                Step::File(range) => {
                    let filed = guarded("filing a range", || self.file(range));
                    // Also after an error, for what was appended before it.
                    self.appended.notify();
                    if let Err(error) = filed {
                        self.collected.failure = Some(error);
                        return;
                    }
                }
                Step::End(result) => self.end_walk(result),
            }
        }
    }

    fn begin(&mut self, span: Window, is_gap: bool) {
        self.progress.begin(span);
        self.walk = Some(Walk {
            span,
            is_gap,
            filed_to: None,
        });
    }

    fn file(&mut self, range: CompletedRange) -> Result<(), CollectError> {
        let (done_to, appended_before) = (range.done_to, self.collected.appended);
        self.collected.received += range.received;
        self.collected.left_for_next_run += range.left_for_next_run;
        self.reject(&range.rejected)?;
        self.reject(&range.originals)?;
        for batch in Batch::by_day(range.records) {
            let date = batch.date();
            self.file_day(batch)?;
            // What comes next is newer, except for a little overlap.
            self.archive.forget_before(date.pred_opt().unwrap_or(date));
        }
        if let Some(walk) = &mut self.walk {
            walk.filed_to = Some(done_to);
        }
        let Collected {
            received,
            appended,
            rejected,
            ..
        } = self.collected;
        self.collected.duplicates = received - appended - rejected;
        self.progress.advance(done_to, appended - appended_before);
        Ok(())
    }

    fn file_day(&mut self, batch: Batch) -> Result<(), CollectError> {
        let newest = batch.records().last().map(|record| record.time);
        let Dedup { new, conflicts, .. } = self.archive.deduplicate(batch)?;
        self.reject(&conflicts)?;
        if let Some(appended) = self.archive.append(&new)? {
            tracing::debug!(file = appended.file, "appended to");
            self.collected.appended += appended.records;
            self.collected.files.insert(appended.file);
        }
        for record in new.records() {
            self.note_lateness(record.time);
        }
        let newest = newest.filter(|newest| *newest <= self.now);
        self.collected.last_record = self.collected.last_record.max(newest);
        Ok(())
    }

    fn reject(&mut self, records: &[Rejected]) -> Result<(), CollectError> {
        let NewlyNoted { rejected, repaired } = self.archive.reject(records, self.now)?;
        self.collected.rejected += rejected;
        self.collected.repaired += repaired;
        for record in records {
            tracing::debug!(reason = record.reason, "a record was noted in the rejected file");
        }
        Ok(())
    }

    fn note_lateness(&mut self, time: DateTime<Utc>) {
        if !self.baseline.is_late(time) {
            return;
        }
        let runs = match self.runs.take() {
            Some(runs) => runs,
            None => self.read_runs(),
        };
        if let Some(needed) = self.baseline.needed(time, &runs) {
            self.collected.late.add(needed);
        }
        self.runs = Some(runs);
    }

    /// Reads the runs that can have covered the time of a record of this run.
    fn read_runs(&self) -> CompletedRuns {
        let oldest = self.walk.as_ref().map_or(self.now, |walk| walk.span.from);
        let oldest = self.collected.window.map_or(oldest, |window| window.from.min(oldest));
        self.journal.completed_runs(oldest).unwrap_or_else(|error| {
            tracing::warn!("{error}: the lateness of records is less exact");
            CompletedRuns::default()
        })
    }

    fn end_walk(&mut self, result: Result<(), FetchError>) {
        let Some(mut walk) = self.walk.take() else { return };
        match result {
            Ok(()) => {
                walk.filed_to = Some(walk.span.to);
                self.note_walk(walk, None);
            }
            Err(cause) => {
                let (from, to) = (bound(walk.span.from), bound(walk.span.to));
                tracing::error!(from, to, "a gap is still missing: {cause}");
                self.note_walk(walk, Some(cause.to_string()));
                // It stays in the journal for the next run, so it does not hold up newer records; but the run is not
                // complete.
                self.collected
                    .failure
                    .get_or_insert(CollectError::Gap { from, to, cause });
            }
        }
    }

    /// Notes what a walk has covered.
    fn note_walk(&mut self, walk: Walk, error: Option<String>) {
        if walk.is_gap {
            self.collected.closed.push(Closed {
                from: walk.span.from,
                to: walk.span.to,
                covered_to: walk.filed_to,
                error,
            });
        } else {
            self.collected.covered_to = walk.filed_to;
        }
    }

    /// Returns the result. An interrupted walk has covered what was filed of it.
    fn end(mut self, ending: Ending) -> (Collected, Option<StreamProgress>) {
        self.collected.request_counts = ending.request_counts;
        self.collected.request_stats = ending.request_stats;
        self.collected.clock_offset = ending.clock_offset;
        self.collected.service_date = ending.service_date;
        self.collected.warnings = ending.warnings;
        // A failure here is the cause of one there, or weighs more: so it replaces a gap.
        if let (None | Some(CollectError::Gap { .. }), Some(failure)) = (&self.collected.failure, ending.failure) {
            self.collected.failure = Some(failure);
        }
        if let Some(walk) = self.walk.take() {
            let error = self.collected.failure.as_ref().map(ToString::to_string);
            self.note_walk(walk, error);
        }
        if let Some(time) = ending.service_time {
            self.collected.claim_nothing_after(time);
        }
        if let Some(last) = self.collected.last_record {
            let overlap = self.settings.limits.overlap;
            let noted = guarded("writing the resume points", || {
                self.archive.note_resume_points(last, overlap);
                Ok(())
            });
            if let Err(error) = noted {
                tracing::error!("{error}");
                self.collected.failure.get_or_insert(error);
            }
        }
        (self.collected, Some(self.progress))
    }
}

fn entry(
    settings: &StreamSettings,
    now: DateTime<Utc>,
    started: Instant,
    before: Option<Entry>,
    collected: &Collected,
) -> Entry {
    let mut entry = Entry::new(now, before);
    entry.seconds = started.elapsed().as_millis() as f64 / 1_000.0;
    entry.from = collected.window.map(|window| window.from);
    entry.to = collected.window.map(|window| window.to);
    entry.end = end(collected);
    entry.covered_to = collected.covered_to;
    entry.error = collected.failure.as_ref().map(ToString::to_string);
    entry.closed = collected.closed.clone();
    entry.requests = collected.request_counts.requests;
    entry.retries = collected.request_counts.retries;
    entry.pages = collected.request_counts.pages;
    entry.received = collected.received;
    entry.duplicates = collected.duplicates;
    entry.appended = collected.appended;
    entry.rejected = collected.rejected;
    entry.repaired = collected.repaired;
    entry.last_record = collected.last_record;
    entry.service_date = collected.service_date;
    entry.add_up(settings.kind.retention);
    entry
}

fn end(collected: &Collected) -> End {
    match &collected.failure {
        Some(CollectError::Stopped) => End::Stopped,
        Some(_) => End::Failed,
        None if collected.window.is_none() => End::Nothing,
        None => End::Exhausted,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;

    use super::*;
    use crate::archive::faulty::{Fault, Faulty};
    use crate::config::{self, Choice, Config};
    use crate::env::Env;
    use crate::output::progress::Progress;
    use crate::record::{Form, Record};
    use crate::source::SOURCES;
    use crate::window::ceil_to_millisecond;

    /// A catalog of one stream, on a disk that fails where the test says.
    struct Stream {
        folder: tempfile::TempDir,
        settings: Arc<StreamSettings>,
        disk: Faulty,
    }

    impl Stream {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let env = Env::from_pairs([
                ("TFC_LOG_CATALOG_LOCATION", folder.path().to_str().unwrap()),
                ("TFC_LOG_FILE_BASE_NAME", "tfc"),
                ("TFC_ORG_TOKEN", "invented"),
            ]);
            let choice = Choice {
                streams: &[],
                access: config::Access::Write,
            };
            let mut settings = Config::read(&env, SOURCES, choice).unwrap().streams.remove(0);
            let disk = Faulty::default();
            settings.location = settings.location.on(disk.clone());
            Self {
                folder,
                settings: Arc::new(settings),
                disk,
            }
        }

        fn job(&self) -> WriterJob {
            let lock = Lock::acquire(&self.settings.location, now()).unwrap();
            WriterJob {
                settings: Arc::clone(&self.settings),
                access: Access::Write(Arc::new(lock)),
                now: now(),
                progress: Progress::hidden().stream("tfc"),
                appended: AppendNotifier::disconnected(),
            }
        }

        /// Returns the number of lines in all day files.
        fn lines(&self) -> usize {
            let files = self.settings.location.day_files().unwrap();
            let text = files.iter().map(|file| fs::read_to_string(&file.path).unwrap());
            text.map(|text| text.lines().count()).sum()
        }

        fn entry(&self) -> Entry {
            Journal::of(&self.settings.location).newest().unwrap().unwrap()
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-01-05T00:00:00Z".parse().unwrap()
    }

    fn window() -> Window {
        Window::new(now() - chrono::TimeDelta::days(3), now())
    }

    /// Returns a range with one record on each of two days.
    fn range(number: u32) -> CompletedRange {
        let record = |day: u32| {
            let text = format!(r#"{{"id": "{day}-{number}", "timestamp": "2026-01-0{day}T00:00:{number:02}Z"}}"#);
            Record::read(&text, &SOURCES.iter().find(|kind| kind.name == "tfc").unwrap().shape).unwrap()
        };
        let records = vec![record(3), record(4)];
        CompletedRange {
            done_to: ceil_to_millisecond(records[1].time),
            records,
            rejected: Vec::new(),
            originals: Vec::new(),
            received: 2,
            left_for_next_run: 0,
        }
    }

    async fn file(stream: &Stream, ranges: u32) -> Collected {
        let (writer, recovered) = WriterHandle::start(stream.job()).await;
        assert_eq!(recovered.unwrap().last, None);
        let steps = writer.steps();
        let begin = Step::Begin {
            span: window(),
            is_gap: false,
        };
        let mut all = vec![Step::Plan(window()), begin];
        all.extend((0..ranges).map(|number| Step::File(range(number))));
        all.push(Step::End(Ok(())));
        for step in all {
            if steps.send(step).await.is_err() {
                break;
            }
        }
        drop(steps);
        let request_counts = RequestCounts {
            requests: 7,
            ..RequestCounts::default()
        };
        let ending = Ending {
            request_counts,
            ..Ending::default()
        };
        writer.finish(ending).await.collected
    }

    #[tokio::test]
    async fn what_is_filed_is_counted_and_the_journal_says_so() {
        let stream = Stream::new();
        let collected = file(&stream, 3).await;
        assert!(collected.failure.is_none(), "{collected:?}");
        assert_eq!((collected.appended, stream.lines()), (6, 6));
        assert_eq!(collected.covered_to, Some(window().to));
        let entry = stream.entry();
        assert_eq!((entry.appended, entry.requests, entry.end), (6, 7, End::Exhausted));
    }

    #[tokio::test]
    async fn an_original_is_noted_and_counted_as_repaired_and_not_as_rejected() {
        let stream = Stream::new();
        let (writer, _) = WriterHandle::start(stream.job()).await;
        let steps = writer.steps();
        for _ in 0..2 {
            let mut range = range(1);
            let mut original = range.records[0].clone().into_rejected("not UTF-8");
            original.form = Form::Original;
            range.originals.push(original);
            steps.send(Step::File(range)).await.unwrap();
        }
        drop(steps);
        let collected = writer.finish(Ending::default()).await.collected;
        let Collected {
            received,
            appended,
            duplicates,
            rejected,
            repaired,
            ..
        } = collected;
        assert_eq!((received, appended, duplicates, rejected, repaired), (4, 2, 2, 0, 1));
        assert_eq!(stream.entry().repaired, 1);
    }

    #[tokio::test]
    async fn whatever_goes_wrong_and_a_panic_too_what_is_on_disk_is_counted_and_noted() {
        for fault in [Fault::Panic, Fault::Broken(0)] {
            let mut seen = std::collections::BTreeSet::new();
            for after in 0..40 {
                let stream = Stream::new();
                stream.disk.arm(after, fault);
                let collected = file(&stream, 3).await;
                stream.disk.restart();
                let appended = collected.appended;
                if collected.failure.is_none() {
                    assert_eq!(appended, 6, "{fault:?} after {after}");
                    continue;
                }
                // A line may have been written although it is unknown whether it reached the disk.
                let lines = stream.lines() as u64;
                assert!(
                    appended <= lines && lines <= appended + 1,
                    "{fault:?} after {after}: {appended} of {lines}"
                );
                seen.insert(appended);
                // If the journal itself cannot be written, the failure says so.
                if let Some(entry) = Journal::of(&stream.settings.location).newest().unwrap() {
                    assert_eq!(entry.appended, appended, "{fault:?} after {after}");
                    // The error can also be in the line itself, after it was written.
                    assert!(entry.end == End::Failed || appended == 6, "{fault:?} after {after}");
                }
            }
            assert!(seen.len() >= 4, "{fault:?}: {seen:?}");
        }
    }

    #[tokio::test]
    async fn whoever_fetches_and_is_gone_is_a_failure_and_costs_nothing_that_was_filed() {
        let stream = Stream::new();
        let (writer, _) = WriterHandle::start(stream.job()).await;
        let steps = writer.steps();
        steps.send(Step::Plan(window())).await.unwrap();
        let (span, is_gap) = (window(), false);
        steps.send(Step::Begin { span, is_gap }).await.unwrap();
        steps.send(Step::File(range(1))).await.unwrap();
        let WriterHandle {
            thread,
            ending,
            steps: last_sender,
        } = writer;
        drop((steps, last_sender, ending));
        let collected = thread.await.unwrap().collected;
        assert_eq!(collected.appended, 2);
        assert!(
            matches!(collected.failure, Some(CollectError::Internal(_))),
            "{collected:?}"
        );
        let entry = stream.entry();
        assert_eq!((entry.appended, entry.end), (2, End::Failed));
        assert_eq!(entry.covered_to, Some(range(1).done_to));
        assert!(stream.folder.path().exists());
    }
}
