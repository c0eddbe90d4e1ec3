//! The writer of a stream: one thread that owns its archive, its counts and its journal, and files what was fetched.
//!
//! Everything that reads, writes, syncs or waits for a disk during a run happens here, so that no request of any stream
//! waits for it. What is on disk is counted whatever goes wrong, even a panic.

mod unfiled;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::Span;

use super::collected::{CollectError, Collected};
use super::lateness::LatenessBaseline;
use super::run_journal::RunJournal;
use super::steps::{Ending, Recovered, Step, StepSender, WriterStopped};
use crate::archive::{Appended, Archive, Batch, Dedup, Hours, Incomplete, Lock, Recovery, Takeover, WriteError};
use crate::config::StreamSettings;
use crate::coverage::{
    Asked, CompletedRuns, Counted, Expiry, Fed, Loss, Pending, Purpose, Silence, Standing, gone_sentence,
};
use crate::fetch::FetchError;
use crate::fetch::walk::CompletedRange;
use crate::forward::AppendNotifier;
use crate::output::progress::StreamProgress;
use crate::record::Rejected;
use crate::source::Paging;

/// What is to be known when what earlier runs covered counts no more.
const OTHER_ORDER: &str = "the service answers in another order than earlier runs have seen, so what they covered does not \
                           count: the next run asks again for everything that the service still has";

/// Whether a stream's files are written to.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// Under this lock, which can outlive the run.
    Write(Arc<Lock>),
    /// No: what would be written is only counted.
    DryRun,
}

impl Access {
    /// Returns the lock under which is written.
    pub(super) fn lock(&self) -> Option<Arc<Lock>> {
        match self {
            Self::Write(lock) => Some(Arc::clone(lock)),
            Self::DryRun => None,
        }
    }
}

