//! Exactly once: lines and cursor are committed in one transaction, and the cursor is read back from Kafka.
//!
//! A transaction holds several batches, and is committed when they are all on their way. If it fails, each of them has one of
//! its own, which finds out what was wrong.
//!
//! After a crash of either side the outcome of a transaction can be unknown. `init_transactions` completes or aborts it
//! and fences any other producer with the id. Only then is the cursor read: it says whether the lines are in the topic.

use std::collections::VecDeque;
use std::ops::Range;

use chrono::{DateTime, Datelike, Utc};
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;

use super::calls::{SLICE, TransactionError, call, call_about, fenced, is_fenced};
use super::client::{Session, Setup};
use super::cursors::{Committed, Cursors, Years};
use super::limits::{Lesson, Limits};
use super::pool::{Kept, KeptCursor, Pool};
use super::verdict::{Verdict, verdict};
use super::{MOST_RENEWALS, ledger};
use crate::archive::{go_on_as_restored, restored_from};
use crate::config::KafkaSettings;
use crate::forward::archive_id::ArchiveId;
use crate::forward::batch::{Batch, Line};
use crate::forward::cursor::{CursorError, Origin};
use crate::forward::day_lines::{DayLines, Days, has_lines};
use crate::forward::message::Envelope;
use crate::forward::position::Positions;
use crate::forward::sink::{BatchAck, LocalCursor, Sink, SinkError};
use crate::forward::undelivered::Undelivered;
use crate::process::shutdown::Shutdown;

/// How many batches of at most a mebibyte a transaction holds: enough that its commit takes little of its time, few enough to
/// stay small.
const DEPTH: usize = 32;

/// Delivers lines exactly once, to consumers that read committed messages.
pub(super) struct Transactional {
    setup: Setup,
    envelope: Envelope,
    /// When the run began.
    now: DateTime<Utc>,
    /// The configured id; the id of the stream begins with it.
    id: String,
    /// The transactional id of the stream.
    stream_id: String,
    pool: Pool,
    session: Option<Session>,
    cursors: Option<Cursors>,
    committed: Positions,
    /// The batches of the open transaction.
    open: VecDeque<Sent>,
    /// Why the open transaction cannot be committed.
    failure: Option<TransactionError>,
    ready: VecDeque<BatchAck>,
    /// Whether the session is to be given up: its state is not known.
    is_unsound: bool,
}

/// A batch in the open transaction.
struct Sent {
    batch: Batch,
    /// Number of its first line in the session.
    first: usize,
}

impl Transactional {
    pub(super) fn new(
        settings: &KafkaSettings,
        envelope: &Envelope,
        shutdown: &Shutdown,
        now: DateTime<Utc>,
        pool: &Pool,
    ) -> Self {
        let id = settings.transactional_id.clone().unwrap_or_default();
        let stream_id = format!("{id}.{}", envelope.stream);
        Self {
            setup: Setup {
                topic: settings.topic(envelope.stream),
                settings: settings.clone(),
                transactional_id: Some(stream_id.clone()),
                limits: Limits::new(now),
                shutdown: shutdown.clone(),
            },
            now,
            envelope: envelope.clone(),
            id,
            stream_id,
            pool: pool.clone(),
            session: None,
            cursors: None,
            committed: Positions::default(),
            open: VecDeque::new(),
            failure: None,
            ready: VecDeque::new(),
            is_unsound: false,
        }
    }

    /// Goes on with the session of the round before, if there is one; returns what it has committed.
    fn take_up(&mut self) -> Result<Option<Committed>, SinkError> {
        let kept = self.pool.take(self.envelope.name(), &self.setup.shutdown);
        let Some(Kept {
            session,
            limits,
            cursor: Some(KeptCursor { mut cursors, committed }),
        }) = kept
        else {
            return Ok(None);
        };
        cursors.go_on(self.archive()?);
        self.setup.limits = limits.at(self.now);
        self.session = Some(session);
        self.cursors = Some(cursors);
        Ok(Some(Committed {
            positions: committed,
            origin: Origin::This,
        }))
    }

    /// Returns whether the archive was restored, and this run was told to go on. That is said once.
    ///
    /// # Errors
    /// If it was restored and that was not said: a new session would end that of the archive which was copied.
    fn check_restored(&self, local: &LocalCursor) -> Result<bool, SinkError> {
        let location = &self.envelope.location;
        let Some(copy) = restored_from(location).map_err(CursorError::from)? else {
            return Ok(false);
        };
        if local.chosen().is_none() {
            let id = self.id.clone();
            return Err(CursorError::Restored { copy, id }.into());
        }
        go_on_as_restored(location).map_err(CursorError::from)?;
        Ok(true)
    }

