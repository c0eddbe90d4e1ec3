//! The Kafka sink. Only this folder uses librdkafka.
//!
//! This file delivers at least once, in the order of the files: the producer is idempotent, each line is acknowledged
//! by its own delivery report, and after a line that cannot be delivered nothing more is sent, so that no gap appears.
//! `transaction` delivers exactly once, with lines and cursor in one transaction.

mod calls;
mod client;
mod cursors;
mod ledger;
mod mock;
mod pool;
mod probe;
mod reports;
mod transaction;

use std::collections::VecDeque;

use rdkafka::producer::BaseProducer;
use rdkafka::types::RDKafkaErrorCode;

use super::batch::Batch;
use super::message::Envelope;
use super::sink::{BatchAck, Sink, SinkError};
use super::undelivered::Undelivered;
use crate::config::{
    KAFKA_PROPERTIES, KAFKA_SASL_MECHANISM, KAFKA_SSL_CA_CERT, KAFKA_SSL_CLIENT_CERT, KAFKA_SSL_CLIENT_KEY,
    KafkaSettings,
};
use crate::env::{ConfigErrors, Row};
use crate::process::shutdown::Shutdown;
use client::{Session, Setup};
use reports::{Failure, Outcome};
use transaction::Transactional;

pub(crate) use mock::{MockError, MockKafka};
pub(crate) use pool::Pool;
pub(crate) use probe::{Probe, probe};

/// Number of batches in flight: enough that the producer need not wait for the last line of one batch before the next,
/// few enough to stay small.
const DEPTH: usize = 8;

/// How many new producers are tried in a row without another line being acknowledged.
const MOST_RENEWALS: u32 = 5;

/// Adds to `errors` the settings that librdkafka or this build cannot use.
pub(crate) fn check(settings: &KafkaSettings, errors: &mut ConfigErrors) {
    const NOT_BUILT: &str = "cannot be used: this program was built without the feature `kafka-tls`";
    if cfg!(not(feature = "kafka-tls")) {
        if settings.tls.is_some() {
            let files = format!("{} and {}", KAFKA_SSL_CA_CERT.name(), KAFKA_SSL_CLIENT_CERT.name());
            errors.add(files, NOT_BUILT);
        }
        if settings
            .sasl
            .as_ref()
            .is_some_and(|sasl| sasl.mechanism.starts_with("SCRAM"))
        {
            errors.add(KAFKA_SASL_MECHANISM.name(), NOT_BUILT);
        }
    }
    let config = client::producer_config(settings, settings.transactional_id.as_deref());
    if errors.is_empty()
        && let Err(error) = config.create::<BaseProducer>()
    {
        let problem = client::explain(&error);
        errors.add(variable_of(&problem), format!("cannot be used: {problem}"));
    }
}

/// Returns the variable for the property that librdkafka names.
fn variable_of(problem: &str) -> String {
    let files = [
        ("ssl.ca.location", &KAFKA_SSL_CA_CERT),
        ("ssl.certificate.location", &KAFKA_SSL_CLIENT_CERT),
        ("ssl.key.location", &KAFKA_SSL_CLIENT_KEY),
    ];
    let named = files.into_iter().find(|(property, _)| problem.contains(property));
    named.map_or_else(|| KAFKA_PROPERTIES.name(), |(_, file)| file.name())
}

/// Creates the sink that commits lines and cursor in one transaction.
#[must_use]
pub(crate) fn transactional(
    settings: &KafkaSettings,
    envelope: &Envelope,
    shutdown: &Shutdown,
    pool: &Pool,
) -> Box<dyn Sink> {
    Box::new(Transactional::new(settings, envelope, shutdown, pool))
}

/// Delivers lines at least once.
pub(crate) struct KafkaSink {
    setup: Setup,
    envelope: Envelope,
    session: Session,
    in_flight: VecDeque<InFlight>,
    renewals: u32,
}

/// A batch in flight.
struct InFlight {
    batch: Batch,
    /// The lines before this one are done: acknowledged, or undelivered.
    done: usize,
    /// The lines from this one on were sent in this session.
    sent_from: usize,
    /// Number of that line in the session.
    first: usize,
    /// Lines that are too large for the client to send.
    too_large: Vec<usize>,
}