/// What a writer needs to start.
pub(super) struct WriterJob {
    pub(super) settings: Arc<StreamSettings>,
    pub(super) access: Access,
    /// Whether what earlier runs have noted counts no more.
    pub(super) starts_over: bool,
    /// When the run began.
    pub(super) now: DateTime<Utc>,
    pub(super) progress: StreamProgress,
    /// Notified after each append; the forwarders end when it is dropped, which is when the writer ends.
    pub(super) appended: AppendNotifier,
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

impl WriterHandle {
    /// Starts a writer, and waits until it has read how far the archive goes.
    pub(super) async fn start(job: WriterJob) -> (Self, Result<Recovered, WriterStopped>) {
        let (steps, receiver) = StepSender::channel();
        let (ending, end) = oneshot::channel();
        let (recovered, answer) = oneshot::channel();
        let span = Span::current();
        let thread = spawn_blocking(move || span.in_scope(|| run(job, recovered, receiver, end)));
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
    let (settings, now) = (Arc::clone(&job.settings), job.now);
    let mut journal = RunJournal::new(Arc::clone(&settings), now, job.access.lock());
    let opened = guarded("opening the archive", || open(&job, &mut journal));
    let worked = match opened {
        Ok((archive, found, pending)) => {
            let (last, deleted_to) = (found.last, found.last.filter(|_| found.is_last_deleted));
            let expiry = found.expiry.clone();
            let _ = recovered.send(found);
            let mut writer = Writer {
                deleted_to,
                expiry,
                ..Writer::new(job, archive, last, journal, pending)
            };
            writer.work(&mut steps);
            Ok(writer)
        }
        Err(error) => {
            drop(recovered);
            Err((error, journal))
        }
    };
    // Wakes senders that wait for room, or for what was recovered.
    drop(steps);
    let ending = ending.blocking_recv().unwrap_or_else(|_| Ending::panicked());
    let (mut collected, progress, mut journal) = match worked {
        Ok(writer) => writer.end(ending),
        Err((error, journal)) => (failed(&settings, now, error), None, journal),
    };
    if let Some(unproved) = journal.unproved(&collected) {
        collected.failure.get_or_insert(CollectError::Unproved(unproved));
    }
    collected.gaps = journal.gaps(&collected);
    if let Some(warning) = gone_sentence(&journal.gone(&collected)) {
        tracing::warn!("{warning}");
        collected.warnings.push(warning);
    }
    if let Err(error) = guarded("writing the journal", || journal.end(&collected)) {
        // Logged here, since an earlier failure hides it from the summary.
        tracing::error!("{error}");
        collected.failure.get_or_insert(error);
    }
    Finished { collected, progress }
}

/// Returns the result of a run that failed before it knew how far the archive goes. Mostly that can be read all the same, as
/// where nothing can be written.
fn failed(settings: &StreamSettings, now: DateTime<Utc>, failure: CollectError) -> Collected {
    let last_record = guarded("reading the last record", || {
        Ok(Archive::last_record(
            &settings.location,
            settings.kind.shape,
            now,
            None,
        )?)
    });
    Collected {
        last_record: last_record.ok().flatten(),
        ..Collected::failed(failure)
    }
}

/// Returns the result of a run that did not get its lock.
pub(super) async fn not_locked(settings: Arc<StreamSettings>, now: DateTime<Utc>, failure: CollectError) -> Collected {
    let span = Span::current();
    let read = spawn_blocking(move || span.in_scope(|| failed(&settings, now, failure)));
    read.await
        .unwrap_or_else(|_| Collected::internal("reading the archive panicked"))
}

/// Does something that may panic; a panic becomes an error, and what was done before stays.
fn guarded<T>(what: &str, act: impl FnOnce() -> Result<T, CollectError>) -> Result<T, CollectError> {
    let done = catch_unwind(AssertUnwindSafe(act));
    done.unwrap_or_else(|_| Err(CollectError::Internal(format!("{what} panicked"))))
}

/// Opens the archive, and reads how far it goes and what the journal says of it.
fn open(job: &WriterJob, journal: &mut RunJournal) -> Result<(Archive, Recovered, Pending), CollectError> {
    if let Some(fed) = Fed::read(&job.settings.location)? {
        return Err(CollectError::OfFleet(fed.sentence()));
    }
    // First of all, so that whatever goes wrong with the files, the journal goes on.
    let mut standing = journal.standing()?;
    let takeover = take_over(job, &standing)?;
    if matches!(job.access, Access::Write(_)) {
        standing.store_counts();
    }
    let mut warnings = standing.warnings(job.now);
    if job.starts_over {
        warnings.extend(standing.forgotten(job.settings.kind.retention, job.now));
        standing = standing.start_over();
    }
    journal.go_on_from(&standing);
    let shape = job.settings.kind.shape;
    let listing = Arc::clone(&standing.listing);
    let mut archive = match &job.access {
        Access::Write(lock) => {
            let (lock, mode) = (Arc::clone(lock), job.settings.file_mode);
            Archive::open_in_turn(lock, shape, mode, job.now, standing.turn(job.now), listing)?
        }
        Access::DryRun => Archive::dry_run_over(Some(listing), job.settings.location.clone(), shape),
    };
    takeover
        .into_iter()
        .for_each(|takeover| archive.know_takeover(takeover));
    if !archive.torn().is_empty() {
        for (date, offset) in archive.torn() {
            standing.note_torn(*date, *offset, job.now);
        }
        journal.go_on_from(&standing);
    }
    for (date, counted) in standing.count_what_a_killed_run_wrote()? {
        journal.note_counted(date, counted);
    }
    let Recovery { last, below } = archive.recover(job.now, job.settings.limits.overlap)?;
    let last = last_record(last, &archive, &standing);
    journal.note_last_before(last);
    if let Some(ahead) = standing.sum.line_ahead(job.now) {
        return Err(CollectError::ExpiryAhead(ahead));
    }
    if let Some(gone) = standing.gone(&job.settings.location, job.settings.keep, job.now) {
        return Err(CollectError::NoDayFile(gone));
    }
    for (date, lost) in &standing.sum.lost {
        tracing::warn!(%date, "{}", lost.loss);
    }
    let (pending, damaged) = journal.pending();
    archive.reject(&damaged, job.now).map_err(WriteError::from)?;
    warnings.extend(unfiled::damaged_warning(damaged.len()));
    let recovered = Recovered {
        last,
        is_last_deleted: standing.last_record_of_no_file().is_some(),
        expiry: standing.expiry(),
        below,
        assumptions: standing.sum.assumptions(job.now),
        lost: standing.sum.lost_sentence(),
        unknown: standing.unknown_sentence(),
        warnings,
        sum: standing.sum,
        doubt: standing.doubt,
        stale_date: standing.newest.and_then(|newest| newest.stale_date(job.now)),
    };
    Ok((archive, recovered, pending))
}

/// Notes what another program has left, if no run has begun the journal: before anything is written there, the journal
/// included, so that a run that is killed notes the same again.
fn take_over(job: &WriterJob, standing: &Standing) -> Result<Option<Takeover>, CollectError> {
    if standing.is_begun {
        return Ok(None);
    }
    let takeover = Takeover::of(&standing.listing, job.now);
    if let Access::Write(lock) = &job.access {
        lock.check()?;
        takeover.store(&job.settings.location)?;
    }
    Ok(Some(takeover))
}

/// Returns the time of the last record. Without a file that can be read, the journal says from where on everything is to be
/// asked for.
fn last_record(last_in_files: Option<DateTime<Utc>>, archive: &Archive, standing: &Standing) -> Option<DateTime<Utc>> {
    for (date, error) in archive.unusable() {
        tracing::error!(%date, "{error}");
    }
    let by_journal = standing.last_record.filter(|_| !archive.unusable().is_empty());
    last_in_files.or(by_journal).or(standing.last_record_of_no_file())
}

fn unusable(date: NaiveDate, cause: &str) -> CollectError {
    let cause = cause.to_owned();
    CollectError::Unusable { date, cause }
}

struct Writer {
    archive: Archive,
    journal: RunJournal,
    settings: Arc<StreamSettings>,
    now: DateTime<Utc>,
    baseline: LatenessBaseline,
    /// Up to when another program has deleted what was archived, if there is no day file left.
    deleted_to: Option<DateTime<Utc>>,
    /// Of which days nothing is kept.
    expiry: Expiry,
    /// The complete runs before this one, read when the first late record comes.
    runs: Option<CompletedRuns>,
    pending: Pending,
    progress: StreamProgress,
    appended: AppendNotifier,
    /// The hours of the records that were appended.
    hours: Hours,
    collected: Collected,
}

impl Writer {
    fn new(
        job: WriterJob,
        archive: Archive,
        last: Option<DateTime<Utc>>,
        journal: RunJournal,
        pending: Pending,
    ) -> Self {
        let overlap = job.settings.limits.overlap;
        let failure = archive.unusable().iter().next_back();
        let failure = failure.map(|(date, cause)| unusable(*date, cause));
        Self {
            archive,
            journal,
            settings: job.settings,
            now: job.now,
            baseline: LatenessBaseline { last, overlap },
            deleted_to: None,
            expiry: Expiry::default(),
            runs: None,
            pending,
            progress: job.progress,
            appended: job.appended,
            hours: Hours::default(),
            collected: Collected {
                last_record: last,
                failure,
                ..Collected::default()
            },
        }
    }

