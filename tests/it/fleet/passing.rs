//! Catalogs pass from one machine to a fleet, and back: nothing is lost, and nothing is repeated.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::archive::{LogServer, appended};
use super::crew::{Crew, STREAMS};
use super::ledger::{Ledger, Verdict};
use super::storm::Fleet;
use crate::kafka::broker::Broker;
use crate::support::{PATIENCE, Process, Run, wait_until};

/// A machine that collects by itself what the services of a crew give.
fn machine(crew: &Crew, name: &str) -> LogServer {
    let mut server = LogServer::new(crew, name, name);
    for organization in crew.organizations() {
        let file = server.folder.join(format!("env/{organization}.env"));
        fs::write(file, crew.settings_of(&organization)).unwrap();
    }
    server
        .variables
        .insert("RETRY_DELAY_SECONDS".to_owned(), "0.01".to_owned());
    server
}

/// Services give so many records of each organization, over all streams.
fn give(crew: &Crew, ledger: &mut Ledger, name: &str, count: usize) -> BTreeSet<String> {
    let mut given = BTreeSet::new();
    for organization in crew.organizations() {
        for number in 0..count {
            let line = crew.give_now(&organization, &format!("{name}-{organization}-{number}"));
            ledger.note(line.clone());
            given.insert(line);
        }
    }
    given
}

/// All messages of the audit topics.
fn messages(broker: &Broker) -> Vec<String> {
    let messages = STREAMS.iter().flat_map(|(_, topic)| broker.committed(topic));
    messages.map(|message| message.value).collect()
}

#[track_caller]
fn done(run: &Run) {
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
}

/// The coverage of all streams, by a command that reads only.
fn coverage(server: &LogServer) -> Vec<Value> {
    let run = server.run(&["coverage", "--json"]);
    let lines = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .flat_map(|line| line["streams"].as_array().unwrap().clone())
        .collect()
}

/// Has a member of the fleet keep these, and end.
fn keep(broker: &Broker, crew: &Crew, lines: &BTreeSet<String>) {
    let member = Process::start(&mut crew.member());
    wait_until("the fleet has kept what is new", PATIENCE, || {
        let kept = messages(broker);
        lines.iter().all(|line| kept.contains(line))
    });
    assert_eq!(member.terminate().code, 0);
}

/// A fleet that goes on from the catalogs of a machine: what came after that it has kept, and nothing is filed yet.
struct Passed {
    broker: Broker,
    crew: Crew,
    server: LogServer,
    /// All that was given, and what of it came after that.
    ledger: Ledger,
    new: BTreeSet<String>,
}

impl Passed {
    fn new() -> Self {
        let broker = Broker::start();
        let crew = Crew::new(&broker, 2);
        let mut ledger = Ledger::default();
        for organization in crew.organizations() {
            let lines = crew.begin_with(&organization, 30);
            lines.into_iter().for_each(|line| ledger.note(line));
        }
        give(&crew, &mut ledger, "before", 6);
        let server = machine(&crew, "one");
        done(&server.run(&["collect"]));
        assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
        let new = give(&crew, &mut ledger, "between", 6);
        let adopted = server.run(&["fleet", "adopt"]);
        done(&adopted);
        let begun = "org00/yandex-mail: the fleet goes on from 3";
        assert!(adopted.stdout.contains(begun), "{}", adopted.stdout);
        keep(&broker, &crew, &new);
        Self {
            broker,
            crew,
            server,
            ledger,
            new,
        }
    }

    /// The catalogs of the machine have everything once, and without a gap.
    #[track_caller]
    fn assert_whole(&self) {
        let found = self.ledger.judge_lines(self.server.lines().into_iter());
        assert_eq!(found, Verdict::default());
        for stream in coverage(&self.server) {
            assert_eq!(stream["covered"].as_array().unwrap().len(), 1, "{stream}");
        }
        done(&self.server.run(&["verify"]));
    }
}