/// What to do about lines that were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The broker refused lines as too large, of which this is the last: find out which.
    Isolate {
        /// Its number in the session.
        last: usize,
    },
    /// The producer is unusable: create another.
    Renew,
    /// Only an operator, or time, can help.
    GiveUp(RDKafkaErrorCode),
}

impl KafkaSink {
    /// Creates the sink for the topic of a stream.
    ///
    /// # Errors
    /// If the client cannot be set up.
    pub(crate) fn new(settings: &KafkaSettings, envelope: &Envelope, shutdown: &Shutdown) -> Result<Self, SinkError> {
        let setup = Setup {
            topic: settings.topic(envelope.stream),
            settings: settings.clone(),
            transactional_id: None,
            shutdown: shutdown.clone(),
        };
        Ok(Self {
            session: setup.session()?,
            setup,
            envelope: envelope.clone(),
            in_flight: VecDeque::new(),
            renewals: 0,
        })
    }

    /// Creates a new producer and sends everything again that is not acknowledged.
    fn renew(&mut self) -> Result<(), SinkError> {
        // The old one drops its queue. What it has in flight may still arrive, as a repetition.
        self.session = self.setup.session()?;
        self.send_again();
        Ok(())
    }

    fn send_again(&mut self) {
        for out in &mut self.in_flight {
            out.send(&mut self.session, &self.envelope);
        }
    }

    /// Sends the lines of the oldest batch one by one until it finds the one that is too large for the broker.
    ///
    /// This takes two producers: the refused batch was fatal to the first, since a gap would break the order of lines,
    /// and the refused line is fatal to the second. The third goes on with what follows.
    fn isolate(&mut self, until: usize, undelivered_file: &mut Undelivered) -> Result<(), SinkError> {
        let Some(mut out) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let result = self.send_singly(&mut out, until, undelivered_file);
        self.in_flight.push_front(out);
        result?;
        self.send_again();
        Ok(())
    }

    fn send_singly(
        &mut self,
        out: &mut InFlight,
        until: usize,
        undelivered_file: &mut Undelivered,
    ) -> Result<(), SinkError> {
        self.session = self.setup.session()?;
        while out.done <= until {
            let line = &out.batch.lines()[out.done..=out.done];
            let (_, too_large) = self.session.send(&self.envelope, &out.batch, line);
            let outcome = self.session.next_ack();
            match outcome.failures.first() {
                None if outcome.is_stalled => return Err(self.session.refused(None)),
                None if too_large.is_empty() => {}
                None => out.keep_undelivered(out.done, undelivered_file)?,
                Some(failure) if failure.code == TOO_LARGE => {
                    out.keep_undelivered(out.done, undelivered_file)?;
                    self.session = self.setup.session()?;
                }
                Some(failure) => return Err(self.session.refused(Some(failure.code))),
            }
            out.done += 1;
        }
        Ok(())
    }

    /// Handles an oldest batch that was not acknowledged completely; an error is final.
    fn recover(&mut self, outcome: &Outcome, undelivered_file: &mut Undelivered) -> Result<(), SinkError> {
        if outcome.done > 0 {
            self.renewals = 0;
        }
        if outcome.is_stalled {
            return Err(self.session.refused(None));
        }
        match verdict(&outcome.failures) {
            Verdict::GiveUp(code) => Err(self.session.refused(Some(code))),
            Verdict::Isolate { last } => {
                let until = self.in_flight.front().map_or(0, |out| out.index_of(last));
                self.isolate(until, undelivered_file)
            }
            Verdict::Renew if self.renewals < MOST_RENEWALS => {
                self.renewals += 1;
                let reason = self.session.fatal().map_or_else(String::new, |(_, reason)| reason);
                tracing::warn!("the Kafka producer failed ({reason}): a new one sends again from the cursor");
                self.renew()
            }
            Verdict::Renew => Err(self
                .session
                .refused(outcome.failures.first().map(|failure| failure.code))),
        }
    }

    /// Waits for the oldest batch to be done; after an error its `done` says how far it got.
    fn acknowledge_oldest(&mut self, undelivered_file: &mut Undelivered) -> Result<(), SinkError> {
        loop {
            let outcome = self.session.next_ack();
            if let Some(out) = self.in_flight.front_mut() {
                out.advance(outcome.done, undelivered_file)?;
            }
            if outcome.is_good() {
                self.renewals = 0;
                return Ok(());
            }
            self.recover(&outcome, undelivered_file)?;
        }
    }
}

