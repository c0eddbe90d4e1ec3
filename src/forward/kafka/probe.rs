//! Checks whether Kafka would take the lines of these streams, without sending one and without creating a topic, and where its
//! cursors stand.
//!
//! A client can ask which brokers and topics there are, as far as the user may see them, and for a producer id. A
//! broker gives one to a user that may write to any topic (since Kafka 2.8, KIP-679; before that it is a right of its
//! own). Whether the user may write to one topic, a broker says only in `DescribeTopics`, which the binding of
//! librdkafka does not have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::DateTime;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Setup, base_config, explain};
use super::cursor_probe::{CursorProbe, probe_cursor};
use super::limits::Limits;
use super::reports::ConnectionError;
use super::trouble::{self, Trouble};
use crate::archive::Location;
use crate::config::KafkaSettings;
use crate::env::Secrets;
use crate::http::redaction::without_any;

/// How long one request for metadata may wait before the deadline is checked again.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What the broker said.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// Number of brokers of the cluster; 0 if none could be reached.
    pub(crate) brokers: usize,
    /// Why lines would be refused, in sentences.
    pub(crate) problems: Vec<String>,
    /// The topic of each stream; empty if no broker could be reached.
    pub(crate) topics: Vec<TopicProbe>,
    /// What could not be checked, as a sentence.
    pub(crate) notice: Option<&'static str>,
}

/// What the broker said about the topic of a stream.
#[derive(Debug)]
pub(crate) struct TopicProbe {
    pub(crate) stream: &'static str,
    pub(crate) topic: String,
    pub(crate) partitions: usize,
    /// Why lines would be refused, as a sentence.
    pub(crate) problem: Option<String>,
    /// Where Kafka's cursor stands, exactly once; `None` if there is none, or it was not asked for.
    pub(crate) cursor: Option<CursorProbe>,
}

