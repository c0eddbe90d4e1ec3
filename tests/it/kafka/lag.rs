//! How far a forwarder has got, as `status`, `report` and the figures for Prometheus tell it.

use std::fs;

use serde_json::Value;

use super::broker::Broker;
use super::outbox::{DAYS, Outbox};

fn forwarders(outbox: &Outbox) -> Vec<Value> {
    let run = outbox.catalog.run(&["status", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    run.summary()["tfc"]["forwarders"].as_array().unwrap().clone()
}

fn forwarder(outbox: &Outbox) -> Value {
    let [forwarder] = &forwarders(outbox)[..] else {
        panic!("one sink has a cursor")
    };
    forwarder.clone()
}

#[test]
fn status_tells_what_was_forwarded_and_what_waits() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.append(DAYS[1], 2, 10);
    assert_eq!(forwarders(&outbox), [0; 0], "it was never forwarded");
    outbox.forward(0);
    let done = forwarder(&outbox);
    let length = fs::metadata(outbox.path(&format!("tfc_audit_{}.log", DAYS[1])))
        .unwrap()
        .len();
    assert_eq!(
        (&done["sink"], &done["waiting"]),
        (&"kafka".into(), &0.into()),
        "{done}"
    );
    assert_eq!(done["file"], format!("tfc_audit_{}.log", DAYS[1]));
    let cursor = outbox.path(".trailkeeper/tfc_audit.kafka.json");
    assert_eq!(done["cursor"], cursor.to_str().unwrap());
    assert_eq!((&done["offset"], &done["problem"]), (&length.into(), &Value::Null));
    assert_eq!(done["up_to"], format!("{}T00:00:05Z", DAYS[1]));
    assert_eq!(
        (&done["oldest_waiting"], &done["oldest_waiting_seconds"]),
        (&Value::Null, &Value::Null)
    );
    outbox.append(DAYS[0], 1, 10);
    outbox.append(DAYS[2], 2, 10);
    let behind = forwarder(&outbox);
    assert_eq!(behind["waiting"], 3);
    assert_eq!(behind["oldest_waiting"], format!("{}T00:00:06Z", DAYS[0]));
    assert!(behind["oldest_waiting_seconds"].as_i64().unwrap() > 86_400);
    assert_eq!(behind["up_to"], done["up_to"]);
    let text = outbox.catalog.run(&["status"]).stdout;
    assert!(text.ends_with("tfc: 3 lines wait for kafka\n"), "{text}");
    let text = outbox.catalog.run(&["status", "-v"]).stdout;
    let row = text.lines().find(|line| line.contains("kafka")).unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(words[..2], ["tfc", "kafka"], "{text}");
    assert!(
        words[2].ends_with('d') && words[3..] == ["3", "2025-06-10T00:00:05Z"],
        "{text}"
    );
    let mut table = text.lines().filter(|line| !line.starts_with("tfc: "));
    assert!(table.all(|line| line.chars().count() <= 80), "{text}");
    outbox.forward(0);
    assert_eq!(forwarder(&outbox)["waiting"], 0);
}

#[test]
fn status_tells_of_a_cursor_that_was_damaged_and_changes_none() {
    let broker = Broker::start();
    let mut outbox = Outbox::new(&broker);
    outbox.append(DAYS[0], 3, 10);
    outbox.forward(0);
    let cursor = outbox.path(".trailkeeper/tfc_audit.kafka.json");
    fs::write(&cursor, "{\"version\":1").unwrap();
    let damaged = forwarder(&outbox);
    let problem = damaged["problem"].as_str().unwrap();
    assert!(problem.contains("tfc_audit.kafka.json is damaged"), "{problem}");
    assert_eq!(fs::read_to_string(&cursor).unwrap(), "{\"version\":1");
    assert!(outbox.catalog.run(&["status"]).stdout.contains("is damaged"));
}

#[test]
fn the_page_shows_each_forwarder() {
    let mut outbox = Outbox::without_broker();
    outbox.append(DAYS[0], 4, 10);
    let sent = outbox
        .catalog
        .run(&["forward", "stdout", "--forward-from", "start", "-q"]);
    assert_eq!((sent.code, sent.stdout.lines().count()), (0, 4), "{}", sent.stderr);
    outbox.append(DAYS[0], 1_234, 10);
    let run = outbox.catalog.run(&["report", "--html", "report.html"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let page = fs::read_to_string(outbox.catalog.root().join("report.html")).unwrap();
    let forwarders = page.split_once("<h3>Forwarders</h3>").unwrap().1;
    for text in [
        "<th scope=\"row\">stdout</th>",
        "<td>2025-06-09T00:00:04Z</td>",
        "1\u{202f}234",
        "width:0.3%",
    ] {
        assert!(forwarders.contains(text), "{text}: {forwarders}");
    }
}
