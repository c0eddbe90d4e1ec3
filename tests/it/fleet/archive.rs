//! The archive of a fleet: day files on log servers, which are the program itself, as consumers of the topics.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};
use walkdir::WalkDir;

use super::crew::{Crew, STREAMS, prefix};
use super::ledger::{Ledger, Verdict};
use super::storm::{Blow, Fleet, Storm};
use crate::kafka::broker::Broker;
use crate::support::random::{many, random};
use crate::support::{PATIENCE, Process, Run, process, wait_until};

/// A machine with day files of its own.
pub(super) struct LogServer {
    pub(super) folder: PathBuf,
    pub(super) variables: BTreeMap<String, String>,
}

impl LogServer {
    /// One of this group, with folders for each stream of each organization.
    pub(super) fn new(crew: &Crew, name: &str, group: &str) -> Self {
        let folder = crew.catalog.root().join(name);
        fs::create_dir_all(folder.join("archive")).unwrap();
        fs::create_dir_all(folder.join("env")).unwrap();
        let shown = folder.display();
        let mut common = format!("ARCHIVE_FOLDER={shown}/archive\nARCHIVE_GROUP={group}\n");
        for (api, topic) in STREAMS {
            let prefix = prefix(api);
            common += &format!(
                "{prefix}_KAFKA_TOPIC={topic}\n{prefix}_LOG_CATALOG_LOCATION={shown}/days/{{org}}/{prefix}\n\
                 {prefix}_LOG_FILE_BASE_NAME={prefix}\n"
            );
        }
        fs::write(folder.join("env/common.env"), common).unwrap();
        let variables = crew.catalog.variables();
        let server = Self { folder, variables };
        crew.organizations().iter().for_each(|name| server.add(name));
        server
    }

    /// One more organization.
    fn add(&self, organization: &str) {
        fs::write(self.folder.join(format!("env/{organization}.env")), "").unwrap();
        for (api, _) in STREAMS {
            let days = self.folder.join("days").join(organization).join(prefix(api));
            fs::create_dir_all(days).unwrap();
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
        command.args(arguments).args(["--env-dir", "env"]);
        command.current_dir(&self.folder).env_clear().envs(&self.variables);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a member.
    pub(super) fn start(&self) -> Process {
        self.start_with(&[])
    }

    /// The same, with these arguments too.
    pub(super) fn start_with(&self, arguments: &[&str]) -> Process {
        let arguments = [&["archive", "--interval", "1s"], arguments].concat();
        Process::start(&mut self.command(&arguments))
    }

    /// Files everything up to now; what it says.
    pub(super) fn once(&self, arguments: &[&str]) -> (i32, Value) {
        let run = self.run(&[&["archive", "--once", "--json"], arguments].concat());
        let shown = serde_json::from_str(&run.stdout);
        (
            run.code,
            shown.unwrap_or_else(|_| panic!("{}{}", run.stdout, run.stderr)),
        )
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        Process::start(&mut self.command(arguments)).end()
    }

    /// The lines of all day files.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in WalkDir::new(self.folder.join("days")).sort_by_file_name() {
            let entry = entry.unwrap();
            let is_day_file = entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "log");
            if is_day_file {
                let text = fs::read_to_string(entry.path()).unwrap();
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        lines
    }

    /// What a state file of a stream holds.
    fn state(&self, organization: &str, prefix: &str, what: &str) -> String {
        let folder = self.folder.join("days").join(organization).join(prefix);
        fs::read_to_string(folder.join(format!(".trailkeeper/{prefix}.{what}"))).unwrap_or_default()
    }
}

/// Has a fleet of one member keep some records of each organization; they are all in Kafka when this returns.
pub(super) fn kept(broker: &Broker, crew: &Crew) -> Ledger {
    kept_with(broker, crew, 0)
}

/// The same with so many more of each, spread over all streams.
fn kept_with(broker: &Broker, crew: &Crew, more: usize) -> Ledger {
    let mut ledger = Ledger::default();
    for (organization, number) in crew
        .organizations()
        .iter()
        .flat_map(|name| (0..more).map(move |n| (name, n)))
    {
        ledger.note(crew.give_now(organization, &format!("more-{organization}-{number}")));
    }
    for organization in crew.organizations() {
        crew.begin_with(&organization, 30)
            .into_iter()
            .for_each(|line| ledger.note(line));
    }
    let member = Process::start(&mut crew.member());
    wait_until("the fleet has kept everything", PATIENCE, || is_kept(broker, &ledger));
    assert_eq!(member.terminate().code, 0);
    ledger
}

fn is_kept(broker: &Broker, ledger: &Ledger) -> bool {
    let messages = STREAMS.iter().flat_map(|(_, topic)| broker.committed(topic));
    let values: Vec<_> = messages.map(|message| message.value).collect();
    values.len() >= ledger.len() && ledger.is_within(values.iter().map(String::as_str))
}

/// How many records were appended, by what `archive --json` shows.
pub(super) fn appended(shown: &Value) -> u64 {
    let streams = shown["streams"].as_array().unwrap().iter();
    streams.map(|stream| stream["appended"].as_u64().unwrap()).sum()
}

#[test]
fn a_whole_archive_is_filed_once_and_is_as_complete_as_the_fleet_says() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 3);
    let ledger = kept(&broker, &crew);
    let server = LogServer::new(&crew, "one", "one");
    let (code, shown) = server.once(&[]);
    assert_eq!((code, &shown["problems"]), (0, &json!([])), "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
    let (code, again) = server.once(&[]);
    assert_eq!((code, appended(&shown), appended(&again)), (0, 90, 0));
    for command in ["coverage", "verify", "status"] {
        let run = server.run(&[command, "--json"]);
        assert_eq!(run.code, 0, "{command}: {}{}", run.stdout, run.stderr);
    }
    let coverage = server.run(&["coverage", "--json"]);
    let first: Value = serde_json::from_str(coverage.stdout.lines().next().unwrap()).unwrap();
    for stream in first["streams"].as_array().unwrap() {
        let gaps = stream["gaps"].as_array().unwrap();
        assert_eq!(stream["covered"].as_array().unwrap().len(), 1, "{stream}");
        assert!(gaps.iter().all(|gap| gap["reaches_now"] == true), "{stream}");
    }
}

