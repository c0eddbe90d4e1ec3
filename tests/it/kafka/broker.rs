//! A Kafka broker in a process of its own, so that it outlives the forwarders that are killed.
//!
//! The process is this test binary once more, at the ignored test [`serve`]. It takes commands on stdin, a line each, and
//! answers on stdout with lines that begin with `@`.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::RangeInclusive;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use krafka::error::ErrorCode;
use krafka::testing::{ApiKey, Control, FakeBroker};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::proxy::{self, Judge};
use crate::support::Process;

/// The broker as a test sees it; the process ends when this is dropped.
pub(crate) struct Broker {
    process: Mutex<(ChildStdin, Process)>,
    address: String,
}

/// A record of a topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) timestamp: i64,
    pub(crate) headers: Vec<(String, String)>,
}

impl Message {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

impl Broker {
    /// Starts a broker that makes topics on first use, with one partition.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["kafka::broker::serve", "--exact", "--ignored", "--nocapture"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start(&mut command);
        let mut broker = Self {
            process: Mutex::new((process.stdin().unwrap(), process)),
            address: String::new(),
        };
        broker.address = broker.ask("address").remove(0);
        broker
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Gives a command and reads the answer.
    pub(crate) fn ask(&self, command: &str) -> Vec<String> {
        let mut pipes = self.process.lock().unwrap();
        writeln!(pipes.0, "{command}").unwrap();
        let mut lines = pipes.1.lines_to("@done");
        lines.pop();
        // The other lines are what the test harness of the process says.
        let answer = lines.iter().filter_map(|line| line.strip_prefix('@'));
        answer.map(str::to_owned).collect()
    }

    /// All records of a topic, those of aborted and open transactions included.
    pub(crate) fn all(&self, topic: &str) -> Vec<Message> {
        self.messages(&format!("all {topic}"))
    }

    /// The records that a consumer with `read_committed` sees.
    pub(crate) fn committed(&self, topic: &str) -> Vec<Message> {
        self.messages(&format!("committed {topic}"))
    }

    /// The number of requests of a kind, and of connections that made requests, since this was asked last.
    pub(crate) fn count(&self, api: &str) -> (u64, u64) {
        let answer = self.ask(&format!("count {api}"));
        (answer[0].parse().unwrap(), answer[1].parse().unwrap())
    }

