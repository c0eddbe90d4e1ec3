//! Checkpoints that are sent to a Kafka topic.

use super::*;
use crate::kafka::broker::Broker;
use crate::support::{PATIENCE, wait_until};

const TOPIC: &str = "trails-checkpoints";

fn announcing(sandbox: &Sandbox, broker: &Broker) -> Catalog {
    let mut catalog = unsealed(sandbox, &[Api::Tfc]);
    catalog.set("EVIDENCE_KAFKA_TOPIC", TOPIC);
    catalog.set("KAFKA_SERVER", broker.address());
    catalog.set("SEAL_EVERY_MINUTES", "0");
    assert_eq!(catalog.run(&["evidence", "keygen"]).code, 0);
    catalog
}

fn grow(sandbox: &Sandbox, catalog: &Catalog, id: &str) -> String {
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(20), id)]);
    let run = catalog.run(&["collect"]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    run.stderr
}

fn checkpoint(catalog: &Catalog) -> String {
    fs::read_to_string(folder(catalog).join("checkpoint")).unwrap()
}

#[test]
fn each_new_checkpoint_is_a_message_that_can_be_found_again() {
    let (sandbox, broker) = (daily(3), Broker::start());
    let catalog = announcing(&sandbox, &broker);
    let mut expected = Vec::new();
    for id in ["a", "b"] {
        grow(&sandbox, &catalog, id);
        expected.push(checkpoint(&catalog));
    }
    let messages = broker.all(TOPIC);
    let values: Vec<_> = messages.iter().map(|message| message.value.clone()).collect();
    assert_eq!(values, expected);
    assert!(messages.iter().all(|message| message.key == ORIGIN));
    let verdict = verify(&catalog, 0, &[]);
    for (number, at) in verdict["kafka"].as_array().unwrap().iter().enumerate() {
        assert_eq!(at["topic"], TOPIC);
        let message = &messages[at["offset"].as_u64().unwrap() as usize];
        assert_eq!(
            (message.partition, &message.value),
            (at["partition"].as_i64().unwrap() as i32, &expected[number])
        );
        assert_eq!(message.value.lines().nth(1).unwrap(), at["size"].to_string());
    }
    let shown = catalog.run(&["verify", "--evidence"]).stdout;
    assert!(shown.contains(&format!("-t {TOPIC} -p 0 -o 1 -c 1")), "{shown}");
    // Nothing is new: nothing is sent.
    let (before, newest) = (broker.all(TOPIC).len(), checkpoint(&catalog));
    seal(&catalog, 0);
    assert_eq!(
        broker.all(TOPIC).len() - before,
        usize::from(checkpoint(&catalog) != newest)
    );
    // A name that is none of a topic is shown to nobody: it would stand in a command.
    let size = checkpoint(&catalog).lines().nth(1).unwrap().to_owned();
    fs::write(
        folder(&catalog).join(format!("anchors/{size}.kafka")),
        "{\"topic\":\"a; reboot\",\"partition\":0,\"offset\":1}\n",
    )
    .unwrap();
    assert!(!catalog.run(&["verify", "--evidence"]).stdout.contains("reboot"));
}

#[test]
fn a_checkpoint_that_cannot_be_sent_is_a_warning_and_is_made_up_for() {
    let (sandbox, broker) = (daily(3), Broker::start());
    let mut catalog = announcing(&sandbox, &broker);
    catalog.set("KAFKA_TIMEOUT_SECONDS", "1");
    catalog.set("KAFKA_SERVER", "127.0.0.1:9");
    let told = grow(&sandbox, &catalog, "a");
    let warning = format!("no checkpoint in the topic {TOPIC} of Kafka at 127.0.0.1:9, the next seal sends one: ");
    assert!(told.contains(&warning), "{told}");
    assert!(folder(&catalog).join("anchors").symlink_metadata().is_err());
    // From now on somebody answers, on a busy machine not within a second.
    catalog.set("KAFKA_TIMEOUT_SECONDS", "60");
    catalog.set("KAFKA_SERVER", broker.address());
    broker.ask("refuse produce no-right 1000");
    let told = grow(&sandbox, &catalog, "b");
    assert!(
        told.contains("the next seal sends one: ") && told.contains("Topic authorization failed"),
        "{told}"
    );
    assert_eq!(verify(&catalog, 0, &[])["kafka"].as_array().unwrap().len(), 0);
    broker.ask("behave");
    seal(&catalog, 0);
    let values: Vec<_> = broker.all(TOPIC).into_iter().map(|message| message.value).collect();
    assert_eq!(values, [checkpoint(&catalog)]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_waiting_for_a_broker() {
    let (sandbox, broker) = (daily(3), Broker::start());
    let mut catalog = announcing(&sandbox, &broker);
    catalog.set("KAFKA_TIMEOUT_SECONDS", "3000");
    broker.ask("delay produce 3000000");
    let mut process = catalog.start(&["collect"]);
    wait_until("the checkpoint is sent", PATIENCE, || {
        process.assert_running();
        broker.count("produce").0 > 0
    });
    process.signal(rustix::process::Signal::INT);
    let run = process.end();
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("not waited for"), "{}", run.stderr);
}

#[test]
fn wrong_settings_of_kafka_are_named() {
    let sandbox = daily(1);
    let mut catalog = unsealed(&sandbox, &[Api::Tfc]);
    catalog.set("EVIDENCE_KAFKA_TOPIC", "a topic");
    catalog.set("KAFKA_SERVER", "nowhere");
    let run = catalog.run(&["seal"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    for name in [
        "EVIDENCE_KAFKA_TOPIC must be the name of a topic",
        "KAFKA_SERVER must be `host:port`",
    ] {
        assert!(run.stderr.contains(name), "{}", run.stderr);
    }
}
