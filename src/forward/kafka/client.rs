//! Configures librdkafka as a producer that loses nothing, and reads its reports.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use chrono::SecondsFormat;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use secrecy::ExposeSecret;

use super::limits::{Limits, TOO_LARGE};
use super::reports::{Outcome, Reports};
use super::trouble;
use crate::config::{KafkaSettings, PartitionBy};
use crate::env::Secrets;
use crate::forward::batch::{Batch, Line};
use crate::forward::message::{Envelope, Message, header};
use crate::forward::sink::SinkError;
use crate::http::redaction::without_any;
use crate::process::awake::Stopwatch;
use crate::process::shutdown::Shutdown;

/// The first partition of the topic.
pub(super) const FIRST_PARTITION: i32 = 0;

/// How long, and how often, it is waited for the client to let go of what it has reported.
const SHORTLY: Duration = Duration::from_micros(200);
const MOST_WAITS: u32 = 500;

/// Returns the configuration of every client.
pub(super) fn base_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    // That a port may want TLS it says there, and nowhere else.
    config.set_log_level(RDKafkaLogLevel::Info);
    config
        .set("bootstrap.servers", &settings.server)
        .set("client.id", "trailkeeper")
        .set("socket.keepalive.enable", "true")
        // Else the first connection after an outage takes ten seconds.
        .set("reconnect.backoff.max.ms", "2000");
    let (tls, sasl) = (&settings.tls, &settings.sasl);
    config.set(
        "security.protocol",
        match (tls, sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        },
    );
    if let Some(ca_cert) = tls.as_ref().and_then(|tls| tls.ca_cert.as_ref()) {
        config.set("ssl.ca.location", ca_cert.to_string_lossy());
    }
    if let Some((cert, key)) = tls.as_ref().and_then(|tls| tls.client.as_ref()) {
        config
            .set("ssl.certificate.location", cert.to_string_lossy())
            .set("ssl.key.location", key.to_string_lossy());
    }
    if let Some(sasl) = sasl {
        config
            .set("sasl.mechanism", &sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.current().expose_secret());
    }
    for (name, value) in &settings.properties {
        config.set(name, value.expose_secret());
    }
    config
}

/// Returns the configuration of a producer: idempotent, every line acknowledged by all in-sync replicas, no gap after a
/// line that could not be delivered.
pub(super) fn producer_config(settings: &KafkaSettings, transactional_id: Option<&str>) -> ClientConfig {
    let mut config = base_config(settings);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", &settings.compression)
        // Hashes keys as Java producers do.
        .set("partitioner", "murmur2_random")
        // Only a few batches are in flight, so this is rarely reached.
        .set("queue.buffering.max.kbytes", "32768")
        .set("topic.metadata.propagation.max.ms", millis(settings.timeout / 3));
    match transactional_id {
        Some(id) => config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", millis(transaction_timeout(settings))),
        None => config
            .set("enable.gapless.guarantee", "true")
            // The acknowledgement timeout is measured in `Reports`, where waiting in the queue does not count.
            .set("message.timeout.ms", "0"),
    };
    config
}

/// Returns how long the coordinator lets a transaction stay open: the default of clients, or more.
fn transaction_timeout(settings: &KafkaSettings) -> Duration {
    (settings.timeout * 2).clamp(Duration::from_secs(60), Duration::from_secs(900))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Describes an error without the values of settings, which may be secrets.
pub(super) fn explain(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => format!("property `{key}`: {description}"),
        KafkaError::Transaction(error) => format!("{} ({})", error.string(), error.name()),
        other => other
            .rdkafka_error_code()
            .map_or_else(|| other.to_string(), |code| code.to_string()),
    }
}

