//! The writer of a stream in a fleet: it keeps completed ranges in Kafka, each with the state after it in one transaction.
//!
//! It takes the steps that the writer of day files takes (`run/steps.rs`), by the same rules:
//!
//! - A duplicate is known by its content; a record with the id and the time of one that was kept, and other fields, is a revision.
//! - What is asked for stands in the state that is committed with the first record that is newer, so a gap is named no later than what
//!   follows it. Only where a run reaches further back than any before is that committed first.
//! - What contradicts itself run after run is filed as given, and named as unproved before.
//! - What cannot be filed, a record that the broker will never take, and revisions go to a topic of their own, in the same transaction: who
//!   reads an audit topic finds records there, each once, whatever headers they look at.
//!
//! What is left over, since no range was completed, is not kept: the next run asks for it again, as does another member.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::committer::{BucketClient, BucketGone};
use super::identities::{Identities, Pair, Verdict, hour_of};
use super::message::Messages;
use super::state::{StreamState, key_of_part};
use crate::config::{Limits, StreamSettings};
use crate::coverage::{Asked, End, Entry, Scope, Sum, asked};
use crate::fetch::walk::CompletedRange;
use crate::forward::kafka::fleet::Outgoing;
use crate::record::{Anchor, Record, Rejected};
use crate::run::steps::{Ending, Recovered, Step};
use crate::run::{CollectError, Collected};
use crate::source::{Paging, Retention};
use crate::window::TICK;

/// What a transaction holds of one stream: so many records, or so many bytes of them.
const MOST_RECORDS: usize = if cfg!(test) { 100 } else { 10_000 };
const MOST_BYTES: usize = 8 << 20;

/// Completed ranges wait for so long for the next step, which goes into the same transaction.
const HOLD: Duration = Duration::from_millis(300);

/// Without anything new, the state is written again after this time.
const BEAT: TimeDelta = TimeDelta::minutes(10);

/// How much further back than what is asked for identities are kept: ranges overlap, and services round bounds.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// How many records from before the overlap are kept, to join what is given to what is known.
const MOST_BELOW: usize = 8;

/// What a member knows of a stream.
pub(super) struct Known {
    pub(super) state: StreamState,
    pub(super) identities: Identities,
    /// The newest records that were kept, back to the overlap.
    recent: Vec<Anchor>,
    /// When the state was written; `None` if it never was.
    written_at: Option<DateTime<Utc>>,
    /// What of the last run as it was written is to be seen at once if it changes.
    written: Visible,
}

/// What others are to see of a run, and not only after a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Visible {
    error: Option<String>,
    gaps: usize,
    asked_from: Option<DateTime<Utc>>,
    config: String,
}

impl Known {
    /// Goes on from what was read; from nothing if the stream was never collected.
    pub(super) fn of(state: Option<StreamState>, identities: Identities, scope: Scope, now: DateTime<Utc>) -> Self {
        let written_at = state.as_ref().map(|state| state.run.at);
        let state = state.unwrap_or_else(|| StreamState::new(scope, now));
        Self {
            recent: state.below.clone(),
            state,
            identities,
            written_at,
            written: Visible::default(),
        }
    }

    /// Returns what a run begins with. What was covered in another scope does not count.
    fn recovered(&mut self, settings: &StreamSettings, now: DateTime<Utc>) -> Recovered {
        let scope = Scope::of(settings.source.as_ref());
        let difference = scope.difference(&self.state.run.scope);
        let doubt = difference.map(|difference| {
            let first = self.state.run.sum.asked_from.or(self.state.last_record).unwrap_or(now);
            self.state.run.sum = Sum::unknown(first);
            format!("the runs before were of {difference}, so what they covered does not count: everything is asked for again")
        });
        self.state.run.scope = scope;
        let last = self.state.last_record;
        let overlap = settings.limits.overlap;
        let is_below = |anchor: &&Anchor| last.is_some_and(|last| anchor.time < last - overlap);
        Recovered {
            last,
            below: self.recent.iter().filter(is_below).copied().collect(),
            assumptions: self.state.run.sum.assumptions(now),
            stale_date: self.state.run.stale_date(now),
            sum: self.state.run.sum.clone(),
            doubt,
            ..Recovered::default()
        }
    }