impl Sink for KafkaSink {
    fn depth(&self) -> usize {
        DEPTH
    }

    fn send(&mut self, batch: Batch) {
        let mut out = InFlight {
            batch,
            done: 0,
            sent_from: 0,
            first: 0,
            too_large: Vec::new(),
        };
        out.send(&mut self.session, &self.envelope);
        self.in_flight.push_back(out);
    }

    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck {
        let failure = self.acknowledge_oldest(undelivered_file).err();
        let out = self.in_flight.pop_front();
        let (batch, done) = out.map_or_else(Default::default, |out| (out.batch, out.done));
        BatchAck { batch, done, failure }
    }
}

impl InFlight {
    fn send(&mut self, session: &mut Session, envelope: &Envelope) {
        self.sent_from = self.done;
        let lines = &self.batch.lines()[self.sent_from..];
        let too_large;
        (self.first, too_large) = session.send(envelope, &self.batch, lines);
        self.too_large = too_large.into_iter().map(|index| self.sent_from + index).collect();
    }

    /// Marks this many of the lines sent in this session as done.
    fn advance(&mut self, done: usize, undelivered_file: &mut Undelivered) -> Result<(), SinkError> {
        let done = self.sent_from + done;
        for index in std::mem::take(&mut self.too_large) {
            if index < done {
                self.keep_undelivered(index, undelivered_file)?;
            }
        }
        self.done = done;
        Ok(())
    }

    fn keep_undelivered(&mut self, index: usize, undelivered_file: &mut Undelivered) -> Result<(), SinkError> {
        undelivered_file.add(&self.batch, &self.batch.lines()[index], "too large for Kafka")?;
        Ok(())
    }

    fn index_of(&self, number: usize) -> usize {
        self.sent_from + number.saturating_sub(self.first)
    }
}

const TOO_LARGE: RDKafkaErrorCode = RDKafkaErrorCode::MessageSizeTooLarge;

/// Codes about the producer, not about the lines.
const PRODUCER_CODES: [RDKafkaErrorCode; 12] = [
    RDKafkaErrorCode::DuplicateSequenceNumber,
    RDKafkaErrorCode::Fatal,
    RDKafkaErrorCode::GaplessGuarantee,
    RDKafkaErrorCode::Inconsistent,
    RDKafkaErrorCode::InvalidProducerEpoch,
    RDKafkaErrorCode::InvalidProducerIdMapping,
    RDKafkaErrorCode::InvalidTransactionalState,
    RDKafkaErrorCode::OutOfOrderSequenceNumber,
    RDKafkaErrorCode::PurgeInflight,
    RDKafkaErrorCode::PurgeQueue,
    RDKafkaErrorCode::State,
    RDKafkaErrorCode::UnknownProducerId,
];

fn verdict(failures: &[Failure]) -> Verdict {
    if let Some(failure) = failures.iter().rev().find(|failure| failure.code == TOO_LARGE) {
        return Verdict::Isolate { last: failure.number };
    }
    match failures.iter().find(|failure| !PRODUCER_CODES.contains(&failure.code)) {
        Some(failure) => Verdict::GiveUp(failure.code),
        None => Verdict::Renew,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_lines_come_before_those_of_the_producer_and_a_large_line_before_all() {
        let failures = |codes: &[RDKafkaErrorCode]| -> Vec<Failure> {
            let numbered = codes.iter().enumerate();
            numbered.map(|(number, code)| Failure { number, code: *code }).collect()
        };
        use RDKafkaErrorCode::{Fatal, OutOfOrderSequenceNumber, TopicAuthorizationFailed};
        for (codes, expected) in [
            (&[OutOfOrderSequenceNumber, Fatal][..], Verdict::Renew),
            (
                &[Fatal, TopicAuthorizationFailed],
                Verdict::GiveUp(TopicAuthorizationFailed),
            ),
            (
                &[TOO_LARGE, TOO_LARGE, Fatal, TopicAuthorizationFailed],
                Verdict::Isolate { last: 1 },
            ),
        ] {
            assert_eq!(verdict(&failures(codes)), expected);
        }
    }
}
