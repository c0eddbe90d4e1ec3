//! What a topic is set to: krafka's fake broker makes topics, and forgets how they were to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use krafka::testing::{ApiKey, FakeBroker};

use super::wire::{Head, Reader, Writer};

/// The kinds of what is described.
const TOPIC: i8 = 2;

/// Where a value is from.
const SET_FOR_TOPIC: i8 = 1;
const DEFAULT: i8 = 5;

const UNKNOWN_TOPIC: i16 = 3;
const NO_RIGHT: i16 = 29;

/// What Apache Kafka 4 has where a topic is not set to anything else.
const OF_TOPICS: [(&str, &str); 12] = [
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("delete.retention.ms", "86400000"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.insync.replicas", "1"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.ms", "604800000"),
];

/// And a broker.
const OF_BROKERS: [(&str, &str); 4] = [
    ("group.max.session.timeout.ms", "1800000"),
    ("group.min.session.timeout.ms", "6000"),
    ("offsets.retention.minutes", "10080"),
    ("transaction.max.timeout.ms", "900000"),
];

/// The settings of all topics.
#[derive(Clone)]
pub(crate) struct Configs {
    broker: Arc<FakeBroker>,
    topics: Arc<Mutex<Topics>>,
}

#[derive(Default)]
struct Topics {
    /// By topic and name.
    set: BTreeMap<(String, String), String>,
    /// Those that nobody may look into.
    hidden: BTreeSet<String>,
}

/// A topic as a client wants it.
struct Wanted {
    topic: String,
    settings: Vec<(String, Option<String>)>,
}

impl Configs {
    pub(super) fn before(broker: &Arc<FakeBroker>) -> Self {
        broker.set_api_versions(ApiKey::DescribeConfigs, 1, 1);
        Self {
            broker: broker.clone(),
            topics: Arc::default(),
        }
    }

    /// Sets a topic to something.
    pub(crate) fn set(&self, topic: &str, name: &str, value: &str) {
        let key = (topic.to_owned(), name.to_owned());
        self.topics.lock().unwrap().set.insert(key, value.to_owned());
    }

    /// From now on nobody may look into how this topic is set.
    pub(crate) fn hide(&self, topic: &str) {
        self.topics.lock().unwrap().hidden.insert(topic.to_owned());
    }

    fn exists(&self, topic: &str) -> bool {
        self.broker.with_state(|cluster| cluster.topics.contains_key(topic))
    }

    /// Notes how a topic is to be; the broker makes it.
    pub(super) fn note_creation(&self, head: &Head, mut reader: Reader<'_>) {
        assert_eq!(head.version, 4, "CreateTopics");
        let wanted = reader.array(|reader| {
            let topic = reader.string();
            // Partitions and replicas; which broker has which.
            let _ = (reader.int32(), reader.int16());
            reader.array(|reader| (reader.int32(), reader.array(Reader::int32)));
            Wanted {
                topic,
                settings: reader.array(|reader| (reader.string(), reader.nullable())),
            }
        });
        let (_, is_rehearsal) = (reader.int32(), reader.int8());
        let new = wanted
            .into_iter()
            .filter(|wanted| is_rehearsal == 0 && !self.exists(&wanted.topic));
        for Wanted { topic, settings } in new {
            for (name, value) in settings {
                self.set(&topic, &name, &value.unwrap_or_default());
            }
        }
    }

    pub(super) fn describe(&self, head: &Head, mut reader: Reader<'_>) -> Vec<u8> {
        assert_eq!(head.version, 1, "DescribeConfigs");
        // Without names, all are meant.
        let asked = reader.array(|reader| (reader.int8(), reader.string(), reader.array(Reader::string)));
        let answer = Writer::answer(head).array(&asked, |writer, (kind, name, wanted)| {
            let found = if *kind == TOPIC {
                self.of_topic(name)
            } else {
                Ok(of(&OF_BROKERS))
            };
            let (error, mut entries) = found.map_or_else(|error| (error, Vec::new()), |entries| (0, entries));
            entries.retain(|(name, ..)| wanted.is_empty() || wanted.contains(name));
            let writer = writer.int16(error).nullable(None).int8(*kind).string(name);
            writer.array(&entries, |writer, (name, value, source)| {
                // Not only to be read, no secret, and without synonyms.
                let writer = writer.string(name).string(value).int8(0);
                writer.int8(*source).int8(0).int32(0)
            })
        });
        answer.end()
    }

    /// Each setting of a topic, and where it is from.
    fn of_topic(&self, topic: &str) -> Result<Vec<(String, String, i8)>, i16> {
        let topics = self.topics.lock().unwrap();
        if topics.hidden.contains(topic) {
            return Err(NO_RIGHT);
        }
        if !self.exists(topic) {
            return Err(UNKNOWN_TOPIC);
        }
        let mut entries = of(&OF_TOPICS);
        for ((_, name), value) in topics.set.iter().filter(|((of, _), _)| of == topic) {
            entries.retain(|(found, ..)| found != name);
            entries.push((name.clone(), value.clone(), SET_FOR_TOPIC));
        }
        Ok(entries)
    }
}

fn of(defaults: &[(&str, &str)]) -> Vec<(String, String, i8)> {
    let defaults = defaults.iter();
    defaults
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned(), DEFAULT))
        .collect()
}
