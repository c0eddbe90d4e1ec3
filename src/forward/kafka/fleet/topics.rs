//! The topics of a fleet: made by `fleet init`, and looked at before anything begins.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::KafkaSettings;
use crate::forward::kafka::client::{base_config, explain};
use crate::process::awake::Stopwatch;

/// The longest wait for one answer.
const SLICE: Duration = Duration::from_secs(4);

/// A topic as it is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: i32,
    pub(crate) configs: &'a [(&'a str, &'a str)],
}

/// Asks for topics, and makes them.
pub(crate) struct Topics<'a> {
    settings: &'a KafkaSettings,
    admin: AdminClient<DefaultClientContext>,
    /// Unlike other clients it makes no topic by asking for it.
    asker: BaseConsumer,
}

impl<'a> Topics<'a> {
    /// Sets up the clients.
    ///
    /// # Errors
    /// If the settings cannot be used; the text says why.
    pub(crate) fn new(settings: &'a KafkaSettings) -> Result<Self, String> {
        let config = base_config(settings);
        Ok(Self {
            settings,
            admin: config.create().map_err(|error| explain(&error))?,
            asker: config.create().map_err(|error| explain(&error))?,
        })
    }

    /// Returns the number of partitions of a topic; `None` if there is no such topic. It blocks.
    ///
    /// # Errors
    /// If no broker answers, or a right is missing; the text says why.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Option<i32>, String> {
        let begun = Stopwatch::start();
        let metadata = loop {
            match self.asker.fetch_metadata(Some(topic), SLICE.min(self.settings.timeout)) {
                Ok(metadata) => break metadata,
                Err(error) if begun.awake() >= self.settings.timeout => {
                    let (server, error) = (&self.settings.server, explain(&error));
                    return Err(format!(
                        "Kafka at {server} does not answer: {error}; check KAFKA_SERVER and the login"
                    ));
                }
                Err(_) => {}
            }
        };
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.and_then(|found| found.error()).map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::LeaderNotAvailable) => {
                let count = found.map_or(0, |found| found.partitions().len());
                Ok(i32::try_from(count).ok().filter(|count| *count > 0))
            }
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(None),
            Some(code) => Err(format!("the topic `{topic}` cannot be used: {code}")),
        }
    }

    /// Makes a topic with so many replicas, or as many as brokers make by default; returns whether it was not there.
    ///
    /// # Errors
    /// If it could not be made; the text says why.
    pub(crate) async fn make(&self, wanted: &Wanted<'_>, replication: Option<i32>) -> Result<bool, String> {
        let Wanted {
            name,
            partitions,
            configs,
        } = wanted;
        let replication = TopicReplication::Fixed(replication.unwrap_or(-1));
        let topic = configs
            .iter()
            .fold(NewTopic::new(name, *partitions, replication), |topic, (key, value)| {
                topic.set(key, value)
            });
        let failed = |reason: String| format!("the topic `{name}` could not be made: {reason}");
        let made = self.admin.create_topics([&topic], &self.options()).await;
        match made.map_err(|error| failed(explain(&error)))?.pop() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(failed(code.to_string())),
            _ => Ok(true),
        }
    }

    /// Returns how topics are set, as far as that can be read.
    pub(crate) async fn configs(&self, topics: &[&str]) -> BTreeMap<String, BTreeMap<String, String>> {
        let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let described = self.admin.describe_configs(asked.iter(), &self.options()).await;
        let described = described.unwrap_or_else(|error| {
            tracing::debug!("the settings of topics cannot be read: {}", explain(&error));
            Vec::new()
        });
        let topics = described.into_iter().filter_map(|resource| {
            let resource = resource.ok()?;
            let OwnedResourceSpecifier::Topic(name) = resource.specifier else {
                return None;
            };
            let entries = resource.entries.into_iter();
            let entries: BTreeMap<_, _> = entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
            // The client does not say that it may not read them.
            (!entries.is_empty()).then_some((name, entries))
        });
        topics.collect()
    }

    fn options(&self) -> AdminOptions {
        let timeout = self.settings.timeout;
        AdminOptions::new()
            .operation_timeout(Some(timeout))
            .request_timeout(Some(timeout))
    }
}