#[test]
fn a_fleet_goes_on_where_one_machine_ended() {
    let passed = Passed::new();
    let Passed {
        broker, server, new, ..
    } = &passed;
    let sent = messages(broker);
    let distinct: BTreeSet<_> = sent.iter().cloned().collect();
    assert_eq!((sent.len(), &distinct), (new.len(), new), "nothing is repeated");
    let again = server.run(&["fleet", "adopt"]);
    done(&again);
    let was_done = again.stdout.matches("the fleet has it already").count();
    assert_eq!(was_done, 6, "{}", again.stdout);
    let refused = server.run(&["collect"]);
    assert!(
        refused.code == 3 && refused.stderr.contains("belongs to the fleet"),
        "{}",
        refused.stderr
    );
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown)), (0, 12), "{shown}");
    passed.assert_whole();
}

#[test]
fn another_archive_does_not_call_complete_what_one_machine_had() {
    let passed = Passed::new();
    assert_eq!(passed.server.once(&[]).0, 0);
    let other = LogServer::new(&passed.crew, "two", "two");
    let (code, shown) = other.once(&[]);
    assert_eq!((code, appended(&shown)), (0, 12), "{shown}");
    let from = |server| {
        let streams = coverage(server).into_iter();
        streams
            .map(|stream| stream["covered"][0]["from"].clone())
            .collect::<Vec<_>>()
    };
    let (whole, part) = (from(&passed.server), from(&other));
    let mut both = whole.iter().zip(&part);
    assert!(
        both.all(|(one, other)| other.is_null() || one.as_str() < other.as_str()),
        "{whole:?} {part:?}"
    );
}

