//! The producer of a bucket: one transaction after the other, of messages to any topics, each all or nothing.
//!
//! Its transactional id has one owner: whoever begins with it settles the open transaction of the one before, whose next one is
//! refused. After an error nothing is known of the last transaction, and the producer is done for: what was committed is read back by
//! the next one.

use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::outgoing::Outgoing;
use crate::config::KafkaSettings;
use crate::forward::batch::Line;
use crate::forward::kafka::MOST_RENEWALS;
use crate::forward::kafka::calls::{SLICE, TransactionError, call, is_fenced};
use crate::forward::kafka::client::{Session, Setup};
use crate::forward::kafka::limits::{Lesson, Limits, TOO_LARGE};
use crate::forward::kafka::verdict::{Verdict, verdict};
use crate::forward::message::header;
use crate::forward::sink::SinkError;
use crate::process::awake::Stopwatch;
use crate::process::shutdown::Shutdown;

/// How often something is learnt of the topics in one transaction before that is given up.
const MOST_LESSONS: u32 = 10_000;

/// How long a transaction may be open, at least and at most, in seconds; in between as long as Kafka may confirm nothing. Until then it
/// holds back those who read its partitions, if nobody takes the bucket over.
const OPEN_SECONDS: (u64, u64) = (10, 900);

/// Why a bucket cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    /// Another member has taken it over.
    #[error("another member has taken it over")]
    Fenced,
    /// Kafka cannot be used; the text says why.
    #[error("{0}")]
    Failed(String),
    /// It was to end.
    #[error("stopped on request")]
    Stopped,
}

/// The producer of a bucket.
pub(crate) struct BucketProducer {
    setup: Setup,
    id: String,
    session: Session,
    /// Number of the next message.
    next: usize,
}

impl BucketProducer {
    /// Begins with a transactional id: fences whoever had it, and settles its open transaction. It blocks.
    ///
    /// # Errors
    /// If Kafka cannot be used, or this one was fenced in turn.
    pub(crate) fn begin(
        settings: &KafkaSettings,
        id: String,
        state_topic: &str,
        shutdown: &Shutdown,
        now: DateTime<Utc>,
    ) -> Result<Self, BucketError> {
        let setup = Setup {
            settings: settings.clone(),
            topic: state_topic.to_owned(),
            transactional_id: Some(id.clone()),
            limits: Limits::new(now),
            shutdown: shutdown.clone(),
        };
        let session = session(&setup, &id)?;
        Ok(Self {
            setup,
            id,
            session,
            next: 0,
        })
    }

    /// Commits messages in one transaction. Those of `records` that the broker will never take are left out; `aside` returns what is sent
    /// in the place of each, with the reason. Returns which these are. It blocks.
    ///
    /// # Errors
    /// Nothing is known of the transaction then: the producer is not to be used any more.
    pub(crate) fn commit(
        &mut self,
        records: &[Outgoing],
        state: &[Outgoing],
        now: DateTime<Utc>,
        aside: impl Fn(&Outgoing, &str) -> Vec<Outgoing>,
    ) -> Result<Vec<usize>, BucketError> {
        self.setup.limits = self.setup.limits.clone().at(now);
        let lines = records.iter().enumerate();
        let lines: Vec<_> = lines.map(|(number, record)| record.as_line(number, now)).collect();
        let (mut tries, mut lessons) = (0, 0);
        loop {
            let error = match self.attempt((records, &lines), state, now, &aside) {
                Ok(refused) => break self.end(refused),
                Err(error) => error,
            };
            match error {
                TransactionError::Learnt(lesson) if lessons < MOST_LESSONS => {
                    lessons += 1;
                    self.recover(lesson == Lesson::Batches)?;
                }
                TransactionError::Abort(error) if tries < MOST_RENEWALS && self.fatal().is_none() => {
                    tries += 1;
                    tracing::warn!("retrying a Kafka transaction: {error}");
                    self.recover(false)?;
                }
                error => return Err(self.give_up(error)),
            }
        }
    }

