//! librdkafka as it is set up here: a producer that loses nothing, and what it says of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use secrecy::ExposeSecret;

use super::reports::{Outcome, Reports};
use crate::config::{KafkaSettings, PartitionBy};
use crate::forward::batch::{Batch, Line};
use crate::forward::message::{Envelope, Message};
use crate::forward::sink::SinkError;

/// The first partition of the topic.
pub(super) const FIRST_PARTITION: i32 = 0;

/// What every client of ours is configured with.
pub(super) fn base_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.server)
        .set("client.id", "trailkeeper")
        .set("socket.keepalive.enable", "true")
        // After an outage the first connection should not take ten seconds.
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
            .set("sasl.password", sasl.password.expose_secret());
    }
    for (name, value) in &settings.properties {
        config.set(name, value.expose_secret());
    }
    config
}

/// What a producer is configured with: idempotent, every line acknowledged by all replicas in sync, no gap behind a
/// line that could not be delivered.
pub(super) fn producer_config(settings: &KafkaSettings, transactional_id: Option<&str>) -> ClientConfig {
    let mut config = base_config(settings);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", &settings.compression)
        // As Java producers hash their keys.
        .set("partitioner", "murmur2_random")
        // Two batches are out at a time at most, so this bounds a surprise, not the ordinary.
        .set("queue.buffering.max.kbytes", "32768")
        .set("topic.metadata.propagation.max.ms", millis(settings.timeout / 3));
    match transactional_id {
        Some(id) => config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", millis(transaction_timeout(settings))),
        None => config
            .set("enable.gapless.guarantee", "true")
            // How long nothing may be confirmed is measured here, where a long queue does not count.
            .set("message.timeout.ms", "0"),
    };
    config
}

/// How long the coordinator lets a transaction stay open; the default of clients, or more.
fn transaction_timeout(settings: &KafkaSettings) -> Duration {
    (settings.timeout * 2).clamp(Duration::from_secs(60), Duration::from_secs(900))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// What librdkafka says, without the values of settings, which may be secrets.
pub(super) fn explain(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => format!("property `{key}`: {description}"),
        KafkaError::Transaction(error) => format!("{} ({})", error.string(), error.name()),
        other => other
            .rdkafka_error_code()
            .map_or_else(|| other.to_string(), |code| code.to_string()),
    }
}

/// Hears what a producer says.
pub(super) struct Context {
    reports: Arc<Reports>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(level = ?level, facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {reason}");
        // That all brokers are down says less than what was said of each before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) || self.reports.trouble().is_none() {
            self.reports.note_trouble(reason);
        }
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

/// A producer from its making to its first fatal error.
pub(super) struct Session {
    pub(super) producer: ThreadedProducer<Context>,
    pub(super) reports: Arc<Reports>,
    server: String,
    topic: String,
    partition: Option<i32>,
    patience: Duration,
    next: usize,
    message: Message,
}

impl Session {
    pub(super) fn new(
        settings: &KafkaSettings,
        topic: &str,
        transactional_id: Option<&str>,
    ) -> Result<Self, SinkError> {
        let reports = Arc::new(Reports::default());
        let context = Context {
            reports: reports.clone(),
        };
        let config = producer_config(settings, transactional_id);
        let producer = ThreadedProducer::from_config_and_context(&config, context)
            .map_err(|error| SinkError::Refused(format!("the Kafka client cannot be set up: {}", explain(&error))))?;
        Ok(Self {
            producer,
            reports,
            server: settings.server.clone(),
            topic: topic.to_owned(),
            partition: match settings.partition_by {
                PartitionBy::Stream => Some(FIRST_PARTITION),
                PartitionBy::Key => None,
            },
            patience: settings.timeout,
            next: 0,
            message: Message::default(),
        })
    }

    /// Queues lines and gives the number of the first; those that are larger than the client may send are counted as
    /// done and returned, by index.
    pub(super) fn send(&mut self, envelope: &Envelope, batch: &Batch, lines: &[Line]) -> (usize, Vec<usize>) {
        let first = self.next;
        self.next += lines.len();
        self.reports.expect(first, lines.len());
        let mut too_large = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            match self.offer(envelope, batch, line, first + index) {
                Ok(()) => {}
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    too_large.push(index);
                    self.reports.report(first + index, None);
                }
                Err(code) => {
                    for unsent in index..lines.len() {
                        self.reports.report(first + unsent, Some(code));
                    }
                    break;
                }
            }
        }
        (first, too_large)
    }

    /// Queues one line, and waits for room as long as the queue moves.
    fn offer(
        &mut self,
        envelope: &Envelope,
        batch: &Batch,
        line: &Line,
        number: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        self.message.describe(envelope, line);
        let mut headers = OwnedHeaders::new();
        for (key, value) in self.message.headers(envelope) {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut record = BaseRecord::with_opaque_to(&self.topic, number)
            .payload(batch.bytes(line))
            .key(self.message.key.as_str())
            .timestamp(self.message.timestamp)
            .headers(headers);
        record.partition = self.partition;
        let (mut reported, mut since) = (self.reports.count(), Instant::now());
        loop {
            let (error, again) = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            if self.reports.count() != reported {
                (reported, since) = (self.reports.count(), Instant::now());
            }
            if code != RDKafkaErrorCode::QueueFull || since.elapsed() >= self.patience {
                return Err(code);
            }
            self.reports.wait_a_moment();
            record = again;
        }
    }

    /// Waits for the oldest lines that are out.
    pub(super) fn settle(&self) -> Outcome {
        self.reports.settle(self.patience)
    }

    /// The sentence for lines that were not confirmed.
    pub(super) fn refusal(&self, code: Option<RDKafkaErrorCode>) -> SinkError {
        let trouble = self
            .reports
            .trouble()
            .map(|trouble| format!(": {trouble}"))
            .unwrap_or_default();
        let (server, topic) = (&self.server, &self.topic);
        SinkError::Refused(match code {
            None | Some(RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::QueueFull) => {
                let seconds = self.patience.as_secs_f64();
                format!("Kafka at {server} confirmed nothing for {seconds} s{trouble}")
            }
            Some(code) => format!(
                "Kafka at {server} refused lines for the topic `{topic}`: {code}{trouble}{}",
                advice(code)
            ),
        })
    }

    /// Why the producer can be used no more, if that is so.
    pub(super) fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.producer.client().fatal_error()
    }
}

/// What the operator can do about a refusal, as the end of a sentence.
fn advice(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownPartition => "; create the topic, or check KAFKA_TOPIC",
        code if is_authorization(code) => "; give the user the right to do so",
        _ => "",
    }
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