    /// Creates a new producer, which fences any other with the id and aborts its open transaction.
    fn begin_session(&mut self) -> Result<(), SinkError> {
        // Drops the old one first, so that it does not count as another program.
        self.session = None;
        let session = self.session.insert(self.setup.session()?);
        let begun = call(session, &self.id, |producer| producer.init_transactions(SLICE));
        begun.map_err(TransactionError::into_error)
    }

    fn session(&self) -> Result<&Session, SinkError> {
        self.session.as_ref().ok_or_else(no_producer)
    }

    /// Reads the cursor from Kafka.
    fn read_back(&mut self) -> Result<Committed, SinkError> {
        let archive = self.archive()?;
        let read = Cursors::read(
            &self.setup.settings,
            &self.id,
            &self.stream_id,
            self.session()?,
            archive,
        );
        let (cursors, committed) = read?;
        self.cursors = Some(cursors);
        Ok(committed)
    }

    fn archive(&self) -> Result<ArchiveId, SinkError> {
        Ok(ArchiveId::of_or_new(&self.envelope.location).map_err(CursorError::from)?)
    }

    /// Sends lines of a batch and commits them with the cursor after them, with retries.
    fn deliver(
        &mut self,
        batch: &Batch,
        lines: Range<usize>,
        undelivered_file: &mut Undelivered,
    ) -> Result<(), SinkError> {
        let mut after = self.committed.clone();
        after.update(&batch.end_of(lines.end));
        for tries in 0.. {
            if self.has_committed(&after) {
                break;
            }
            match self.attempt(batch, lines.clone(), &after, undelivered_file) {
                Ok(()) => break,
                Err(error) => self.prepare_again(error, tries)?,
            }
        }
        self.committed = after;
        if self.setup.limits.end_singly() {
            self.recover(true)?;
        }
        Ok(())
    }

    /// Makes ready for another try, unless that would not help.
    fn prepare_again(&mut self, error: TransactionError, tries: u32) -> Result<(), SinkError> {
        let with_new_producer = matches!(error, TransactionError::Renew(_));
        match error {
            TransactionError::Learnt(lesson) => self.recover(lesson == Lesson::Batches),
            TransactionError::Abort(error) | TransactionError::Renew(error) if tries < MOST_RENEWALS => {
                tracing::warn!("retrying a Kafka transaction: {error}");
                self.recover(with_new_producer)
            }
            error => {
                // The coordinator would abort it anyway; if this is quick it spares consumers the wait.
                if let Some(session) = &self.session {
                    let _ = session.producer.abort_transaction(SLICE);
                }
                Err(error.into_error())
            }
        }
    }

    /// Aborts the transaction, or creates a new producer and reads the committed cursor.
    fn recover(&mut self, with_new_producer: bool) -> Result<(), SinkError> {
        let session = self.session()?;
        if !with_new_producer && call(session, &self.id, |producer| producer.abort_transaction(SLICE)).is_ok() {
            session.reports.forget();
            return Ok(());
        }
        self.begin_session()?;
        let read = self.read_back()?;
        self.committed = self.committed.furthest(&read.positions);
        Ok(())
    }

    /// Whether all of this is committed: then a transaction of unknown outcome has succeeded.
    fn has_committed(&self, after: &Positions) -> bool {
        after
            .iter()
            .all(|(day, position)| self.committed.of(day) >= position.offset)
    }

    fn begin(&self) -> Result<(), TransactionError> {
        call(self.session()?, &self.id, |producer| producer.begin_transaction())
    }

    /// Runs one transaction with lines of one batch.
    fn attempt(
        &mut self,
        batch: &Batch,
        lines: Range<usize>,
        after: &Positions,
        undelivered_file: &mut Undelivered,
    ) -> Result<(), TransactionError> {
        self.begin()?;
        let sent = &batch.lines()[lines.clone()];
        let first = self.queue(batch, sent)?;
        self.wait(&[(first, sent)])?;
        self.setup.limits.keep_refused(batch, sent, undelivered_file)?;
        let years = ledger::years(&batch.end_of(lines.end));
        self.commit(Years::These(&years), after)
    }

    /// Queues lines in the open transaction; returns the number of the first.
    fn queue(&mut self, batch: &Batch, lines: &[Line]) -> Result<usize, TransactionError> {
        let Self {
            session,
            envelope,
            setup,
            ..
        } = self;
        let session = session.as_mut().ok_or_else(no_producer)?;
        Ok(session.send(envelope, batch, lines, &mut setup.limits))
    }

