//! What a run writes to the coverage journal: before it asks for anything, while it files, and when it ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};

use super::collected::{CollectError, Collected};
use crate::archive::{Lock, Turn};
use crate::config::StreamSettings;
use crate::coverage::{
    Asked, CompletedRuns, Counted, Counts, End, Entry, Gap, GapCounts, Journal, Loss, LostDay, Pending, Scope,
    Standing, Sum, Unproved, Wanted, asked,
};
use crate::fs::FileError;
use crate::record::Rejected;

/// After this much time what was filed is noted, so that a killed run leaves no more than that to ask for again.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// After so many lines one has the counts of all day files, so that no more has to be read.
const LINES_BETWEEN_COUNTS: usize = 64;

/// The journal of a stream, for one run.
pub(super) struct RunJournal {
    journal: Journal,
    settings: Arc<StreamSettings>,
    scope: Scope,
    /// The lock under which lines are written; none are in a dry run.
    lock: Option<Arc<Lock>>,
    /// When the run began.
    at: DateTime<Utc>,
    started: Instant,
    noted: Instant,
    /// The sum of the runs before, and when the last of them began.
    before: Sum,
    before_at: Option<DateTime<Utc>>,
    /// What the day files held before, and what those hold that this run has written to.
    counts_before: Arc<Counts>,
    counts: Counts,
    lines_without_counts: usize,
    /// Whether it is known what was before: a line that does not know it would hide it.
    is_ready: bool,
    /// The time of the archive's last record before the run.
    last_before: Option<DateTime<Utc>>,
}

impl RunJournal {
    pub(super) fn new(settings: Arc<StreamSettings>, at: DateTime<Utc>, lock: Option<Arc<Lock>>) -> Self {
        let now = Instant::now();
        Self {
            journal: Journal::of(&settings.location),
            scope: Scope::of(settings.source.as_ref()),
            settings,
            lock,
            at,
            started: now,
            noted: now,
            before: Sum::default(),
            before_at: None,
            counts_before: Arc::default(),
            counts: Counts::new(),
            lines_without_counts: usize::MAX,
            is_ready: false,
            last_before: None,
        }
    }

    /// Returns how the stream stands before the run.
    pub(super) fn standing(&self) -> Result<Standing, FileError> {
        Standing::read_in_turn(
            &self.settings.location,
            Wanted::Scope(&self.scope),
            self.settings.keep,
            self.at,
            Turn::Of(self.at),
        )
    }

    /// Goes on from how the stream stands.
    pub(super) fn go_on_from(&mut self, standing: &Standing) {
        self.before = standing.sum.clone();
        self.before_at = standing.newest.as_ref().map(|newest| newest.at);
        self.counts_before = Arc::clone(&standing.counts);
        self.lines_without_counts = standing.lines_without_counts;
        self.last_before = standing.last_record;
        self.is_ready = true;
    }

    /// Notes the time of the archive's last record.
    pub(super) fn note_last_before(&mut self, last: Option<DateTime<Utc>>) {
        self.last_before = last.or(self.last_before);
    }

    /// Returns what a day file held before the run, if it was counted.
    pub(super) fn counted_before(&self, date: NaiveDate) -> Option<Counted> {
        self.counts_before.get(&date).copied()
    }

    /// Returns what a day file holds that this run has counted.
    pub(super) fn counted_in_this_run(&self, date: NaiveDate) -> Option<Counted> {
        self.counts.get(&date).copied()
    }

    /// Notes that a day file has lost records since it was read: what it held.
    pub(super) fn note_lost(&mut self, date: NaiveDate, loss: Loss, held: Counted) {
        let lost = LostDay::new(loss, held, self.at);
        self.before.lose([(date, lost)].into());
    }

    /// Notes what a day file holds.
    pub(super) fn note_counted(&mut self, date: NaiveDate, counted: Counted) {
        self.counts.insert(date, counted);
    }

    /// Writes what the run is about to ask for.
    pub(super) fn begin(&mut self, collected: &Collected) -> Result<(), CollectError> {
        self.write(self.entry(collected, End::Open))
    }

    /// Writes what is filed, if that was not noted for a while.
    pub(super) fn note_progress(&mut self, collected: &Collected) -> Result<(), CollectError> {
        if self.noted.elapsed() < NOTE_EVERY {
            return Ok(());
        }
        let mut entry = self.entry(collected, End::Open);
        // The service's time is known only at the end; that of its newest record has surely come.
        let newest = collected.last_record.unwrap_or(DateTime::UNIX_EPOCH);
        asked::claim_nothing_after(&mut entry.asked, newest);
        self.write(entry)
    }

    /// Writes to which days pending records are about to be filed that the run does not ask for, so that what it writes there is
    /// known to be its own if it is killed.
    pub(super) fn begin_filing(
        &mut self,
        collected: &Collected,
        days: BTreeSet<NaiveDate>,
    ) -> Result<(), CollectError> {
        let mut entry = self.entry(collected, End::Open);
        entry.filing = days;
        self.write(entry)
    }

    /// Writes how the run ended.
    pub(super) fn end(&mut self, collected: &Collected) -> Result<(), CollectError> {
        self.write(self.entry(collected, end(collected)))
    }

