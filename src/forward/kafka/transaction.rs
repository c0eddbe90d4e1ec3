//! Exactly once: lines and cursor are committed in one transaction, and the cursor is read back from Kafka.
//!
//! After a crash of either side the outcome of a transaction can be unknown. `init_transactions` completes or aborts it
//! and fences any other producer with the id. Only then is the cursor read: it says whether the lines are in the topic.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use chrono::Datelike;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Context, Session, Setup, explain, is_authorization};
use super::cursors::{Cursors, Years};
use super::{MOST_RENEWALS, TOO_LARGE, Verdict, ledger, verdict};
use crate::config::KafkaSettings;
use crate::forward::batch::Batch;
use crate::forward::cursor::CursorError;
use crate::forward::day_lines::{DayLines, Days, has_lines};
use crate::forward::message::Envelope;
use crate::forward::position::Positions;
use crate::forward::sink::{BatchAck, LocalCursor, Sink, SinkError};
use crate::forward::undelivered::Undelivered;
use crate::process::shutdown::Shutdown;

/// The wait before a call that can succeed later is repeated.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a call that can be resumed may block.
const SLICE: Duration = Duration::from_millis(500);

/// Delivers lines exactly once, to consumers that read committed messages.
pub(super) struct Transactional {
    setup: Setup,
    envelope: Envelope,
    /// The configured id; the id of the stream begins with it.
    id: String,
    /// The transactional id of the stream.
    stream_id: String,
    session: Option<Session>,
    cursors: Option<Cursors>,
    committed: Positions,
    batch: Batch,
}

/// Why a transaction failed.
#[derive(Debug)]
enum TransactionError {
    /// It must be aborted and can then be retried.
    Abort(SinkError),
    /// The producer is unusable.
    Renew(SinkError),
    /// A line is too large for the broker.
    TooLarge,
    /// Only an operator, or time, can help.
    GiveUp(SinkError),
}

impl From<SinkError> for TransactionError {
    fn from(error: SinkError) -> Self {
        TransactionError::GiveUp(error)
    }
}

impl Transactional {
    pub(super) fn new(settings: &KafkaSettings, envelope: &Envelope, shutdown: &Shutdown) -> Self {
        let id = settings.transactional_id.clone().unwrap_or_default();
        let stream_id = format!("{id}.{}", envelope.stream);
        Self {
            setup: Setup {
                topic: settings.topic(envelope.stream),
                settings: settings.clone(),
                transactional_id: Some(stream_id.clone()),
                shutdown: shutdown.clone(),
            },
            envelope: envelope.clone(),
            id,
            stream_id,
            session: None,
            cursors: None,
            committed: Positions::default(),
            batch: Batch::default(),
        }
    }

    /// Creates a new producer, which fences any other with the id and aborts its open transaction.
    fn begin_session(&mut self) -> Result<(), SinkError> {
        // Drops the old one first, so that it does not count as another program.
        self.session = None;
        let session = self.session.insert(self.setup.session()?);
        let begun = call(session, &self.id, |producer| producer.init_transactions(SLICE));
        begun.map_err(TransactionError::into_error)
    }

    /// Reads the cursor from Kafka.
    fn read_back(&mut self) -> Result<Positions, SinkError> {
        let Some(session) = &self.session else {
            return Err(SinkError::Refused("there is no Kafka producer".into()));
        };
        let (cursors, positions) = Cursors::read(&self.setup.settings, &self.id, &self.stream_id, session)?;
        self.cursors = Some(cursors);
        Ok(positions)
    }