    /// Lets go of the newest records but for those that are needed to join what is given next.
    fn forget_recent(&mut self, overlap: TimeDelta) {
        let Some(last) = self.state.last_record else { return };
        self.recent.sort_unstable_by(|one, other| other.cmp(one));
        self.recent.dedup();
        let within = self.recent.partition_point(|anchor| anchor.time >= last - overlap);
        self.recent.truncate(within + MOST_BELOW);
        self.state.below = self.recent[within.min(self.recent.len())..].to_vec();
    }
}

/// Where a stream is kept.
pub(super) struct Place<'a> {
    /// `ORGANIZATION/STREAM`.
    pub(super) name: &'a str,
    pub(super) state_topic: &'a Arc<str>,
    pub(super) bucket: i32,
    /// The version of the member's settings.
    pub(super) config: &'a str,
    pub(super) client: &'a BucketClient,
}

/// What waits for its transaction.
#[derive(Default)]
struct Held {
    records: Vec<Outgoing>,
    bytes: usize,
    /// What is set aside.
    aside: Vec<Outgoing>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.aside.is_empty()
    }

    fn is_full(&self) -> bool {
        self.records.len() >= MOST_RECORDS || self.bytes >= MOST_BYTES
    }
}

/// The writer of one run.
pub(super) struct FleetWriter<'a> {
    known: &'a mut Known,
    settings: &'a StreamSettings,
    place: Place<'a>,
    messages: &'a mut Messages,
    now: DateTime<Utc>,
    /// What all runs before have come to.
    before: Sum,
    last_before: Option<DateTime<Utc>>,
    held: Held,
    collected: Collected,
    is_gone: bool,
}

impl<'a> FleetWriter<'a> {
    /// Creates the writer, and returns what the run begins with.
    pub(super) fn new(
        known: &'a mut Known,
        settings: &'a StreamSettings,
        place: Place<'a>,
        messages: &'a mut Messages,
        now: DateTime<Utc>,
    ) -> (Self, Recovered) {
        let recovered = known.recovered(settings, now);
        let writer = Self {
            before: recovered.sum.clone(),
            last_before: recovered.last,
            known,
            settings,
            place,
            messages,
            now,
            held: Held::default(),
            collected: Collected {
                last_record: recovered.last,
                ..Collected::default()
            },
            is_gone: false,
        };
        (writer, recovered)
    }