    /// Takes steps until there are no more, or one fails.
    fn work(&mut self, steps: &mut mpsc::Receiver<Step>) {
        while let Some(step) = steps.blocking_recv() {
            let taken = guarded("a step of the writer", || self.take(step));
            if let Err(error) = taken {
                self.collected.failure = Some(error);
                self.keep_the_rest(steps);
                return;
            }
        }
    }

    fn take(&mut self, step: Step) -> Result<(), CollectError> {
        match step {
            Step::Plan { asked, noted } => {
                self.collected.asked = asked;
                self.journal.begin(&self.collected)?;
                // If nobody waits for it, nothing will be asked for.
                let _ = noted.send(());
            }
            Step::Begin(index) => self.begin(index),
            Step::File(mut range) => {
                self.add_pending(&mut range);
                let given = range.records.clone();
                let filed = guarded("filing a range", || self.file(range));
                // Also after an error, for what was appended before it.
                self.appended.notify();
                self.keep_unfiled(given, filed.is_ok());
                filed?;
            }
            Step::AsGiven {
                contradiction,
                is_of_all,
                noted,
            } => {
                self.collected.note_as_given(contradiction, is_of_all);
                self.journal.begin(&self.collected)?;
                let _ = noted.send(());
            }
            Step::Lapse => self.collected.note_lapse(),
            Step::End(result) => self.end_walk(result),
        }
        Ok(())
    }

    fn begin(&mut self, index: usize) {
        if let Some(asked) = self.collected.begin_walk(index) {
            self.progress.begin(asked.span());
        }
    }

    /// Returns the span whose walk has begun and not ended.
    fn asked(&mut self) -> Option<&mut Asked> {
        self.collected.walking()
    }