    /// Sends lines of the batch and commits them with the cursor after them, with retries.
    fn deliver(&mut self, lines: Range<usize>, undelivered_file: &mut Undelivered) -> Result<u64, SinkError> {
        let mut after = self.committed.clone();
        after.update(&self.batch.end_of(lines.end));
        let mut tries = 0;
        loop {
            let error = match self.attempt(lines.clone(), &after, undelivered_file) {
                Ok(undelivered) => {
                    self.committed = after;
                    return Ok(undelivered);
                }
                Err(error) => error,
            };
            tries += 1;
            match error {
                TransactionError::GiveUp(error) => {
                    // The coordinator would abort it anyway; if this is quick it spares consumers the wait.
                    if let Some(session) = &self.session {
                        let _ = session.producer.abort_transaction(SLICE);
                    }
                    return Err(error);
                }
                TransactionError::Abort(error) | TransactionError::Renew(error) if tries > MOST_RENEWALS => {
                    return Err(error);
                }
                TransactionError::TooLarge => {
                    self.recover(false)?;
                    return self.split(lines, undelivered_file);
                }
                TransactionError::Abort(error) => self.log_retry(&error).recover(false)?,
                TransactionError::Renew(error) => self.log_retry(&error).recover(true)?,
            }
            if self.has_committed(&after) {
                return Ok(0);
            }
        }
    }

    fn log_retry(&mut self, error: &SinkError) -> &mut Self {
        tracing::warn!("retrying a Kafka transaction: {error}");
        self
    }

    /// Aborts the transaction, or creates a new producer and reads the committed cursor.
    fn recover(&mut self, with_new_producer: bool) -> Result<(), SinkError> {
        if !with_new_producer && self.abort().is_ok() {
            return Ok(());
        }
        self.begin_session()?;
        let read = self.read_back()?;
        self.committed = self.committed.furthest(&read);
        Ok(())
    }

    /// Whether all of this is committed: then a transaction of unknown outcome has succeeded.
    fn has_committed(&self, after: &Positions) -> bool {
        after
            .iter()
            .all(|(day, position)| self.committed.of(day) >= position.offset)
    }

    /// Runs one transaction; returns the number of undelivered lines.
    fn attempt(
        &mut self,
        lines: Range<usize>,
        after: &Positions,
        undelivered_file: &mut Undelivered,
    ) -> Result<u64, TransactionError> {
        let Self {
            session,
            envelope,
            batch,
            ..
        } = self;
        let Some(session) = session else {
            return Err(TransactionError::Renew(SinkError::Refused(
                "there is no Kafka producer".into(),
            )));
        };
        call(session, &self.id, |producer| producer.begin_transaction())?;
        let sent = &batch.lines()[lines.clone()];
        let (_, too_large) = session.send(envelope, batch, sent);
        let outcome = session.next_ack();
        if outcome.is_stalled {
            return Err(TransactionError::GiveUp(session.refused(None)));
        }
        if !outcome.is_good() {
            return Err(error_of_lines(session, &self.id, verdict(&outcome.failures)));
        }
        for index in &too_large {
            let kept = undelivered_file.add(batch, &sent[*index], "too large for Kafka");
            kept.map_err(SinkError::from)?;
        }
        let years: Vec<_> = ledger::years(&batch.end_of(lines.end));
        self.commit(Years::These(&years), after)?;
        Ok(too_large.len() as u64)
    }

    /// Adds the cursor of these years to the open transaction, and commits it.
    fn commit(&self, years: Years<'_>, positions: &Positions) -> Result<(), TransactionError> {
        let (Some(session), Some(cursors)) = (&self.session, &self.cursors) else {
            return Ok(());
        };
        let offsets = cursors.offsets(years, positions)?;
        let timeout = self.setup.settings.timeout;
        call_about(Some(cursors), session, &self.id, |producer| {
            producer.send_offsets_to_transaction(&offsets, cursors.group(), timeout)
        })?;
        call(session, &self.id, |producer| producer.commit_transaction(SLICE))
    }

    fn abort(&self) -> Result<(), TransactionError> {
        match &self.session {
            Some(session) => call(session, &self.id, |producer| producer.abort_transaction(SLICE)),
            None => Ok(()),
        }
    }

    /// A broker that refuses a batch as too large does not say which line it was: tries halves.
    fn split(&mut self, lines: Range<usize>, undelivered_file: &mut Undelivered) -> Result<u64, SinkError> {
        if lines.len() > 1 {
            let middle = lines.start + lines.len() / 2;
            return Ok(self.deliver(lines.start..middle, undelivered_file)?
                + self.deliver(middle..lines.end, undelivered_file)?);
        }
        undelivered_file.add(&self.batch, &self.batch.lines()[lines.start], "too large for Kafka")?;
        // Kafka's cursor passes the line with the next transaction.
        self.committed.update(&self.batch.end_of(lines.end));
        Ok(1)
    }

