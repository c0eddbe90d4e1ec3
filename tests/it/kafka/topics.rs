//! Topics that are not there yet: some brokers make them by themselves, and for the others there is advice.

use super::broker::Broker;
use super::outbox::{DAYS, Outbox, TOPIC};
use crate::support::{PATIENCE, side_by_side, wait_until};

const CURSORS: &str = "logserver1.cursors";

fn outbox(broker: &Broker) -> Outbox {
    let mut outbox = Outbox::exactly_once(broker);
    outbox.append(DAYS[0], 5, 10);
    outbox
}

/// A broker that refuses offsets for a topic that is not there, as Kafka does.
#[test]
fn where_the_broker_makes_topics_exactly_once_begins_without_any() {
    let cases = [
        // It makes the one of the cursors when it is asked to, with a partition for each year.
        (None, 10),
        // It has a rule against that, and makes it as it makes all others.
        (Some("deny create logserver1.cursors policy"), 1),
    ];
    side_by_side(cases, |(rule, partitions)| {
        let broker = Broker::start();
        if let Some(rule) = rule {
            broker.ask(rule);
        }
        let mut outbox = outbox(&broker);
        assert_eq!(outbox.forward(0)["sent"], 5);
        outbox.assert_exactly_once(&broker.committed(TOPIC));
        assert_eq!(broker.ask(&format!("partitions {CURSORS}")), [partitions.to_string()]);
        std::fs::remove_dir_all(outbox.path(".trailkeeper")).unwrap();
        outbox.append(DAYS[0], 2, 10);
        assert_eq!(outbox.forward(0)["sent"], 2, "the cursor is in Kafka");
        outbox.assert_exactly_once(&broker.committed(TOPIC));
    });
}

#[test]
fn a_topic_that_is_made_by_itself_may_be_there_a_moment_later() {
    let broker = Broker::start();
    broker.ask("no-auto-create");
    broker.ask(&format!("create {TOPIC} 1"));
    broker.ask(&format!("deny create {CURSORS} policy"));
    let outbox = outbox(&broker);
    let arguments = ["forward", "kafka", "--json", "--forward-from", "start"];
    let mut process = outbox.catalog.start(&arguments);
    wait_until("the broker was asked to make the topic", PATIENCE, || {
        process.assert_running();
        broker.count("create").0 > 0
    });
    let mut asked = 0;
    wait_until("it looks for the topic again and again", PATIENCE, || {
        process.assert_running();
        asked += broker.count("metadata").0;
        asked >= 5
    });
    broker.ask("auto-create");
    let run = process.end();
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn where_topics_are_not_made_the_missing_one_is_named_with_what_to_do() {
    let broker = Broker::start();
    broker.ask("no-auto-create");
    broker.ask(&format!("create {CURSORS} 10"));
    let outbox = outbox(&broker).with("KAFKA_TIMEOUT_SECONDS", "6");
    let failed = outbox.forward(3);
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.contains(&format!("refused lines for the topic `{TOPIC}`: "))
            && error.contains("Unknown topic")
            && error.ends_with("; create the topic, or check KAFKA_TOPIC"),
        "{error}"
    );
    assert_eq!(
        (failed["sent"].as_u64(), failed["waiting"].as_u64()),
        (Some(0), Some(5))
    );
    broker.ask(&format!("create {TOPIC} 1"));
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}
