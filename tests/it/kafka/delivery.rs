//! At least once: what is sent, what is refused, what is lost on the way.

use std::fs;
#[cfg(unix)]
use std::net::TcpListener;
#[cfg(unix)]
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;

use serde_json::{Value, json};

use super::broker::Broker;
use super::outbox::{DAYS, MODES, Outbox, TOPIC};
#[cfg(unix)]
use crate::support::{PATIENCE, side_by_side, wait_until};

#[test]
fn lines_become_messages_and_the_next_run_sends_only_what_is_new() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.append_raw(DAYS[0], "{\"repaired\n\n");
    outbox.append(DAYS[2], 2, 10);
    let expected = json!({"sink": "kafka", "sent": 5, "repaired": 0, "waiting": 0, "undelivered": 0, "error": null});
    assert_eq!(outbox.forward(0), expected);
    let messages = broker.all(TOPIC);
    outbox.assert_exactly_once(&messages);
    assert_eq!(
        messages[1].header("offset"),
        (outbox.lines["tfc_audit_2025-06-09.log"][0].len() + 1).to_string()
    );
    assert_eq!(messages[0].header("replay"), "");
    outbox.append(DAYS[0], 1, 10);
    assert_eq!(outbox.forward(0)["sent"], 1);
    assert_eq!(outbox.forward(0)["sent"], 0);
    outbox.assert_exactly_once(&broker.all(TOPIC));
}

#[test]
fn from_the_end_the_first_run_sends_nothing_and_later_ones_what_comes_after_it() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    outbox.append(DAYS[0], 3, 10);
    assert_eq!(outbox.run(&["--forward-from", "end"]).code, 0);
    assert!(broker.all(TOPIC).is_empty());
    outbox.lines.clear();
    outbox.append(DAYS[1], 2, 10);
    assert_eq!(outbox.run(&[]).code, 0);
    outbox.assert_exactly_once(&broker.all(TOPIC));
}

#[test]
fn a_replay_sends_a_range_again_marked_and_with_the_same_dedup_ids() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    DAYS.iter().for_each(|day| outbox.append(day, 2, 10));
    outbox.forward(0);
    let sent = broker.all(TOPIC);
    let run = outbox.run(&["--since", DAYS[1], "--until", DAYS[2]]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let messages = broker.all(TOPIC);
    let again = &messages[sent.len()..];
    assert_eq!(again.len(), 2);
    for (again, first) in again.iter().zip(&sent[2..4]) {
        assert_eq!((again.header("replay"), &again.value), ("true", &first.value));
        assert_eq!(again.header("dedup-id"), first.header("dedup-id"));
    }
    assert_eq!(outbox.forward(0)["sent"], 0, "the cursor is where it was");
}

#[test]
fn a_strict_copy_has_the_key_the_ids_and_the_place_of_its_line() {
    let lines = [
        r#"{"id": "ae-1", "timestamp": "2025-06-09T10:00:00Z", "n": 1e400}"#,
        r#"{"id": "ae-2", "timestamp": "2025-06-09T10:00:01Z", "n": 1e300}"#,
        r#"{"timestamp": "2025-06-09T10:00:02Z", "text": "\ud800"}"#,
    ];
    for id in MODES {
        let broker = Broker::start();
        let mut outbox = Outbox::new(&broker).with("KAFKA_TRANSACTIONAL_ID", id);
        outbox.append_raw(DAYS[0], &(lines.join("\n") + "\n"));
        outbox.catalog.set("KAFKA_STRICT_JSON", "yes");
        let summary = outbox.forward(0);
        assert_eq!((&summary["sent"], &summary["repaired"]), (&json!(3), &json!(2)));
        assert_eq!(outbox.forward(0)["sent"], 0, "the cursor is that of the lines");
        let strict = broker.committed(TOPIC);
        outbox.catalog.unset("KAFKA_STRICT_JSON");
        assert_eq!(outbox.run(&["--since", DAYS[0]]).code, 0);
        let plain = &broker.committed(TOPIC)[strict.len()..];
        assert_eq!(
            plain.iter().map(|message| message.value.as_str()).collect::<Vec<_>>(),
            lines
        );
        for ((copy, line), number) in strict.iter().zip(plain).zip(0..) {
            assert!(serde_json::from_str::<Value>(&copy.value).is_ok(), "{}", copy.value);
            assert_eq!((&copy.key, copy.timestamp), (&line.key, line.timestamp));
            for header in ["stream", "file", "offset", "dedup-id"] {
                assert_eq!(copy.header(header), line.header(header), "{header}");
            }
            let is_copy = if number == 1 { "" } else { "true" };
            assert_eq!((copy.header("repaired"), line.header("repaired")), (is_copy, ""));
            assert_eq!(copy.value == line.value, number == 1);
        }
    }
}

#[test]
fn lost_acknowledgements_repeat_no_line_within_a_run() {
    let broker = Broker::start();
    let mut outbox =
        Outbox::new(&broker).with("KAFKA_PROPERTIES", "batch.num.messages=20,reconnect.backoff.max.ms=100");
    outbox.append(DAYS[0], 400, 100);
    broker.ask("lose-answers produce 3");
    assert_eq!(outbox.forward(0)["sent"], 400);
    outbox.assert_exactly_once(&broker.all(TOPIC));
}