    /// Sends the whole batch; returns the number of undelivered lines.
    fn send_all(&mut self, undelivered_file: &mut Undelivered) -> Result<u64, SinkError> {
        if self.batch.lines().is_empty() {
            self.committed.update(&self.batch.end);
            return Ok(0);
        }
        self.deliver(0..self.batch.lines().len(), undelivered_file)
    }

    /// Returns the number of committed lines of the batch.
    fn done(&self) -> usize {
        let is_done = |line: &&crate::forward::batch::Line| self.committed.of(line.day) >= line.end();
        self.batch.lines().iter().take_while(is_done).count()
    }
}

impl Sink for Transactional {
    fn restore(&mut self, local: &LocalCursor) -> Result<Option<Positions>, SinkError> {
        self.begin_session()?;
        let mut listed = Days::of(&self.envelope.location).list(..).map_err(CursorError::from)?;
        let mut read = self.read_back()?;
        let mismatches = listed.compare(&mut read, |_| true).map_err(CursorError::from)?;
        let (is_read, is_chosen) = (
            !read.is_empty(),
            matches!(local, LocalCursor::Start { is_chosen: true, .. }),
        );
        let positions = match (CursorError::of_mismatches("kafka", &mismatches), local) {
            (Some(error), LocalCursor::Start { positions, .. }) if is_chosen => {
                tracing::warn!("replacing the cursor in Kafka: {error}");
                positions.clone()
            }
            (Some(error), _) => return Err(error.into()),
            // Both were acknowledged; Kafka's is ahead after a crash, the local one after runs without transactions.
            (None, LocalCursor::Acknowledged(positions)) => read.furthest(positions),
            (None, LocalCursor::Start { positions, .. }) => {
                if is_read && is_chosen {
                    tracing::warn!("--forward-from is ignored because Kafka has a cursor already");
                }
                with_unknown_years(read, positions)
            }
            (None, LocalCursor::Missing) if is_read && !has_older_lines(&listed.days, &read)? => read,
            (None, LocalCursor::Missing) => return Ok(None),
        };
        if is_read || !positions.is_empty() {
            // Offsets of a group without members expire, by default after a week: commit them again.
            self.begin_and_commit(&positions)?;
        }
        self.committed = positions.clone();
        Ok(Some(positions))
    }

    fn send(&mut self, batch: Batch) {
        self.batch = batch;
    }

    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck {
        let result = self.send_all(undelivered_file);
        let done = self.done();
        let batch = std::mem::take(&mut self.batch);
        match result {
            Ok(undelivered) => BatchAck::whole(batch, undelivered),
            Err(failure) => BatchAck {
                batch,
                done,
                undelivered: 0,
                failure: Some(failure),
            },
        }
    }
}

impl Transactional {
    /// Commits the whole cursor, in a transaction without lines.
    fn begin_and_commit(&self, positions: &Positions) -> Result<(), SinkError> {
        if let Some(session) = &self.session {
            let begun = call(session, &self.id, |producer| producer.begin_transaction());
            begun.map_err(TransactionError::into_error)?;
        }
        let committed = self.commit(Years::All, positions);
        committed.map_err(TransactionError::into_error)
    }
}

/// Returns Kafka's positions, and the local ones of the years that Kafka does not know.
fn with_unknown_years(read: Positions, local: &Positions) -> Positions {
    let known = ledger::years(&read);
    let others = local.iter().filter(|(day, _)| !known.contains(&day.year()));
    let mut positions: Positions = others.collect();
    positions.update(&read);
    positions
}

/// Returns whether there are lines of a year that Kafka does not know, before those that it knows: its cursor has expired.
fn has_older_lines(days: &[DayLines], read: &Positions) -> Result<bool, CursorError> {
    let known = ledger::years(read);
    let is_older = |day: &&DayLines| known.last() > Some(&day.date.year()) && !known.contains(&day.date.year());
    let older: Vec<_> = days.iter().filter(is_older).cloned().collect();
    Ok(has_lines(&older)?)
}