    fn end(&mut self, refused: Vec<usize>) -> Result<Vec<usize>, BucketError> {
        if self.setup.limits.end_singly() {
            self.session = session(&self.setup, &self.id)?;
        }
        Ok(refused)
    }

    /// Aborts the transaction, or begins anew with other batches. Nothing was committed.
    fn recover(&mut self, with_new_producer: bool) -> Result<(), BucketError> {
        if with_new_producer {
            self.session = session(&self.setup, &self.id)?;
            return Ok(());
        }
        let aborted = call(&self.session, &self.id, |producer| producer.abort_transaction(SLICE));
        aborted.map_err(|error| bucket_error(&self.session, error))?;
        self.session.reports.forget();
        Ok(())
    }

    /// Returns why it cannot go on. The coordinator would abort the transaction anyway; if this is quick it spares readers the wait.
    fn give_up(&self, error: TransactionError) -> BucketError {
        if self.fatal().is_none() {
            let _ = self.session.producer.abort_transaction(SLICE);
        }
        bucket_error(&self.session, error)
    }

    fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.session.fatal()
    }

    /// Runs one transaction; returns which records are left out.
    fn attempt(
        &mut self,
        (records, lines): (&[Outgoing], &[Line]),
        state: &[Outgoing],
        now: DateTime<Utc>,
        aside: impl Fn(&Outgoing, &str) -> Vec<Outgoing>,
    ) -> Result<Vec<usize>, TransactionError> {
        call(&self.session, &self.id, |producer| producer.begin_transaction())?;
        let first = self.send(records, lines, Kind::Records)?;
        let refused: Vec<_> = (0..records.len())
            .filter(|number| self.setup.limits.is_refused(&lines[*number]))
            .collect();
        let reason = |number: usize| self.setup.limits.refusal(&lines[number]).unwrap_or_default();
        let in_place = refused
            .iter()
            .flat_map(|number| aside(&records[*number], reason(*number)));
        let rest: Vec<_> = in_place.chain(state.iter().cloned()).collect();
        let rest_lines: Vec<_> = rest
            .iter()
            .enumerate()
            // They are no records: what is learnt of those says nothing of them.
            .map(|(number, message)| message.as_line(records.len() + number, now))
            .collect();
        let first_of_rest = self.send(&rest, &rest_lines, Kind::State)?;
        self.wait(&[(first, lines), (first_of_rest, &rest_lines)])?;
        if rest_lines.iter().any(|line| self.setup.limits.is_refused(line)) {
            return Err(too_large_state());
        }
        self.session.let_go();
        call(&self.session, &self.id, |producer| producer.commit_transaction(SLICE))?;
        Ok(refused)
    }

    /// Queues messages in the open transaction; returns the number of the first.
    fn send(&mut self, messages: &[Outgoing], lines: &[Line], kind: Kind) -> Result<usize, TransactionError> {
        let first = self.next;
        self.next += messages.len();
        self.session.reports.expect(first, messages.len());
        for (index, (message, line)) in messages.iter().zip(lines).enumerate() {
            let number = first + index;
            if self.setup.limits.is_refused(line) {
                if kind == Kind::State {
                    return Err(too_large_state());
                }
                self.session.reports.pass(number);
                continue;
            }
            let is_untimed = message.time.is_none() || self.setup.limits.is_untimed(line);
            match self.offer(message, number, is_untimed) {
                Ok(()) => {}
                Err(RDKafkaErrorCode::MessageSizeTooLarge) if kind == Kind::State => return Err(too_large_state()),
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    self.setup.limits.refuse(line, TOO_LARGE);
                    self.session.reports.pass(number);
                }
                Err(code) => {
                    (number..first + messages.len()).for_each(|unsent| self.session.reports.report(unsent, Some(code)));
                    break;
                }
            }
        }
        Ok(first)
    }

    /// Queues one message; waits for room as long as the queue moves.
    fn offer(&self, message: &Outgoing, number: usize, is_untimed: bool) -> Result<(), RDKafkaErrorCode> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &message.headers {
            let value = Some(value.as_str());
            headers = headers.insert(Header { key, value });
        }
        if let Some(time) = message.time.filter(|_| is_untimed) {
            let value = Some(time.to_rfc3339_opts(SecondsFormat::Millis, true));
            headers = headers.insert(Header {
                key: header::TIME,
                value: value.as_deref(),
            });
        }
        let mut record = BaseRecord::with_opaque_to(&message.topic, number)
            .key(message.key.as_slice())
            .headers(headers);
        record.payload = message.payload.as_deref();
        record.timestamp = message.time.filter(|_| !is_untimed).map(|time| time.timestamp_millis());
        record.partition = message.partition;
        let begun = Stopwatch::start();
        loop {
            let (error, returned) = match self.session.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            if code != RDKafkaErrorCode::QueueFull || self.session.reports.should_give_up(&begun) {
                return Err(code);
            }
            self.session.reports.wait_a_moment();
            record = returned;
        }
    }

    /// Waits until the messages of the open transaction are acknowledged. Each part has the number of its first one.
    fn wait(&mut self, parts: &[(usize, &[Line])]) -> Result<(), TransactionError> {
        let (mut failures, mut of_lines) = (Vec::new(), Vec::new());
        for (first, lines) in parts {
            let outcome = self.session.next_ack();
            if outcome.is_stalled {
                return Err(TransactionError::GiveUp(self.session.refused(None)));
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
        let refused = |code| TransactionError::GiveUp(self.session.refused(Some(code)));
        Err(match verdict(&failures) {
            Verdict::Learn => match self.setup.limits.learn(&of_lines) {
                Ok(lesson) => TransactionError::Learnt(lesson),
                Err(code) => refused(code),
            },
            Verdict::GiveUp(code) => refused(code),
            // Something else has failed, and took them with it. The transaction knows what; it cannot be committed any more.
            Verdict::Renew => call(&self.session, &self.id, |producer| producer.commit_transaction(SLICE))
                .err()
                .unwrap_or_else(|| refused(RDKafkaErrorCode::InvalidTransactionalState)),
        })
    }
}

/// What messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Records,
    /// The state, or what stands for a record: it has to be taken.
    State,
}

