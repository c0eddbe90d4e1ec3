//! A Kafka broker in a process of its own, so that it outlives the forwarders that are killed.
//!
//! The process is a [`Servant`] at the ignored test [`serve`].

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use krafka::error::ErrorCode;
use krafka::testing::{ApiKey, Control, FakeBroker, RequestInfo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::proxy::{self, Ahead, Judge};
use super::servant::Servant;

/// The broker as a test sees it; the process ends when this is dropped.
pub(crate) struct Broker {
    servant: Servant,
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
        let servant = Servant::start("kafka::broker::serve");
        let address = servant.ask("address").remove(0);
        Self { servant, address }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Gives a command and reads the answer.
    pub(crate) fn ask(&self, command: &str) -> Vec<String> {
        self.servant.ask(command)
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
    run();
}

/// Serves until stdin ends.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let broker = Arc::new(FakeBroker::start().await.unwrap());
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
        let mut judge = Judge::default();
        judge.add_standing(Box::new(no_offsets_without_topic(broker.clone())));
        let judge = Arc::new(Mutex::new(judge));
        let ahead = Ahead::of(&broker);
        tokio::spawn(proxy::serve(listener, upstream, judge.clone(), ahead.clone()));
        let hooks = Hooks::install(&broker, &judge);
        let obey = tokio::task::spawn_blocking(move || {
            let commands = std::io::stdin().lines();
            commands
                .map_while(Result::ok)
                .for_each(|command| obey(&broker, &hooks, &ahead, port, &command));
        });
        obey.await.unwrap();
    });
}

/// As Kafka does, and the fake broker does not: offsets are refused for a topic that does not exist.
fn no_offsets_without_topic(broker: Arc<FakeBroker>) -> impl Fn(i16, &[u8]) -> Option<ErrorCode> + Send {
    move |api, frame| {
        let is_about_offsets = api == ApiKey::TxnOffsetCommit.to_i16();
        let topics = is_about_offsets.then(|| proxy::topics_of_offsets(frame));
        let exists = |topic: &String| broker.with_state(|cluster| cluster.topics.contains_key(topic));
        let is_bad = topics.is_some_and(|topics| !topics.iter().all(exists));
        is_bad.then_some(ErrorCode::UnknownTopicOrPartition)
    }
}

type Hook = Box<dyn FnMut(&RequestInfo) -> Control + Send>;

/// What is done with requests: the newest hook of a kind decides, unless the judge has refused the request. The fake broker has
/// such hooks too, but none that stays when others are removed.
struct Hooks {
    hooks: Arc<Mutex<HashMap<i16, Hook>>>,
    judge: Arc<Mutex<Judge>>,
}

impl Hooks {
    fn install(broker: &FakeBroker, judge: &Arc<Mutex<Judge>>) -> Self {
        let hooks = Arc::new(Mutex::new(HashMap::<i16, Hook>::new()));
        for (_, api) in API_KEYS {
            let (hooks, judge) = (hooks.clone(), judge.clone());
            broker.on(api, move |request| {
                let refused = judge.lock().unwrap().take(api.to_i16(), request.correlation_id);
                let mut hooks = hooks.lock().unwrap();
                let hook = hooks.get_mut(&api.to_i16());
                match (refused, hook) {
                    (Some(error), _) => Control::Error(error),
                    (None, Some(hook)) => hook(request),
                    (None, None) => Control::Pass,
                }
            });
        }
        Self {
            hooks,
            judge: judge.clone(),
        }
    }

    fn on(&self, api: &str, hook: impl FnMut(&RequestInfo) -> Control + Send + 'static) {
        self.hooks.lock().unwrap().insert(api_key(api).to_i16(), Box::new(hook));
    }

    fn clear(&self) {
        self.hooks.lock().unwrap().clear();
        self.judge.lock().unwrap().clear();
    }
}

fn obey(broker: &FakeBroker, hooks: &Hooks, ahead: &Ahead, port: u16, command: &str) {
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
        ["grow", topic, more] => drop(broker.add_partitions(topic, more.parse().unwrap())),
        ["expire", topic] => expire(broker, topic),
        ["create", topic, partitions] => assert!(broker.create_topic(topic, partitions.parse().unwrap())),
        [word @ ("auto-create" | "no-auto-create")] => {
            broker.with_state(|cluster| cluster.auto_create_topics = word == "auto-create");
        }
        ["refuse", ..] | ["lose-answers", ..] | ["refuse-calls", ..] | ["delay", ..] => meddle(hooks, &words),
        ["deny", ..] | ["limit", _] | ["times", ..] => refuse_by_content(&hooks.judge, &words),
        ["behave"] => hooks.clear(),
        ["topics"] => broker.with_state(|cluster| cluster.topics.keys().for_each(|topic| println!("@{topic}"))),
        ["crash" | "restart"] => {
            let is_down = words == ["crash"];
            ahead.coordinator.set_down(is_down);
            if is_down { broker.crash(0) } else { broker.restart(0) }
        }
        ["group", group] => println!("@{}", ahead.coordinator.describe(group)),
        ["groups"] => ahead.coordinator.names().iter().for_each(|group| println!("@{group}")),
        ["rebalance", group] => ahead.coordinator.rebalance(group),
        ["config", topic, name, value] => ahead.configs.set(topic, name, value),
        ["hide-config", topic] => ahead.configs.hide(topic),
        ["require-sasl", user, password] => broker.require_sasl_plain(user, password),
        ["forget-producers", topic] => assert!(broker.clear_producer_state(topic, 0)),
        ["forget-groups"] => broker.with_state(|cluster| cluster.groups.clear()),
        ["offset" | "partitions", ..] => print_figure(broker, &words),
        _ => panic!("unknown command: {command}"),
    }
    println!("@done");
}