/// Receives the reports of a producer.
pub(super) struct Context {
    reports: Arc<Reports>,
    secrets: Arc<Secrets>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = without_any(message, &self.secrets.all());
        tracing::debug!(level = ?level, facility, "librdkafka: {message}");
        if let Some(error) = trouble::of_log(&message) {
            self.reports.note_connection_error(error.code, &error.reason);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let reason = without_any(reason, &self.secrets.all());
        tracing::debug!("librdkafka: {reason}");
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.reports.note_connection_error(code, &reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let failure = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        let failure = failure.or_else(|| result.is_err().then_some(RDKafkaErrorCode::Unknown));
        self.reports.report(number, failure);
    }
}

/// What the producers of a stream share.
pub(super) struct Setup {
    pub(super) settings: KafkaSettings,
    pub(super) topic: String,
    /// Without one, lines are delivered at least once.
    pub(super) transactional_id: Option<String>,
    pub(super) limits: Limits,
    pub(super) shutdown: Shutdown,
}

/// A producer until its first fatal error.
pub(super) struct Session {
    pub(super) producer: ThreadedProducer<Context>,
    pub(super) reports: Arc<Reports>,
    /// When it was created.
    pub(super) begun: Instant,
    /// Since the round began.
    pub(super) since: Stopwatch,
    settings: KafkaSettings,
    topic: String,
    transactional_id: Option<String>,
    partition: Option<i32>,
    shutdown: Shutdown,
    next: usize,
    message: Message,
}

impl Setup {
    pub(super) fn session(&self) -> Result<Session, SinkError> {
        self.session_with(&[])
    }

    /// Creates a producer with these properties beside the others.
    pub(super) fn session_with(&self, properties: &[(&str, String)]) -> Result<Session, SinkError> {
        let settings = &self.settings;
        let reports = Arc::new(Reports::new(settings.timeout, self.shutdown.clone()));
        let context = Context {
            reports: reports.clone(),
            secrets: Arc::clone(&settings.secrets),
        };
        let mut config = producer_config(settings, self.transactional_id.as_deref());
        for (name, value) in self.limits.properties() {
            config.set(name, value);
        }
        for (name, value) in properties {
            config.set(*name, value);
        }
        let producer = ThreadedProducer::from_config_and_context(&config, context)
            .map_err(|error| SinkError::Refused(format!("the Kafka client cannot be set up: {}", explain(&error))))?;
        Ok(Session {
            producer,
            reports,
            begun: Instant::now(),
            since: Stopwatch::start(),
            settings: settings.clone(),
            topic: self.topic.clone(),
            transactional_id: self.transactional_id.clone(),
            partition: match settings.partition_by {
                PartitionBy::Stream => Some(FIRST_PARTITION),
                PartitionBy::Key => None,
            },
            shutdown: self.shutdown.clone(),
            next: 0,
            message: Message::default(),
        })
    }
}

impl Session {
    /// Goes on in another round, which ends by this shutdown; returns whether it can.
    pub(super) fn take_up(&mut self, shutdown: &Shutdown) -> bool {
        self.shutdown = shutdown.clone();
        self.since = Stopwatch::start();
        self.reports.take_up(shutdown) && self.fatal().is_none()
    }

    /// Waits until the client has let go of the lines that it has reported, which it does at once: a commit that finds one left
    /// waits for a tenth of a second.
    pub(super) fn let_go(&self) {
        for _ in 0..MOST_WAITS {
            if self.producer.in_flight_count() == 0 {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "the thread of the forwarder")]
            thread::sleep(SHORTLY);
        }
    }

