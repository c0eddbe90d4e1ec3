//! Membership in the group of an archive, by which its members share out the partitions of the audit topics, and what the group knows of
//! each partition: up to which offset it is filed, and by whom.
//!
//! A partition is its member's for good, since that has the day files on its disk: who has committed an offset first, with its name, owns
//! it, whatever the group assigns later. That only decides who may begin with one that nobody has begun with. All is done by the thread
//! that polls: as long as it does not poll, its generation stays, and what a member that was put out commits is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::group::member_config;
use super::logged::Logged;
use crate::config::KafkaSettings;
use crate::forward::kafka::client::{explain, is_authorization};
use crate::process::awake::Stopwatch;

/// The longest wait for one answer.
const SLICE: Duration = Duration::from_secs(5);

/// A partition of a topic.
pub(crate) type Partition = (String, i32);

/// What the group knows of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Up to here it is filed.
    pub(crate) offset: i64,
    /// What was said with it: whose it is.
    pub(crate) said: String,
}

/// A member cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SharingError {
    /// The group cannot be used; the text says why, and what to do.
    #[error("{0}")]
    Refused(String),
    /// Another process says that it is the same member.
    #[error(
        "another process has joined the group `{0}` as this member: its ARCHIVE_FOLDER is a copy of this one; let one of the two run, \
         and delete the copy"
    )]
    Twice(String),
}

/// The membership; it ends when this is dropped, and for the group after the time-out of the session.
pub(crate) struct Sharing {
    consumer: BaseConsumer<Context>,
    group: String,
    topics: Vec<String>,
    timeout: Duration,
}

struct Context {
    logged: Logged,
    assigned: Mutex<Assigned>,
}

/// What the group has assigned, and since when.
#[derive(Clone, Debug)]
struct Assigned {
    /// Whether it has assigned anything, or nothing, at all.
    is_known: bool,
    partitions: BTreeSet<Partition>,
    since: Stopwatch,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logged.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logged.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let mut assigned = self.assigned();
            for partition in names(list) {
                assigned.partitions.remove(&partition);
            }
            assigned.since = Stopwatch::start();
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // Another client reads them, from where the day files end.
            if let Err(error) = consumer.pause(list) {
                tracing::debug!("partitions are consumed for nothing: {}", explain(&error));
            }
            let mut assigned = self.assigned();
            assigned.partitions.extend(names(list));
            assigned.is_known = true;
            assigned.since = Stopwatch::start();
        }
    }
}

impl Context {
    fn assigned(&self) -> MutexGuard<'_, Assigned> {
        // A panic with the lock held cannot leave it half changed.
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names(list: &TopicPartitionList) -> impl Iterator<Item = Partition> {
    let elements = list.elements();
    let names: Vec<_> = elements
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect();
    names.into_iter()
}

impl Sharing {
    /// Joins a group that shares out the partitions of these topics, as the member of this name.
    ///
    /// # Errors
    /// If the client cannot be set up; the text says why.
    pub(crate) fn join(
        settings: &KafkaSettings,
        (group, member): (&str, &str),
        topics: &BTreeSet<String>,
    ) -> Result<Self, String> {
        let mut config = member_config(settings, group);
        config.set("group.instance.id", format!("{group}.{member}"));
        let context = Context {
            logged: Logged {
                secrets: Arc::clone(&settings.secrets),
            },
            assigned: Mutex::new(Assigned {
                is_known: false,
                partitions: BTreeSet::new(),
                since: Stopwatch::start(),
            }),
        };
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(|error| explain(&error))?;
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| explain(&error))?;
        Ok(Self {
            consumer,
            group: group.to_owned(),
            topics: topics.iter().cloned().collect(),
            timeout: settings.timeout,
        })
    }

    /// Does what the group wants, for at most so long; has to be called again and again.
    ///
    /// # Errors
    /// If the group cannot be used by this member.
    pub(crate) fn poll(&self, wait: Duration) -> Result<(), SharingError> {
        match self.consumer.poll(wait) {
            // A message can have come before its partition was paused.
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => self.note(&error),
        }
    }