#[test]
fn a_producer_that_the_broker_has_forgotten_is_replaced() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker).with("KAFKA_PROPERTIES", "batch.num.messages=20");
    outbox.append(DAYS[0], 200, 100);
    broker.ask("refuse-calls produce out-of-order 3,4");
    assert_eq!(outbox.forward(0)["sent"], 200);
    outbox.assert_at_least_once(&broker.all(TOPIC));
}

#[test]
fn a_broker_that_is_away_for_a_run_costs_nothing_but_time() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker).with("KAFKA_TIMEOUT_SECONDS", "1");
    outbox.append(DAYS[0], 5, 10);
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.append(DAYS[1], 5, 10);
    broker.ask("crash");
    let failed = outbox.forward(3);
    assert_eq!((&failed["sent"], &failed["waiting"]), (&json!(0), &json!(5)));
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.starts_with(&format!("Kafka at {} acknowledged nothing for 1 s: ", broker.address())),
        "{error}"
    );
    broker.ask("restart");
    let outbox = outbox.with("KAFKA_TIMEOUT_SECONDS", "20");
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.assert_exactly_once(&broker.all(TOPIC));
}

/// A broker that takes connections, and says nothing.
#[cfg(unix)]
#[test]
fn a_wish_to_stop_is_heard_although_nothing_is_confirmed() {
    side_by_side(MODES, |id| {
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        broker.set_nonblocking(true).unwrap();
        let mut outbox = Outbox::without_broker()
            .with("KAFKA_SERVER", &broker.local_addr().unwrap().to_string())
            .with("KAFKA_TRANSACTIONAL_ID", id)
            .with("KAFKA_TIMEOUT_SECONDS", "3600");
        outbox.append(DAYS[0], 5, 10);
        let mut process = outbox
            .catalog
            .start(&["forward", "kafka", "--json", "--forward-from", "start"]);
        // Signals are heard before the cursor is made; its settings were checked by a connection of their own.
        wait_until("the cursor is made", PATIENCE, || {
            process.assert_running();
            drop(broker.accept());
            outbox.path(".trailkeeper/tfc_audit.kafka.json").exists()
        });
        let run = process.terminate();
        assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
        let summary: Value = serde_json::from_str(&run.stdout).unwrap();
        let expected = json!({
            "sink": "kafka", "sent": 0, "repaired": 0, "waiting": 5, "undelivered": 0,
            "error": "stopped on request before everything was sent",
        });
        assert_eq!(summary["streams"][0]["forward"][0], expected);
    });
}

/// The answer of the broker comes a moment after it goes on. The time-out is long, since a busy machine counts against it too: what
/// the process needs until it has sent, and up to a tick of the clock for the stop.
#[cfg(unix)]
#[test]
fn a_process_that_was_stopped_says_so_and_goes_on() {
    side_by_side(MODES, |id| {
        let broker = Broker::start();
        broker.ask(&format!("create {TOPIC} 1"));
        let mut outbox = Outbox::new(&broker)
            .with("KAFKA_TRANSACTIONAL_ID", id)
            .with("KAFKA_TIMEOUT_SECONDS", "12");
        outbox.append(DAYS[0], 5, 10);
        broker.ask("delay produce 15000");
        broker.count("produce");
        let arguments = ["forward", "kafka", "--json", "--forward-from", "start"];
        let mut process = outbox.catalog.start(&arguments);
        wait_until("the lines are on their way", PATIENCE, || {
            process.assert_running();
            broker.count("produce").0 > 0
        });
        let stopped = Instant::now();
        process.signal(Signal::STOP);
        wait_until("the time-out is over", PATIENCE, || {
            stopped.elapsed() > Duration::from_millis(13_500)
        });
        process.signal(Signal::CONT);
        let run = process.end();
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        assert!(
            run.stderr
                .contains("this process was stopped, or its machine was suspended, for "),
            "{}",
            run.stderr
        );
        outbox.assert_exactly_once(&broker.committed(TOPIC));
    });
}

#[test]
fn a_missing_right_is_told_in_the_words_of_the_broker() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    outbox.append(DAYS[0], 5, 10);
    broker.ask("refuse produce no-right 1000");
    let failed = outbox.forward(3);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("Broker: Topic authorization failed"), "{error}");
    assert!(
        error.contains("grant the user the rights Describe and Write on the topic `tfc-logs`"),
        "{error}"
    );
    assert_eq!(failed["waiting"], 5);
    broker.ask("behave");
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.assert_exactly_once(&broker.all(TOPIC));
}

#[test]
fn an_unknown_topic_is_told_in_the_words_of_the_broker() {
    let broker = Broker::start();
    broker.ask("no-auto-create");
    let mut outbox = Outbox::new(&broker).with("KAFKA_TIMEOUT_SECONDS", "6");
    outbox.append(DAYS[0], 5, 10);
    let failed = outbox.forward(3);
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.contains("Unknown topic") && error.contains("create the topic, or check KAFKA_TOPIC"),
        "{error}"
    );
    broker.ask(&format!("create {TOPIC} 1"));
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.assert_exactly_once(&broker.all(TOPIC));
}