/// Members of the fleet and of two archives are killed, and groups are shared out anew, while services go on giving records.
#[test]
fn two_archives_are_whole_whoever_is_killed() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 6);
    let servers = ["one", "two"].map(|name| LogServer::new(&crew, name, name));
    let mut storm = Storm::of(&broker, crew, 3, "archive");
    for organization in storm.fleet.organizations() {
        let lines = storm.fleet.begin_with(&organization, 40);
        lines.into_iter().for_each(|line| storm.note(line));
    }
    let mut members: Vec<_> = servers.iter().map(LogServer::start).collect();
    let mut random = random();
    for _ in 0..many(16) {
        storm.round(&[Blow::Kill, Blow::Kill, Blow::Rebalance, Blow::SlowCommits, Blow::Outage]);
        let chosen = random.usize(..members.len());
        if random.bool() {
            members.remove(chosen).kill();
            members.insert(chosen, servers[chosen].start());
        }
        for (member, server) in members.iter_mut().zip(&servers) {
            if member.ended().is_some() {
                *member = server.start();
            }
        }
    }
    members.into_iter().for_each(Process::kill);
    let verdict = storm.end();
    println!("{}", storm.told());
    assert_eq!(verdict, Verdict::default());
    for server in servers {
        let (code, shown) = server.once(&[]);
        assert_eq!(code, 0, "{shown}");
        let lines = server.lines();
        assert_eq!(storm.ledger.judge_lines(lines.into_iter()), Verdict::default());
        let run = server.run(&["verify", "--json"]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn members_of_one_group_share_and_each_keeps_what_it_has_begun_with() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 8);
    let mut ledger = kept_with(&broker, &crew, 9);
    let (one, two) = (
        LogServer::new(&crew, "one", "both"),
        LogServer::new(&crew, "two", "both"),
    );
    let (first, second) = (one.start(), two.start());
    let both = || one.lines().into_iter().chain(two.lines());
    wait_until("both have filed all of it", PATIENCE, || both().count() >= ledger.len());
    assert_eq!(ledger.judge_lines(both()), Verdict::default());
    assert!(!one.lines().is_empty() && !two.lines().is_empty(), "they share");
    // One is gone for longer than the group waits for it, and the other is given its partitions: it leaves them alone.
    first.kill();
    let (before, of_second) = (one.lines().len(), two.lines().len());
    let mut member = Process::start(&mut crew.member());
    for organization in crew.organizations() {
        for number in 0..6 {
            let id = format!("later-{organization}-{number}");
            ledger.note(crew.give_now(&organization, &id));
        }
    }
    wait_until("the fleet has kept everything", PATIENCE, || is_kept(&broker, &ledger));
    wait_until("the group has put the other out", PATIENCE, || {
        broker.ask("group both")[0].split(' ').count() == 4
    });
    broker.ask("rebalance both");
    wait_until("the other has filed what is its own", PATIENCE, || {
        two.lines().len() > of_second
    });
    let (code, shown) = {
        let third = LogServer::new(&crew, "three", "both");
        third.once(&[])
    };
    assert_eq!(
        (code, &shown["partitions"]),
        (3, &json!([])),
        "nothing is left to begin with, and the first is not there: {shown}"
    );
    assert_eq!(one.lines().len(), before);
    member.assert_running();
    let first = one.start();
    wait_until("the first has filed the rest", PATIENCE, || {
        both().count() >= ledger.len()
    });
    assert_eq!(ledger.judge_lines(both()), Verdict::default());
    for process in [first, second, member] {
        assert_eq!(process.terminate().code, 0);
    }
    for server in [&one, &two] {
        let (code, shown) = server.once(&[]);
        assert_eq!(code, 0, "{shown}");
        assert!(
            !shown["partitions"].as_array().unwrap().is_empty() && !shown["elsewhere"].as_array().unwrap().is_empty()
        );
    }
}