    fn messages(&self, command: &str) -> Vec<Message> {
        let answer = self.ask(command);
        answer.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Not a test: the process of a [`Broker`]. It ends when its stdin does.
#[test]
#[ignore = "the broker of other tests, which start it themselves"]
fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let broker = FakeBroker::start().await.unwrap();
        broker.set_api_versions(ApiKey::TxnOffsetCommit, 3, 3);
        broker.set_api_versions(ApiKey::EndTxn, 0, 1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        broker.with_state(|cluster| {
            cluster.brokers[0].port = port.into();
            cluster.auto_create_topics = true;
            cluster.default_partitions = 1;
        });
        let upstream = broker.broker_addr(0).unwrap();
        let judge = Arc::new(Mutex::new(Judge::default()));
        tokio::spawn(proxy::serve(listener, upstream, judge.clone()));
        let obey = tokio::task::spawn_blocking(move || {
            let commands = std::io::stdin().lines();
            commands
                .map_while(Result::ok)
                .for_each(|command| obey(&broker, &judge, port, &command));
        });
        obey.await.unwrap();
    });
}

fn obey(broker: &FakeBroker, judge: &Arc<Mutex<Judge>>, port: u16, command: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    match words[..] {
        // Requests of this kind, and connections that made some, since they were counted last.
        ["count", api] => {
            let requests = broker.requests();
            let connections: BTreeSet<_> = requests.iter().map(|request| request.connection).collect();
            println!("@{}", broker.request_count(api_key(api)));
            println!("@{}", connections.len());
            broker.clear_requests();
        }
        ["address"] => println!("@127.0.0.1:{port}"),
        [view @ ("all" | "committed"), topic] => print_records(broker, view, topic),
        ["create", topic, partitions] => assert!(broker.create_topic(topic, partitions.parse().unwrap())),
        ["no-auto-create"] => broker.with_state(|cluster| cluster.auto_create_topics = false),
        ["refuse", api, error, times] => {
            let error = error_code(error);
            broker.on_times(api_key(api), times.parse().unwrap(), move |_| Control::Error(error));
        }
        // Every `nth` request of this kind is carried out, and its answer lost.
        ["lose-answers", api, nth] => {
            let (nth, count) = (nth.parse::<u64>().unwrap(), AtomicU64::new(0));
            broker.on(api_key(api), move |_| {
                if (count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(nth) {
                    Control::ApplyThen(Box::new(Control::Disconnect))
                } else {
                    Control::Pass
                }
            });
        }
        // The requests of this kind with these numbers, from 1, are refused.
        ["refuse-calls", api, error, calls] => {
            let (error, count) = (error_code(error), AtomicU64::new(0));
            let calls: Vec<u64> = calls.split(',').map(|call| call.parse().unwrap()).collect();
            broker.on(api_key(api), move |_| {
                if calls.contains(&(count.fetch_add(1, Ordering::Relaxed) + 1)) {
                    Control::Error(error)
                } else {
                    Control::Pass
                }
            });
        }
        ["delay", api, milliseconds] => {
            let wait = Duration::from_millis(milliseconds.parse().unwrap());
            broker.on(api_key(api), move |_| Control::Delay(wait));
        }
        ["deny", ..] | ["limit", _] | ["times", ..] => refuse_by_content(broker, judge, &words),
        ["behave"] => {
            broker.clear_hooks();
            judge.lock().unwrap().clear();
        }
        ["topics"] => broker.with_state(|cluster| cluster.topics.keys().for_each(|topic| println!("@{topic}"))),
        ["crash"] => broker.crash(0),
        ["restart"] => broker.restart(0),
        ["require-sasl", user, password] => broker.require_sasl_plain(user, password),
        ["forget-producers", topic] => assert!(broker.clear_producer_state(topic, 0)),
        ["forget-groups"] => broker.with_state(|cluster| cluster.groups.clear()),
        // Of the first of its partitions that has one.
        ["offset", group, topic] => {
            let offset = (0..100).find_map(|partition| broker.committed_offset(group, topic, partition));
            println!("@{offset:?}");
        }
        _ => panic!("unknown command: {command}"),
    }
    println!("@done");
}

/// Refuses requests by what is in them.
fn refuse_by_content(broker: &FakeBroker, judge: &Arc<Mutex<Judge>>, words: &[&str]) {
    match *words {
        // Requests of this kind are refused if they name this; `\0` and `\1` are bytes of the request.
        ["deny", api, name, error] => {
            let (error, api) = (error_code(error), api_key(api));
            let name = name.replace("\\0", "\0").replace("\\1", "\u{1}").into_bytes();
            let names = move |frame: &[u8]| frame.windows(name.len()).any(|part| part == name);
            judge_by(broker, judge, api, move |frame| names(frame).then_some(error));
        }
        // Batches of more bytes are refused, as by a topic with `max.message.bytes`.
        ["limit", bytes] => {
            let most: usize = bytes.parse().unwrap();
            judge_by(broker, judge, ApiKey::Produce, move |frame| {
                (proxy::record_batch(frame).len() > most).then_some(ErrorCode::MessageTooLarge)
            });
        }
        // Batches with a record of another time, in milliseconds, are refused; by their first and their latest one.
        ["times", earliest, latest] => {
            let times: RangeInclusive<i64> = earliest.parse().unwrap()..=latest.parse().unwrap();
            judge_by(broker, judge, ApiKey::Produce, move |frame| {
                let batch = proxy::record_batch(frame);
                let at = |place: usize| i64::from_be_bytes(batch[place..place + 8].try_into().unwrap());
                let is_good = times.contains(&at(27)) && times.contains(&at(35));
                (!is_good).then_some(ErrorCode::InvalidTimestamp)
            });
        }
        _ => panic!("unknown rule: {words:?}"),
    }
}

/// Refuses the requests of a kind that a rule finds fault with.
fn judge_by(
    broker: &FakeBroker,
    judge: &Arc<Mutex<Judge>>,
    api: ApiKey,
    rule: impl Fn(&[u8]) -> Option<ErrorCode> + Send + 'static,
) {
    let key = api.to_i16();
    let rule = move |found, frame: &[u8]| if found == key { rule(frame) } else { None };
    judge.lock().unwrap().add(Box::new(rule));
    let judge = judge.clone();
    broker.on(api, move |request| {
        let refused = judge.lock().unwrap().take(key, request.correlation_id);
        refused.map_or(Control::Pass, Control::Error)
    });
}

fn print_records(broker: &FakeBroker, view: &str, topic: &str) {
    let records = match view {
        "all" => broker.all_records(topic),
        _ => broker.committed_records(topic),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for record in records.unwrap() {
        let headers = record.headers.iter();
        let message = Message {
            partition: record.partition,
            key: text(&record.key.unwrap_or_default()),
            value: text(&record.value.unwrap_or_default()),
            timestamp: record.timestamp,
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_deref().unwrap_or_default())))
                .collect(),
        };
        println!("@{}", serde_json::to_string(&message).unwrap());
    }
}

fn api_key(name: &str) -> ApiKey {
    match name {
        "produce" => ApiKey::Produce,
        "init" => ApiKey::InitProducerId,
        "end" => ApiKey::EndTxn,
        "offsets" => ApiKey::TxnOffsetCommit,
        "metadata" => ApiKey::Metadata,
        "coordinator" => ApiKey::FindCoordinator,
        "add-offsets" => ApiKey::AddOffsetsToTxn,
        "add-partitions" => ApiKey::AddPartitionsToTxn,
        "committed" => ApiKey::OffsetFetch,
        "create" => ApiKey::CreateTopics,
        other => panic!("unknown API: {other}"),
    }
}

fn error_code(name: &str) -> ErrorCode {
    match name {
        "too-large" => ErrorCode::MessageTooLarge,
        "no-right" => ErrorCode::TopicAuthorizationFailed,
        "no-cluster-right" => ErrorCode::ClusterAuthorizationFailed,
        "no-group-right" => ErrorCode::GroupAuthorizationFailed,
        "no-id-right" => ErrorCode::TransactionalIdAuthorizationFailed,
        "invalid-record" => ErrorCode::InvalidRecord,
        "policy" => ErrorCode::PolicyViolation,
        "out-of-order" => ErrorCode::OutOfOrderSequenceNumber,
        other => panic!("unknown error: {other}"),
    }
}
