//! Exactly once, with a transactional id.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use trailkeeper::sandbox::Api;

use super::broker::Broker;
use super::delivery::undelivered;
use super::outbox::{DAYS, ID, MODES, Outbox, TOPIC};
use crate::follow::{rounds_until, start};
use crate::support::{Catalog, PATIENCE, at, event, events, serve, side_by_side, wait_until};

const ANOTHER: &str = "It was written by another archive, or by this one before its state folder was lost: give each archive a \
                       transactional id of its own";

fn outbox(broker: &Broker) -> Outbox {
    Outbox::exactly_once(broker)
}

#[test]
fn lines_and_cursor_are_committed_together_and_read_back_without_the_local_copy() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.append_raw("2024-12-31", "junk\n");
    outbox.append(DAYS[2], 2, 10);
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
    // It stands at the end of a topic without a message, so that nothing seems to wait; nothing is committed for the records.
    assert_eq!(broker.ask("offset logserver1.tfc logserver1.cursors"), ["Some(0)"]);
    assert!(broker.all("logserver1.cursors").is_empty());
    assert_eq!(broker.ask(&format!("offset logserver1.tfc {TOPIC}")), ["None"]);
    fs::remove_dir_all(outbox.path(".trailkeeper")).unwrap();
    outbox.append(DAYS[1], 2, 10);
    assert_eq!(outbox.forward(0)["sent"], 2);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn a_lost_local_copy_skips_nothing_although_the_first_run_after_it_does_not_reach_kafka() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.forward(0);
    outbox.append(DAYS[0], 2, 10);
    fs::remove_dir_all(outbox.path(".trailkeeper")).unwrap();
    broker.ask("crash");
    let mut outbox = outbox.with("KAFKA_TIMEOUT_SECONDS", "1");
    // Without --forward-from and without Kafka there is no cursor.
    assert_eq!(outbox.run(&[]).code, 3);
    outbox.append(DAYS[1], 2, 10);
    broker.ask("restart");
    let outbox = outbox.with("KAFKA_TIMEOUT_SECONDS", "20");
    assert_eq!(outbox.run(&[]).code, 0);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn a_beginning_that_kafka_corrected_is_not_taken_for_a_cursor_when_the_cursor_is_damaged() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.forward(0);
    outbox.append(DAYS[0], 2, 10);
    fs::remove_dir_all(outbox.path(".trailkeeper")).unwrap();
    // It learns from Kafka where it is, and gets no further.
    broker.ask("refuse produce no-right 1000");
    assert_eq!(outbox.run(&[]).code, 3);
    broker.ask("behave");
    fs::write(outbox.path(".trailkeeper/tfc_audit.kafka.json"), "{").unwrap();
    assert_eq!(outbox.run(&[]).code, 0);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn a_file_that_was_replaced_is_sent_again_although_a_transaction_has_to_be_repeated() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker);
    outbox.append(DAYS[0], 50, 10);
    outbox.forward(0);
    fs::remove_file(outbox.path("tfc_audit_2025-06-09.log")).unwrap();
    outbox.lines.clear();
    outbox.append(DAYS[0], 5, 10);
    let before = broker.committed(TOPIC).len();
    broker.ask("refuse-calls produce out-of-order 1");
    assert_eq!(outbox.forward(0)["sent"], 5);
    outbox.assert_exactly_once(&broker.committed(TOPIC)[before..]);
}

/// The error of a run that sends nothing, and how many lines wait.
fn refused(outbox: &Outbox) -> (String, u64) {
    let run = outbox.run(&[]);
    assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    let forward = &summary["streams"][0]["forward"][0];
    assert_eq!(forward["sent"], 0);
    (
        forward["error"].as_str().unwrap().to_owned(),
        forward["waiting"].as_u64().unwrap(),
    )
}