/// A producer that is none of the fleet's.
fn stranger(broker: &Broker) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address());
    config.create().unwrap()
}

#[test]
fn an_organization_that_the_settings_lack_is_named_and_read_again_when_they_have_it() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 3);
    let ledger = kept(&broker, &crew);
    let server = LogServer::new(&crew, "one", "one");
    fs::remove_file(server.folder.join("env/org01.env")).unwrap();
    let (code, shown) = server.once(&[]);
    assert_eq!(
        (code, &shown["unknown"], appended(&shown)),
        (3, &json!(["org01/yandex-mail"]), 60)
    );
    server.add("org01");
    let (code, shown) = server.once(&[]);
    assert_eq!(
        (code, &shown["unknown"], appended(&shown)),
        (0, &json!([]), 30),
        "{shown}"
    );
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
}

#[test]
fn messages_that_are_gone_are_named_and_what_they_covered_stays_a_gap() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 2);
    let server = LogServer::new(&crew, "one", "one");
    let before = kept(&broker, &crew);
    assert_eq!(server.once(&[]).0, 0);
    let mut member = Process::start(&mut crew.member());
    let gone = crew.give_now("org00", "gone");
    let has = |line: &str| {
        let messages = STREAMS.iter().flat_map(|(_, topic)| broker.committed(topic));
        let values: Vec<_> = messages.map(|message| message.value).collect();
        values.iter().any(|value| value == line)
    };
    wait_until("it is kept", PATIENCE, || has(&gone));
    STREAMS
        .iter()
        .for_each(|(_, topic)| drop(broker.ask(&format!("expire {topic}"))));
    let later = crew.give_now("org00", "later");
    wait_until("the next is kept", PATIENCE, || has(&later));
    let (code, shown) = server.once(&[]);
    let problems: Vec<_> = shown["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|partition| partition["problem"].as_str())
        .collect();
    assert!(
        code == 3 && problems.iter().any(|problem| problem.contains("are gone from Kafka")),
        "{shown}"
    );
    let (code, shown) = server.once(&["--accept-missing"]);
    assert_eq!(code, 0, "{shown}");
    let verdict = before.judge_lines(server.lines().into_iter());
    assert_eq!((verdict.lost.len(), verdict.invented.len()), (0, 1), "{verdict:?}");
    let last = ["l0", "l1", "l2"].map(|id| crew.give_now("org00", id));
    wait_until("the last ones are kept", PATIENCE, || last.iter().all(|line| has(line)));
    member.assert_running();
    assert_eq!(member.terminate().code, 0);
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown)), (0, 3), "{shown}");
    let coverage = server.run(&["coverage", "--json", "--org", "org00"]);
    let inner = |stream: &&Value| {
        let gaps = stream["gaps"].as_array().unwrap();
        gaps.iter().any(|gap| gap["reaches_now"] == false)
    };
    let shown: Value = serde_json::from_str(coverage.stdout.trim()).unwrap();
    assert!(
        shown["streams"].as_array().unwrap().iter().any(|stream| inner(&stream)),
        "{shown}"
    );
}

