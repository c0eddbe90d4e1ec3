//! Reads partitions from their beginning to their end, as of now: what is committed, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::config::KafkaSettings;
use crate::forward::kafka::client::{base_config, explain};
use crate::process::awake::Stopwatch;
use crate::process::shutdown::Shutdown;

/// How often it is looked whether to give up.
const TICK: Duration = Duration::from_millis(100);

/// A message that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadMessage<'a> {
    pub(crate) partition: i32,
    pub(crate) key: &'a [u8],
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

/// Reads these partitions of a topic, and hands on each message in the order of its partition. The group is only named; nothing is
/// committed in it. It blocks.
///
/// # Errors
/// If nothing came for as long as Kafka may confirm nothing, or a shutdown was requested; the text says why.
pub(crate) fn read_partitions(
    settings: &KafkaSettings,
    group: &str,
    (topic, partitions): (&str, impl IntoIterator<Item = i32>),
    shutdown: &Shutdown,
    mut take: impl FnMut(ReadMessage<'_>),
) -> Result<(), String> {
    let mut config = base_config(settings);
    config
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50");
    let consumer: BaseConsumer = config.create().map_err(|error| explain(&error))?;
    let mut left: BTreeSet<i32> = partitions.into_iter().collect();
    let mut wanted = TopicPartitionList::new();
    for partition in &left {
        let added = wanted.add_partition_offset(topic, *partition, Offset::Beginning);
        added.map_err(|error| explain(&error))?;
    }
    consumer.assign(&wanted).map_err(|error| explain(&error))?;
    let (mut since, mut problem) = (Stopwatch::start(), None);
    while !left.is_empty() {
        if shutdown.is_requested() {
            return Err("stopped on request".to_owned());
        }
        match consumer.poll(TICK) {
            Some(Ok(message)) => {
                since = Stopwatch::start();
                take(ReadMessage {
                    partition: message.partition(),
                    key: message.key().unwrap_or_default(),
                    value: message.payload(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                left.remove(&partition);
            }
            Some(Err(error)) => problem = Some(explain(&error)),
            None => {}
        }
        if since.awake() >= settings.timeout {
            let seconds = settings.timeout.as_secs_f64();
            let problem = problem.map_or_else(String::new, |problem| format!(": {problem}"));
            let server = &settings.server;
            return Err(format!(
                "the topic `{topic}` could not be read from Kafka at {server}: nothing came for {seconds} s{problem}"
            ));
        }
    }
    Ok(())
}