impl TransactionError {
    fn into_error(self) -> SinkError {
        match self {
            TransactionError::Abort(error) | TransactionError::Renew(error) | TransactionError::GiveUp(error) => error,
            TransactionError::TooLarge => SinkError::Refused("a line is too large for Kafka".into()),
        }
    }
}

/// Returns what lines that were not delivered mean for their transaction.
fn error_of_lines(session: &Session, id: &str, verdict: Verdict) -> TransactionError {
    if let Some((code, reason)) = session.fatal() {
        return if is_fenced(code) {
            TransactionError::GiveUp(fenced(id, reason))
        } else {
            TransactionError::Renew(SinkError::Refused(reason))
        };
    }
    match verdict {
        Verdict::Isolate { .. } => TransactionError::TooLarge,
        Verdict::GiveUp(code) => TransactionError::GiveUp(session.refused(Some(code))),
        // Something else has failed, and took them with it. The transaction knows what; it cannot be committed any more.
        Verdict::Renew => call(session, id, |producer| producer.commit_transaction(SLICE))
            .err()
            .unwrap_or_else(|| {
                TransactionError::Abort(session.refused(Some(RDKafkaErrorCode::InvalidTransactionalState)))
            }),
    }
}

/// Makes a call of a transaction, and repeats it while it can succeed later.
///
/// A call that waits returns after [`SLICE`] and goes on when repeated, so that giving up is checked in between.
fn call(
    session: &Session,
    id: &str,
    make: impl Fn(&ThreadedProducer<Context>) -> KafkaResult<()>,
) -> Result<(), TransactionError> {
    call_about(None, session, id, make)
}

/// Makes a call that is about the cursor, if there is one.
fn call_about(
    cursors: Option<&Cursors>,
    session: &Session,
    id: &str,
    make: impl Fn(&ThreadedProducer<Context>) -> KafkaResult<()>,
) -> Result<(), TransactionError> {
    let begun = Instant::now();
    loop {
        let error = match make(&session.producer) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
        if !is_retriable || session.reports.should_give_up(begun) {
            return Err(error_of_call(cursors, session, id, &error));
        }
        #[expect(clippy::disallowed_methods, reason = "the thread of the forwarder")]
        thread::sleep(PAUSE);
    }
}

fn error_of_call(cursors: Option<&Cursors>, session: &Session, id: &str, error: &KafkaError) -> TransactionError {
    let fatal = session.fatal();
    let code = error.rdkafka_error_code();
    let forbidden = fatal
        .iter()
        .map(|(code, _)| *code)
        .chain(code)
        .find(|code| is_authorization(*code));
    if let Some(code) = forbidden {
        let refused = cursors.and_then(|cursors| cursors.refused(session.server(), code));
        return TransactionError::GiveUp(refused.unwrap_or_else(|| session.refused(Some(code))));
    }
    if let Some((code, reason)) = &fatal
        && is_fenced(*code)
    {
        return TransactionError::GiveUp(fenced(id, reason.clone()));
    }
    if code.is_some_and(is_fenced) {
        return TransactionError::GiveUp(fenced(id, explain(error)));
    }
    if let KafkaError::Transaction(native) = error {
        if native.code() == TOO_LARGE {
            return TransactionError::TooLarge;
        }
        if native.is_fatal() || fatal.is_some() {
            return TransactionError::Renew(SinkError::Refused(explain(error)));
        }
        if native.txn_requires_abort() {
            return TransactionError::Abort(SinkError::Refused(explain(error)));
        }
        if native.is_retriable() {
            return TransactionError::GiveUp(session.refused(None));
        }
        return TransactionError::GiveUp(SinkError::Refused(explain(error)));
    }
    TransactionError::Abort(SinkError::Refused(explain(error)))
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
}

fn fenced(id: &str, reason: String) -> SinkError {
    SinkError::Fenced {
        id: id.to_owned(),
        reason,
    }
}