    fn file(&mut self, range: CompletedRange) -> Result<(), CollectError> {
        let (done_to, appended_before) = (range.done_to, self.collected.appended);
        self.collected.received += range.received;
        let mut records = range.records;
        if let Some(deleted_to) = self.deleted_to {
            // It was archived, and another program has deleted its day: only a gap there is filled.
            let gap = self
                .asked()
                .filter(|asked| asked.purpose != Purpose::New)
                .map(|asked| asked.to);
            records.retain(|record| record.time > deleted_to || gap.is_some_and(|to| record.time <= to));
        }
        self.collected.left_for_next_run += range.left_for_next_run;
        self.reject(&range.rejected)?;
        self.reject(&range.originals)?;
        for batch in Batch::by_day(records) {
            let date = batch.date();
            self.file_or_skip(batch)?;
            // What comes next is newer, except for a little overlap.
            self.archive.forget_before(date.pred_opt().unwrap_or(date));
        }
        if let Some(asked) = self.asked()
            && asked.as_given_from.is_none()
        {
            asked.covered_to = Some(done_to);
        }
        let Collected {
            received,
            appended,
            rejected,
            revised,
            skipped,
            expired,
            ..
        } = self.collected;
        self.collected.duplicates = received - appended - rejected - revised - skipped - expired;
        self.progress.advance(done_to, appended - appended_before);
        // Where the service counts its records, what was filed is proved by the count at the end.
        if self.settings.source.paging() == Paging::Bounded {
            self.journal.note_progress(&self.collected)?;
        }
        Ok(())
    }

    /// Files the records of a day. If its file cannot be read or opened, the day is left for the next run, and holds up
    /// no other.
    fn file_or_skip(&mut self, batch: Batch) -> Result<(), CollectError> {
        let (date, records) = (batch.date(), batch.records().len() as u64);
        let Err(error) = self.file_day(batch) else {
            return Ok(());
        };
        if self.archive.is_poisoned() || self.asked().is_none() {
            return Err(error);
        }
        tracing::error!(%date, "the records of a day were not filed: {error}");
        if let Some(asked) = self.asked() {
            asked.skipped.insert(date);
        }
        self.collected.skipped += records;
        let cause = Box::new(error);
        self.collected.failure.get_or_insert(CollectError::Day { date, cause });
        Ok(())
    }

    fn file_day(&mut self, batch: Batch) -> Result<(), CollectError> {
        let date = batch.date();
        if self.expiry.has(date) {
            self.collected.expired += batch.records().len() as u64;
            return Ok(());
        }
        if let Some(cause) = self.archive.unusable().get(&date) {
            return Err(unusable(date, cause));
        }
        let mut times = batch.records().iter().rev().map(|record| record.time);
        let newest = times.find(|time| *time <= self.now);
        let Dedup { new, revisions, .. } = self.archive.deduplicate(batch)?;
        let (noted, is_noted) = Incomplete::split(self.archive.note_revisions(&revisions, self.now));
        self.collected.revised += noted.records;
        is_noted?;
        let counted = self.count_before(new.date())?;
        // What came to be before an error is counted too.
        let (appended, is_appended) = Incomplete::split(self.archive.append(&new));
        if let Some(appended) = appended {
            self.note_appended(&new, counted, appended)?;
        }
        is_appended?;
        self.collected.last_record = self.collected.last_record.max(newest);
        Ok(())
    }

    /// Counts what was appended: the first of these records.
    fn note_appended(&mut self, new: &Batch, before: Counted, appended: Appended) -> Result<(), CollectError> {
        tracing::debug!(file = appended.file, "appended to");
        self.collected.appended += appended.records;
        // A dry run has appended nothing.
        let is_written = appended.end.is_some();
        for record in &new.records()[..appended.records as usize] {
            self.note_lateness(record.time);
            if is_written {
                self.hours.add(record.time);
            }
            let last = Some(record.time).filter(|time| *time <= self.now);
            self.collected.last_record = self.collected.last_record.max(last);
        }
        if !appended.is_synced {
            self.warn_of_unsynced(&appended);
        }
        self.collected.files.insert(appended.file.clone());
        self.count_after(new.date(), before, &appended)
    }

    /// They are in the file, so they count; the journal does too, so that a loss of them is found.
    fn warn_of_unsynced(&mut self, Appended { records, file, .. }: &Appended) {
        let warning = format!(
            "the last {records} lines of {file} could not be synced: they are there, and a power cut can take them; \
             `trailkeeper coverage` names what it took"
        );
        tracing::warn!("{warning}");
        self.collected.warnings.push(warning);
    }

    /// Counts what was appended to a day file. If it was cut before that, it has lost what it held.
    fn count_after(&mut self, date: NaiveDate, before: Counted, appended: &Appended) -> Result<(), CollectError> {
        let Some(end) = appended.end else { return Ok(()) };
        let mut counted = Counted {
            lines: before.lines + appended.records,
            bytes: end,
            ..before
        };
        if end < before.bytes + appended.bytes {
            self.lose(date, before);
            counted.lines = self.archive.count_lines(date)?;
        }
        self.journal.note_counted(date, counted);
        Ok(())
    }