#[test]
fn another_disk_takes_over_only_when_it_is_told_to() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 3);
    let ledger = kept(&broker, &crew);
    let lost = LogServer::new(&crew, "lost", "one");
    assert_eq!(lost.once(&[]).0, 0);
    let new = LogServer::new(&crew, "new", "one");
    let (code, shown) = new.once(&[]);
    assert_eq!((code, appended(&shown)), (3, 0), "{shown}");
    assert!(new.lines().is_empty());
    wait_until("the group has put the lost one out", PATIENCE, || {
        broker.ask("group one")[0].split(' ').count() <= 4
    });
    let (code, shown) = new.once(&["--take-over"]);
    assert_eq!((code, appended(&shown)), (0, 90), "{shown}");
    assert_eq!(ledger.judge_lines(new.lines().into_iter()), Verdict::default());
    let (code, shown) = lost.once(&[]);
    assert_eq!((code, &shown["partitions"]), (3, &json!([])), "{shown}");
}

#[test]
fn a_member_runs_once_and_a_copy_of_it_not_at_all() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let server = LogServer::new(&crew, "one", "one");
    let mut member = server.start();
    wait_until("it has joined", PATIENCE, || {
        broker.ask("group one")[0].starts_with("Stable")
    });
    let (code, shown) = server.once(&[]);
    assert_eq!((code, &shown["error"]["kind"]), (4, &json!("held")), "{shown}");
    let copy = LogServer::new(&crew, "copy", "one");
    let note = ".trailkeeper/archive.member.json";
    fs::create_dir_all(copy.folder.join("archive/.trailkeeper")).unwrap();
    fs::copy(
        server.folder.join("archive").join(note),
        copy.folder.join("archive").join(note),
    )
    .unwrap();
    let second = copy.start();
    // The broker puts out who was first.
    let complaint = member.complaint_with("another process has joined the group `one` as this member");
    assert!(complaint.contains("ARCHIVE_FOLDER"), "{complaint}");
    assert_eq!(member.end().code, 4);
    assert_eq!(second.terminate().code, 0);
}

#[test]
fn what_is_set_aside_goes_where_one_machine_would_put_it_and_strangers_are_told() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let mut ledger = kept(&broker, &crew);
    let producer = stranger(&broker);
    let send = |topic: &str, value: &str, headers: &[(&str, &str)]| {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(*value),
            })
        });
        let record = BaseRecord::to(topic).key("key").payload(value).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    let of_stream = [("stream", "yandex-mail"), ("organization", "org00")];
    let aside = |form, more: &[(&'static str, &'static str)]| {
        [&of_stream[..], &[("form", form), ("reason", "why")], more].concat()
    };
    let refused = r#"{"unique_id": "refused", "event_type": "x", "date": "2026-01-05T00:00:00Z"}"#;
    let (one, other) = refused.split_at(30);
    send("fleet.rejected", one, &aside("refused", &[("part", "1/2")]));
    send("fleet.rejected", other, &aside("refused", &[("part", "2/2")]));
    send("fleet.rejected", "\"no record\"", &aside("record", &[]));
    send("fleet.rejected", r#"{"unique_id": "again"}"#, &aside("revision", &[]));
    send("audit-mail", "no JSON", &of_stream);
    send("audit-mail", "of nobody", &[]);
    producer.flush(Duration::from_secs(30)).unwrap();
    let server = LogServer::new(&crew, "one", "one");
    let (code, shown) = server.once(&[]);
    let warning = shown["warnings"][0].as_str().unwrap_or_default();
    assert!(code == 0 && warning.contains("says of no stream"), "{shown}");
    ledger.note(refused.to_owned());
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
    let rejected = server.state("org00", "MAIL", "rejected.jsonl");
    assert!(
        rejected.lines().count() == 2 && rejected.contains("\"record\": \"no record\""),
        "{rejected}"
    );
    let revised = server.state("org00", "MAIL", "revised.jsonl");
    assert!(revised.lines().count() == 1 && revised.contains("again"), "{revised}");
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown)), (0, 0));
}

