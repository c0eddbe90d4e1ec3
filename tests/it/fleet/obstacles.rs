//! What stands in the way of an archive: it holds back what it has to, and no more, and it is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

use super::archive::{LogServer, appended, kept};
use super::crew::{Crew, STREAMS};
use super::ledger::Verdict;
use super::storm::{Blow, Fleet, Storm};
use crate::disk::Mount;
use crate::follow::{check_with_promtool, figure, http_get, served_address};
use crate::kafka::broker::Broker;
use crate::support::random::{many, random};
use crate::support::{Catalog, PATIENCE, Process, wait_until};

/// The streams that `archive --json` shows, as `ORGANIZATION/STREAM`, for which something is so.
fn streams(shown: &Value, is_so: impl Fn(&Value) -> bool) -> Vec<String> {
    let streams = shown["streams"].as_array().unwrap().iter();
    let names = streams.filter(|stream| is_so(stream));
    names
        .map(|stream| stream["stream"].as_str().unwrap().to_owned())
        .collect()
}

/// A message that no fleet has sent, to any partition.
struct Stray<'a> {
    value: Option<&'a str>,
    headers: &'a [(&'a str, &'a str)],
}

fn send(broker: &Broker, topic: &str, strays: &[Stray<'_>]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address());
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    for Stray { value, headers } in strays {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            let value = Some(*value);
            headers.insert(Header { key, value })
        });
        let mut record = BaseRecord::<str, str>::to(topic).key("key").headers(headers);
        record.payload = *value;
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_stream_that_cannot_be_filed_holds_back_no_other() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 7);
    let ledger = kept(&broker, &crew);
    let server = LogServer::new(&crew, "one", "one");
    let folder = server.folder.join("days/org02/MAIL");
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown)), (3, 180), "{shown}");
    assert_eq!(
        streams(&shown, |stream| !stream["problem"].is_null()),
        ["org02/yandex-mail"],
        "{shown}"
    );
    assert_eq!(
        streams(&shown, |stream| stream["fleet_run_at"].is_null()),
        ["org02/yandex-mail"],
        "{shown}"
    );
    // What is waited for is where it was; another process reads what came behind it again, and drops it.
    let again = server.once(&[]).1;
    assert_eq!(appended(&again), 0, "{again}");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown)), (0, 30), "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
}

