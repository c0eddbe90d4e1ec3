//! Day files that grow, the forwarder as a process, and what a topic must hold in the end.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use super::broker::{Broker, Message};
use crate::support::{Catalog, Run};

/// The days of the files.
pub(super) const DAYS: [&str; 3] = ["2025-06-09", "2025-06-10", "2025-06-11"];

/// The topic of the stream.
pub(super) const TOPIC: &str = "tfc-logs";

/// The transactional id of the tests.
pub(super) const ID: &str = "logserver1";

/// At least once, and exactly once, by their transactional ids.
pub(super) const MODES: [&str; 2] = ["", ID];

/// The catalog of one stream, without a service behind it.
pub(super) struct Outbox {
    pub(super) catalog: Catalog,
    /// The lines that were appended, by file, without their newlines.
    pub(super) lines: BTreeMap<String, Vec<String>>,
    count: usize,
}

impl Outbox {
    /// A catalog whose forwarder knows this broker.
    pub(super) fn new(broker: &Broker) -> Self {
        Self::without_broker()
            .with("KAFKA_SERVER", broker.address())
            .with("KAFKA_TIMEOUT_SECONDS", "20")
    }

    /// One that is forwarded exactly once.
    pub(super) fn exactly_once(broker: &Broker) -> Self {
        Self::new(broker).with("KAFKA_TRANSACTIONAL_ID", ID)
    }

    /// A catalog without settings for a broker.
    pub(super) fn without_broker() -> Self {
        let mut catalog = Catalog::bare();
        let folder = catalog.root().join("tfc");
        fs::create_dir(&folder).unwrap();
        catalog.set("TFC_LOG_CATALOG_LOCATION", folder.display());
        catalog.set("TFC_LOG_FILE_BASE_NAME", "tfc_audit");
        Self {
            catalog,
            lines: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.catalog.set(name, value);
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.catalog.root().join("tfc").join(name)
    }

    /// Appends text that may or may not be a record.
    pub(super) fn append_raw(&self, day: &str, text: &str) {
        let path = self.path(&format!("tfc_audit_{day}.log"));
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Appends records of about this many bytes each.
    pub(super) fn append(&mut self, day: &str, records: usize, bytes: usize) {
        let mut text = String::new();
        for _ in 0..records {
            self.count += 1;
            let second = self.count % 86_400;
            let time = format!("{day}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60);
            let line = format!(
                "{{\"id\": \"ae-{}\", \"timestamp\": \"{time}\", \"filler\": \"{}\"}}",
                self.count,
                "x".repeat(bytes)
            );
            text.push_str(&line);
            text.push('\n');
            let name = format!("tfc_audit_{day}.log");
            self.lines.entry(name).or_default().push(line);
        }
        // In two writes: who reads in between sees a torn line at the end.
        let (start, rest) = text.split_at(text.len() * 2 / 3);
        self.append_raw(day, start);
        self.append_raw(day, rest);
    }

    /// Expects one record no more.
    pub(super) fn remove(&mut self, record: &Value) {
        let is_it = |line: &String| serde_json::from_str::<Value>(line).unwrap() == *record;
        let mut files = self.lines.values_mut();
        let found = files.find_map(|lines| lines.iter().position(is_it).map(|at| lines.remove(at)));
        assert!(found.is_some(), "no line of ours");
    }

    /// Runs the forwarder to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        self.catalog.run(&[&["forward", "kafka", "--json"], arguments].concat())
    }

    /// Runs it from the start of the archive, or from its cursor; the summary of the stream.
    pub(super) fn forward(&self, code: i32) -> Value {
        let run = self.run(&["--forward-from", "start"]);
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        let summary: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(summary["exit_code"], code);
        summary["streams"][0]["forward"][0].clone()
    }

    /// Every line once, in the order of its file, said rightly.
    pub(super) fn assert_exactly_once(&self, messages: &[Message]) {
        for message in messages {
            self.assert_true(message);
        }
        let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in messages {
            held.entry(message.header("file").to_owned())
                .or_default()
                .push(message.value.clone());
        }
        assert_eq!(counts(&held), counts(&self.lines));
        assert!(held == self.lines, "the order, or a line, is another");
    }

    /// Every line at least once, first in the order of its file. Tells how many came again.
    pub(super) fn assert_at_least_once(&self, messages: &[Message]) -> usize {
        let mut first: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for message in messages {
            self.assert_true(message);
            if seen.insert(message.header("dedup-id")) {
                first
                    .entry(message.header("file").to_owned())
                    .or_default()
                    .push(message.value.clone());
            }
        }
        assert_eq!(counts(&first), counts(&self.lines));
        assert!(first == self.lines, "the order, or a line, is another");
        messages.len() - seen.len()
    }

    /// What a message says of its line must be so.
    fn assert_true(&self, message: &Message) {
        let record: Value = serde_json::from_str(&message.value).unwrap();
        assert_eq!(message.key, record["id"]);
        assert_eq!(message.header("stream"), "tfc");
        let time: chrono::DateTime<chrono::Utc> = record["timestamp"].as_str().unwrap().parse().unwrap();
        // The header is there only if the broker does not take the time.
        match message.header("time") {
            "" => assert_eq!(message.timestamp, time.timestamp_millis()),
            header => assert_eq!(header.parse::<chrono::DateTime<chrono::Utc>>().unwrap(), time),
        }
        assert_eq!(message.header("dedup-id").len(), 32);
    }
}

fn counts(lines: &BTreeMap<String, Vec<String>>) -> Vec<(&str, usize)> {
    lines.iter().map(|(file, lines)| (file.as_str(), lines.len())).collect()
}
