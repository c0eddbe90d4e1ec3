//! Consumer groups at the tests' own coordinator, with librdkafka's consumers as members: what the tests of a fleet stand on.

use std::collections::BTreeMap;
use std::io::stdin;
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
#[cfg(unix)]
use rustix::process::Signal;

use super::broker::Broker;
use super::servant::Servant;
use crate::support::wait_until;

/// What the members share.
const TOPIC: &str = "work";
const PARTITIONS: i32 = 8;

/// Longer than a machine at its limits holds a heartbeat up.
const SESSION: &str = "3000";

/// The time in which what a member had has to have another owner: that of the fleet.
const TAKEOVER: Duration = Duration::from_secs(15);

const STRATEGIES: [&str; 2] = ["range", "cooperative-sticky"];

/// A broker with the topic.
fn broker() -> Broker {
    let broker = Broker::start();
    broker.ask(&format!("create {TOPIC} {PARTITIONS}"));
    broker
}

/// A member of the group in a process of its own.
struct Member(Servant);

impl Member {
    /// Joins with these properties, besides what all have.
    fn join(broker: &Broker, properties: &[(&str, &str)]) -> Self {
        let servant = Servant::start("kafka::groups::member");
        let own = properties.iter().map(|(name, value)| format!(" {name}={value}"));
        let own: String = own.collect();
        servant.ask(&format!("join bootstrap.servers={}{own}", broker.address()));
        Self(servant)
    }

    /// The partitions that it has.
    fn owned(&self) -> Vec<i32> {
        let answer = self.0.ask("owned");
        answer.iter().map(|partition| partition.parse().unwrap()).collect()
    }

    /// Leaves the group, and ends.
    fn leave(self) {
        self.0.ask("leave");
    }
}

/// Not a test: a [`Member`]. It ends when its stdin does.
#[test]
#[ignore = "a member of the groups of other tests, which start it themselves"]
fn member() {
    let (sender, commands) = channel();
    thread::spawn(move || {
        stdin()
            .lines()
            .map_while(Result::ok)
            .try_for_each(|command| sender.send(command))
    });
    let mut consumer = None::<BaseConsumer>;
    loop {
        if let Some(consumer) = &consumer {
            // Heartbeats go on without it; rebalances do not.
            let _ = consumer.poll(Duration::from_millis(20));
        }
        match commands.try_recv() {
            Err(TryRecvError::Empty) if consumer.is_some() => continue,
            Err(TryRecvError::Empty) => thread::sleep(Duration::from_millis(5)),
            Err(TryRecvError::Disconnected) => return,
            Ok(command) => {
                match command.split_once(' ') {
                    Some(("join", properties)) => consumer = Some(joined(properties)),
                    _ if command == "owned" => print_owned(consumer.as_ref().unwrap()),
                    _ if command == "leave" => consumer = None,
                    _ => panic!("unknown command: {command}"),
                }
                println!("@done");
            }
        }
    }
}