    /// Waits until the lines of the open transaction are acknowledged. Each part has the number of its first line.
    fn wait(&mut self, parts: &[(usize, &[Line])]) -> Result<(), TransactionError> {
        let session = self.session.as_ref().ok_or_else(no_producer)?;
        let (mut failures, mut of_lines) = (Vec::new(), Vec::new());
        for (first, lines) in parts {
            let outcome = session.next_ack();
            if outcome.is_stalled {
                return Err(TransactionError::GiveUp(session.refused(None)));
            }
            if outcome.taken > 0 {
                self.setup.limits.accept_some();
            }
            let found = outcome.failures.iter();
            of_lines.extend(found.filter_map(|failure| Some((lines.get(failure.number - first)?, failure.code))));
            failures.extend(outcome.failures);
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(match verdict(&failures) {
            Verdict::Learn => match self.setup.limits.learn(&of_lines) {
                Ok(lesson) => TransactionError::Learnt(lesson),
                Err(code) => TransactionError::GiveUp(session.refused(Some(code))),
            },
            verdict => error_of_lines(session, &self.id, verdict),
        })
    }

    /// Adds the cursor of these years to the open transaction, and commits it.
    fn commit(&self, years: Years<'_>, positions: &Positions) -> Result<(), TransactionError> {
        let (Some(session), Some(cursors)) = (&self.session, &self.cursors) else {
            return Err(no_producer().into());
        };
        let offsets = cursors.offsets(years, positions)?;
        let timeout = self.setup.settings.timeout;
        call_about(Some(cursors), session, &self.id, |producer| {
            producer.send_offsets_to_transaction(&offsets, cursors.group(), timeout)
        })?;
        session.let_go();
        call(session, &self.id, |producer| producer.commit_transaction(SLICE))
    }

    /// Commits the whole cursor, in a transaction without lines.
    fn commit_cursor(&self, positions: &Positions) -> Result<(), SinkError> {
        let committed = self.begin().and_then(|()| self.commit(Years::All, positions));
        committed.map_err(TransactionError::into_error)
    }

    /// Commits the open transaction; acknowledges its batches, up to the first one that could not be delivered.
    fn commit_open(&mut self, undelivered_file: &mut Undelivered) {
        let open = std::mem::take(&mut self.open);
        let mut after = self.committed.clone();
        open.iter().for_each(|sent| after.update(&sent.batch.end));
        let result = match self.failure.take() {
            None => self.complete(&open, &after, undelivered_file),
            Some(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.committed = after;
                self.ready
                    .extend(open.into_iter().map(|sent| BatchAck::whole(sent.batch)));
            }
            Err(error) => self.deliver_each(open, error, undelivered_file),
        }
    }

    fn complete(
        &mut self,
        open: &VecDeque<Sent>,
        after: &Positions,
        undelivered_file: &mut Undelivered,
    ) -> Result<(), TransactionError> {
        let parts: Vec<_> = open.iter().map(|sent| (sent.first, sent.batch.lines())).collect();
        self.wait(&parts)?;
        let mut years = Vec::new();
        for Sent { batch, .. } in open {
            self.setup.limits.keep_refused(batch, batch.lines(), undelivered_file)?;
            years.extend(ledger::years(&batch.end));
        }
        self.commit(Years::These(&years), after)
    }

    /// Delivers each batch of a transaction that failed in one of its own.
    fn deliver_each(&mut self, open: VecDeque<Sent>, error: TransactionError, undelivered_file: &mut Undelivered) {
        let mut prepared = self.prepare_again(error, 0);
        for Sent { batch, .. } in open {
            let lines = 0..batch.lines().len();
            let result = prepared.and_then(|()| self.deliver(&batch, lines, undelivered_file));
            let done = self.done(&batch);
            let failure = result.err();
            self.is_unsound = failure.is_some();
            self.ready.push_back(BatchAck { batch, done, failure });
            if self.is_unsound {
                return;
            }
            prepared = Ok(());
        }
    }

    /// Returns the number of committed lines of the batch.
    fn done(&self, batch: &Batch) -> usize {
        let is_done = |line: &&Line| self.committed.of(line.day) >= line.end();
        batch.lines().iter().take_while(is_done).count()
    }

    /// Adds a batch to the open transaction, or begins one with it; returns the number of its first line.
    fn add(&mut self, batch: &Batch) -> Result<usize, TransactionError> {
        if self.open.is_empty() {
            self.begin()?;
        }
        self.queue(batch, batch.lines())
    }
}

impl Sink for Transactional {
    fn restore(&mut self, local: &LocalCursor) -> Result<Option<Positions>, SinkError> {
        // Until it is done.
        self.is_unsound = true;
        let is_restored = self.check_restored(local)?;
        let taken_up = self.take_up()?;
        let is_new = taken_up.is_none();
        let Committed {
            positions: mut read,
            origin,
        } = match taken_up {
            Some(committed) => committed,
            None => {
                self.begin_session()?;
                self.read_back()?
            }
        };
        let mut listed = Days::of(&self.envelope.location).list(..).map_err(CursorError::from)?;
        let mismatches = read.compare_listed(&mut listed, |_| true).map_err(CursorError::from)?;
        let is_read = !read.is_empty();
        let error = CursorError::of_mismatches("kafka", &mismatches).map(|error| error.with_origin(origin));
        let positions = match (error, local) {
            (Some(error), local) => {
                // What was said let the restored archive go on, and not leave out what the other one has not sent.
                let Some(chosen) = local.chosen().filter(|_| !is_restored) else {
                    return Err(error.into());
                };
                tracing::warn!("replacing the cursor in Kafka: {error}");
                chosen.clone()
            }
            // Both were acknowledged; Kafka's is ahead after a crash, the local one after runs without transactions.
            (None, LocalCursor::Acknowledged { positions, .. }) => {
                if is_read {
                    tell_if_behind(&read, positions);
                }
                read.furthest(positions)
            }
            (None, LocalCursor::Start { positions, .. }) => with_unknown_years(read.clone(), positions),
            (None, LocalCursor::Missing) if is_read && !has_older_lines(&listed.days, &read)? => read.clone(),
            (None, LocalCursor::Missing) => return Ok(None),
        };
        // Offsets of a group without members expire, by default after a week: a new session commits them again.
        if is_new && (is_read || !positions.is_empty()) || !is_new && positions != read {
            self.commit_cursor(&positions)?;
        }
        self.committed = positions.clone();
        self.is_unsound = false;
        Ok(Some(positions))
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn send(&mut self, batch: Batch) {
        let mut first = 0;
        if self.failure.is_none() {
            match self.add(&batch) {
                Ok(number) => first = number,
                Err(error) => self.failure = Some(error),
            }
        }
        self.open.push_back(Sent { batch, first });
    }

    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck {
        if self.ready.is_empty() {
            self.commit_open(undelivered_file);
        }
        let ack = self.ready.pop_front();
        ack.unwrap_or_else(|| BatchAck::whole(Batch::default()))
    }

    fn end(self: Box<Self>) {
        if self.is_unsound || !self.open.is_empty() {
            return;
        }
        if let (Some(session), Some(cursors)) = (self.session, self.cursors) {
            let committed = self.committed;
            let kept = Kept {
                session,
                limits: self.setup.limits,
                cursor: Some(KeptCursor { cursors, committed }),
            };
            self.pool.keep(self.envelope.name(), kept);
        }
    }
}

fn no_producer() -> SinkError {
    SinkError::Refused("there is no Kafka producer".into())
}

/// Returns Kafka's positions, and the local ones of the years that Kafka does not know.
fn with_unknown_years(read: Positions, local: &Positions) -> Positions {
    let known = ledger::years(&read);
    let others = local.iter().filter(|(day, _)| !known.contains(&day.year()));
    let mut positions: Positions = others.collect();
    positions.update(&read);
    positions
}

/// Says so if Kafka's cursor is behind the local one, which it is not by itself.
fn tell_if_behind(read: &Positions, local: &Positions) {
    let mut newest = local.iter().rev();
    if let Some((day, position)) = newest.find(|(day, position)| read.of(*day) < position.offset) {
        tracing::warn!(
            "the cursor in Kafka is behind the one on disk, for {day} at byte {} and not {}: going on from the one on disk, which is \
             right after runs without KAFKA_TRANSACTIONAL_ID; if Kafka has lost records, send them again with --since",
            read.of(day),
            position.offset
        );
    }
}

/// Returns whether there are lines of a year that Kafka does not know, before those that it knows: its cursor has expired.
fn has_older_lines(days: &[DayLines], read: &Positions) -> Result<bool, CursorError> {
    let known = ledger::years(read);
    let is_older = |day: &&DayLines| known.last() > Some(&day.date.year()) && !known.contains(&day.date.year());
    let older: Vec<_> = days.iter().filter(is_older).cloned().collect();
    Ok(has_lines(&older)?)
}

/// Returns what lines that were not delivered mean for their transaction.
fn error_of_lines(session: &Session, id: &str, verdict: Verdict) -> TransactionError {
    if let Some((code, reason)) = session.fatal() {
        return if is_fenced(code) {
            TransactionError::GiveUp(fenced(session, id, reason))
        } else {
            TransactionError::Renew(SinkError::Refused(reason))
        };
    }
    match verdict {
        Verdict::GiveUp(code) => TransactionError::GiveUp(session.refused(Some(code))),
        // Something else has failed, and took them with it. The transaction knows what; it cannot be committed any more.
        Verdict::Learn | Verdict::Renew => call(session, id, |producer| producer.commit_transaction(SLICE))
            .err()
            .unwrap_or_else(|| {
                TransactionError::Abort(session.refused(Some(RDKafkaErrorCode::InvalidTransactionalState)))
            }),
    }
}
