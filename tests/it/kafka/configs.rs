//! How topics are set at the tests' broker, as librdkafka's admin client sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::broker::Broker;

/// What waits for answers.
fn block_on<T>(answer: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(answer)
}

struct Admin(AdminClient<DefaultClientContext>);

impl Admin {
    fn of(broker: &Broker) -> Self {
        let mut config = ClientConfig::new();
        Self(config.set("bootstrap.servers", broker.address()).create().unwrap())
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(Duration::from_secs(30)))
    }

    fn create(&self, topic: &str, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(topic, 8, TopicReplication::Fixed(1));
        let topic = settings
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value));
        block_on(self.0.create_topics([&topic], &Self::options())).unwrap();
    }

    /// The settings of a topic, and which of them are its own.
    fn settings(&self, topic: &str) -> BTreeMap<String, (String, bool)> {
        let topic = [&ResourceSpecifier::Topic(topic)];
        let mut found = block_on(self.0.describe_configs(topic, &Self::options())).unwrap();
        let entries = found.remove(0).unwrap().entries.into_iter();
        entries
            .map(|entry| (entry.name, (entry.value.unwrap(), !entry.is_default)))
            .collect()
    }
}

#[test]
fn a_topic_is_set_as_it_was_made_and_else_as_kafka_has_it() {
    let broker = Broker::start();
    let admin = Admin::of(&broker);
    admin.create("state", &[("cleanup.policy", "compact"), ("min.insync.replicas", "2")]);
    let own = |name: &str, value: &str| (name.to_owned(), (value.to_owned(), true));
    let found = admin.settings("state");
    let set: BTreeMap<_, _> = found.clone().into_iter().filter(|(_, (_, is_own))| *is_own).collect();
    let expected = BTreeMap::from([own("cleanup.policy", "compact"), own("min.insync.replicas", "2")]);
    assert_eq!(set, expected);
    assert_eq!(found["retention.ms"], ("604800000".to_owned(), false));
    broker.ask("config state retention.ms 1000");
    assert_eq!(admin.settings("state")["retention.ms"], ("1000".to_owned(), true));
    // One that is there already stays as it is.
    admin.create("state", &[("cleanup.policy", "delete")]);
    assert_eq!(admin.settings("state")["cleanup.policy"].0, "compact");
    assert_eq!(broker.ask("partitions state"), ["8"]);
}

/// rdkafka drops what the broker says of a single topic: that it is not there, or that nobody may look into it.
#[test]
fn a_topic_that_is_not_there_or_that_nobody_may_look_into_has_no_settings_at_all() {
    let broker = Broker::start();
    let admin = Admin::of(&broker);
    assert_eq!(admin.settings("nowhere"), BTreeMap::new());
    admin.create("audit", &[]);
    assert!(!admin.settings("audit").is_empty());
    broker.ask("hide-config audit");
    assert_eq!(admin.settings("audit"), BTreeMap::new());
}
