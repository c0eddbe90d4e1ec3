//! What librdkafka says of a consumer, in the log, without secrets.

use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::env::Secrets;
use crate::http::redaction::without_any;

/// Logs what a client says.
pub(super) struct Logged {
    pub(super) secrets: Arc<Secrets>,
}

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = without_any(message, &self.secrets.all());
        tracing::debug!(level = ?level, facility, "librdkafka: {message}");
    }

    fn error(&self, _: KafkaError, reason: &str) {
        let reason = without_any(reason, &self.secrets.all());
        tracing::debug!("librdkafka: {reason}");
    }
}

impl ConsumerContext for Logged {}