#[test]
fn a_topic_with_more_partitions_is_told_and_nothing_is_claimed_any_more() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 2);
    let ledger = kept(&broker, &crew);
    let server = LogServer::new(&crew, "one", "one");
    assert_eq!(server.once(&[]).0, 0);
    broker.ask("grow audit-mail 5");
    let (code, shown) = server.once(&[]);
    let problem = shown["problems"][0].as_str().unwrap_or_default();
    assert!(code == 3 && problem.contains("has 5 partitions, and had 3"), "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
}

#[test]
fn an_older_copy_is_found_out_and_read_once_more_from_the_start() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let mut ledger = kept(&broker, &crew);
    let server = LogServer::new(&crew, "one", "one");
    assert_eq!(server.once(&[]).0, 0);
    let copied = |from: &str, to: &str| {
        let run = process::run(Command::new("cp").args(["-a", from, to]).current_dir(&server.folder));
        assert_eq!(run.code, 0, "{}", run.stderr);
    };
    copied("days", "copy");
    let member = Process::start(&mut crew.member());
    for id in ["l0", "l1", "l2"] {
        ledger.note(crew.give_now("org00", id));
    }
    wait_until("the last ones are kept", PATIENCE, || is_kept(&broker, &ledger));
    assert_eq!(member.terminate().code, 0);
    assert_eq!(server.once(&[]).0, 0);
    fs::remove_dir_all(server.folder.join("days")).unwrap();
    copied("copy", "days");
    let (code, shown) = server.once(&[]);
    assert!(
        code == 3 && shown.to_string().contains("is older than what was filed there"),
        "{shown}"
    );
    let (code, shown) = server.once(&["--from-start"]);
    assert_eq!((code, appended(&shown)), (0, 3), "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
}

#[test]
fn one_machine_leaves_the_catalogs_of_a_fleet_alone() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    kept(&broker, &crew);
    let mut server = LogServer::new(&crew, "one", "one");
    assert_eq!(server.once(&[]).0, 0);
    let before = server.lines();
    fs::write(server.folder.join("env/org00.env"), crew.settings_of("org00")).unwrap();
    server
        .variables
        .insert("RETRY_DELAY_SECONDS".to_owned(), "0.01".to_owned());
    let run = server.run(&["collect", "--json"]);
    assert!(
        run.code == 3 && run.stdout.contains("its catalog belongs to the fleet fleet"),
        "{}{}",
        run.stdout,
        run.stderr
    );
    assert_eq!(server.lines(), before);
}

#[test]
fn nothing_is_called_complete_before_all_that_was_written_is_decided() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let ledger = kept(&broker, &crew);
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.address())
        .set("transactional.id", "fleet.99");
    let open: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    open.init_transactions(PATIENCE).unwrap();
    open.begin_transaction().unwrap();
    for (_, topic) in STREAMS {
        for partition in 0..3 {
            let record = BaseRecord::<str, str>::to(topic).partition(partition).payload("open");
            open.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    open.flush(PATIENCE).unwrap();
    let server = LogServer::new(&crew, "one", "one");
    let claims = |shown: &Value| {
        let streams = shown["streams"].as_array().unwrap().iter();
        streams.filter(|stream| !stream["fleet_run_at"].is_null()).count()
    };
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown), claims(&shown)), (0, 30, 0), "{shown}");
    open.abort_transaction(PATIENCE).unwrap();
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown), claims(&shown)), (0, 0, 3), "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
}