#[test]
fn a_member_that_goes_on_files_the_others_once_while_one_stream_cannot_be() {
    let broker = Broker::start();
    let mut crew = Crew::new(&broker, 7);
    let mut ledger = kept(&broker, &crew);
    let server = LogServer::new(&crew, "one", "one");
    let folder = server.folder.join("days/org02/MAIL");
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    let archive = server.start();
    let member = Process::start(&mut crew.member());
    for number in 0..12 {
        ledger.note(crew.give("org03", &format!("later-{number}"), 0));
        let count = 180 + number + 1;
        wait_until("what is new is filed", PATIENCE, || server.lines().len() == count);
    }
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    wait_until("all of it is filed", PATIENCE, || server.lines().len() == ledger.len());
    assert_eq!(member.terminate().code, 0);
    let shown: Value = {
        let run = archive.terminate();
        assert_eq!(run.code, 0, "{}", run.stderr);
        serde_json::from_str(&server.run(&["archive", "--once", "--json"]).stdout).unwrap()
    };
    assert_eq!(shown["exit_code"], 0, "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
}

#[test]
fn what_no_stream_is_named_by_is_kept_once_and_no_failure() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let ledger = kept(&broker, &crew);
    const RECORD: Option<&str> = Some(r#"{"unique_id": "x", "event_type": "x", "date": "2026-01-05T00:00:00Z"}"#);
    let strays = [
        (RECORD, &[("stream", "yandex-mail"), ("organization", "../../etc")][..]),
        (RECORD, &[("stream", "yandex-mail")]),
        (RECORD, &[]),
        (None, &[("stream", "yandex-mail"), ("organization", "org00")]),
        (None, &[]),
    ];
    let strays = strays.map(|(value, headers)| Stray { value, headers });
    send(&broker, "audit-mail", &strays);
    send(&broker, "fleet.rejected", &strays);
    let server = LogServer::new(&crew, "one", "one");
    let run = server.run(&["archive", "--once", "--json"]);
    let shown: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (run.code, &shown["rejected"], appended(&shown)),
        (0, &json!(10), 30),
        "{shown}"
    );
    assert_eq!(
        (&shown["problems"], &shown["unknown"]),
        (&json!([]), &json!([])),
        "{shown}"
    );
    for told in ["../../etc", "of no stream", "of no organization", "no value"] {
        assert!(shown["warnings"].to_string().contains(told), "{told}: {shown}");
        assert!(
            run.stderr.contains("WARN") && run.stderr.contains(told),
            "{told}: {}",
            run.stderr
        );
    }
    let kept = fs::read_to_string(server.folder.join("archive/.trailkeeper/archive.rejected.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 10, "{kept}");
    for line in kept.lines() {
        let noted: Value = serde_json::from_str(line).unwrap();
        assert!(
            noted["record"]["offset"].is_u64() && noted["reason"].is_string(),
            "{line}"
        );
    }
    for arguments in [&[][..], &["--from-start"], &["--strict"]] {
        let (code, shown) = server.once(arguments);
        assert_eq!((code, &shown["rejected"]), (0, &json!(0)), "{arguments:?}: {shown}");
    }
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
    let strict = LogServer::new(&crew, "two", "two");
    let (code, shown) = strict.once(&["--strict"]);
    assert_eq!(
        (code, &shown["exit_code"], appended(&shown)),
        (3, &json!(3), 30),
        "{shown}"
    );
}

#[test]
fn a_member_that_has_nothing_to_do_says_why() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    kept(&broker, &crew);
    let first = LogServer::new(&crew, "first", "one");
    let mut running = first.start();
    wait_until("the first has filed everything", PATIENCE, || first.lines().len() == 30);
    let second = LogServer::new(&crew, "second", "one");
    let spare = second.run(&["archive", "--once", "--json"]);
    let shown: Value = serde_json::from_str(&spare.stdout).unwrap();
    assert_eq!(
        (spare.code, &shown["warnings"]),
        (0, &json!([])),
        "{}{}",
        spare.stdout,
        spare.stderr
    );
    let said = "no partition is this member's";
    assert!(
        spare.stderr.contains("INFO") && spare.stderr.contains(said),
        "{}",
        spare.stderr
    );
    running.assert_running();
    running.kill();
    wait_until("the group has put the first out", PATIENCE, || {
        !broker.ask("group one")[0].contains("one.") || broker.ask("group one")[0].split(' ').count() <= 4
    });
    let idle = second.run(&["archive", "--once", "--json"]);
    let shown: Value = serde_json::from_str(&idle.stdout).unwrap();
    assert_eq!(
        (idle.code, &shown["exit_code"]),
        (3, &json!(3)),
        "{}{}",
        idle.stdout,
        idle.stderr
    );
    let told = shown["warnings"][0].as_str().unwrap();
    assert!(
        told.contains("--take-over") && told.contains("is not in the group"),
        "{told}"
    );
    assert!(
        idle.stderr.contains("WARN") && idle.stderr.contains(said),
        "{}",
        idle.stderr
    );
}

#[test]
fn a_group_that_begins_where_the_beginning_is_gone_warns_and_claims_nothing_of_it() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    kept(&broker, &crew);
    for (_, topic) in STREAMS {
        broker.ask(&format!("expire {topic}"));
    }
    let server = LogServer::new(&crew, "late", "late");
    let run = server.run(&["archive", "--once", "--json"]);
    let shown: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, appended(&shown)), (0, 0), "{shown}");
    let warned = run
        .stderr
        .lines()
        .any(|line| line.contains("WARN") && line.contains("are gone from Kafka"));
    assert!(
        warned && shown["warnings"].to_string().contains("org00/yandex-mail"),
        "{shown} {}",
        run.stderr
    );
    let coverage = server.run(&["coverage", "--json"]);
    let shown: Value = serde_json::from_str(coverage.stdout.lines().next().unwrap()).unwrap();
    let mut streams = shown["streams"].as_array().unwrap().iter();
    // Nothing of the others was ever in the topics, so nothing of them is gone.
    let mail = streams.find(|stream| stream["stream"] == "org00/yandex-mail").unwrap();
    assert_eq!(mail["covered"], json!([]), "{mail}");
}