    /// Notes that a day file has lost what it held since the run began: the next one asks for that day again.
    fn lose(&mut self, date: NaiveDate, held: Counted) {
        self.journal.note_lost(date, Loss::Shorter, held);
        if let Some(asked) = self.asked() {
            asked.skipped.insert(date);
        }
        let warning = format!("the day file of {date} was cut during the run; the next run asks for that day again");
        tracing::warn!("{warning}");
        self.collected.warnings.push(warning);
    }

    /// Returns what a day file holds before it is written to. If another program has compressed it, a new one begins; if it
    /// was cut since the run began, it has lost what it held.
    fn count_before(&mut self, date: NaiveDate) -> Result<Counted, CollectError> {
        if let Some(counted) = self.journal.counted_in_this_run(date) {
            return Ok(counted);
        }
        let (before, length) = (self.journal.counted_before(date), self.archive.length(date)?);
        let counted = match before {
            Some(counted) if counted.bytes <= length => counted,
            _ => Counted {
                lines: self.archive.count_lines(date)?,
                bytes: length,
                compressed: self.archive.only_compressed(date),
            },
        };
        if let Some(held) = before.filter(|before| before.bytes > length)
            && self.archive.count_packed_lines(date)? < held.all()
        {
            self.lose(date, held);
        }
        self.journal.note_counted(date, counted);
        Ok(counted)
    }

    fn reject(&mut self, records: &[Rejected]) -> Result<(), CollectError> {
        let (noted, is_noted) = Incomplete::split(self.archive.reject(records, self.now));
        self.collected.rejected += noted.records;
        self.collected.repaired += noted.repaired;
        is_noted?;
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
        let oldest = self.collected.asked.iter().map(|asked| asked.from).min();
        self.journal.completed_runs(oldest.unwrap_or(self.now))
    }

    fn end_walk(&mut self, result: Result<(), FetchError>) {
        self.collected.note_end_of_walk(result);
        self.note_resume_points();
        self.collected.end_walk();
    }

