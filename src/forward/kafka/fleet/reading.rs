//! Reads partitions from given offsets to their ends, again and again: what is committed, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::logged::Logged;
use crate::config::KafkaSettings;
use crate::forward::kafka::client::{base_config, explain};
use crate::process::awake::Stopwatch;

/// How long one look for messages takes at most.
const TICK: Duration = Duration::from_millis(100);

/// The longest wait for one answer about offsets.
const SLICE: Duration = Duration::from_secs(5);

/// How much of what is ahead is held in memory, in KiB.
const AHEAD: &str = "16384";

/// A message, with what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: &'a [u8],
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Taken<'a> {
    /// Returns the first header of this name, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(found, _)| *found == name)
            .map(|(_, value)| *value)
    }

    /// Returns all headers that are text.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.headers.iter().copied()
    }

    #[cfg(test)]
    pub(crate) fn of(value: &'a str, headers: &[(&'a str, &'a str)]) -> Self {
        Self {
            partition: 0,
            offset: 0,
            key: &[],
            value: Some(value.as_bytes()),
            headers: headers.to_vec(),
        }
    }

    #[cfg(test)]
    pub(crate) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Why reading has ended before the ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadEnd {
    /// Kafka cannot be read; the text says why.
    #[error("{0}")]
    Kafka(String),
    /// Who takes the messages wants no more.
    #[error("stopped")]
    Stopped,
}

/// Which offsets a partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The first message that it still has.
    pub(crate) low: i64,
    /// Up to here every transaction is decided, and what was committed can be read.
    pub(crate) stable: i64,
    /// Up to here something is written, whatever becomes of it. It was asked for before `stable`.
    pub(crate) high: i64,
}

impl Bounds {
    /// Returns whether all that is written is decided.
    pub(crate) fn is_decided(&self) -> bool {
        self.stable >= self.high
    }
}

/// Reads partitions of any topics.
pub(crate) struct PartitionReader {
    settings: KafkaSettings,
    committed: BaseConsumer<Logged>,
    /// Sees what is not decided yet; it reads no message.
    uncommitted: BaseConsumer<Logged>,
}

impl PartitionReader {
    /// Sets up the clients. The group is only named; nothing is committed in it.
    ///
    /// # Errors
    /// If the settings cannot be used; the text says why.
    pub(crate) fn new(settings: &KafkaSettings, group: &str) -> Result<Self, String> {
        let client = |isolation: &str| -> Result<BaseConsumer<Logged>, String> {
            let mut config = base_config(settings);
            set_up(&mut config, group, isolation);
            let secrets = Arc::clone(&settings.secrets);
            config
                .create_with_context(Logged { secrets })
                .map_err(|error| explain(&error))
        };
        Ok(Self {
            committed: client("read_committed")?,
            uncommitted: client("read_uncommitted")?,
            settings: settings.clone(),
        })
    }

    /// Returns which offsets a partition has now. It blocks.
    ///
    /// # Errors
    /// If Kafka does not say; the text says why.
    pub(crate) fn bounds(&self, topic: &str, partition: i32) -> Result<Bounds, String> {
        let wait = SLICE.min(self.settings.timeout);
        let ask = |consumer: &BaseConsumer<Logged>| {
            let asked = consumer.fetch_watermarks(topic, partition, wait);
            asked.map_err(|error| self.problem(topic, &explain(&error)))
        };
        // In this order: what is written when it is asked for is decided or not when the other is.
        let (_, high) = ask(&self.uncommitted)?;
        let (low, stable) = ask(&self.committed)?;
        Ok(Bounds { low, stable, high })
    }

    /// Reads these partitions of a topic, each from its offset to its end as it is when this begins or later, and hands on each message.
    /// `idle` is called every now and then. It blocks.
    ///
    /// # Errors
    /// If Kafka cannot be read, or who takes the messages wants no more.
    pub(crate) fn read_to_end(
        &self,
        topic: &str,
        starts: &BTreeMap<i32, i64>,
        mut idle: impl FnMut() -> ControlFlow<()>,
        mut take: impl FnMut(Taken<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadEnd> {
        let mut left: BTreeSet<i32> = starts.keys().copied().collect();
        if left.is_empty() {
            return Ok(());
        }
        self.assign(topic, starts).map_err(ReadEnd::Kafka)?;
        let read = self.read_assigned(topic, &mut left, &mut idle, &mut take);
        // What was fetched ahead is given back; the next round begins where this one ended.
        if let Err(error) = self.committed.unassign() {
            tracing::debug!("the partitions of a round are not let go of: {}", explain(&error));
        }
        read
    }

    fn assign(&self, topic: &str, starts: &BTreeMap<i32, i64>) -> Result<(), String> {
        let mut wanted = TopicPartitionList::new();
        for (partition, offset) in starts {
            let added = wanted.add_partition_offset(topic, *partition, Offset::Offset(*offset));
            added.map_err(|error| explain(&error))?;
        }
        self.committed.assign(&wanted).map_err(|error| explain(&error))
    }

    fn read_assigned(
        &self,
        topic: &str,
        left: &mut BTreeSet<i32>,
        idle: &mut impl FnMut() -> ControlFlow<()>,
        take: &mut impl FnMut(Taken<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadEnd> {
        let (mut since, mut idled, mut problem) = (Stopwatch::start(), Stopwatch::start(), None);
        while !left.is_empty() {
            match self.committed.poll(TICK) {
                Some(Ok(message)) => {
                    if take(taken(&message)).is_break() {
                        return Err(ReadEnd::Stopped);
                    }
                    since = Stopwatch::start();
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                }
                Some(Err(error)) => {
                    let text = explain(&error);
                    if error.rdkafka_error_code().is_some_and(is_of_offset) {
                        return Err(ReadEnd::Kafka(self.problem(topic, &text)));
                    }
                    problem = Some(text);
                }
                None => {}
            }
            if idled.awake() >= TICK {
                if idle().is_break() {
                    return Err(ReadEnd::Stopped);
                }
                idled = Stopwatch::start();
            }
            if since.awake() >= self.settings.timeout {
                let nothing = format!("nothing came for {} s", self.settings.timeout.as_secs_f64());
                let text = problem.map_or_else(|| nothing.clone(), |problem| format!("{nothing}: {problem}"));
                return Err(ReadEnd::Kafka(self.problem(topic, &text)));
            }
        }
        Ok(())
    }

    fn problem(&self, topic: &str, text: &str) -> String {
        let server = &self.settings.server;
        format!("the topic `{topic}` could not be read from Kafka at {server}: {text}")
    }
}

fn set_up(config: &mut ClientConfig, group: &str, isolation: &str) {
    config
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        // What is gone is told, and not passed over.
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", AHEAD)
        .set("fetch.wait.max.ms", "50");
}

fn is_of_offset(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
    )
}

fn taken<'a>(message: &'a rdkafka::message::BorrowedMessage<'_>) -> Taken<'a> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.filter_map(|header| Some((header.key, str::from_utf8(header.value?).ok()?)));
    Taken {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().unwrap_or_default(),
        value: message.payload(),
        headers: headers.collect(),
    }
}