    /// Returns the oldest span that was filed as the service gave it and that it still has, after this run.
    pub(super) fn unproved(&self, collected: &Collected) -> Option<Unproved> {
        let mut entry = self.entry(collected, End::Open);
        let retention = self.settings.kind.retention;
        entry.add_up(retention, self.settings.limits.reconcile_reach);
        let mut unproved = entry.sum.unproved.into_iter();
        unproved.find(|unproved| unproved.to > retention.oldest(self.at))
    }

    /// Counts the gaps after this run; `None` if it is not known what was before.
    pub(super) fn gaps(&self, collected: &Collected) -> Option<GapCounts> {
        let mut entry = self.entry(collected, end(collected));
        self.add_up(&mut entry);
        self.is_ready.then(|| entry.gap_counts(self.settings.kind.retention))
    }

    /// Returns the pending records of its scope, and the lines of their file that cannot be read.
    pub(super) fn pending(&self) -> (Pending, Vec<Rejected>) {
        Pending::read(&self.settings.location, self.scope.clone(), self.settings.kind.shape)
    }

    /// Returns a test whether what happened at a time is still to be filed, by this run or a later one.
    pub(super) fn awaits(&self, collected: &Collected) -> impl Fn(DateTime<Utc>) -> bool + use<> {
        let mut entry = self.entry(collected, End::Open);
        let (retention, at) = (self.settings.kind.retention, self.at);
        entry.add_up(retention, self.settings.limits.reconcile_reach);
        move |time| {
            let is_asked = |asked: &Asked| asked.from <= time && time <= asked.to;
            let is_missed = entry.asked.iter().any(is_asked) && !entry.sum.has_filed(time);
            // What is new begins anew where the archive ends, so it ends there until all of it was read, whatever had been found empty.
            let is_being_read = entry.asked.iter().any(|asked| asked.is_being_read_at(time));
            is_missed || is_being_read || entry.sum.awaits(time, retention, at)
        }
    }

    /// Replaces the pending file, and returns what is to be known of it; a dry run writes nothing.
    pub(super) fn write_pending(&self, pending: &mut Pending) -> Result<Vec<String>, CollectError> {
        let Some(lock) = &self.lock else {
            return Ok(Vec::new());
        };
        lock.check()?;
        pending.write()?;
        Ok(pending.warnings())
    }

    /// Returns the gaps that the service has dropped since the run before; none if nothing was covered then.
    pub(super) fn gone(&self, collected: &Collected) -> Vec<Gap> {
        let is_known = self.is_ready && !self.before.covered.spans().is_empty();
        let Some(before_at) = self.before_at.filter(|_| is_known) else {
            return Vec::new();
        };
        let mut entry = self.entry(collected, end(collected));
        self.add_up(&mut entry);
        let gone = entry.sum.gone_gaps(self.settings.kind.retention, self.at).into_iter();
        gone.filter(|gap| gap.gone_at > before_at).collect()
    }

    /// Returns whether this run has seen the service answer in another order than all before it assumed.
    pub(super) fn is_refuted(&self, collected: &Collected) -> bool {
        collected.seen().is_some_and(|seen| self.before.is_refuted_by(seen))
    }

    /// Returns the complete runs that began at `since` or later.
    pub(super) fn completed_runs(&self, since: DateTime<Utc>) -> CompletedRuns {
        self.journal.completed_runs(since).unwrap_or_else(|error| {
            tracing::warn!("{error}: the lateness of records is less exact");
            CompletedRuns::default()
        })
    }

    fn write(&mut self, mut entry: Entry) -> Result<(), CollectError> {
        let Some(lock) = self.lock.as_ref().filter(|_| self.is_ready) else {
            return Ok(());
        };
        lock.check()?;
        self.add_up(&mut entry);
        entry.has_all_counts = self.lines_without_counts >= LINES_BETWEEN_COUNTS || self.journal.is_full();
        entry.counts = self.counts.clone();
        if entry.has_all_counts {
            let before = self.counts_before.iter().map(|(date, counted)| (*date, *counted));
            entry.counts = before.chain(entry.counts).collect();
        }
        self.journal.append(&entry)?;
        self.lines_without_counts = if entry.has_all_counts {
            0
        } else {
            self.lines_without_counts + 1
        };
        self.noted = Instant::now();
        Ok(())
    }

    /// Adds what the run has come to so far to what was before.
    fn add_up(&self, entry: &mut Entry) {
        entry.add_up(self.settings.kind.retention, self.settings.limits.reconcile_reach);
        let counted = |date| self.counted_in_this_run(date).or(self.counted_before(date));
        entry.sum.forget_what_is_there_again(counted);
    }

    fn entry(&self, collected: &Collected, end: End) -> Entry {
        let mut entry = Entry::new(self.at, self.scope.clone(), self.before.clone());
        entry.organization = self
            .settings
            .organization
            .map(|organization| organization.name().to_owned());
        entry.seconds = self.started.elapsed().as_millis() as f64 / 1_000.0;
        entry.overlap_seconds = self.settings.limits.overlap.num_seconds();
        collected.note_in(&mut entry);
        entry.end = end;
        entry.last_before = self.last_before;
        entry.last_record = collected.last_record.or(self.last_before);
        entry.sum.is_sealed |= self.settings.is_sealed;
        if let Some(seen) = collected.seen() {
            entry.sum.learn(seen, self.at);
        }
        entry
    }
}

fn end(collected: &Collected) -> End {
    match &collected.failure {
        Some(CollectError::Stopped) => End::Stopped,
        Some(_) => End::Failed,
        None if collected.asked.is_empty() => End::Nothing,
        None => End::Exhausted,
    }
}