/// Asks the broker about the topics of streams, and about the cursors of those whose day files are known. This blocks, at most for
/// the acknowledgement timeout of the settings for each question.
#[must_use]
pub(crate) fn probe(settings: &KafkaSettings, streams: &[(&'static str, Option<Location>)]) -> Probe {
    match Prober::new(settings) {
        Ok(prober) => {
            let mut probe = prober.run(streams);
            if let Some(id) = &settings.transactional_id {
                probe.ask_for_cursors(settings, id, streams);
            }
            probe
        }
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

    /// Asks where the cursors stand, with a producer that has no transactional id: with it a running forwarder would end.
    fn ask_for_cursors(&mut self, settings: &KafkaSettings, id: &str, streams: &[(&'static str, Option<Location>)]) {
        let (_trigger, shutdown) = crate::process::shutdown::channel();
        for topic in self.topics.iter_mut().filter(|topic| topic.problem.is_none()) {
            let found = streams.iter().find(|(stream, _)| *stream == topic.stream);
            let Some((stream, Some(location))) = found else {
                continue;
            };
            let setup = Setup {
                settings: settings.clone(),
                topic: topic.topic.clone(),
                transactional_id: None,
                limits: Limits::new(DateTime::UNIX_EPOCH),
                shutdown: shutdown.clone(),
            };
            let asked = setup.session();
            match asked.and_then(|session| probe_cursor(settings, id, stream, location, &session)) {
                Ok(cursor) => topic.cursor = cursor,
                Err(error) => topic.problem = Some(error.to_string()),
            }
        }
    }
}

/// A producer that sends nothing.
struct Prober<'a> {
    settings: &'a KafkaSettings,
    producer: ThreadedProducer<Listener>,
    status: Arc<Mutex<ClientStatus>>,
    deadline: Instant,
}

impl<'a> Prober<'a> {
    fn new(settings: &'a KafkaSettings) -> Result<Self, KafkaError> {
        let status = Arc::new(Mutex::new(ClientStatus::default()));
        let mut config = base_config(settings);
        config
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "100");
        // Asking for a producer id with the transactional id would end a running forwarder that uses it.
        if settings.transactional_id.is_none() {
            config.set("enable.idempotence", "true");
        }
        let listener = Listener {
            status: status.clone(),
            secrets: Arc::clone(&settings.secrets),
        };
        Ok(Self {
            settings,
            producer: ThreadedProducer::from_config_and_context(&config, listener)?,
            status,
            deadline: Instant::now() + settings.timeout,
        })
    }

    fn run(&self, streams: &[(&'static str, Option<Location>)]) -> Probe {
        let mut probe = Probe::default();
        for (stream, _) in streams {
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
                cursor: None,
                topic,
            });
        }
        match self.check_producer_id() {
            Ok(notice) => probe.notice = Some(notice),
            Err(problem) => probe.problems.push(problem),
        }
        probe
    }

    /// Returns the metadata of a topic. Retries until all brokers have failed or the deadline has passed.
    fn metadata(&self, topic: &str) -> Result<Metadata, String> {
        loop {
            match self.producer.client().fetch_metadata(Some(topic), POLL_INTERVAL) {
                Ok(metadata) => return Ok(metadata),
                Err(_) if self.status().are_all_down || Instant::now() >= self.deadline => {
                    return Err(self.unreachable());
                }
                Err(error) => tracing::debug!("no metadata yet: {}", explain(&error)),
            }
            // Without a connection it returns at once.
            #[expect(clippy::disallowed_methods, reason = "a thread that may block")]
            thread::sleep(POLL_INTERVAL / 5);
        }
    }

    fn unreachable(&self) -> String {
        let server = &self.settings.server;
        let error = self.status().error.clone().unwrap_or_else(|| ConnectionError {
            code: RDKafkaErrorCode::BrokerTransportFailure,
            reason: "no answer".to_owned(),
        });
        let what = match Trouble::of(self.settings, &error) {
            Trouble::Login => format!("Kafka at {server} refuses the user"),
            Trouble::Handshake => format!("no TLS connection to Kafka at {server}"),
            Trouble::Name => "the host of Kafka is not known".to_owned(),
            Trouble::TlsPort | Trouble::Other => format!("Kafka at {server} cannot be reached"),
        };
        let advice = trouble::advice(self.settings, &error);
        format!("{what}: {}; {advice}", error.reason)
    }

    /// Waits for a producer id, if it may be asked for. The sentence says what is still unknown.
    fn check_producer_id(&self) -> Result<&'static str, String> {
        if self.settings.transactional_id.is_some() {
            return Ok(
                "only the first line shows whether the user may write: asking with KAFKA_TRANSACTIONAL_ID would end a \
                 running forwarder",
            );
        }
        while !self.status().has_producer_id {
            if let Some((code, reason)) = self.producer.client().fatal_error() {
                return Err(format!(
                    "Kafka at {} lets the user write to no topic: {reason} ({code}); grant it the right Write on the topics",
                    self.settings.server
                ));
            }
            if Instant::now() >= self.deadline {
                return Err(format!(
                    "Kafka at {} gave no producer id for {} s; check the broker's log",
                    self.settings.server,
                    self.settings.timeout.as_secs_f64()
                ));
            }
            #[expect(clippy::disallowed_methods, reason = "a thread that may block")]
            thread::sleep(POLL_INTERVAL / 5);
        }
        Ok("the broker lets the user write; only the first line shows whether it may write to each of these topics")
    }

    fn status(&self) -> MutexGuard<'_, ClientStatus> {
        // A panic with the lock held cannot leave it half changed.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
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
            "there is no topic `{topic}`; create it, or check KAFKA_TOPIC (a broker that creates topics by itself does \
             so with the first line)"
        ),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            format!("the user may not see the topic `{topic}`; grant it the rights Describe and Write on it")
        }
        Some(code) => format!("the broker says about the topic `{topic}`: {code}"),
        None => {
            let mut partitions = found.into_iter().flat_map(|found| found.partitions());
            let broken = partitions.find_map(|partition| Some((partition.id(), partition.error()?)));
            let (id, code) = broken?;
            let code = RDKafkaErrorCode::from(code);
            format!("partition {id} of the topic `{topic}` takes no lines: {code}; check the brokers of the cluster")
        }
    })
}

/// What the client has said so far.
#[derive(Debug, Default)]
struct ClientStatus {
    /// The last error of a connection.
    error: Option<ConnectionError>,
    /// Whether no broker could be reached.
    are_all_down: bool,
    /// Whether the broker gave a producer id.
    has_producer_id: bool,
}

/// Receives what the producer reports.
struct Listener {
    status: Arc<Mutex<ClientStatus>>,
    secrets: Arc<Secrets>,
}

impl Listener {
    fn note(&self, note: impl FnOnce(&mut ClientStatus)) {
        note(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = without_any(message, &self.secrets.all());
        tracing::debug!(level = ?level, facility, "librdkafka: {message}");
        if let Some(error) = trouble::of_log(&message) {
            self.note(|status| status.error = Some(error));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let reason = without_any(reason, &self.secrets.all());
        tracing::debug!("librdkafka: {reason}");
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.note(|status| match code {
            RDKafkaErrorCode::AllBrokersDown => status.are_all_down = true,
            code => status.error = Some(ConnectionError { code, reason }),
        });
    }

    fn stats(&self, statistics: Statistics) {
        let has_id = statistics.eos.is_some_and(|eos| eos.idemp_state == "Assigned");
        self.note(|status| status.has_producer_id |= has_id);
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
