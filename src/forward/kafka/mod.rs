//! The Kafka sink. Only this folder uses librdkafka.
//!
//! This file delivers at least once, in the order of the files: the producer is idempotent, each line is acknowledged
//! by its own delivery report, and after a line that cannot be delivered nothing more is sent, so that no gap appears.
//! `transaction` delivers exactly once, with lines and cursor in one transaction.

mod calls;
mod client;
mod cursor_probe;
mod cursors;
pub(crate) mod fleet;
mod ledger;
mod limits;
mod mock;
mod pool;
mod probe;
mod reports;
mod single;
mod transaction;
mod trouble;
mod verdict;

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use rdkafka::producer::BaseProducer;

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
use limits::Limits;
use reports::Outcome;
use transaction::Transactional;
use verdict::{Verdict, verdict};

pub(crate) use cursor_probe::CursorProbe;
pub(crate) use mock::{MockError, MockKafka};
use pool::Kept;
pub(crate) use pool::Pool;
pub(crate) use probe::{Probe, probe};
pub(crate) use single::send_one;

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
    now: DateTime<Utc>,
    pool: &Pool,
) -> Box<dyn Sink> {
    Box::new(Transactional::new(settings, envelope, shutdown, now, pool))
}

/// Delivers lines at least once.
pub(crate) struct KafkaSink {
    setup: Setup,
    envelope: Envelope,
    session: Session,
    in_flight: VecDeque<InFlight>,
    renewals: u32,
    pool: Pool,
    /// Whether the session is to be given up: lines of it may still arrive.
    is_unsound: bool,
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
}

impl KafkaSink {
    /// Creates the sink for the topic of a stream. It goes on with the session of the round before, if there is one.
    ///
    /// # Errors
    /// If the client cannot be set up.
    pub(crate) fn new(
        settings: &KafkaSettings,
        envelope: &Envelope,
        shutdown: &Shutdown,
        now: DateTime<Utc>,
        pool: &Pool,
    ) -> Result<Self, SinkError> {
        let kept = pool.take(envelope.name(), shutdown);
        let (session, limits) = kept.map(|kept| (kept.session, kept.limits.at(now))).unzip();
        let setup = Setup {
            topic: settings.topic(envelope.stream),
            settings: settings.clone(),
            transactional_id: None,
            limits: limits.unwrap_or_else(|| Limits::new(now)),
            shutdown: shutdown.clone(),
        };
        Ok(Self {
            session: session.map_or_else(|| setup.session(), Ok)?,
            setup,
            envelope: envelope.clone(),
            in_flight: VecDeque::new(),
            renewals: 0,
            pool: pool.clone(),
            is_unsound: false,
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
        // While each line has a request to itself, the others wait.
        let count = if self.setup.limits.is_singly() {
            1
        } else {
            self.in_flight.len()
        };
        for out in self.in_flight.iter_mut().take(count) {
            out.send(&mut self.session, &self.envelope, &mut self.setup.limits);
        }
    }

    /// Learns from the failures of the oldest batch, and sends everything again that is not acknowledged.
    ///
    /// Refused lines are fatal to a producer, since a gap would break the order of lines: another one goes on.
    fn learn(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        let Some(out) = self.in_flight.front() else {
            return Ok(());
        };
        let lines = out.batch.lines();
        let failures = outcome.failures.iter();
        let failures: Vec<_> = failures
            .filter_map(|failure| Some((lines.get(out.index_of(failure.number))?, failure.code)))
            .collect();
        let learnt = self.setup.limits.learn(&failures);
        learnt.map_err(|code| self.session.refused(Some(code)))?;
        self.renew()
    }

    /// Handles an oldest batch that was not acknowledged completely; an error is final.
    fn recover(&mut self, outcome: &Outcome) -> Result<(), SinkError> {
        if outcome.is_stalled {
            return Err(self.session.refused(None));
        }
        match verdict(&outcome.failures) {
            Verdict::GiveUp(code) => Err(self.session.refused(Some(code))),
            Verdict::Learn => self.learn(outcome),
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
                out.advance(outcome.done, &self.setup.limits, undelivered_file)?;
            }
            if outcome.taken > 0 {
                self.renewals = 0;
                self.setup.limits.accept_some();
            }
            if outcome.is_good() {
                return Ok(());
            }
            self.recover(&outcome)?;
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
        };
        out.send(&mut self.session, &self.envelope, &mut self.setup.limits);
        self.in_flight.push_back(out);
    }

    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck {
        let mut failure = self.acknowledge_oldest(undelivered_file).err();
        let out = self.in_flight.pop_front();
        if failure.is_none() && self.setup.limits.end_singly() {
            failure = self.renew().err();
        }
        let (batch, done) = out.map_or_else(Default::default, |out| (out.batch, out.done));
        self.is_unsound |= failure.is_some();
        BatchAck { batch, done, failure }
    }

    fn end(self: Box<Self>) {
        if self.is_unsound || !self.in_flight.is_empty() {
            return;
        }
        let kept = Kept {
            session: self.session,
            limits: self.setup.limits,
            cursor: None,
        };
        self.pool.keep(self.envelope.name(), kept);
    }
}

impl InFlight {
    fn send(&mut self, session: &mut Session, envelope: &Envelope, limits: &mut Limits) {
        self.sent_from = self.done;
        self.first = session.send(envelope, &self.batch, &self.batch.lines()[self.sent_from..], limits);
    }

    /// Marks this many of the lines sent in this session as done.
    fn advance(&mut self, done: usize, limits: &Limits, undelivered_file: &mut Undelivered) -> Result<(), SinkError> {
        let done = self.sent_from + done;
        limits.keep_refused(&self.batch, &self.batch.lines()[self.done..done], undelivered_file)?;
        self.done = done;
        Ok(())
    }

    fn index_of(&self, number: usize) -> usize {
        self.sent_from + number.saturating_sub(self.first)
    }
}