#[test]
fn a_cursor_that_neither_kafka_nor_a_file_has_is_not_guessed() {
    let broker = Broker::start();
    let mut sender = outbox(&broker);
    sender.append(DAYS[0], 3, 10);
    assert_eq!(refused(&sender).1, 3, "a sink that is switched on later");
    sender.forward(0);
    fs::remove_file(sender.path(".trailkeeper/tfc_audit.kafka.json")).unwrap();
    let _ = fs::remove_file(sender.path(".trailkeeper/tfc_audit.kafka.previous.json"));
    let mut renamed = sender.with("KAFKA_TRANSACTIONAL_ID", "renamed");
    let (error, waiting) = refused(&renamed);
    assert!(error.starts_with("there is no cursor for kafka"), "{error}");
    assert_eq!(waiting, 3);
    renamed = renamed.with("KAFKA_TRANSACTIONAL_ID", ID);
    assert_eq!(renamed.run(&[]).code, 0, "the old id knows it");
    fs::remove_dir_all(renamed.path(".trailkeeper")).unwrap();
    broker.ask("forget-groups");
    assert_eq!(refused(&renamed).1, 3, "it has expired");
    renamed.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn the_cursor_of_another_archive_with_the_same_id_is_not_applied() {
    let broker = Broker::start();
    let (mut one, mut other) = (outbox(&broker), outbox(&broker));
    one.append(DAYS[0], 3, 10);
    one.forward(0);
    let sent = broker.committed(TOPIC).len();
    // As long as those of the other one, and the last line too.
    other.append(DAYS[0], 3, 9);
    other.append(DAYS[0], 3, 10);
    let (error, waiting) = refused(&other);
    assert!(
        error.contains("the cursor for kafka is not one in these day files") && error.contains(ANOTHER),
        "{error}"
    );
    assert!(error.contains("until `--forward-from` says where to go on"), "{error}");
    assert_eq!(waiting, 6);
    assert_eq!(broker.committed(TOPIC).len(), sent);
    assert_eq!(other.forward(0)["sent"], 6, "it was said where to go on");
    // What it has on disk agrees with its day files, and what Kafka has does not.
    let (error, _) = refused(&one);
    assert!(
        error.contains("is not one in these day files") && error.contains(ANOTHER),
        "{error}"
    );
}

#[test]
fn day_files_that_were_restored_and_fetched_again_in_another_order_are_not_sent_in_silence() {
    for has_state in [true, false] {
        let broker = Broker::start();
        let mut outbox = outbox(&broker);
        outbox.append(DAYS[0], 6, 10);
        outbox.forward(0);
        let backup = outbox.catalog.root().join("backup");
        copy_folder(&outbox.path(""), &backup);
        outbox.append(DAYS[0], 4, 10);
        assert_eq!(outbox.forward(0)["sent"], 4);
        let sent = broker.committed(TOPIC);
        fs::remove_dir_all(outbox.path("")).unwrap();
        copy_folder(&backup, &outbox.path(""));
        if !has_state {
            fs::remove_dir_all(outbox.path(".trailkeeper")).unwrap();
        }
        // The service gives the four in another order now, and one more.
        let lines = outbox.lines.values_mut().next().unwrap();
        lines[6..].reverse();
        let again: String = lines[6..].iter().map(|line| format!("{line}\n")).collect();
        outbox.append_raw(DAYS[0], &again);
        outbox.append(DAYS[0], 1, 10);
        let (error, waiting) = refused(&outbox);
        let whose = if has_state {
            "This archive has written it: day files may have been restored from an older backup, or fetched again in another order"
        } else {
            ANOTHER
        };
        assert!(
            error.contains("is not one in these day files") && error.contains(whose),
            "{error}"
        );
        assert!(error.contains("until `--forward-from` says where to go on"), "{error}");
        // With its state folder, the archive has a cursor behind the first six.
        let behind = if has_state { 5 } else { 11 };
        assert_eq!((waiting, broker.committed(TOPIC).len()), (behind, sent.len()));
        // All but the newest has been sent.
        let end = outbox.run(&["--forward-from", "end"]);
        assert_eq!(end.code, 0, "{}{}", end.stdout, end.stderr);
        outbox.append(DAYS[1], 2, 10);
        assert_eq!(outbox.forward(0)["sent"], 2);
        assert_eq!(broker.committed(TOPIC).len(), sent.len() + 2);
    }
}

/// A state folder that is lost costs nothing: the lines say that the cursor is that of these day files.
#[test]
fn the_id_of_an_archive_is_made_once_and_does_not_decide() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker);
    let id = outbox.path(".trailkeeper/tfc_audit.archive-id");
    outbox.append(DAYS[0], 3, 10);
    outbox.forward(0);
    let first = fs::read_to_string(&id).unwrap();
    outbox.append(DAYS[0], 3, 10);
    outbox.forward(0);
    assert_eq!(fs::read_to_string(&id).unwrap(), first);
    fs::remove_dir_all(outbox.path(".trailkeeper")).unwrap();
    outbox.append(DAYS[0], 3, 10);
    assert_eq!(outbox.forward(0)["sent"], 3);
    assert_ne!(fs::read_to_string(&id).unwrap(), first);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &copy);
        } else {
            fs::copy(entry.path(), copy).unwrap();
        }
    }
}