#[test]
fn a_member_serves_what_it_has_filed_and_how_it_stands() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 2);
    kept(&broker, &crew);
    send(
        &broker,
        "audit-mail",
        &[Stray {
            value: Some("x"),
            headers: &[],
        }],
    );
    let server = LogServer::new(&crew, "one", "one");
    let folder = server.folder.join("days/org01/MAIL");
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    let mut member = server.start_with(&["--metrics-listen", "127.0.0.1:0"]);
    let address = served_address(&member.complaint_with("serving metrics"));
    let figure_of = |name: &str| {
        let answer = http_get(&address, "/metrics");
        figure(answer.split_once("\r\n\r\n").unwrap().1, name)
    };
    let of = |name: &str, organization: &str| {
        format!("trailkeeper_{name}{{stream=\"yandex-mail\",organization=\"{organization}\"}}")
    };
    wait_until("it has filed everything", PATIENCE, || {
        figure_of(&of("appended_records_total", "org00")) == Some(30.0)
    });
    assert_eq!(figure_of(&of("last_run_success", "org01")), Some(0.0));
    assert_eq!(figure_of("trailkeeper_archive_rejected_messages_total"), Some(1.0));
    assert!(figure_of(&of("archive_fleet_run_timestamp_seconds", "org00")).is_some());
    assert_eq!(figure_of(&of("archive_fleet_run_timestamp_seconds", "org01")), None);
    let text = http_get(&address, "/metrics");
    let waiting = text
        .lines()
        .filter(|line| line.starts_with("trailkeeper_archive_waiting_messages{topic=\"audit-mail\""));
    assert_eq!(waiting.count(), 3, "{text}");
    check_with_promtool(text.split_once("\r\n\r\n").unwrap().1);
    let health = http_get(&address, "/healthz");
    assert!(
        health.starts_with("HTTP/1.1 503 ") && health.contains("its last run was not complete"),
        "{health}"
    );
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    wait_until("it is well", PATIENCE, || {
        http_get(&address, "/healthz").starts_with("HTTP/1.1 200 ")
    });
    assert_eq!(member.terminate().code, 0);
}

