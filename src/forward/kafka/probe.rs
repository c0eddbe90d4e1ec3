//! Whether Kafka would take the lines of these streams, found out without sending one and without making a topic.
//!
//! What a client can ask: which brokers and topics there are, as far as the user may see them, and a producer id. A broker
//! gives one to whoever may write to any topic (since Kafka 2.8, KIP-679; before that it is a right of its own). Whether
//! the user may write to a certain topic it tells in `DescribeTopics` only, which the binding of librdkafka does not have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{base_config, explain};
use crate::config::KafkaSettings;

/// How long one request for metadata may wait before it is looked whether that makes sense still.
const TURN: Duration = Duration::from_millis(250);

/// What a broker said.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// How many brokers the cluster has; 0 where none could be reached.
    pub(crate) brokers: usize,
    /// Why lines would not be taken, in sentences.
    pub(crate) problems: Vec<String>,
    /// The topic of each stream; none where no broker could be reached.
    pub(crate) topics: Vec<TopicProbe>,
    /// What could not be found out, as a sentence.
    pub(crate) notice: Option<&'static str>,
}

/// What a broker said of a stream's topic.
#[derive(Debug)]
pub(crate) struct TopicProbe {
    /// The stream.
    pub(crate) stream: &'static str,
    /// Its topic.
    pub(crate) topic: String,
    /// How many partitions it has.
    pub(crate) partitions: usize,
    /// Why lines for it would not be taken, as a sentence.
    pub(crate) problem: Option<String>,
}

/// Asks the broker. It blocks, up to the time that the settings give Kafka to confirm a line.
#[must_use]
pub(crate) fn probe(settings: &KafkaSettings, streams: &[&'static str]) -> Probe {
    match Prober::new(settings) {
        Ok(prober) => prober.run(streams),
        Err(error) => Probe::failed(format!("the Kafka client cannot be set up: {}", explain(&error))),
    }
}

impl Probe {
    fn failed(problem: String) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }
}

/// A producer that sends nothing.
struct Prober<'a> {
    settings: &'a KafkaSettings,
    producer: ThreadedProducer<Listener>,
    heard: Arc<Mutex<Heard>>,
    deadline: Instant,
}