#[test]
fn a_day_that_comes_anew_under_a_cursor_in_kafka_is_not_sent_in_silence() {
    let broker = Broker::start();
    let (mut one, mut fresh) = (outbox(&broker), outbox(&broker));
    one.append(DAYS[0], 3, 10);
    one.forward(0);
    // The archive is lost; what it has at the first run is of another year.
    fresh.append("2024-06-09", 1, 10);
    fresh.forward(0);
    fresh.append(DAYS[0], 2, 9);
    let (error, _) = refused(&fresh);
    assert!(error.contains("is not one in these day files"), "{error}");
}

#[test]
fn the_cursor_is_committed_again_at_every_run() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.forward(0);
    // Kafka has forgotten it; the local copy is what is left.
    broker.ask("forget-groups");
    let committed = "offset logserver1.tfc logserver1.cursors";
    assert_eq!(broker.ask(committed), ["None"]);
    assert_eq!(outbox.forward(0)["sent"], 0);
    assert_eq!(broker.ask(committed), ["Some(0)"]);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn lost_answers_to_commits_repeat_no_line_even_if_the_forwarder_is_gone() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker).with(
        "KAFKA_PROPERTIES",
        "reconnect.backoff.ms=10,reconnect.backoff.max.ms=50",
    );
    for request in ["end", "offsets", "produce"] {
        broker.ask(&format!("lose-answers {request} 2"));
        for day in DAYS {
            outbox.append(day, 10, 10);
            assert_eq!(outbox.forward(0)["sent"], 10, "{request}");
        }
        broker.ask("behave");
    }
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn a_line_above_the_limits_is_put_aside_in_a_transaction_too() {
    let broker = Broker::start();
    // The lines wait for each other, so that they are one batch.
    let mut outbox = outbox(&broker)
        .with("KAFKA_PROPERTIES", "linger.ms=200")
        .with("KAFKA_COMPRESSION", "none");
    outbox.append(DAYS[0], 2, 10);
    outbox.append(DAYS[0], 1, 1_100_000);
    outbox.append(DAYS[0], 2, 10);
    let summary = outbox.forward(0);
    assert_eq!((&summary["sent"], &summary["undelivered"]), (&json!(4), &json!(1)));
    outbox.lines.values_mut().next().unwrap().remove(2);
    outbox.append(DAYS[1], 5, 10);
    broker.ask("deny produce \"ae-8\" too-large");
    let summary = outbox.forward(0);
    assert_eq!((&summary["sent"], &summary["undelivered"]), (&json!(4), &json!(1)));
    let notes = undelivered(&outbox);
    assert_eq!(notes.len(), 2);
    outbox.remove(&notes[1]["record"]);
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn the_older_of_two_programs_with_one_id_ends_with_exit_4_and_says_why() {
    let broker = Broker::start();
    let (mut older, mut newer) = (outbox(&broker), outbox(&broker));
    // Two transactions, so that it is at work until the newer one begins.
    older.append(DAYS[0], 20_000, 1_000);
    newer.append(DAYS[1], 5, 10);
    broker.ask("delay end 2000");
    let mut process = older
        .catalog
        .start(&["forward", "kafka", "--json", "--forward-from", "start"]);
    wait_until("the older program has sent a line", PATIENCE, || {
        process.assert_running();
        !broker.all(TOPIC).is_empty()
    });
    assert_eq!(newer.forward(0)["sent"], 5);
    let run = process.end();
    assert_eq!(run.code, 4, "{}{}", run.stdout, run.stderr);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    let error = summary["streams"][0]["forward"][0]["error"].as_str().unwrap();
    let expected = "another program began to forward with the transactional id `logserver1`, so this one stopped";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_backlog_goes_in_few_transactions_and_all_years_are_read_by_one_consumer() {
    let broker = Broker::start();
    let mut outbox = outbox(&broker);
    for year in 2000..2020 {
        outbox.append(&format!("{year}-06-09"), 400, 700);
    }
    broker.count("end");
    assert_eq!(outbox.forward(0)["sent"], 8_000);
    let (transactions, connections) = broker.count("end");
    assert!(transactions <= 2, "{transactions} transactions for 6 MB");
    // Of the check of the settings, the producer with its coordinator, the consumer with its, and who makes the topic.
    assert!(connections <= 10, "{connections} connections");
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn a_following_process_has_one_session_for_all_of_its_rounds() {
    side_by_side(MODES, has_one_session);
}

fn has_one_session(id: &str) {
    let broker = Broker::start();
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc])
        .with("KAFKA_SERVER", broker.address())
        .with("KAFKA_TRANSACTIONAL_ID", id);
    let mut process = start(&catalog, &["--forward-kafka", "--json"]);
    let has_sent = |round: &Value| round["forward"][0]["sent"] == 10;
    rounds_until(&mut process, has_sent);
    assert_eq!(broker.count("init").0, 1, "{id}");
    let mut rounds = 0;
    rounds_until(&mut process, |round| {
        assert_eq!(round["forward"][0]["error"], Value::Null);
        rounds += 1;
        rounds == 3
    });
    assert_eq!(broker.count("init").0, 0);
    assert_eq!(broker.count("committed").0, 0);
    // What is new goes with the session that is there.
    let line = broker.committed(TOPIC)[0]
        .value
        .replacen("\"id\":\"", "\"id\":\"new-", 1);
    let name = catalog.day_files(Api::Tfc).into_keys().next_back().unwrap();
    let path = catalog.folder(Api::Tfc).join(name);
    let text = fs::read_to_string(&path).unwrap() + &line + "\n";
    fs::write(&path, text).unwrap();
    rounds_until(&mut process, |round| round["forward"][0]["sent"] == 1);
    assert_eq!(broker.count("init").0, 0);
    assert_eq!(broker.committed(TOPIC).len(), 11);
    process.terminate();
}

#[test]
fn what_was_sent_without_an_id_is_not_sent_again_with_one_and_a_cursor_in_kafka_that_is_behind_is_told() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    let behind = "the cursor in Kafka is behind the one on disk, for 2025-06-10 at byte 0 and not";
    // The first time, Kafka has no cursor; later it has one that is behind.
    for (day, is_behind) in [(DAYS[0], false), (DAYS[1], true)] {
        outbox.append(day, 3, 10);
        outbox.catalog.set("KAFKA_TRANSACTIONAL_ID", "");
        assert_eq!(outbox.forward(0)["sent"], 3);
        outbox.catalog.set("KAFKA_TRANSACTIONAL_ID", ID);
        let run = outbox.run(&[]);
        assert_eq!(
            (run.code, run.stderr.contains(behind)),
            (0, is_behind),
            "{}",
            run.stderr
        );
        let again = outbox.run(&[]);
        assert!(!again.stderr.contains("behind"), "{}", again.stderr);
    }
    outbox.assert_exactly_once(&broker.committed(TOPIC));
}

