//! A member of a fleet: the real binary, stand-in services, and the broker in a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::broker::{Broker, Message};
use crate::support::random::{many, random};
use crate::support::{Catalog, PATIENCE, Process, Run, at, event, events, lines_by_file, serve, wait_until};

/// Longer than a member needs for everything on a slow machine.
const LONG_ENOUGH: Duration = Duration::from_secs(90);

/// How often the member is killed.
const KILLS: u32 = 25;

const STREAMS: [(Api, &str); 2] = [(Api::Mail, "mail-audit"), (Api::Tfc, "tfc-audit")];

/// Several organizations with services of their own, and the settings of a fleet for them.
struct Fleet {
    broker: Broker,
    catalog: Catalog,
    services: BTreeMap<String, Sandbox>,
}

impl Fleet {
    /// Organizations whose streams have so many records, and the topics for them.
    fn of(organizations: usize, records: i64) -> Self {
        let broker = Broker::start();
        for (_, topic) in STREAMS {
            broker.ask(&format!("create {topic} 2"));
            broker.ask(&format!("config {topic} message.timestamp.type LogAppendTime"));
        }
        let catalog = Catalog::bare();
        fs::create_dir(catalog.root().join("env")).unwrap();
        let mut fleet = Self {
            broker,
            catalog,
            services: BTreeMap::new(),
        };
        let address = fleet.broker.address().to_owned();
        fleet.write(
            "common",
            &format!(
                "FLEET_ID=trails\nFLEET_BUCKETS=4\nKAFKA_SERVER={address}\nKAFKA_TIMEOUT_SECONDS=10\nRETRY_DELAY_SECONDS=0.001\n\
                 MAIL_KAFKA_TOPIC=mail-audit\nTFC_KAFKA_TOPIC=tfc-audit\nKAFKA_PROPERTIES=session.timeout.ms=6000\n"
            ),
        );
        for number in 0..organizations {
            let service = serve(|options| {
                STREAMS.into_iter().fold(options, |options, (api, _)| {
                    options.give(api, events(api, records, 600))
                })
            });
            let variables = service.variables().into_iter();
            let text: String = variables.map(|(name, value)| format!("{name}={value}\n")).collect();
            let name = format!("o{number}");
            fleet.write(&name, &text);
            fleet.services.insert(name, service);
        }
        fleet
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.catalog.root().join("env").join(format!("{name}.env")), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let arguments: Vec<_> = ["fleet"]
            .iter()
            .chain(arguments)
            .chain(&["--env-dir", "env"])
            .copied()
            .collect();
        self.catalog.run(&arguments)
    }

    #[track_caller]
    fn init(&self) -> Run {
        let run = self.run(&["init"]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        run
    }

    fn member(&self) -> Process {
        self.catalog
            .start(&["fleet", "run", "--interval", "1s", "--env-dir", "env"])
    }

    /// How often each record of an organization is in a topic, by its line.
    fn committed(&self, organization: &str, topic: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let messages = self.broker.committed(topic).into_iter();
        for message in messages.filter(|message| message.header("organization") == organization) {
            *counts.entry(message.value).or_default() += 1;
        }
        counts
    }

    /// Whether every record of every service is in its topic.
    fn is_complete(&self) -> bool {
        self.services.iter().all(|(name, service)| {
            STREAMS.into_iter().all(|(api, topic)| {
                let kept = self.committed(name, topic);
                expected(service, api).iter().all(|line| kept.contains_key(line))
            })
        })
    }

    /// Waits until every record is there, and has the member end; what it said.
    #[track_caller]
    fn wait_and_end(&self, member: Process) -> Run {
        let begun = Instant::now();
        while !self.is_complete() && begun.elapsed() < LONG_ENOUGH {
            thread::sleep(Duration::from_millis(50));
        }
        let is_complete = self.is_complete();
        let ended = member.terminate();
        assert!(is_complete && ended.code == 0, "{}: {}", ended.code, ended.stderr);
        ended
    }

    /// Every record is in its topic once, and nothing else is.
    #[track_caller]
    fn assert_exactly_once(&self) {
        for (name, service) in &self.services {
            for (api, topic) in STREAMS {
                let kept = self.committed(name, topic);
                let expected = expected(service, api);
                let lost: Vec<_> = expected.iter().filter(|line| !kept.contains_key(*line)).collect();
                let twice: Vec<_> = kept.iter().filter(|(_, count)| **count > 1).collect();
                assert!(
                    lost.is_empty() && twice.is_empty(),
                    "{name} {topic}: lost {lost:?}, twice {twice:?}"
                );
                assert_eq!(kept.len(), expected.len(), "{name} {topic}");
            }
        }
    }

    /// A producer that is none of the fleet's.
    fn stranger(&self, transactional_id: Option<&str>) -> ThreadedProducer<DefaultProducerContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.address());
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        config.create().unwrap()
    }

    /// Writes a message to the state, as another version would.
    fn write_state(&self, partition: i32, key: &str, value: &str) {
        let producer = self.stranger(None);
        let record = BaseRecord::to("trails.state")
            .partition(partition)
            .key(key)
            .payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    fn status(&self) -> (i32, Value) {
        let run = self.run(&["status", "--json"]);
        (
            run.code,
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}{}", run.stdout, run.stderr)),
        )
    }

    fn state(&self) -> Vec<Message> {
        self.broker.committed("trails.state")
    }
}

