//! What a broker has against single lines and whole batches: everything else is delivered, in order, in both modes.

use serde_json::{Value, json};

use super::broker::Broker;
use super::delivery::undelivered;
use super::outbox::{DAYS, ID, MODES, Outbox, TOPIC};
use crate::support::side_by_side;

/// Uncompressed, so that the broker of the tests sees the lines.
fn outbox(broker: &Broker, id: &str) -> Outbox {
    broker.ask(&format!("create {TOPIC} 1"));
    Outbox::new(broker)
        .with("KAFKA_TRANSACTIONAL_ID", id)
        .with("KAFKA_COMPRESSION", "none")
        .with("KAFKA_PROPERTIES", "linger.ms=200")
}

fn milliseconds(time: &str) -> i64 {
    time.parse::<chrono::DateTime<chrono::Utc>>()
        .unwrap()
        .timestamp_millis()
}

#[test]
fn a_record_ahead_of_the_broker_has_its_time_and_its_own_in_a_header() {
    side_by_side(MODES, |id| {
        let broker = Broker::start();
        let mut outbox = outbox(&broker, id);
        outbox.append(DAYS[0], 5, 10);
        outbox.append("2099-01-01", 2, 10);
        let latest = milliseconds("2098-01-01T00:00:00Z");
        broker.ask(&format!("times 0 {latest}"));
        let summary = outbox.forward(0);
        assert_eq!((&summary["sent"], &summary["undelivered"]), (&json!(7), &json!(0)));
        let messages = broker.committed(TOPIC);
        outbox.assert_exactly_once(&messages);
        let with_header = messages.iter().filter(|message| !message.header("time").is_empty());
        assert_eq!(with_header.count(), 2);
        outbox.append(DAYS[1], 3, 10);
        assert_eq!(outbox.forward(0)["sent"], 3);
        outbox.assert_exactly_once(&broker.committed(TOPIC));
    });
}

#[test]
fn records_that_are_too_old_for_the_topic_have_the_time_of_the_broker() {
    side_by_side(MODES, |id| {
        let broker = Broker::start();
        let mut outbox = outbox(&broker, id);
        outbox.append(DAYS[0], 50, 10);
        outbox.append(DAYS[2], 50, 10);
        broker.ask(&format!("times {} {}", milliseconds("2025-06-10T00:00:00Z"), i64::MAX));
        assert_eq!(outbox.forward(0)["sent"], 100);
        let messages = broker.committed(TOPIC);
        outbox.assert_exactly_once(&messages);
        let old = messages
            .iter()
            .filter(|message| message.header("file").contains(DAYS[0]));
        assert!(old.clone().all(|message| !message.header("time").is_empty()));
    });
}

#[test]
fn a_line_that_is_refused_for_itself_is_kept_whatever_the_error_is_called() {
    let cases = MODES.map(|id| ["invalid-record", "policy"].map(|error| (id, error)));
    side_by_side(cases.concat(), |(id, error)| {
        let broker = Broker::start();
        let mut outbox = outbox(&broker, id);
        outbox.append(DAYS[0], 6, 10);
        broker.ask(&format!("deny produce \"ae-3\" {error}"));
        let summary = outbox.forward(0);
        let counts = ["sent", "undelivered", "waiting"].map(|name| summary[name].as_u64().unwrap());
        assert_eq!(counts, [5, 1, 0], "{summary}");
        let notes = undelivered(&outbox);
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0]["reason"].as_str().unwrap().starts_with("Kafka refused it: "),
            "{}",
            notes[0]
        );
        outbox.remove(&notes[0]["record"]);
        outbox.append(DAYS[1], 3, 10);
        assert_eq!(outbox.forward(0)["sent"], 3);
        let messages = broker.committed(TOPIC);
        if id.is_empty() {
            // What went out with the refused line may come again.
            outbox.assert_at_least_once(&messages);
        } else {
            outbox.assert_exactly_once(&messages);
        }
    });
}

#[test]
fn what_a_failed_transaction_had_is_neither_sent_nor_undelivered() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker, ID);
    outbox.append(DAYS[0], 2, 10);
    outbox.append(DAYS[0], 1, 1_100_000);
    outbox.append(DAYS[0], 2, 10);
    broker.ask("deny offsets logserver1.cursors no-right");
    let summary = outbox.forward(3);
    let counts = ["sent", "undelivered", "waiting"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [0, 0, 5], "{summary}");
    broker.ask("behave");
    let summary = outbox.forward(0);
    let counts = ["sent", "undelivered", "waiting"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [4, 1, 0], "{summary}");
    let note: Value = undelivered(&outbox).pop().unwrap();
    outbox.remove(&note["record"]);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn above_the_limit_of_a_topic_batches_are_halved_and_stay_so() {
    side_by_side(MODES, |id| {
        let broker = Broker::start();
        let mut outbox = outbox(&broker, id);
        outbox.append(DAYS[0], 10_000, 50);
        broker.ask("limit 20000");
        broker.count("produce");
        assert_eq!(outbox.forward(0)["sent"], 10_000);
        // With the right size it takes about 110.
        let (requests, _) = broker.count("produce");
        assert!(requests <= 330, "{requests}");
        outbox.assert_exactly_once(&broker.committed(TOPIC));
    });
}