#[test]
fn a_restored_archive_leaves_the_one_that_was_copied_alone_until_it_is_said_that_it_goes_on() {
    let broker = Broker::start();
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 10, 60)));
    let catalog = || {
        Catalog::of(&sandbox, &[Api::Tfc])
            .with("KAFKA_SERVER", broker.address())
            .with("KAFKA_TRANSACTIONAL_ID", ID)
    };
    let (copied, restored) = (catalog(), catalog());
    let mut process = start(&copied, &["--forward-kafka", "--json"]);
    rounds_until(&mut process, |round| round["forward"][0]["sent"] == 10);
    let store = tempfile::tempdir().unwrap();
    let url = format!("file://{}", store.path().display());
    for (catalog, way) in [(&copied, "--to"), (&restored, "--from")] {
        let run = catalog.run(&["copy", way, &url]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    broker.count("init");
    let forward = |code: i32, arguments: &[&str]| {
        let run = restored.run(&[&["forward", "kafka", "--json"], arguments].concat());
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        let summary: Value = serde_json::from_str(&run.stdout).unwrap();
        summary["streams"][0]["forward"][0].clone()
    };
    let refused = forward(3, &[]);
    let error = refused["error"].as_str().unwrap();
    let expected =
        format!("this archive was restored from copy 1 at {url}, and the one that was copied may still forward");
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(broker.count("init").0, 0, "the session of the other one was not ended");
    // Both collect the same record; the one that was copied sends it.
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(1), "new")]);
    rounds_until(&mut process, |round| round["forward"][0]["sent"] == 1);
    process.terminate();
    assert_eq!(restored.collect_one(0, &[])["appended"], 1);
    forward(3, &[]);
    assert_eq!(forward(0, &["--forward-from", "start"])["sent"], 0);
    sandbox.add(Api::Tfc, vec![event(Api::Tfc, at(0), "newer")]);
    assert_eq!(restored.collect_one(0, &[])["appended"], 1);
    assert_eq!(forward(0, &[])["sent"], 1);
    let sent = broker.committed(TOPIC);
    let keys: std::collections::BTreeSet<_> = sent.iter().map(|message| &message.key).collect();
    assert_eq!((sent.len(), keys.len()), (12, 12));
}