/// All that a topic has is too old, and gone.
fn expire(broker: &FakeBroker, topic: &str) {
    broker.with_state(|cluster| {
        for partition in cluster.topics.get_mut(topic).unwrap().partitions.iter_mut() {
            partition.log.clear();
            partition.log_start_offset = partition.next_offset;
        }
    });
}

/// Does something to requests of a kind, by their number.
fn meddle(hooks: &Hooks, words: &[&str]) {
    match *words {
        ["refuse", api, error, times] => {
            let (error, mut left) = (error_code(error), times.parse::<u64>().unwrap());
            hooks.on(api, move |_| {
                let is_refused = left > 0;
                left = left.saturating_sub(1);
                if is_refused {
                    Control::Error(error)
                } else {
                    Control::Pass
                }
            });
        }
        // Every `nth` request of this kind is carried out, and its answer lost.
        ["lose-answers", api, nth] => {
            let (nth, mut count) = (nth.parse::<u64>().unwrap(), 0_u64);
            hooks.on(api, move |_| {
                count += 1;
                if count.is_multiple_of(nth) {
                    Control::ApplyThen(Box::new(Control::Disconnect))
                } else {
                    Control::Pass
                }
            });
        }
        // The requests of this kind with these numbers, from 1, are refused.
        ["refuse-calls", api, error, calls] => {
            let (error, mut count) = (error_code(error), 0);
            let calls: Vec<u64> = calls.split(',').map(|call| call.parse().unwrap()).collect();
            hooks.on(api, move |_| {
                count += 1;
                if calls.contains(&count) {
                    Control::Error(error)
                } else {
                    Control::Pass
                }
            });
        }
        ["delay", api, milliseconds] => {
            let wait = Duration::from_millis(milliseconds.parse().unwrap());
            hooks.on(api, move |_| Control::Delay(wait));
        }
        _ => panic!("unknown command: {words:?}"),
    }
}

/// Prints what the broker knows of a topic.
fn print_figure(broker: &FakeBroker, words: &[&str]) {
    match *words {
        // Of the first of its partitions that has one.
        ["offset", group, topic] => {
            let offset = (0..100).find_map(|partition| broker.committed_offset(group, topic, partition));
            println!("@{offset:?}");
        }
        ["partitions", topic] => {
            broker.with_state(|cluster| println!("@{}", cluster.topics[topic].partitions.len()));
        }
        _ => panic!("unknown figure: {words:?}"),
    }
}

/// Refuses requests by what is in them.
fn refuse_by_content(judge: &Mutex<Judge>, words: &[&str]) {
    match *words {
        // Requests of this kind are refused if they name this; `\0` and `\1` are bytes of the request.
        ["deny", api, name, error] => {
            let (error, api) = (error_code(error), api_key(api));
            let name = name.replace("\\0", "\0").replace("\\1", "\u{1}").into_bytes();
            let names = move |frame: &[u8]| frame.windows(name.len()).any(|part| part == name);
            judge_by(judge, api, move |frame| names(frame).then_some(error));
        }
        // Batches of more bytes are refused, as by a topic with `max.message.bytes`.
        ["limit", bytes] => {
            let most: usize = bytes.parse().unwrap();
            judge_by(judge, ApiKey::Produce, move |frame| {
                (proxy::record_batch(frame).len() > most).then_some(ErrorCode::MessageTooLarge)
            });
        }
        // Batches with a record of another time, in milliseconds, are refused; by their first and their latest one.
        ["times", earliest, latest] => {
            let times: RangeInclusive<i64> = earliest.parse().unwrap()..=latest.parse().unwrap();
            judge_by(judge, ApiKey::Produce, move |frame| {
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
fn judge_by(judge: &Mutex<Judge>, api: ApiKey, rule: impl Fn(&[u8]) -> Option<ErrorCode> + Send + 'static) {
    let key = api.to_i16();
    let rule = move |found, frame: &[u8]| if found == key { rule(frame) } else { None };
    judge.lock().unwrap().add(Box::new(rule));
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

/// The requests that can be refused, by the names that they have in commands.
const API_KEYS: [(&str, ApiKey); 10] = [
    ("produce", ApiKey::Produce),
    ("init", ApiKey::InitProducerId),
    ("end", ApiKey::EndTxn),
    ("offsets", ApiKey::TxnOffsetCommit),
    ("metadata", ApiKey::Metadata),
    ("coordinator", ApiKey::FindCoordinator),
    ("add-offsets", ApiKey::AddOffsetsToTxn),
    ("add-partitions", ApiKey::AddPartitionsToTxn),
    ("committed", ApiKey::OffsetFetch),
    ("create", ApiKey::CreateTopics),
];

fn api_key(name: &str) -> ApiKey {
    let found = API_KEYS.into_iter().find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("unknown API: {name}")).1
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