#[test]
fn everything_that_is_wrong_with_the_settings_is_told_at_once_and_once() {
    let catalog = Catalog::bare();
    let folder = catalog.root().join("env");
    fs::create_dir(&folder).unwrap();
    let common = "FLEET_ID=trails\nARCHIVE_GROUP=trails\nARCHIVE_FOLDER=gone\nKAFKA_SERVER=nowhere\nFILE_MODE=9\n\
                  MAIL_LOG_CATALOG_LOCATION=days/{org}\nMAIL_LOG_FILE_BASE_NAME=mail\nMAIL_KAFKA_TOPIC=audit\n";
    fs::write(folder.join("common.env"), common).unwrap();
    fs::write(folder.join("acme.env"), "").unwrap();
    fs::write(folder.join("beta.env"), "MAIL_LOG_FILE_BASE_NAME=..\n").unwrap();
    let run = catalog.run(&["archive", "--once", "--env-dir", "env"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    for told in [
        "ARCHIVE_FOLDER must be a folder",
        "ARCHIVE_GROUP must be another group",
        "KAFKA_SERVER must be",
        "FILE_MODE must be",
        "beta could not be filed: MAIL_LOG_FILE_BASE_NAME must be",
    ] {
        assert_eq!(run.stderr.matches(told).count(), 1, "{told}: {}", run.stderr);
    }
}

#[test]
fn an_archive_without_a_stream_says_that_there_is_nothing_to_file() {
    let catalog = Catalog::bare();
    let folder = catalog.root().join("env");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(catalog.root().join("archive")).unwrap();
    let common = "FLEET_ID=trails\nARCHIVE_FOLDER=archive\nKAFKA_SERVER=127.0.0.1:1\n";
    fs::write(folder.join("common.env"), common).unwrap();
    fs::write(folder.join("acme.env"), "").unwrap();
    let run = catalog.run(&["archive", "--once", "--env-dir", "env"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("nothing to file"), "{}", run.stderr);
}

/// Fills a folder that is a small disk; what fills it goes when this does.
struct Filling(PathBuf);

impl Filling {
    fn of(folder: &Path) -> Self {
        let filling = folder.join("filling");
        fs::create_dir(&filling).unwrap();
        for size in [16_384, 4_096, 1] {
            let mut names = (0..).map(|number| filling.join(format!("{size}-{number}")));
            names.find(|name| fs::write(name, vec![0; size]).is_err()).unwrap();
        }
        Self(filling)
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_disk_that_is_full_for_a_while_ends_no_member_that_goes_on() {
    let broker = Broker::start();
    let mut crew = Crew::new(&broker, 2);
    let mut ledger = kept(&broker, &crew);
    let folder = crew.catalog.root().join("one");
    fs::create_dir(&folder).unwrap();
    let Some(_mount) = Mount::tmpfs(&folder, "size=1m") else {
        return;
    };
    let server = LogServer::new(&crew, "one", "one");
    let mut archive = server.start();
    wait_until("all of it is filed", PATIENCE, || server.lines().len() == ledger.len());
    let member = Process::start(&mut crew.member());
    let filling = Filling::of(&folder);
    for number in 0..4 {
        ledger.note(crew.give("org00", &format!("later-{number}"), 0));
    }
    let complaint = archive.complaint_with("No space left on device");
    assert!(complaint.contains("ERROR"), "{complaint}");
    archive.assert_running();
    drop(filling);
    wait_until("all of it is filed again", PATIENCE, || {
        server.lines().len() == ledger.len()
    });
    assert_eq!(member.terminate().code, 0);
    assert_eq!(archive.terminate().code, 0);
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown)), (0, 0), "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
    for command in ["verify", "coverage"] {
        let run = server.run(&[command]);
        assert_eq!(run.code, 0, "{command}: {}{}", run.stdout, run.stderr);
    }
}

/// The catalog of a stream, which can be in the way, as a disk that is not mounted.
struct CatalogFolder(PathBuf);

impl CatalogFolder {
    fn away(&self) -> PathBuf {
        self.0.with_extension("away")
    }

    fn is_away(&self) -> bool {
        self.away().exists()
    }

    fn take_away(&self) {
        fs::rename(&self.0, self.away()).unwrap();
        fs::write(&self.0, "in the way").unwrap();
    }

    fn bring_back(&self) {
        fs::remove_file(&self.0).unwrap();
        fs::rename(self.away(), &self.0).unwrap();
    }
}

/// Two members of one group, which are killed, while catalogs come and go under them.
#[test]
fn catalogs_that_come_and_go_lose_and_repeat_nothing_whoever_is_killed() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 6);
    let servers = ["one", "two"].map(|name| LogServer::new(&crew, name, "both"));
    let mut storm = Storm::of(&broker, crew, 2, "catalogs");
    for organization in storm.fleet.organizations() {
        let lines = storm.fleet.begin_with(&organization, 40);
        lines.into_iter().for_each(|line| storm.note(line));
    }
    let catalogs: Vec<_> = servers
        .iter()
        .flat_map(|server| {
            let organizations = storm.fleet.organizations().into_iter();
            organizations
                .flat_map(|name| ["MAIL", "TFC", "PORT"].map(|prefix| (name.clone(), prefix)))
                .map(|(name, prefix)| CatalogFolder(server.folder.join("days").join(name).join(prefix)))
        })
        .collect();
    let mut members: Vec<_> = servers.iter().map(LogServer::start).collect();
    let mut random = random();
    for _ in 0..many(10) {
        for _ in 0..4 {
            let catalog = &catalogs[random.usize(..catalogs.len())];
            if catalog.is_away() {
                catalog.bring_back()
            } else {
                catalog.take_away()
            }
        }
        storm.round(&[Blow::Kill, Blow::Rebalance, Blow::SlowCommits]);
        if random.bool() {
            let chosen = random.usize(..members.len());
            members.remove(chosen).kill();
            members.insert(chosen, servers[chosen].start());
        }
        members.iter_mut().for_each(Process::assert_running);
    }
    catalogs
        .iter()
        .filter(|catalog| catalog.is_away())
        .for_each(CatalogFolder::bring_back);
    members.into_iter().for_each(Process::kill);
    let verdict = storm.end();
    assert_eq!(verdict, Verdict::default());
    for server in &servers {
        let (code, shown) = server.once(&[]);
        assert_eq!(code, 0, "{shown}");
        let run = server.run(&["verify", "--json"]);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }
    let lines = servers.iter().flat_map(LogServer::lines);
    assert_eq!(storm.ledger.judge_lines(lines), Verdict::default());
}