/// The lines of the records of a service.
fn expected(service: &Sandbox, api: Api) -> BTreeSet<String> {
    lines_by_file(api, &service.events(api))
        .into_values()
        .flatten()
        .collect()
}

#[test]
fn the_topics_are_made_once_and_not_with_other_buckets() {
    let fleet = Fleet::of(1, 1);
    let refused = fleet.run(&["run"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("there is no topic `trails.state`: make it with `trailkeeper fleet init`"),
        "{}",
        refused.stderr
    );
    let made = fleet.init();
    assert_eq!(
        made.stdout,
        "The fleet trails has 4 buckets: made trails.state and trails.rejected.\n"
    );
    let again = fleet.init();
    assert!(
        again.stdout.contains("all topics were there, nothing was to be done"),
        "{}",
        again.stdout
    );
    assert_eq!(fleet.broker.ask("partitions trails.state"), ["4"]);
    assert_eq!(fleet.state().len(), 4);
    let common = fs::read_to_string(fleet.catalog.root().join("env/common.env")).unwrap();
    fleet.write("common", &common.replace("FLEET_BUCKETS=4", "FLEET_BUCKETS=8"));
    let other = fleet.run(&["init"]);
    assert_eq!(other.code, 1);
    assert!(
        other.stderr.contains("has 4 partitions, and FLEET_BUCKETS is 8"),
        "{}",
        other.stderr
    );
    fleet.write(
        "common",
        &common.replace("FLEET_ID=trails", "FLEET_ID=others\nFLEET_STATE_TOPIC=trails.state"),
    );
    let other = fleet.run(&["init"]);
    assert!(
        other.stderr.contains("is that of the fleet `trails`"),
        "{}",
        other.stderr
    );
}

#[test]
fn every_wrong_setting_is_named_at_once() {
    let mut catalog = Catalog::bare();
    for (name, value) in [
        ("TFC_KAFKA_TOPIC", "a topic"),
        ("FLEET_BUCKETS", "none"),
        ("KAFKA_COMPRESSION", "rar"),
        ("FLEET_IDD", "x"),
    ] {
        catalog.set(name, value);
    }
    let run = catalog.run(&["fleet", "run"]);
    assert_eq!(run.code, 1);
    for name in [
        "FLEET_ID is required",
        "FLEET_BUCKETS must",
        "KAFKA_COMPRESSION must",
        "TFC_KAFKA_TOPIC must",
        "TFC_ORG_TOKEN",
        "did you mean FLEET_ID",
    ] {
        assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
    }
    catalog.clear();
    let run = catalog.run(&["fleet", "run", "--org", "acme"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[test]
fn a_member_that_cannot_reach_kafka_fetches_nothing_until_it_can() {
    let fleet = Fleet::of(1, 5);
    fleet.init();
    let mut member = fleet.member();
    wait_until("the fleet has everything", PATIENCE, || fleet.is_complete());
    fleet.broker.ask("crash");
    member.complaint_with("no broker answers: nothing is fetched until one does");
    let asked = || fleet.services["o0"].request_count(Api::Tfc);
    // The run that was under way when it noticed may still ask.
    thread::sleep(Duration::from_secs(2));
    let before = asked();
    thread::sleep(Duration::from_secs(4));
    assert_eq!(asked(), before, "with an interval of a second");
    fleet.services["o0"].add(Api::Tfc, vec![event(Api::Tfc, at(2), "later")]);
    fleet.broker.ask("restart");
    fleet.wait_and_end(member);
    fleet.assert_exactly_once();
}

#[test]
fn a_member_ends_although_no_broker_answers() {
    let fleet = Fleet::of(1, 5);
    fleet.init();
    let member = fleet.member();
    wait_until("the fleet has everything", PATIENCE, || fleet.is_complete());
    fleet.broker.ask("crash");
    assert_eq!(member.terminate().code, 0);
}

#[test]
fn one_member_collects_everything_and_what_comes_later_each_once() {
    let fleet = Fleet::of(3, 40);
    fleet.init();
    let member = fleet.member();
    let begun = Instant::now();
    while !fleet.is_complete() && begun.elapsed() < LONG_ENOUGH {
        thread::sleep(Duration::from_millis(50));
    }
    for (api, _) in STREAMS {
        fleet.services["o1"].add(
            api,
            vec![event(api, at(5), "later"), event(api, at(90), "a little late")],
        );
    }
    fleet.wait_and_end(member);
    fleet.assert_exactly_once();
    let message = fleet.broker.committed("tfc-audit").remove(0);
    assert_eq!(message.header("stream"), "tfc");
    assert_eq!(message.header("dedup-id").len(), 32);
    assert_eq!(
        fleet.broker.ask("group trails")[0].split(' ').next(),
        Some("Empty"),
        "it has left the group"
    );
}

#[test]
fn killed_at_random_moments_a_member_loses_nothing_and_repeats_nothing() {
    let fleet = Fleet::of(2, 30);
    fleet.init();
    let mut random = random();
    for round in 0..many(KILLS) {
        let member = fleet.member();
        thread::sleep(Duration::from_millis(random.u64(0..1_500)));
        for (api, _) in STREAMS {
            let name = format!("o{}", random.usize(0..2));
            let new = (0..random.u32(0..4)).map(|n| event(api, at(random.i64(1..100)), &format!("{round}-{n}")));
            fleet.services[&name].add(api, new.collect());
        }
        thread::sleep(Duration::from_millis(random.u64(0..700)));
        member.kill();
    }
    let member = fleet.member();
    fleet.wait_and_end(member);
    fleet.assert_exactly_once();
}

/// The bucket of each organization, by the state.
fn buckets(status: &Value) -> BTreeMap<String, i32> {
    let streams = status["streams"].as_array().unwrap().iter();
    let bucket = |stream: &Value| {
        let organization = stream["organization"].as_str().unwrap().to_owned();
        (organization, stream["bucket"].as_i64().unwrap() as i32)
    };
    streams.map(bucket).collect()
}

#[test]
fn the_status_shows_who_has_what_and_after_the_end_that_nobody_has() {
    let fleet = Fleet::of(2, 5);
    fleet.init();
    let member = fleet.member();
    wait_until("all is there, and every stream has noted its run", PATIENCE, || {
        let (code, status) = fleet.status();
        code == 0
            && status["streams"]
                .as_array()
                .unwrap()
                .iter()
                .all(|stream| stream["records"] == 5)
            && fleet.is_complete()
    });
    let (_, status) = fleet.status();
    assert_eq!(status["members"][0]["buckets"], 4, "{status}");
    assert_eq!(status["streams"].as_array().unwrap().len(), 4);
    let owner = &status["members"][0]["member"];
    assert!(
        status["streams"]
            .as_array()
            .unwrap()
            .iter()
            .all(|stream| stream["owner"] == *owner && stream["open_gaps"] == 0),
        "{status}"
    );
    let text = fleet.run(&["status"]);
    assert!(
        text.stdout.starts_with("The fleet trails has 4 buckets.\n") && text.stdout.contains("o1/yandex-mail"),
        "{}",
        text.stdout
    );
    fleet.wait_and_end(member);
    let (code, status) = fleet.status();
    assert_eq!((code, &status["unowned"]), (3, &serde_json::json!([0, 1, 2, 3])));
}

#[test]
fn what_a_newer_version_has_written_stops_its_bucket_and_no_other() {
    let fleet = Fleet::of(6, 5);
    fleet.init();
    let first = fleet.member();
    fleet.wait_and_end(first);
    let buckets = buckets(&fleet.status().1);
    let stopped = buckets["o0"];
    assert!(buckets.values().any(|bucket| *bucket != stopped), "{buckets:?}");
    fleet.write_state(stopped, "stream:o0/tfc", r#"{"version":99,"whatever":[]}"#);
    for service in fleet.services.values() {
        service.add(Api::Tfc, vec![event(Api::Tfc, at(3), "later")]);
    }
    let mut member = fleet.member();
    let complaint = member.complaint_with("was written by a newer version of trailkeeper");
    assert!(complaint.contains("stream:o0/tfc"), "{complaint}");
    let others = || buckets.iter().filter(|(_, bucket)| **bucket != stopped);
    let has_later = |name: &String| fleet.committed(name, "tfc-audit").len() == 6;
    wait_until("the others go on", PATIENCE, || {
        others().all(|(name, _)| has_later(name))
    });
    assert!(!has_later(&"o0".to_owned()));
    let (code, status) = fleet.status();
    assert_eq!(
        (code, &status["problems"][0]["bucket"]),
        (3, &serde_json::json!(stopped))
    );
    assert_eq!(member.terminate().code, 0);
}

#[test]
fn a_member_that_is_fenced_lets_go_and_takes_over_again_what_the_group_leaves_it() {
    let fleet = Fleet::of(2, 5);
    fleet.init();
    let mut member = fleet.member();
    wait_until("the fleet has everything", PATIENCE, || fleet.is_complete());
    let strangers: Vec<_> = (0..4)
        .map(|bucket| {
            let stranger = fleet.stranger(Some(&format!("trails.{bucket}")));
            stranger.init_transactions(Duration::from_secs(30)).unwrap();
            stranger
        })
        .collect();
    for service in fleet.services.values() {
        service.add(Api::Mail, vec![event(Api::Mail, at(2), "later")]);
    }
    member.complaint_with("another member has taken the bucket over");
    fleet.wait_and_end(member);
    fleet.assert_exactly_once();
    // And they are fenced in turn.
    assert!(strangers.iter().any(|stranger| {
        stranger.begin_transaction().unwrap();
        stranger
            .send(BaseRecord::<str, str>::to("tfc-audit").payload("not of the fleet"))
            .unwrap();
        stranger.commit_transaction(Duration::from_secs(30)).is_err()
    }));
}

#[test]
fn what_a_broker_does_not_take_has_another_time_or_is_set_aside() {
    let fleet = Fleet::of(1, 3);
    fleet.init();
    let now = at(0).timestamp_millis();
    // Those of 600 seconds ago are too old for this broker.
    fleet
        .broker
        .ask(&format!("times {} {}", now - 300_000, now + 3_600_000));
    let long = event(Api::Tfc, at(30), "long");
    let text = long
        .text
        .replacen('{', &format!("{{\"filler\": \"{}\", ", "x".repeat(1_200_000)), 1);
    fleet.services["o0"].add(
        Api::Tfc,
        vec![Event::new(long.time, "long", text), event(Api::Tfc, at(20), "short")],
    );
    let member = fleet.member();
    wait_until("the fleet has everything that can be kept", PATIENCE, || {
        fleet.committed("o0", "tfc-audit").len() == 4 && fleet.committed("o0", "mail-audit").len() == 3
    });
    assert_eq!(member.terminate().code, 0);
    let old = fleet.broker.committed("mail-audit");
    assert!(
        old.iter()
            .all(|message| message.timestamp >= now - 300_000 && !message.header("time").is_empty())
    );
    let parts = fleet.broker.committed("trails.rejected");
    let shown: Vec<_> = parts
        .iter()
        .map(|part| (part.header("part"), part.header("reason")))
        .collect();
    assert_eq!(shown, ["1/3", "2/3", "3/3"].map(|part| (part, "too large for Kafka")));
    let whole: String = parts.iter().map(|part| part.value.as_str()).collect();
    let lines = expected(&fleet.services["o0"], Api::Tfc);
    assert!(lines.contains(&whole), "{} bytes", whole.len());
}