#[test]
fn one_machine_goes_on_where_a_fleet_ended_and_the_fleet_again() {
    let mut passed = Passed::new();
    let states = |crew: &Crew| {
        let status: Value = serde_json::from_str(&crew.run(&["status", "--json"]).stdout).unwrap();
        let streams = status["streams"].as_array().unwrap().iter();
        streams.map(|stream| stream["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(states(&passed.crew), ["collected"; 6]);
    let member = Process::start(&mut passed.crew.member());
    let released = passed.server.run(&["fleet", "release"]);
    done(&released);
    assert_eq!(released.stdout.matches("given back").count(), 6, "{}", released.stdout);
    assert_eq!(states(&passed.crew), ["released"; 6]);
    let table = passed.crew.run(&["status"]).stdout;
    assert_eq!(table.matches(" released ").count(), 6, "{table}");
    let before = messages(&passed.broker).len();
    give(&passed.crew, &mut passed.ledger, "after", 6);
    done(&passed.server.run(&["collect"]));
    passed.assert_whole();
    assert_eq!(member.terminate().code, 0);
    let member = Process::start(&mut passed.crew.member());
    wait_until("a new member has taken everything over", PATIENCE, || {
        let status: Value = serde_json::from_str(&passed.crew.run(&["status", "--json"]).stdout).unwrap();
        status["unowned"] == json!([])
    });
    assert_eq!(member.terminate().code, 0);
    assert_eq!(
        messages(&passed.broker).len(),
        before,
        "the fleet collects them no more"
    );
    let adopted = passed.server.run(&["fleet", "adopt", "--json"]);
    done(&adopted);
    let shown: Value = serde_json::from_str(&adopted.stdout).unwrap();
    let has_passed = |stream: &Value| stream["outcome"] == "passed";
    assert!(shown["streams"].as_array().unwrap().iter().all(has_passed), "{shown}");
    assert_eq!(states(&passed.crew), ["adopted"; 6]);
    let new = give(&passed.crew, &mut passed.ledger, "again", 6);
    keep(&passed.broker, &passed.crew, &new);
    assert_eq!(messages(&passed.broker).len(), before + new.len());
    assert_eq!(passed.server.once(&[]).0, 0);
    passed.assert_whole();
}

#[test]
fn what_the_fleet_has_collected_already_is_not_begun_anew_and_the_machine_goes_on() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let mut ledger = Ledger::default();
    give(&crew, &mut ledger, "first", 3);
    let member = Process::start(&mut crew.member());
    wait_until("the fleet has everything", PATIENCE, || messages(&broker).len() == 3);
    assert_eq!(member.terminate().code, 0);
    let server = machine(&crew, "one");
    let nothing = server.run(&["fleet", "adopt"]);
    assert_eq!(nothing.stdout, "", "what is in the log is not printed too");
    assert!(
        nothing.code == 3 && nothing.stderr.contains("no run has begun its journal"),
        "{}",
        nothing.stderr
    );
    done(&server.run(&["collect"]));
    // The fleet has collected the streams by itself, so it cannot go on from these, and that is told before a record comes.
    let (code, shown) = server.once(&[]);
    let problems: Vec<_> = shown["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| &stream["problem"])
        .collect();
    let is_refused = |problem: &&Value| {
        problem
            .as_str()
            .is_some_and(|problem| problem.contains("cannot go on from it any more"))
    };
    assert!(
        code == 3 && problems.len() == 3 && problems.iter().all(is_refused),
        "{shown}"
    );
    let refused = server.run(&["fleet", "adopt"]);
    assert!(
        refused.code == 3 && refused.stderr.contains("the fleet has collected it already"),
        "{}",
        refused.stderr
    );
    give(&crew, &mut ledger, "second", 3);
    done(&server.run(&["collect"]));
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
    let (code, shown) = server.once(&[]);
    assert!(
        code == 3 && shown.to_string().contains("this machine has collected"),
        "{shown}"
    );
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
    let none = server.run(&["fleet", "release"]);
    done(&none);
    assert_eq!(none.stdout.matches("belongs to no fleet").count(), 3, "{}", none.stdout);
}

#[test]
fn a_takeover_that_breaks_off_is_done_again() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let mut ledger = Ledger::default();
    give(&crew, &mut ledger, "first", 6);
    let mut server = machine(&crew, "one");
    done(&server.run(&["collect"]));
    broker.ask("refuse produce no-right 1000");
    server
        .variables
        .insert("KAFKA_TIMEOUT_SECONDS".to_owned(), "2".to_owned());
    let broken = server.run(&["fleet", "adopt"]);
    assert!(
        broken.code == 3 && broken.stderr.contains("do it again"),
        "{}",
        broken.stderr
    );
    let refused = server.run(&["collect"]);
    assert!(
        refused.stderr.contains("belongs to the fleet"),
        "whether it is the fleet's is not known"
    );
    broker.ask("behave");
    done(&server.run(&["fleet", "adopt"]));
    let new = give(&crew, &mut ledger, "second", 6);
    keep(&broker, &crew, &new);
    assert_eq!(messages(&broker).len(), 6);
    assert_eq!(server.once(&[]).0, 0);
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
}

#[test]
fn what_a_catalog_has_lost_is_collected_by_the_fleet_and_nothing_else_of_that_day() {
    let broker = Broker::start();
    let crew = Crew::new(&broker, 1);
    let mut ledger = Ledger::default();
    let lines = crew.begin_with("org00", 30);
    lines.into_iter().for_each(|line| ledger.note(line));
    let server = machine(&crew, "one");
    done(&server.run(&["collect"]));
    let files = walkdir::WalkDir::new(server.folder.join("days/org00/MAIL"));
    let files: Vec<_> = files
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "log"))
        .collect();
    // At midnight there are two.
    let newest = files.iter().max_by_key(|entry| entry.file_name().to_owned()).unwrap();
    let text = fs::read_to_string(newest.path()).unwrap();
    let (kept, lost): (Vec<_>, Vec<_>) = text.lines().enumerate().partition(|(number, _)| number % 3 > 0);
    let kept: String = kept.iter().map(|(_, line)| format!("{line}\n")).collect();
    fs::write(newest.path(), kept).unwrap();
    let lost: BTreeSet<_> = lost.iter().map(|(_, line)| (*line).to_owned()).collect();
    done(&server.run(&["fleet", "adopt"]));
    keep(&broker, &crew, &lost);
    let sent = messages(&broker);
    assert_eq!(sent.len(), lost.len());
    assert_eq!(sent.into_iter().collect::<BTreeSet<_>>(), lost);
    let (code, shown) = server.once(&[]);
    assert_eq!((code, appended(&shown)), (0, lost.len() as u64), "{shown}");
    assert_eq!(ledger.judge_lines(server.lines().into_iter()), Verdict::default());
    for stream in coverage(&server) {
        assert_eq!(
            (&stream["wrong_days"], stream["covered"].as_array().unwrap().len()),
            (&json!([]), 1),
            "{stream}"
        );
    }
}