impl<'a> Prober<'a> {
    fn new(settings: &'a KafkaSettings) -> Result<Self, KafkaError> {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut config = base_config(settings);
        config
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "100");
        // To ask for a producer id with the transactional id would end a forwarder that is at work with it.
        if settings.transactional_id.is_none() {
            config.set("enable.idempotence", "true");
        }
        let listener = Listener { heard: heard.clone() };
        Ok(Self {
            settings,
            producer: ThreadedProducer::from_config_and_context(&config, listener)?,
            heard,
            deadline: Instant::now() + settings.timeout,
        })
    }

    fn run(&self, streams: &[&'static str]) -> Probe {
        let mut probe = Probe::default();
        for stream in streams {
            let topic = self.settings.topic(stream);
            let metadata = match self.metadata(&topic) {
                Ok(metadata) => metadata,
                Err(problem) => return Probe::failed(problem),
            };
            probe.brokers = metadata.brokers().len();
            probe.topics.push(TopicProbe {
                stream,
                partitions: metadata.topics().first().map_or(0, |topic| topic.partitions().len()),
                problem: problem_of(&metadata, &topic),
                topic,
            });
        }
        match self.may_begin_to_write() {
            Ok(notice) => probe.notice = Some(notice),
            Err(problem) => probe.problems.push(problem),
        }
        probe
    }

    /// What the cluster says of a topic; tried until all brokers have failed, or the time is over.
    fn metadata(&self, topic: &str) -> Result<Metadata, String> {
        loop {
            match self.producer.client().fetch_metadata(Some(topic), TURN) {
                Ok(metadata) => return Ok(metadata),
                Err(_) if self.heard().are_all_down || Instant::now() >= self.deadline => {
                    return Err(self.unreachable());
                }
                Err(error) => tracing::debug!("no metadata yet: {}", explain(&error)),
            }
            // It returns at once as long as there is no connection.
            #[expect(clippy::disallowed_methods, reason = "a thread that may block")]
            thread::sleep(TURN / 5);
        }
    }

    fn unreachable(&self) -> String {
        let server = &self.settings.server;
        let (code, reason) = match self.heard().error.clone() {
            // A failed handshake is told as a failed transport at times.
            Some((_, reason)) if reason.contains("SSL routines") => (RDKafkaErrorCode::SSL, format!(": {reason}")),
            Some((code, reason)) => (code, format!(": {reason}")),
            None => (RDKafkaErrorCode::BrokerTransportFailure, String::new()),
        };
        match code {
            RDKafkaErrorCode::Authentication => format!(
                "Kafka at {server} refuses the user{reason}; check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and \
                 KAFKA_SASL_MECHANISM"
            ),
            RDKafkaErrorCode::SSL => format!(
                "there is no TLS connection to Kafka at {server}{reason}; check that KAFKA_SSL_CA_CERT holds the authority \
                 of the broker's certificate, and KAFKA_SSL_CLIENT_CERT what the broker trusts, if it wants one"
            ),
            RDKafkaErrorCode::Resolve => {
                format!("the host of Kafka is not known{reason}; check the names in KAFKA_SERVER ({server})")
            }
            _ => format!(
                "Kafka at {server} cannot be reached{reason}; check KAFKA_SERVER, that the broker runs, and that no \
                 firewall is in between; a broker that wants TLS or a password may hang up without a word"
            ),
        }
    }

    /// Waits for a producer id, where that may be asked for; the sentence says what is not known even so.
    fn may_begin_to_write(&self) -> Result<&'static str, String> {
        if self.settings.transactional_id.is_some() {
            return Ok(
                "whether the user may write shows with the first line: asking with KAFKA_TRANSACTIONAL_ID would end a \
                 forwarder that is at work",
            );
        }
        while !self.heard().has_producer_id {
            if let Some((code, reason)) = self.producer.client().fatal_error() {
                return Err(format!(
                    "Kafka at {} lets the user write to no topic: {reason} ({code}); give it the right Write on the topics",
                    self.settings.server
                ));
            }
            if Instant::now() >= self.deadline {
                return Err(format!(
                    "Kafka at {} gave no producer id for {} s; look at the broker's log",
                    self.settings.server,
                    self.settings.timeout.as_secs_f64()
                ));
            }
            #[expect(clippy::disallowed_methods, reason = "a thread that may block")]
            thread::sleep(TURN / 5);
        }
        Ok(
            "the broker lets the user begin to write; whether it may write to each of these topics shows with the first \
             line",
        )
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // A panic while it was held cannot leave it half changed.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn problem_of(metadata: &Metadata, topic: &str) -> Option<String> {
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let code = match found {
        Some(found) => found.error().map(RDKafkaErrorCode::from),
        None => Some(RDKafkaErrorCode::UnknownTopicOrPartition),
    };
    Some(match code {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => format!(
            "there is no topic `{topic}`; create it, or check KAFKA_TOPIC (a broker that makes topics by itself makes it \
             with the first line)"
        ),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            format!("the user may not see the topic `{topic}`; give it the rights Describe and Write on it")
        }
        Some(code) => format!("the broker says of the topic `{topic}`: {code}"),
        None => {
            let mut partitions = found.into_iter().flat_map(|found| found.partitions());
            let broken = partitions.find_map(|partition| Some((partition.id(), partition.error()?)));
            let (id, code) = broken?;
            let code = RDKafkaErrorCode::from(code);
            format!("partition {id} of the topic `{topic}` takes no lines: {code}; look at the brokers of the cluster")
        }
    })
}

/// What the client said so far.
#[derive(Debug, Default)]
struct Heard {
    /// What was said of a connection last.
    error: Option<(RDKafkaErrorCode, String)>,
    /// No broker could be reached.
    are_all_down: bool,
    /// The broker gave a producer id.
    has_producer_id: bool,
}

/// Hears what the producer says.
struct Listener {
    heard: Arc<Mutex<Heard>>,
}

impl Listener {
    fn note(&self, note: impl FnOnce(&mut Heard)) {
        note(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(level = ?level, facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {reason}");
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.note(|heard| match code {
            RDKafkaErrorCode::AllBrokersDown => heard.are_all_down = true,
            code => heard.error = Some((code, reason.to_owned())),
        });
    }

    fn stats(&self, statistics: Statistics) {
        let has_id = statistics.eos.is_some_and(|eos| eos.idemp_state == "Assigned");
        self.note(|heard| heard.has_producer_id |= has_id);
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