#[test]
fn a_wrong_password_is_told_and_the_right_one_works() {
    let broker = Broker::start();
    broker.ask("require-sasl trailkeeper secret,=word");
    let mut outbox = Outbox::new(&broker)
        .with("KAFKA_SASL_MECHANISM", "PLAIN")
        .with("KAFKA_SASL_USERNAME", "trailkeeper")
        .with("KAFKA_SASL_PASSWORD", "another")
        // It is told at once: nobody would wait as long as this.
        .with("KAFKA_TIMEOUT_SECONDS", "3600");
    outbox.append(DAYS[0], 5, 10);
    for id in MODES {
        outbox.catalog.set("KAFKA_TRANSACTIONAL_ID", id);
        let failed = outbox.forward(3);
        let error = failed["error"].as_str().unwrap();
        let expected = format!("Kafka at {} cannot be used: ", broker.address());
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.contains("SASL authentication error"), "{error}");
        assert!(!error.contains("another"), "{error}");
    }
    outbox.catalog.unset("KAFKA_TRANSACTIONAL_ID");
    let outbox = outbox
        .with("KAFKA_SASL_PASSWORD", "secret,=word")
        .with("KAFKA_TIMEOUT_SECONDS", "20");
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.assert_exactly_once(&broker.all(TOPIC));
}

/// The notes about lines that were kept as undelivered.
pub(super) fn undelivered(outbox: &Outbox) -> Vec<Value> {
    let notes = fs::read_to_string(outbox.path(".trailkeeper/tfc_audit.undelivered.jsonl")).unwrap();
    notes.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_above_the_clients_limit_is_put_aside_and_the_rest_is_delivered() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.append(DAYS[0], 1, 1_100_000);
    outbox.append(DAYS[0], 3, 10);
    let summary = outbox.forward(0);
    assert_eq!(
        (&summary["sent"], &summary["undelivered"], &summary["waiting"]),
        (&json!(6), &json!(1), &json!(0))
    );
    let large = outbox.lines.values_mut().next().unwrap().remove(3);
    outbox.assert_exactly_once(&broker.all(TOPIC));
    let notes = undelivered(&outbox);
    assert_eq!(notes.len(), 1);
    assert_eq!(
        (&notes[0]["sink"], &notes[0]["reason"]),
        (&json!("kafka"), &json!("too large for Kafka"))
    );
    assert_eq!(notes[0]["record"], serde_json::from_str::<Value>(&large).unwrap());
    assert_eq!(outbox.forward(0)["undelivered"], 0, "it is kept as undelivered once");
}

#[test]
fn a_line_above_the_brokers_limit_is_found_put_aside_and_the_rest_is_delivered() {
    let broker = Broker::start();
    // The lines wait for each other, so that they are one batch.
    let mut outbox = Outbox::new(&broker)
        .with("KAFKA_PROPERTIES", "linger.ms=200")
        .with("KAFKA_COMPRESSION", "none");
    outbox.append(DAYS[0], 5, 10);
    // Whatever holds this line is refused.
    broker.ask("deny produce \"ae-3\" too-large");
    let summary = outbox.forward(0);
    assert_eq!((&summary["sent"], &summary["undelivered"]), (&json!(4), &json!(1)));
    let large = outbox.lines.values_mut().next().unwrap().remove(2);
    outbox.assert_exactly_once(&broker.all(TOPIC));
    assert_eq!(
        undelivered(&outbox)[0]["record"],
        serde_json::from_str::<Value>(&large).unwrap()
    );
}

#[test]
fn by_key_all_partitions_share_the_lines() {
    let broker = Broker::start();
    broker.ask(&format!("create {TOPIC} 4"));
    let mut outbox = Outbox::new(&broker).with("KAFKA_PARTITION_BY", "key");
    outbox.append(DAYS[0], 200, 10);
    assert_eq!(outbox.forward(0)["sent"], 200);
    let messages = broker.all(TOPIC);
    let partitions: std::collections::BTreeSet<_> = messages.iter().map(|message| message.partition).collect();
    assert_eq!((messages.len(), partitions.len()), (200, 4));
}

#[test]
fn settings_that_librdkafka_refuses_are_a_fault_before_anything_is_done() {
    let broker = Broker::start();
    for (properties, problem) in [
        (
            "no.such.property=1",
            "property `no.such.property`: No such configuration property",
        ),
        (
            "linger.ms=soon",
            "property `linger.ms`: Invalid value for configuration property",
        ),
    ] {
        let outbox = Outbox::new(&broker).with("KAFKA_PROPERTIES", properties);
        let run = outbox.run(&[]);
        assert_eq!(run.code, 1);
        assert!(
            run.stderr.contains("KAFKA_PROPERTIES cannot be used: "),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains(problem), "{}", run.stderr);
    }
}
