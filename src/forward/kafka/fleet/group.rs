//! Membership in the consumer group of a fleet: which partitions of the topic of the state a member has.
//!
//! The partitions are not consumed: that they are assigned is the sharing-out of work. A thread of its own polls, and does nothing
//! else that could take long, since who does not poll is no member any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{mpsc, watch};

use super::logged::Logged;
use crate::config::KafkaSettings;
use crate::forward::kafka::client::{base_config, explain, is_authorization};
use crate::process::awake::Stopwatch;

/// How long one look for news takes at most.
const TICK: Duration = Duration::from_millis(100);

/// How often it is looked whether a broker answers, and how long that may take.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(2);

/// A member that is silent for so long, in milliseconds, is none any more; unless `KAFKA_PROPERTIES` says otherwise.
const SESSION: [(&str, &str); 2] = [("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "2000")];

/// What has happened in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupEvent {
    /// These partitions are this member's from now on.
    Assigned(Vec<i32>),
    /// These are no longer.
    Revoked(Vec<i32>),
    /// The group cannot be joined; the text says why, and what to do.
    Refused(String),
}

/// The membership; it is left when this is dropped, or by [`Group::leave`].
#[derive(Debug)]
pub(crate) struct Group {
    is_over: Arc<AtomicBool>,
    polling: Option<thread::JoinHandle<()>>,
    is_reachable: watch::Receiver<bool>,
}

struct Context {
    events: mpsc::UnboundedSender<GroupEvent>,
    logged: Logged,
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
            self.tell(GroupEvent::Revoked(numbers(list)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            if let Err(error) = consumer.pause(list) {
                tracing::debug!("the topic of the state is consumed for nothing: {}", explain(&error));
            }
            self.tell(GroupEvent::Assigned(numbers(list)));
        }
    }
}

impl Context {
    fn tell(&self, event: GroupEvent) {
        // If nobody listens any more, the member is about to end.
        let _ = self.events.send(event);
    }
}

/// Returns what every member of a group is set up with.
pub(super) fn member_config(settings: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = base_config(settings);
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "latest");
    for (name, value) in SESSION {
        if settings.properties.iter().all(|(set, _)| set != name) {
            config.set(name, value);
        }
    }
    config
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

impl Group {
    /// Joins a group that shares out the partitions of a topic.
    ///
    /// # Errors
    /// If the client cannot be set up; the text says why.
    pub(crate) fn join(
        settings: &KafkaSettings,
        (group, topic): (&str, &str),
        events: mpsc::UnboundedSender<GroupEvent>,
    ) -> Result<Self, String> {
        let config = member_config(settings, group);
        let context = Context {
            events: events.clone(),
            logged: Logged {
                secrets: Arc::clone(&settings.secrets),
            },
        };
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(|error| explain(&error))?;
        consumer.subscribe(&[topic]).map_err(|error| explain(&error))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (reachable, is_reachable) = watch::channel(true);
        let poller = Poller {
            consumer,
            group: group.to_owned(),
            topic: topic.to_owned(),
            events,
            is_over: Arc::clone(&is_over),
            reachable,
        };
        let span = tracing::Span::current();
        let polling = thread::Builder::new()
            .name("fleet-group".to_owned())
            .spawn(move || span.in_scope(|| poller.poll()))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            is_over,
            polling: Some(polling),
            is_reachable,
        })
    }

    /// Returns whether a broker answered lately.
    pub(crate) fn reachable(&self) -> watch::Receiver<bool> {
        self.is_reachable.clone()
    }

    /// Leaves the group, so that others have its partitions at once. It blocks.
    pub(crate) fn leave(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(polling) = self.polling.take() {
            // A panic there was logged.
            let _ = polling.join();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

struct Poller {
    consumer: BaseConsumer<Context>,
    group: String,
    topic: String,
    events: mpsc::UnboundedSender<GroupEvent>,
    is_over: Arc<AtomicBool>,
    reachable: watch::Sender<bool>,
}

impl Poller {
    /// Polls until it is over, and leaves the group.
    fn poll(self) {
        let mut looked = Stopwatch::start();
        while !self.is_over.load(Ordering::Relaxed) {
            // A message can have come before its partition was paused.
            if let Some(Err(error)) = self.consumer.poll(TICK) {
                self.note(&error);
            }
            if looked.awake() >= LOOK_EVERY {
                let answered = self.consumer.fetch_metadata(Some(&self.topic), LOOK).is_ok();
                self.note_answered(answered);
                looked = Stopwatch::start();
            }
        }
        // Dropping the consumer leaves the group.
    }

    /// What is fetched while no broker answers could not be kept.
    fn note_answered(&self, answered: bool) {
        match (self.reachable.send_replace(answered), answered) {
            (true, false) => tracing::warn!("no broker answers: nothing is fetched until one does"),
            (false, true) => tracing::info!("a broker answers again"),
            _ => {}
        }
    }

    fn note(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let problem = explain(error);
        if code.is_some_and(is_authorization) {
            let Self { group, topic, .. } = self;
            let problem = format!(
                "the group cannot be joined: {problem}; grant the user the right Read on the consumer group `{group}` and on the \
                 topic `{topic}`"
            );
            let _ = self.events.send(GroupEvent::Refused(problem));
        } else {
            tracing::debug!("the group: {problem}");
        }
    }
}
