//! The forwarder is killed at random moments, hundreds of times, while its day files grow.

use std::process::Command;
use std::thread;
use std::time::Duration;

use super::broker::Broker;
use super::outbox::{DAYS, ID, Outbox, TOPIC};
use crate::support::random::{many, random};
use crate::support::{PythonPackage, succeed};

/// How often the forwarder is killed in each test.
const KILLS: u32 = 120;

/// Lets files grow, late lines in old ones among them, and kills the forwarder again and again.
fn torment(outbox: &mut Outbox, mut between: impl FnMut(u32)) {
    let mut random = random();
    for round in 0..many(KILLS) {
        for _ in 0..random.usize(0..4) {
            let (day, records) = (*random.choice(&DAYS).unwrap(), random.usize(1..60));
            outbox.append(day, records, random.usize(0..400));
        }
        let process = outbox
            .catalog
            .start(&["forward", "kafka", "--json", "--forward-from", "start"]);
        thread::sleep(Duration::from_millis(random.u64(0..150)));
        outbox.append(random.choice(&DAYS).unwrap(), random.usize(1..60), 50);
        thread::sleep(Duration::from_millis(random.u64(0..150)));
        process.kill();
        between(round);
    }
    outbox.forward(0);
}

#[test]
fn kills_at_random_moments_lose_no_line_and_keep_the_order() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker).with("KAFKA_PROPERTIES", "batch.num.messages=50");
    torment(&mut outbox, |_| {});
    let again = outbox.assert_at_least_once(&broker.all(TOPIC));
    // Nothing that came again was confirmed to a cursor that lived: far less than everything each time.
    assert!(again < outbox.lines.values().flatten().count(), "{again}");
}

#[test]
fn kills_at_random_moments_repeat_no_line_in_a_transaction() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker)
        .with("KAFKA_PROPERTIES", "batch.num.messages=50")
        .with("KAFKA_TRANSACTIONAL_ID", ID);
    torment(&mut outbox, |_| {});
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn a_broker_that_drops_connections_while_forwarders_are_killed_repeats_no_line_in_a_transaction() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker)
        .with(
            "KAFKA_PROPERTIES",
            "batch.num.messages=50,reconnect.backoff.ms=10,reconnect.backoff.max.ms=50",
        )
        .with("KAFKA_TRANSACTIONAL_ID", ID);
    torment(&mut outbox, |round| {
        broker.ask("behave");
        match round % 4 {
            0 => drop(broker.ask("lose-answers end 2")),
            1 => drop(broker.ask("lose-answers produce 2")),
            2 => drop(broker.ask("crash")),
            _ => drop(broker.ask("restart")),
        }
    });
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

pub(super) const PACKAGE: PythonPackage = PythonPackage {
    name: "confluent-kafka",
    named_by: "PYTHON_WITH_KAFKA",
    import: "import confluent_kafka",
};

/// On a machine without the package it says that it was not run; `.ci/run` sees to it that it is.
#[test]
fn an_independent_consumer_reads_every_line_once() {
    let test = "an_independent_consumer_reads_every_line_once";
    let Some(python) = PACKAGE.python(test) else { return };
    let broker = Broker::start();
    let mut outbox = Outbox::exactly_once(&broker);
    outbox.append(DAYS[0], 300, 100);
    outbox.forward(0);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kafka/consume.py");
    let consumer = succeed(Command::new(python).args([script, broker.address(), TOPIC, "300"]));
    let values: Vec<_> = consumer.stdout.lines().map(str::to_owned).collect();
    assert_eq!(values, outbox.lines["tfc_audit_2025-06-09.log"]);
}
