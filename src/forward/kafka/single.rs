//! A single message that is no line of a stream, such as a checkpoint of the evidence: sent once, and acknowledged by all replicas.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};

use super::client::{base_config, explain};
use crate::config::KafkaSettings;
use crate::env::Secrets;
use crate::http::redaction::without_any;
use crate::process::awake::Stopwatch;

/// How often it is looked for the answer of the broker.
const TICK: Duration = Duration::from_millis(100);

/// Where the broker has put a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// What the broker says of the message.
struct Listener {
    delivered: Mutex<Option<Result<Offset, String>>>,
    /// The last error of a connection.
    error: Mutex<Option<String>>,
    secrets: Arc<Secrets>,
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = without_any(message, &self.secrets.all());
        tracing::debug!(level = ?level, facility, "librdkafka: {message}");
    }

    fn error(&self, _: KafkaError, reason: &str) {
        let reason = without_any(reason, &self.secrets.all());
        // That of a broker, which comes first, says more than that all are down.
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        last.get_or_insert(reason);
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let delivered = match result {
            Ok(message) => Ok(Offset {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(explain(error)),
        };
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner) = Some(delivered);
    }
}

/// Sends a message, and waits until all in-sync replicas have it, for no longer than `patience`, and not after `is_over`. It blocks.
///
/// # Errors
/// If it is not acknowledged; the text says why, without secrets. It may have arrived all the same.
pub(crate) fn send_one(
    settings: &KafkaSettings,
    topic: &str,
    (key, value): (&str, &str),
    patience: Duration,
    is_over: &AtomicBool,
) -> Result<Offset, String> {
    let mut config = base_config(settings);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", patience.as_millis().to_string());
    let listener = Listener {
        delivered: Mutex::default(),
        error: Mutex::default(),
        secrets: Arc::clone(&settings.secrets),
    };
    let producer = BaseProducer::from_config_and_context(&config, listener);
    let producer: BaseProducer<Listener> = producer.map_err(|error| explain(&error))?;
    let record = BaseRecord::to(topic).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| explain(&error))?;
    let since = Stopwatch::start();
    let listener = producer.context();
    loop {
        producer.poll(TICK);
        let delivered = listener.delivered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = match delivered {
            Some(Ok(offset)) => return Ok(offset),
            Some(Err(error)) => error,
            None if is_over.load(Ordering::Relaxed) => "it was not waited for".to_owned(),
            None if since.awake() >= patience => format!("nothing was acknowledged for {} s", patience.as_secs_f64()),
            None => continue,
        };
        // Else the end of the producer would wait for the message.
        producer.purge(PurgeConfig::default().queue().inflight());
        let error = listener.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        return Err(error.map_or(why.clone(), |error| format!("{why}: {error}")));
    }
}