    /// Notes where the next run begins to read: only after the walk over what is new, while its days are in memory.
    fn note_resume_points(&mut self) {
        let is_new = self.asked().is_some_and(|asked| asked.purpose == Purpose::New);
        let Some(last) = self.collected.last_record.filter(|_| is_new) else {
            return;
        };
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

    /// Notes in which hours there were records, and compares how long there were none now with how long there ever were none.
    fn note_hours(&mut self) {
        let location = &self.settings.location;
        let mut known = Hours::read(location);
        if known.add_all(&self.hours) {
            let stored = guarded("noting the hours with records", || Ok(known.clone().store(location)?));
            stored.unwrap_or_else(|error| tracing::debug!("the rhythm of the stream is not noted: {error}"));
        }
        let last = self.collected.last_record.filter(|_| self.collected.failure.is_none());
        self.collected.silence = last.and_then(|last| Silence::of(&known, last, self.now));
    }

    /// Returns the result.
    fn end(mut self, mut ending: Ending) -> (Collected, Option<StreamProgress>, RunJournal) {
        self.note_resume_points();
        self.collected.take_ending(&mut ending);
        if self.journal.is_refuted(&self.collected) {
            tracing::warn!("{OTHER_ORDER}");
            self.collected.warnings.push(OTHER_ORDER.to_owned());
        }
        self.collected.claim_nothing_after_the_service(&ending);
        self.settle(ending.left_over);
        self.note_hours();
        (self.collected, Some(self.progress), self.journal)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use chrono::TimeDelta;

    use super::*;
    use crate::archive::DayFile;
    use crate::archive::faulty::{Fault, Faulty};
    use crate::config::{Config, EvidenceSettings, KeySource, StreamPlace};
    use crate::coverage::{End, Entry, Journal, Scope};
    use crate::env::Env;
    use crate::evidence::keeper::Keeper;
    use crate::evidence::seal::SealOptions;
    use crate::fetch::RequestCounts;
    use crate::output::progress::Progress;
    use crate::record::{Form, Record};
    use crate::source::SOURCES;
    use crate::window::{Window, ceil_to_millisecond};

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
            let mut settings = Config::read(&env, SOURCES, &[]).unwrap().streams.remove(0);
            let disk = Faulty::default();
            settings.location = settings.location.on(disk.clone());
            Self {
                folder,
                settings: Arc::new(settings),
                disk,
            }
        }

        fn job(&self) -> WriterJob {
            self.job_at(now())
        }

        fn job_at(&self, now: DateTime<Utc>) -> WriterJob {
            let lock = Lock::acquire(&self.settings.location, now).unwrap();
            WriterJob {
                settings: Arc::clone(&self.settings),
                access: Access::Write(Arc::new(lock)),
                starts_over: false,
                now,
                progress: Progress::hidden().stream("tfc"),
                appended: AppendNotifier::disconnected(),
            }
        }

        /// Returns the number of whole lines in all day files.
        fn lines(&self) -> usize {
            let files = self.settings.location.day_files().unwrap();
            let text = files.iter().map(|file| fs::read_to_string(&file.path).unwrap());
            text.map(|text| text.matches('\n').count()).sum()
        }

        fn files_with_lines(&self) -> BTreeSet<String> {
            let files = self.settings.location.day_files().unwrap();
            let with_lines = files.iter().filter(|file| file.end_of_lines().unwrap() > 0);
            with_lines.map(DayFile::name).collect()
        }

        fn last_in_files(&self) -> Option<DateTime<Utc>> {
            let mut archive = Archive::dry_run(self.settings.location.clone(), self.settings.kind.shape);
            archive.recover(now(), TimeDelta::zero()).unwrap().last
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

    fn plan() -> Step {
        let asked = vec![Asked::new(window(), Purpose::New)];
        let (noted, _) = oneshot::channel();
        Step::Plan { asked, noted }
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
        let mut all = vec![plan(), Step::Begin(0)];
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

    /// A run that is given nothing.
    async fn run(stream: &Stream, now: DateTime<Utc>) -> Collected {
        let (writer, _) = WriterHandle::start(stream.job_at(now)).await;
        let steps = writer.steps();
        for step in [plan(), Step::Begin(0), Step::End(Ok(()))] {
            if steps.send(step).await.is_err() {
                break;
            }
        }
        drop(steps);
        writer.finish(Ending::default()).await.collected
    }

    #[tokio::test]
    async fn what_is_filed_is_counted_and_the_journal_says_so() {
        let stream = Stream::new();
        let collected = file(&stream, 3).await;
        assert!(collected.failure.is_none(), "{collected:?}");
        assert_eq!((collected.appended, stream.lines()), (6, 6));
        assert_eq!(collected.asked[0].covered_to, Some(window().to));
        let entry = stream.entry();
        assert_eq!((entry.appended, entry.requests, entry.end), (6, 7, End::Exhausted));
    }

    #[tokio::test]
    async fn what_comes_for_an_expired_day_is_counted_and_not_kept() {
        let stream = Stream::new();
        file(&stream, 1).await;
        let before = stream.entry();
        let mut expired = before.clone();
        expired.sum.expire("2026-01-03".parse().unwrap());
        Journal::of(&stream.settings.location).append(&expired).unwrap();
        let path = stream.settings.location.day_files().unwrap()[0].path.clone();
        fs::remove_file(path).unwrap();
        let (writer, _) = WriterHandle::start(stream.job()).await;
        let steps = writer.steps();
        for step in [plan(), Step::Begin(0), Step::File(range(1)), Step::End(Ok(()))] {
            steps.send(step).await.unwrap();
        }
        drop(steps);
        let collected = writer.finish(Ending::default()).await.collected;
        assert!(collected.failure.is_none(), "{collected:?}");
        assert_eq!((collected.received, collected.expired, collected.appended), (2, 1, 1));
        assert_eq!(collected.duplicates, 0);
        let entry = stream.entry();
        assert_eq!((entry.expired, entry.expiring.len()), (1, 0));
        assert_eq!(entry.sum.expired_days, expired.sum.expired_days);
        assert_eq!((stream.lines(), entry.sum.lost.len()), (2, 0));
    }

    #[tokio::test]
    async fn the_last_record_is_the_newest_that_is_not_later_than_the_run() {
        let stream = Stream::new();
        let mut range = range(1);
        let later = now() + chrono::TimeDelta::minutes(1);
        let text = format!(r#"{{"id": "later", "timestamp": "{}"}}"#, later.to_rfc3339());
        let tfc = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        range.records.push(Record::read(&text, &tfc.shape).unwrap());
        let at = now() - chrono::TimeDelta::seconds(1);
        let text = text.replace(&later.to_rfc3339(), &at.to_rfc3339());
        range.records[1] = Record::read(&text, &tfc.shape).unwrap();
        let (writer, _) = WriterHandle::start(stream.job()).await;
        writer.steps().send(Step::File(range)).await.unwrap();
        let collected = writer.finish(Ending::default()).await.collected;
        assert_eq!(collected.last_record, Some(at));
    }

    #[tokio::test]
    async fn a_day_file_that_is_cut_during_a_run_is_lost() {
        let stream = Stream::new();
        file(&stream, 3).await;
        for cut_before_the_first in [true, false] {
            let (writer, _) = WriterHandle::start(stream.job()).await;
            let steps = writer.steps();
            let path = stream.settings.location.day_files().unwrap()[0].path.clone();
            let range = |number: u32| Step::File(range(10 + number + u32::from(cut_before_the_first) * 10));
            if !cut_before_the_first {
                steps.send(range(1)).await.unwrap();
                // The second step is taken when the first is done.
                steps.send(plan()).await.unwrap();
                steps.send(plan()).await.unwrap();
            }
            fs::write(&path, "").unwrap();
            steps.send(range(2)).await.unwrap();
            drop(steps);
            writer.finish(Ending::default()).await;
            let lost = stream.entry().sum.lost;
            assert_eq!(lost.len(), 1, "{lost:?}");
        }
    }

    #[tokio::test]
    async fn of_a_feed_whose_count_is_not_met_nothing_is_covered() {
        for is_told_in_the_end in [true, false] {
            let stream = Stream::new();
            let (writer, _) = WriterHandle::start(stream.job()).await;
            let steps = writer.steps();
            for step in [plan(), Step::Begin(0), Step::File(range(1))] {
                steps.send(step).await.unwrap();
            }
            let cause = FetchError::Miscounted { total: 9, given: 2 };
            let mut ending = Ending::default();
            if is_told_in_the_end {
                ending.failure = Some(cause.into());
            } else {
                steps.send(Step::End(Err(cause))).await.unwrap();
            }
            drop(steps);
            let collected = writer.finish(ending).await.collected;
            assert_eq!((collected.appended, collected.asked[0].covered_to), (2, None));
            assert_eq!(stream.entry().sum.covered.spans(), []);
        }
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
        for fault in [Fault::Panic, Fault::Broken(0), Fault::Full(20), Fault::Full(60)] {
            let mut seen = BTreeSet::new();
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
                let lines = stream.lines() as u64;
                // A panic can come between the write of a line and its count.
                let uncounted = u64::from(matches!(fault, Fault::Panic));
                assert!(
                    appended <= lines && lines <= appended + uncounted,
                    "{fault:?} after {after}: {appended} of {lines}"
                );
                if uncounted == 0 {
                    assert_eq!(appended, lines, "{fault:?} after {after}");
                    assert_eq!(collected.files, stream.files_with_lines(), "{fault:?} after {after}");
                    assert_eq!(collected.last_record, stream.last_in_files(), "{fault:?} after {after}");
                }
                seen.insert(appended);
                // If the journal itself cannot be written, the failure says so, and what was to be asked for is a gap.
                let newest = Journal::of(&stream.settings.location).newest().unwrap();
                if let Some(entry) = newest.filter(|entry| entry.end != End::Open) {
                    assert_eq!(entry.appended, appended, "{fault:?} after {after}");
                    // The error can also be in the line itself, after it was written.
                    assert!(entry.end == End::Failed || appended == 6, "{fault:?} after {after}");
                }
            }
            assert!(seen.len() >= 4, "{fault:?}: {seen:?}");
        }
    }

    /// A log that seals everything that it can.
    fn keeper(folder: &std::path::Path) -> (EvidenceSettings, SealOptions) {
        let evidence = EvidenceSettings {
            topic: None,
            witnesses: None,
            folder: folder.join("evidence"),
            origin: "audit.example.org/trails".to_owned(),
            key: Some(KeySource::File(folder.join("key"))),
            credentials: None,
            ssh_agent: None,
            every: TimeDelta::zero(),
            after: TimeDelta::hours(48),
            timestamps: None,
        };
        let options = SealOptions {
            now: now(),
            after: evidence.after,
            every: evidence.every,
            full: true,
        };
        (evidence, options)
    }

    /// Leaves a record pending that no run asks for: the service has long dropped its time.
    fn leave_pending(stream: &Stream, id: &str) {
        let (settings, location) = (&stream.settings, &stream.settings.location);
        let text = format!(r#"{{"id": "{id}", "timestamp": "2025-12-10T00:00:00Z"}}"#);
        let record = Record::read(&text, &settings.kind.shape).unwrap();
        let scope = Scope::of(settings.source.as_ref());
        let (mut pending, _) = Pending::read(location, scope, settings.kind.shape);
        pending.keep([record], now());
        pending.write().unwrap();
    }

    #[tokio::test]
    async fn a_run_that_is_killed_while_it_files_what_nobody_asks_for_leaves_nothing_that_cannot_be_sealed() {
        let mut killed = 0;
        for after in 0.. {
            let (stream, log) = (Stream::new(), tempfile::tempdir().unwrap());
            let place = StreamPlace {
                organization: None,
                kind: stream.settings.kind,
                location: stream.settings.location.clone(),
                keep: None,
            };
            let (evidence, options) = keeper(log.path());
            Keeper::new(&evidence).generate_key(now()).unwrap();
            let seal = || {
                let sealed = Keeper::new(&evidence).seal(std::slice::from_ref(&place), options);
                let streams = sealed.unwrap().streams.into_values();
                streams.flat_map(|stream| stream.problems).collect::<Vec<_>>()
            };
            assert!(run(&stream, now()).await.failure.is_none());
            leave_pending(&stream, "first");
            assert!(run(&stream, now()).await.failure.is_none());
            assert_eq!((stream.lines(), seal()), (1, Vec::new()));
            leave_pending(&stream, "second");
            stream.disk.arm(after, Fault::Killed(usize::MAX));
            let is_through = run(&stream, now() + TimeDelta::minutes(1)).await.failure.is_none();
            stream.disk.restart();
            killed += usize::from(stream.lines() == 2 && !is_through);
            assert!(run(&stream, now() + TimeDelta::minutes(2)).await.failure.is_none());
            assert_eq!((stream.lines(), seal()), (2, Vec::new()), "killed after {after}");
            if is_through {
                break;
            }
        }
        assert!(killed > 0, "never with the line in its file");
    }

    /// Plans, and hands over ranges as long as they are taken; returns how many were, or `None` if the plan was not noted.
    async fn hand_over(steps: StepSender) -> Option<u32> {
        let (noted, is_noted) = oneshot::channel();
        let asked = vec![Asked::new(window(), Purpose::New)];
        steps.send(Step::Plan { asked, noted }).await.ok()?;
        is_noted.await.ok()?;
        steps.send(Step::Begin(0)).await.ok()?;
        for number in 0..3 {
            if steps.send(Step::File(range(number))).await.is_err() {
                return Some(number);
            }
        }
        Some(3)
    }

    #[tokio::test]
    async fn what_was_handed_to_a_writer_that_fails_is_filed_or_pending() {
        let mut kept = 0;
        for after in 0..40 {
            let stream = Stream::new();
            let (writer, recovered) = WriterHandle::start(stream.job()).await;
            recovered.unwrap();
            stream.disk.arm(after, Fault::Full(0));
            let handed_over = hand_over(writer.steps()).await;
            let collected = writer.finish(Ending::default()).await.collected;
            let pending = fs::read_to_string(stream.settings.location.state_file("pending.jsonl")).unwrap_or_default();
            kept += pending.lines().count();
            let files = stream.settings.location.day_files().unwrap().into_iter();
            let filed: String = files.map(|file| fs::read_to_string(&file.path).unwrap()).collect();
            let given = (0..handed_over.unwrap_or(0)).flat_map(|number| [3, 4].map(|day| format!("{day}-{number}")));
            for id in given {
                let is_told = collected
                    .warnings
                    .iter()
                    .any(|warning| warning.contains("could not be kept"));
                assert!(
                    filed.contains(&id) || pending.contains(&id) || is_told,
                    "after {after}: {id}"
                );
            }
        }
        assert!(kept > 0);
    }

    #[tokio::test]
    async fn lines_that_cannot_be_synced_are_counted_with_a_warning() {
        let mut warned = 0;
        for after in 0..40 {
            let stream = Stream::new();
            stream.disk.arm(after, Fault::Broken(0));
            let collected = file(&stream, 1).await;
            stream.disk.restart();
            let mut warnings = collected.warnings.iter();
            if let Some(warning) = warnings.find(|warning| warning.contains("could not be synced")) {
                assert!(warning.contains("the last 1 lines of tfc_2026-01-0"), "{warning}");
                let error = collected.failure.unwrap().to_string();
                assert!(
                    error.contains("cannot sync ") && error.contains("check the disk"),
                    "{error}"
                );
                assert_eq!(collected.appended, stream.lines() as u64);
                warned += 1;
            }
        }
        // The sync of each of two files, and that of each of their names.
        assert_eq!(warned, 4);
    }

    #[tokio::test]
    async fn whoever_fetches_and_is_gone_is_a_failure_and_costs_nothing_that_was_filed() {
        let stream = Stream::new();
        let (writer, _) = WriterHandle::start(stream.job()).await;
        let steps = writer.steps();
        steps.send(plan()).await.unwrap();
        steps.send(Step::Begin(0)).await.unwrap();
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
        assert_eq!(entry.asked[0].covered_to, Some(range(1).done_to));
        assert!(stream.folder.path().exists());
    }
}