fn too_large_state() -> TransactionError {
    TransactionError::GiveUp(SinkError::Refused(
        "Kafka does not take the state of the fleet: give its topic and that of what is rejected a max.message.bytes of 1048588 or \
         more, as brokers do by default"
            .to_owned(),
    ))
}

/// Creates a producer, and begins with its id.
fn session(setup: &Setup, id: &str) -> Result<Session, BucketError> {
    let (least, most) = OPEN_SECONDS;
    let open = setup.settings.timeout.as_secs().clamp(least, most) * 1_000;
    let session = setup.session_with(&[("transaction.timeout.ms", open.to_string())]);
    let session = session.map_err(|error| BucketError::Failed(error.to_string()))?;
    let begun = call(&session, id, |producer| producer.init_transactions(SLICE));
    begun.map_err(|error| bucket_error(&session, error))?;
    Ok(session)
}

/// Returns what an error of a transaction means for its bucket.
fn bucket_error(session: &Session, error: TransactionError) -> BucketError {
    // A member that was stopped is fenced too, whatever else is said of that.
    if session.fatal().is_some_and(|(code, _)| is_fenced(code)) {
        return BucketError::Fenced;
    }
    match error.into_error() {
        SinkError::Fenced { .. } => BucketError::Fenced,
        SinkError::Stopped => BucketError::Stopped,
        error => BucketError::Failed(error.to_string()),
    }
}