fn joined(properties: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    let common = [
        ("group.id", "group"),
        ("session.timeout.ms", SESSION),
        ("heartbeat.interval.ms", "200"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("topic.metadata.refresh.interval.ms", "1000"),
        ("reconnect.backoff.max.ms", "100"),
    ];
    let own = properties.split(' ').map(|property| property.split_once('=').unwrap());
    for (name, value) in common.into_iter().chain(own) {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[TOPIC]).unwrap();
    consumer
}

fn print_owned(consumer: &BaseConsumer) {
    let owned = consumer.assignment().unwrap();
    for partition in owned.elements() {
        println!("@{}", partition.partition());
    }
}

/// Waits until these members have all partitions, each of them one or more, and no partition has two owners.
#[track_caller]
fn wait_until_shared(members: &[&Member]) {
    wait_until("all partitions have one owner", TAKEOVER, || {
        let owned: Vec<_> = members.iter().map(|member| member.owned()).collect();
        let mut all = owned.concat();
        all.sort_unstable();
        owned.iter().all(|owned| !owned.is_empty()) && all == (0..PARTITIONS).collect::<Vec<_>>()
    });
}

/// The state, the generation and the protocol of the group, and the instances of its members by their ids.
fn group(broker: &Broker) -> (String, i32, BTreeMap<String, String>) {
    let described = broker.ask("group group").remove(0);
    let words: Vec<_> = described.split(' ').collect();
    let members = words.iter().skip(3).map(|member| member.split_once('=').unwrap());
    let members = members.map(|(id, instance)| (id.to_owned(), instance.to_owned()));
    (words[0].to_owned(), words[1].parse().unwrap(), members.collect())
}

#[test]
fn three_members_share_the_partitions_and_go_on_when_one_leaves_and_one_is_killed() {
    for strategy in STRATEGIES {
        let broker = broker();
        let properties = [("partition.assignment.strategy", strategy)];
        let [first, second, third] = [(); 3].map(|()| Member::join(&broker, &properties));
        wait_until_shared(&[&first, &second, &third]);
        third.leave();
        wait_until_shared(&[&first, &second]);
        drop(second);
        wait_until_shared(&[&first]);
        let another = Member::join(&broker, &properties);
        wait_until_shared(&[&first, &another]);
        let (_, _, members) = group(&broker);
        assert_eq!(members.len(), 2, "{strategy}: {members:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_member_that_was_stopped_longer_than_its_session_is_out_and_joins_again() {
    for strategy in STRATEGIES {
        let broker = broker();
        let properties = [("partition.assignment.strategy", strategy)];
        let [first, second] = [(); 2].map(|()| Member::join(&broker, &properties));
        wait_until_shared(&[&first, &second]);
        let (_, _, before) = group(&broker);
        second.0.signal(Signal::STOP);
        wait_until_shared(&[&first]);
        assert_eq!(group(&broker).2.len(), 1);
        second.0.signal(Signal::CONT);
        wait_until_shared(&[&first, &second]);
        let (_, _, after) = group(&broker);
        assert_eq!(after.len(), 2);
        let stayed = after.keys().filter(|id| before.contains_key(*id)).count();
        assert_eq!(stayed, 1, "{strategy}: {before:?} {after:?}");
    }
}

#[test]
fn a_static_member_that_is_back_within_its_session_has_what_it_had_without_a_rebalance() {
    for strategy in STRATEGIES {
        let broker = broker();
        let join = |instance| {
            let own = [("group.instance.id", instance), ("session.timeout.ms", "60000")];
            Member::join(
                &broker,
                &[&[("partition.assignment.strategy", strategy)], &own[..]].concat(),
            )
        };
        let (first, second) = (join("one"), join("two"));
        wait_until_shared(&[&first, &second]);
        let before = (first.owned(), second.owned());
        let (state, generation, members) = group(&broker);
        assert_eq!(state, "Stable");
        drop(first);
        let first = join("one");
        wait_until_shared(&[&first, &second]);
        assert_eq!((first.owned(), second.owned()), before, "{strategy}");
        let after = group(&broker);
        assert_eq!((after.0.as_str(), after.1), ("Stable", generation), "{strategy}");
        assert!(after.2 != members && after.2.values().eq(members.values()), "{after:?}");
    }
}

#[test]
fn a_broker_that_is_down_for_a_while_has_its_group_when_it_is_back() {
    let broker = broker();
    // A client joins anew when it has had no answer for its session.
    let properties = [("session.timeout.ms", "60000")];
    let [first, second] = [(); 2].map(|()| Member::join(&broker, &properties));
    wait_until_shared(&[&first, &second]);
    let (_, generation, members) = group(&broker);
    broker.ask("crash");
    // Some heartbeats are missed.
    thread::sleep(Duration::from_secs(1));
    broker.ask("restart");
    wait_until_shared(&[&first, &second]);
    assert_eq!(group(&broker).2, members);
    broker.ask("rebalance group");
    wait_until("the group has a new generation", TAKEOVER, || {
        let (state, after, _) = group(&broker);
        state == "Stable" && after > generation
    });
    wait_until_shared(&[&first, &second]);
}

fn producer(broker: &Broker) -> ThreadedProducer<rdkafka::producer::DefaultProducerContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address());
    config.set("transactional.id", "fleet.0");
    config.create().unwrap()
}

#[test]
fn the_first_of_two_producers_with_one_transactional_id_is_fenced_and_what_it_has_sent_is_never_seen() {
    let broker = broker();
    let patience = Duration::from_secs(30);
    let send = |producer: &ThreadedProducer<_>, value: &str| {
        let record = BaseRecord::<str, str>::to(TOPIC).key("key").payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(patience).unwrap();
    };
    let first = producer(&broker);
    first.init_transactions(patience).unwrap();
    first.begin_transaction().unwrap();
    send(&first, "of the first");
    let second = producer(&broker);
    second.init_transactions(patience).unwrap();
    second.begin_transaction().unwrap();
    send(&second, "of the second");
    second.commit_transaction(patience).unwrap();
    let Err(KafkaError::Transaction(error)) = first.commit_transaction(patience) else {
        panic!("the first may commit");
    };
    assert_eq!(error.code(), RDKafkaErrorCode::Fenced, "{error}");
    assert!(error.is_fatal());
    let values = |messages: Vec<super::broker::Message>| messages.into_iter().map(|message| message.value);
    assert_eq!(values(broker.committed(TOPIC)).collect::<Vec<_>>(), ["of the second"]);
    assert_eq!(values(broker.all(TOPIC)).count(), 2);
}