    /// Takes steps until there are no more, or nothing can be kept any more.
    pub(super) async fn work(&mut self, mut steps: mpsc::Receiver<Step>) {
        loop {
            let step = if self.held.is_empty() {
                steps.recv().await
            } else {
                match timeout(HOLD, steps.recv()).await {
                    Ok(step) => step,
                    Err(_) => match self.commit(End::Open).await {
                        Ok(()) => continue,
                        Err(BucketGone) => return,
                    },
                }
            };
            let Some(step) = step else { return };
            if let Err(BucketGone) = self.take(step).await {
                return;
            }
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), BucketGone> {
        match step {
            Step::Plan { asked, noted } => {
                self.collected.asked = asked;
                // What is asked for again is known to be a gap by what is not covered.
                if self.entry(End::Open).sum.asked_from != self.before.asked_from {
                    self.commit(End::Open).await?;
                }
                // If nobody waits for it, nothing will be asked for.
                let _ = noted.send(());
            }
            Step::Begin(index) => drop(self.collected.begin_walk(index).cloned()),
            Step::File(range) => self.file(range).await?,
            Step::AsGiven {
                contradiction,
                is_of_all,
                noted,
            } => {
                self.collected.note_as_given(contradiction, is_of_all);
                self.commit(End::Open).await?;
                let _ = noted.send(());
            }
            Step::Lapse => self.collected.note_lapse(),
            Step::End(result) => {
                self.collected.note_end_of_walk(result);
                self.collected.end_walk();
            }
        }
        Ok(())
    }

    /// Files a range, in parts if it is larger than a transaction: each covers what comes before the next one.
    async fn file(&mut self, range: CompletedRange) -> Result<(), BucketGone> {
        self.collected.received += range.received;
        self.collected.left_for_next_run += range.left_for_next_run;
        self.set_aside(range.rejected.into_iter().chain(range.originals));
        let mut records = range.records;
        records.sort_by_cached_key(|record| record.time);
        let verdicts = self.known.identities.verdicts(&records);
        for (record, verdict) in records.into_iter().zip(verdicts) {
            if verdict == Verdict::Duplicate {
                // What was given again is not newer than what is known of it, but for what came without having been counted.
                continue;
            }
            if self.held.is_full() {
                self.cover_to((record.time - TICK).min(range.done_to));
                self.commit(End::Open).await?;
            }
            self.hold(&record, verdict);
        }
        self.cover_to(range.done_to);
        self.count_duplicates();
        Ok(())
    }

    fn count_duplicates(&mut self) {
        let Collected {
            received,
            appended,
            rejected,
            revised,
            ..
        } = self.collected;
        self.collected.duplicates = received.saturating_sub(appended + rejected + revised);
    }

    /// Notes up to where the walk has covered its span.
    fn cover_to(&mut self, to: DateTime<Utc>) {
        if let Some(asked) = self.collected.walking()
            && asked.as_given_from.is_none()
            && asked.from <= to
        {
            asked.covered_to = asked.covered_to.max(Some(to));
        }
    }

    fn hold(&mut self, record: &Record, verdict: Verdict) {
        self.known.identities.add(record.time, Pair::of(record));
        if verdict == Verdict::Revision {
            self.held.aside.extend(self.messages.of_revision(record, self.now));
            self.collected.revised += 1;
            return;
        }
        self.held.bytes += record.line.len();
        self.held.records.push(self.messages.of_record(record));
        self.known.recent.push(Anchor::of(record));
        self.collected.appended += 1;
        let newest = Some(record.time).filter(|time| *time <= self.now);
        self.collected.last_record = self.collected.last_record.max(newest);
    }

    /// Holds what no audit topic can hold, once: it has no time, so it is known by its content, for as long as the records of this hour.
    fn set_aside(&mut self, rejected: impl Iterator<Item = Rejected>) {
        for rejected in rejected {
            if self.known.identities.has_content(rejected.content) {
                continue;
            }
            self.known.identities.add(self.now, Pair::of_content(rejected.content));
            self.held.aside.extend(self.messages.of_rejected(&rejected, self.now));
            match rejected.form {
                crate::record::Form::Original => self.collected.repaired += 1,
                crate::record::Form::Bytes => {
                    self.collected.rejected += 1;
                    self.collected.repaired += 1;
                }
                crate::record::Form::Record => self.collected.rejected += 1,
            }
        }
    }

    /// Commits what is held, with the state after it.
    async fn commit(&mut self, end: End) -> Result<(), BucketGone> {
        let entry = self.entry(end);
        let Held { records, aside, .. } = std::mem::take(&mut self.held);
        let count = records.len() as u64;
        self.known.state.records += count;
        self.known.state.last_record = entry.last_record;
        self.known.state.config = self.place.config.to_owned();
        self.known.forget_recent(self.settings.limits.overlap);
        let reach = reach_of(&self.settings.limits, self.settings.kind.retention, &entry, self.now);
        self.known.identities.forget_before(reach);
        self.known.written = self.visible(&entry);
        self.known.state.run = entry;
        let (key, value) = self.known.state.message(self.place.name);
        let parts = self.known.identities.take_changes().into_iter();
        let parts = parts.map(|(place, value)| (key_of_part(self.place.name, place), value));
        let state = parts.chain([(key, Some(value))]).map(|(key, payload)| Outgoing {
            topic: Arc::clone(self.place.state_topic),
            partition: Some(self.place.bucket),
            key,
            payload,
            time: None,
            headers: Vec::new(),
        });
        let state: Vec<_> = aside.into_iter().chain(state).collect();
        match self.place.client.commit(records, state, self.now).await {
            Ok(refused) => {
                let refused = refused as u64;
                if refused > 0 {
                    tracing::warn!(
                        refused,
                        "records that Kafka will never take were set aside, with the reason"
                    );
                }
                self.collected.appended -= refused;
                self.collected.rejected += refused;
                self.known.written_at = Some(self.now);
                Ok(())
            }
            Err(gone) => {
                // The bucket is read anew before anything else happens with it.
                self.collected.appended -= count;
                self.collected.failure = Some(CollectError::BucketGone);
                self.is_gone = true;
                Err(gone)
            }
        }
    }

    /// Returns the run so far as a line of the journal, with what all runs have come to.
    fn entry(&self, end: End) -> Entry {
        let scope = Scope::of(self.settings.source.as_ref());
        let mut entry = Entry::new(self.now, scope, self.before.clone());
        self.collected.note_in(&mut entry);
        let organization = self.settings.organization;
        entry.organization = organization.map(|organization| organization.name().to_owned());
        entry.overlap_seconds = self.settings.limits.overlap.num_seconds();
        entry.end = end;
        entry.last_before = self.last_before;
        entry.last_record = self.collected.last_record;
        if end == End::Open {
            self.claim_little(&mut entry.asked);
        }
        if let Some(seen) = self.collected.seen() {
            entry.sum.learn(seen, entry.at);
        }
        entry.add_up(self.settings.kind.retention, self.settings.limits.reconcile_reach);
        entry
    }

    /// Claims only what is sure before the run has ended: where the service counts its records, what was filed is proved by the count at
    /// the end; and of its time it is known only that that of its newest record has come.
    fn claim_little(&self, asked: &mut [Asked]) {
        if self.settings.source.paging() == Paging::Numbered {
            let under_way = asked.iter_mut().filter(|asked| !asked.is_done);
            under_way.for_each(|asked| asked.covered_to = None);
        }
        let newest = self.collected.last_record.unwrap_or(DateTime::UNIX_EPOCH);
        asked::claim_nothing_after(asked, newest);
    }

    fn visible(&self, entry: &Entry) -> Visible {
        Visible {
            error: entry.error.clone(),
            gaps: entry.sum.gaps(self.settings.kind.retention, self.now).len(),
            asked_from: entry.sum.asked_from,
            config: self.place.config.to_owned(),
        }
    }

    /// Ends the run: commits what is held, or that something is different now, or that nothing is.
    pub(super) async fn end(mut self, mut ending: Ending) -> Collected {
        if self.is_gone {
            self.collected.request_counts = ending.request_counts;
            return self.collected;
        }
        self.collected.take_ending(&mut ending);
        self.collected.claim_nothing_after_the_service(&ending);
        let left_over = ending.left_over;
        self.set_aside(left_over.rejected.into_iter().chain(left_over.originals));
        let end = match &self.collected.failure {
            Some(CollectError::Stopped) => End::Stopped,
            Some(_) => End::Failed,
            None if self.collected.asked.is_empty() => End::Nothing,
            None => End::Exhausted,
        };
        let entry = self.entry(end);
        self.collected.gaps = Some(entry.gap_counts(self.settings.kind.retention));
        let is_due = self.known.written_at.is_none_or(|written| self.now - written >= BEAT);
        // Whoever takes the bucket over asks for it again: that a run was stopped is nobody's concern.
        let is_to_be_seen = end != End::Stopped && (is_due || self.known.written != self.visible(&entry));
        if !self.held.is_empty() || is_to_be_seen {
            // Its failure says the rest.
            let _ = self.commit(end).await;
        } else {
            self.known.state.run = entry;
        }
        self.collected
    }
}

/// Returns the oldest hour of which a run after this one may be given records again.
pub(super) fn reach_of(limits: &Limits, retention: Retention, entry: &Entry, now: DateTime<Utc>) -> i64 {
    let last = entry.last_record.unwrap_or(now) - limits.overlap;
    let reconciled = limits.reconcile_every.map(|_| now - limits.reconcile_reach);
    let reconciling = entry.sum.reconciling.map(|reconciling| reconciling.from);
    let gaps = entry.sum.gaps(retention, now).into_iter();
    let gaps = gaps.filter(|gap| !gap.is_gone).map(|gap| gap.from - limits.overlap);
    let spans = entry.asked.iter().map(|asked| asked.from);
    let oldest = spans
        .chain(gaps)
        .chain(reconciled)
        .chain(reconciling)
        .fold(last, DateTime::min);
    hour_of(oldest - MARGIN)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::{PartitionBy, fleet_streams};
    use crate::coverage::{Gap, Purpose};
    use crate::env::Env;
    use crate::fetch::FetchError;
    use crate::fleet::committer::memory::{Committed, start};
    use crate::run::steps::StepSender;
    use crate::source::SOURCES;
    use crate::window::Window;

    const STATE: &str = "trails.state";

    fn now() -> DateTime<Utc> {
        "2026-01-05T00:00:00Z".parse().unwrap()
    }

    fn window() -> Window {
        Window::new(now() - TimeDelta::hours(20), now())
    }

    /// So many records a second apart, from `from` seconds after the beginning of the window on.
    fn range(from: i64, count: i64) -> CompletedRange {
        let shape = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap().shape;
        let records = (from..from + count).map(|number| {
            let time = (window().from + TimeDelta::seconds(number)).to_rfc3339();
            Record::read(&format!(r#"{{"id": "{number}", "timestamp": "{time}"}}"#), &shape).unwrap()
        });
        CompletedRange {
            records: records.collect(),
            rejected: Vec::new(),
            originals: Vec::new(),
            received: count as u64,
            left_for_next_run: 0,
            done_to: window().from + TimeDelta::seconds(from + count),
        }
    }

    /// A run over the window that is given these ranges, in a bucket that is gone after so many transactions.
    async fn run(
        before: Committed,
        transactions: usize,
        ranges: Vec<CompletedRange>,
        ending: Ending,
    ) -> (Committed, Collected) {
        let env = Env::from_pairs([("TFC_KAFKA_TOPIC", "tfc"), ("TFC_ORG_TOKEN", "invented")]);
        let stream = fleet_streams(&env, SOURCES).unwrap().remove(0);
        let (client, bucket) = start(before.clone(), transactions);
        let mut state = before.state(STATE);
        let kept = state.streams.remove("/tfc").unwrap_or_default();
        let scope = Scope::of(stream.settings.source.as_ref());
        let mut known = Known::of(kept.state, kept.identities, scope, now());
        let mut messages = Messages::of(&stream, "trails.rejected".into(), (PartitionBy::Stream, false), 1);
        let place = Place {
            name: "/tfc",
            state_topic: &STATE.into(),
            bucket: 0,
            config: "0",
            client: &client,
        };
        let (mut writer, _) = FleetWriter::new(&mut known, &stream.settings, place, &mut messages, now());
        let (sender, steps) = StepSender::channel();
        let walk = async move {
            let (noted, is_noted) = oneshot::channel();
            let asked = vec![Asked::new(window(), Purpose::New)];
            sender.send(Step::Plan { asked, noted }).await.ok()?;
            is_noted.await.ok()?;
            sender.send(Step::Begin(0)).await.ok()?;
            for range in ranges {
                sender.send(Step::File(range)).await.ok()?;
            }
            sender.send(Step::End(Ok(()))).await.ok()
        };
        let (_, ()) = futures::join!(walk, writer.work(steps));
        let collected = writer.end(ending).await;
        drop(client);
        (bucket.await.unwrap(), collected)
    }

    fn gaps(committed: &Committed) -> Vec<Gap> {
        let state = committed.state(STATE).streams.remove("/tfc").unwrap().state.unwrap();
        let tfc = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        state.run.sum.gaps(tfc.retention, now())
    }

    #[tokio::test]
    async fn what_is_asked_for_is_named_first_and_a_range_and_its_end_are_one_transaction() {
        let (committed, collected) = run(Committed::default(), 99, vec![range(0, 3)], Ending::default()).await;
        assert!(collected.failure.is_none(), "{collected:?}");
        let sizes: Vec<_> = committed.records.iter().map(Vec::len).collect();
        assert_eq!((sizes, collected.appended), (vec![0, 3], 3));
        assert_eq!(gaps(&committed), []);
        let (again, collected) = run(committed.clone(), 99, vec![range(0, 3)], Ending::default()).await;
        assert_eq!((collected.appended, collected.duplicates), (0, 3));
        assert_eq!(again.keys(), ["0", "1", "2"]);
    }

    #[tokio::test]
    async fn what_a_bucket_that_is_gone_has_not_committed_is_a_gap_and_no_record_is_lost_or_repeated() {
        // 250 records are three transactions, after the one that names what is asked for.
        for transactions in 0..6 {
            let ranges = || vec![range(0, 250), range(250, 10)];
            let (committed, collected) = run(Committed::default(), transactions, ranges(), Ending::default()).await;
            let kept: usize = committed.records.iter().map(Vec::len).sum();
            assert_eq!(collected.appended, kept as u64, "{transactions}");
            let is_whole = kept == 260 && collected.failure.is_none();
            if transactions > 0 && !is_whole {
                let gap = gaps(&committed).remove(0);
                let covered_to = window().from + TimeDelta::seconds(kept as i64 - 1);
                assert!(
                    gap.from <= window().from.max(covered_to) && gap.to == now(),
                    "{transactions}: {gap:?}"
                );
            }
            let (committed, collected) = run(committed, 99, ranges(), Ending::default()).await;
            assert!(collected.failure.is_none());
            let expected: Vec<_> = (0..260).map(|number| number.to_string()).collect();
            assert!(
                committed.keys() == expected,
                "{transactions}: {} records",
                committed.keys().len()
            );
            assert_eq!(gaps(&committed), []);
        }
    }

    #[tokio::test]
    async fn what_contradicts_itself_is_named_before_it_is_filed_and_stays_a_gap() {
        let env = Env::from_pairs([("TFC_KAFKA_TOPIC", "tfc"), ("TFC_ORG_TOKEN", "invented")]);
        let stream = fleet_streams(&env, SOURCES).unwrap().remove(0);
        let (client, bucket) = start(Committed::default(), 99);
        let scope = Scope::of(stream.settings.source.as_ref());
        let mut known = Known::of(None, Identities::default(), scope, now());
        let mut messages = Messages::of(&stream, "trails.rejected".into(), (PartitionBy::Stream, false), 1);
        let place = Place {
            name: "/tfc",
            state_topic: &STATE.into(),
            bucket: 0,
            config: "0",
            client: &client,
        };
        let (mut writer, _) = FleetWriter::new(&mut known, &stream.settings, place, &mut messages, now());
        let asked = vec![Asked::new(window(), Purpose::New)];
        let (noted, _is_noted) = oneshot::channel();
        assert_eq!(writer.take(Step::Plan { asked, noted }).await, Ok(()));
        assert_eq!(writer.take(Step::Begin(0)).await, Ok(()));
        assert_eq!(writer.take(Step::File(range(0, 2))).await, Ok(()));
        let (noted, is_noted) = oneshot::channel();
        let as_given = Step::AsGiven {
            contradiction: "a record is missing".to_owned(),
            is_of_all: false,
            noted,
        };
        assert_eq!(writer.take(as_given).await, Ok(()));
        assert!(is_noted.await.is_ok());
        let named = writer.known.state.run.asked[0].clone();
        assert_eq!(
            (named.as_given_from, named.is_contradicted),
            (Some(range(0, 2).done_to), true)
        );
        assert_eq!(writer.take(Step::File(range(2, 2))).await, Ok(()));
        assert_eq!(writer.take(Step::End(Ok(()))).await, Ok(()));
        writer.end(Ending::default()).await;
        drop(client);
        let committed = bucket.await.unwrap();
        let sizes: Vec<_> = committed.records.iter().map(Vec::len).collect();
        assert_eq!(sizes, [0, 2, 2]);
        let gap = gaps(&committed).remove(0);
        assert!(gap.unproved.is_some() && gap.to == now(), "{gap:?}");
    }

    #[tokio::test]
    async fn a_failure_is_seen_at_once_and_that_nothing_is_new_is_not_written_each_time() {
        let failed = || Ending {
            failure: Some(FetchError::Endless.into()),
            ..Ending::default()
        };
        let (first, _) = run(Committed::default(), 99, vec![range(0, 1)], Ending::default()).await;
        let (second, _) = run(first.clone(), 99, Vec::new(), failed()).await;
        let error = |committed: &Committed| {
            let state = committed.state(STATE).streams.remove("/tfc").unwrap().state.unwrap();
            state.run.error
        };
        assert_eq!((error(&first), error(&second).is_some()), (None, true));
        let stopped = Ending {
            failure: Some(CollectError::Stopped),
            ..Ending::default()
        };
        let (third, _) = run(first.clone(), 99, Vec::new(), stopped).await;
        assert_eq!(
            third.others.len(),
            first.others.len(),
            "a run that was stopped says nothing"
        );
    }
}