    /// Queues lines; returns the number of the first. Those that will never be taken, and those that are larger than the client
    /// may send, which become such, count as done.
    pub(super) fn send(&mut self, envelope: &Envelope, batch: &Batch, lines: &[Line], limits: &mut Limits) -> usize {
        let first = self.next;
        self.next += lines.len();
        self.reports.expect(first, lines.len());
        for (index, line) in lines.iter().enumerate() {
            if limits.is_refused(line) {
                self.reports.pass(first + index);
                continue;
            }
            match self.offer(envelope, batch, line, first + index, limits.is_untimed(line)) {
                Ok(()) => {}
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    limits.refuse(line, TOO_LARGE);
                    self.reports.pass(first + index);
                }
                Err(code) => {
                    for unsent in index..lines.len() {
                        self.reports.report(first + unsent, Some(code));
                    }
                    break;
                }
            }
        }
        first
    }

    /// Queues one line, with its own time or that of the broker; waits for room as long as the queue moves.
    fn offer(
        &mut self,
        envelope: &Envelope,
        batch: &Batch,
        line: &Line,
        number: usize,
        is_untimed: bool,
    ) -> Result<(), RDKafkaErrorCode> {
        self.message.describe(envelope, line);
        let mut headers = OwnedHeaders::new();
        for (key, value) in self.message.headers(envelope) {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        if is_untimed {
            headers = headers.insert(Header {
                key: header::TIME,
                value: Some(line.time.to_rfc3339_opts(SecondsFormat::Millis, true).as_str()),
            });
        }
        let mut record = BaseRecord::with_opaque_to(&self.topic, number)
            .payload(batch.payload(line))
            .key(self.message.key.as_str())
            .headers(headers);
        // Without one, the client takes the current time.
        record.timestamp = (!is_untimed).then_some(self.message.timestamp);
        record.partition = self.partition;
        // The count of reports when it last changed, and the time of that.
        let mut last_change: Option<(u64, Stopwatch)> = None;
        loop {
            let (error, returned) = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            let reported = self.reports.count();
            let since = match last_change {
                Some((count, since)) if count == reported => since,
                _ => last_change.insert((reported, Stopwatch::start())).1,
            };
            if code != RDKafkaErrorCode::QueueFull || self.reports.should_give_up(&since) {
                return Err(code);
            }
            self.reports.wait_a_moment();
            record = returned;
        }
    }

    /// Waits for the oldest lines in flight.
    pub(super) fn next_ack(&self) -> Outcome {
        self.reports.next_ack()
    }

    /// Returns the error for lines that were not acknowledged.
    pub(super) fn refused(&self, code: Option<RDKafkaErrorCode>) -> SinkError {
        let Some(code) = code.filter(|code| !is_silence(*code)) else {
            return self.silent();
        };
        let error = self.reports.error();
        let error = error.map_or_else(String::new, |error| format!(": {}", error.reason));
        let (server, topic) = (&self.settings.server, &self.topic);
        let advice = self.advice(code);
        SinkError::Refused(match (code, &self.transactional_id) {
            (RDKafkaErrorCode::TransactionalIdAuthorizationFailed, Some(id)) => {
                format!("Kafka at {server} refused the transactional id `{id}`: {code}{error}{advice}")
            }
            _ => format!("Kafka at {server} refused lines for the topic `{topic}`: {code}{error}{advice}"),
        })
    }

    /// Returns the error if nothing is acknowledged, with the advice that `check` has for it.
    fn silent(&self) -> SinkError {
        let server = &self.settings.server;
        let error = self.reports.error();
        let advice = error.as_ref().map(|error| trouble::advice(&self.settings, error));
        let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
        if let Some(reason) = self.reports.refused() {
            return SinkError::Refused(format!("Kafka at {server} cannot be used: {reason}{advice}"));
        }
        if self.shutdown.is_requested() {
            return SinkError::Stopped;
        }
        let seconds = self.settings.timeout.as_secs_f64();
        let error = error.map_or_else(String::new, |error| format!(": {}", error.reason));
        SinkError::Refused(format!(
            "Kafka at {server} acknowledged nothing for {seconds} s{error}{advice}"
        ))
    }

    /// Returns advice about a refusal, as the end of a sentence.
    fn advice(&self, code: RDKafkaErrorCode) -> String {
        let topic = &self.topic;
        match code {
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition => "; create the topic, or check KAFKA_TOPIC".to_owned(),
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                format!("; grant the user the rights Describe and Write on the topic `{topic}`")
            }
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
                "; grant the user the rights Describe and Write on it".to_owned()
            }
            RDKafkaErrorCode::ClusterAuthorizationFailed => {
                format!(
                    "; grant the user the right Write on the topic `{topic}`, and before Kafka 2.8 IdempotentWrite too"
                )
            }
            code if is_authorization(code) => "; grant the user the right to do so".to_owned(),
            _ => String::new(),
        }
    }

    /// Returns the addresses of the brokers that are asked first.
    pub(super) fn server(&self) -> &str {
        &self.settings.server
    }

    /// Returns the fatal error of the producer, if any.
    pub(super) fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.producer.client().fatal_error()
    }
}

/// Whether it only says that nothing was acknowledged.
fn is_silence(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::QueueFull)
}

/// Whether the user lacks a right.
pub(super) fn is_authorization(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}