    fn note(&self, error: &KafkaError) -> Result<(), SharingError> {
        let fatal = self.consumer.client().fatal_error();
        let code = fatal.as_ref().map(|(code, _)| *code).or(error.rdkafka_error_code());
        let (group, problem) = (&self.group, explain(error));
        match code {
            Some(RDKafkaErrorCode::FencedInstanceId) => Err(SharingError::Twice(group.clone())),
            Some(code) if is_authorization(code) || fatal.is_some() => {
                let topics = self.topics.join("`, `");
                Err(SharingError::Refused(format!(
                    "the group cannot be joined: {problem}; grant the user the right Read on the consumer group `{group}` and on the \
                     topics `{topics}`"
                )))
            }
            _ => {
                tracing::debug!("the group: {problem}");
                Ok(())
            }
        }
    }

    /// Returns what the group has assigned to this member, and for how long that has stood; `None` until it has.
    pub(crate) fn assigned(&self) -> Option<(BTreeSet<Partition>, Duration)> {
        let assigned = self.consumer.context().assigned();
        assigned
            .is_known
            .then(|| (assigned.partitions.clone(), assigned.since.awake()))
    }

    /// Returns the members that are in the group now. One that has ended stays for as long as its session lasts. It blocks.
    ///
    /// # Errors
    /// If Kafka does not say; the text says why.
    pub(crate) fn present(&self) -> Result<BTreeSet<String>, String> {
        let asked = self
            .consumer
            .fetch_group_list(Some(&self.group), SLICE.min(self.timeout));
        let list = asked.map_err(|error| explain(&error))?;
        // Brokers make the id of a member of the name that it has given itself.
        let prefix = format!("{}.", self.group);
        let members = list.groups().iter().flat_map(|group| group.members().iter());
        let names = members.filter_map(|member| {
            let (name, _) = member.id().strip_prefix(&prefix)?.split_once('-')?;
            Some(name.to_owned())
        });
        Ok(names.collect())
    }

    /// Returns what the group knows of these partitions; nothing of those with which nobody has begun. It blocks.
    ///
    /// # Errors
    /// If Kafka does not say; the text says why.
    pub(crate) fn standings(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<BTreeMap<Partition, Standing>, String> {
        let mut wanted = TopicPartitionList::new();
        for (topic, partition) in partitions {
            wanted.add_partition(&topic, partition);
        }
        let asked = self.consumer.committed_offsets(wanted, SLICE.min(self.timeout));
        let asked = asked.map_err(|error| self.problem(&error))?;
        let standings = asked.elements().into_iter().filter_map(|element| {
            let Offset::Offset(offset) = element.offset() else {
                return None;
            };
            let said = element.metadata().to_owned();
            Some((
                (element.topic().to_owned(), element.partition()),
                Standing { offset, said },
            ))
        });
        Ok(standings.collect())
    }

    /// Notes up to which offsets partitions are filed, and what is said with each. It blocks.
    ///
    /// # Errors
    /// If it is refused, as where the member was put out of the group; the text says why.
    pub(crate) fn note_filed<'a>(
        &self,
        filed: impl IntoIterator<Item = (&'a Partition, i64)>,
        said: &str,
    ) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in filed {
            let added = list.add_partition_offset(topic, *partition, Offset::Offset(offset));
            added.map_err(|error| explain(&error))?;
            if let Some(mut element) = list.find_partition(topic, *partition) {
                element.set_metadata(said);
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        let committed = self.consumer.commit(&list, CommitMode::Sync);
        committed.map_err(|error| self.problem(&error))
    }

    fn problem(&self, error: &KafkaError) -> String {
        format!(
            "the group `{}` does not take or tell offsets: {}",
            self.group,
            explain(error)
        )
    }
}
