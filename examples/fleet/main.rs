//! A fleet to look at: the broker of the tests and three members in processes of their own, one of which is killed before your eyes.
//!
//! `cargo run --release --example fleet`: less than a minute. Six organizations give invented records all the while. At the end it
//! counts what was given, what a reader with `read_committed` finds in Kafka, and what an archive has filed: nothing may be lost,
//! and nothing may be there twice, or the exit code is 1. The members are this program once more, as `trailkeeper` with its command
//! line.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "as a test it ends where something is not as it has to be, and what it prints is what it is for; the broker is that of the tests"
)]

mod kafka;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tempfile::TempDir;
use trailkeeper::commands::CommandLine;
use trailkeeper::sandbox::{Api, Event, Options, Sandbox};
use trailkeeper::{json, output};

use kafka::broker::Broker;
use support::wait::wait_until;
use support::{Process, run};

/// What `--help` prints.
const HELP: &str = "\
A fleet to look at, in less than a minute: a broker and three members in processes of their own, six organizations with invented records, and
one member that is killed. At the end it is counted what was given, kept, lost and there twice, in Kafka and in the day files of an archive;
the exit code is 1 if that is not right. Nothing is asked of any service, and what is written is removed.

Usage: cargo run --release --example fleet

Other arguments are those of trailkeeper, which the members are: `cargo run --release --example fleet -- fleet --help`";

/// The organizations, and the streams of each with its topic.
const ORGANIZATIONS: [&str; 6] = ["acme", "brook", "cedar", "dune", "ember", "fjord"];
const STREAMS: [(Api, &str, &str); 2] = [(Api::Mail, "MAIL", "mail-audit"), (Api::Tfc, "TFC", "tfc-audit")];

/// In how many parts the organizations are shared out.
const BUCKETS: u64 = 6;

/// How long services give records, when a member is killed, and how often something is given.
const GIVING: Duration = Duration::from_secs(16);
const KILLED_AFTER: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);

/// Longer than a takeover takes: the session of a member that is dead, and what follows.
const PATIENCE: Duration = Duration::from_secs(40);

/// The time, as `src/main.rs` has it.
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => demonstrate(),
        Some("--help" | "-h" | "help") => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Some("kafka::broker::serve") => {
            kafka::broker::run();
            ExitCode::SUCCESS
        }
        Some(_) => be_the_program(),
    }
}

/// What `src/main.rs` does.
fn be_the_program() -> ExitCode {
    if std::env::args().nth(2).as_deref() == Some("run") {
        // Whatever ends the example, no member stays behind.
        thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            process::exit(1);
        });
    }
    let command_line = match CommandLine::read(std::env::args_os()) {
        Ok(command_line) => command_line,
        Err(no_command) => return no_command.print(),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let exit = match builder.worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime.block_on(command_line.run(now)),
        Err(error) => command_line.cannot_start(&error),
    };
    output::stderr::drain();
    exit
}

/// What goes on.
struct Stage {
    begun: Instant,
    folder: TempDir,
    broker: Broker,
    services: BTreeMap<&'static str, Sandbox>,
    /// The lines that records have to become.
    given: BTreeSet<String>,
}

impl Stage {
    fn new() -> Self {
        let begun = Instant::now();
        let broker = Broker::start();
        for (_, _, topic) in STREAMS {
            broker.ask(&format!("create {topic} 3"));
            broker.ask(&format!("config {topic} message.timestamp.type LogAppendTime"));
        }
        let mut stage = Self {
            begun,
            folder: tempfile::tempdir().unwrap(),
            broker,
            services: BTreeMap::new(),
            given: BTreeSet::new(),
        };
        stage.write_settings();
        stage
    }

    /// The settings of the members, and those of an archive.
    fn write_settings(&mut self) {
        let (root, server) = (self.folder.path().to_owned(), self.broker.address().to_owned());
        let shared = format!("FLEET_ID=fleet\nFLEET_BUCKETS={BUCKETS}\nKAFKA_SERVER={server}\n");
        let topics: String = STREAMS
            .iter()
            .map(|(_, prefix, topic)| format!("{prefix}_KAFKA_TOPIC={topic}\n"))
            .collect();
        let shown = root.display();
        let files: String = STREAMS
            .iter()
            .map(|(_, prefix, _)| {
                format!("{prefix}_LOG_CATALOG_LOCATION={shown}/days/{{org}}/{prefix}\n{prefix}_LOG_FILE_BASE_NAME={prefix}\n")
            })
            .collect();
        make(&root.join("members"));
        make(&root.join("archive"));
        make(&root.join("member-of-archive"));
        write(
            &root.join("members/common.env"),
            &format!("{shared}{topics}RETRY_DELAY_SECONDS=0.1\n"),
        );
        let archive = format!("{shared}{topics}{files}ARCHIVE_FOLDER={shown}/member-of-archive\n");
        write(&root.join("archive/common.env"), &archive);
        for name in ORGANIZATIONS {
            let service = Sandbox::start_on_thread(Options::empty(Arc::new(now))).unwrap();
            let variables = service.variables().into_iter();
            let own: String = variables.map(|(name, value)| format!("{name}={value}\n")).collect();
            write(&root.join(format!("members/{name}.env")), &own);
            write(&root.join(format!("archive/{name}.env")), "");
            for (_, prefix, _) in STREAMS {
                make(&root.join(format!("days/{name}/{prefix}")));
            }
            self.services.insert(name, service);
        }
    }

    fn say(&self, text: &str) {
        println!("{:5.1} s  {text}", self.begun.elapsed().as_secs_f64());
    }

    /// This program once more, as `trailkeeper`.
    fn program(&self, arguments: &[&str], settings: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(arguments)
            .arg("--env-dir")
            .arg(self.folder.path().join(settings));
        command.current_dir(self.folder.path()).env_clear();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A service gives a record.
    fn give(&mut self, number: usize) {
        let organization = ORGANIZATIONS[number % ORGANIZATIONS.len()];
        let (api, ..) = STREAMS[(number / ORGANIZATIONS.len()) % STREAMS.len()];
        let time = DateTime::from_timestamp(now().timestamp(), 0).unwrap();
        let event = Event::minimal(api, time, format!("{organization}-{number}"));
        let mut line = String::new();
        json::scan(&event.text, &[], &mut line).unwrap();
        assert!(self.given.insert(line), "given twice");
        self.services[organization].add(api, vec![event]);
    }

    /// What a reader with `read_committed` finds.
    fn kept(&self) -> Vec<String> {
        let messages = STREAMS.iter().flat_map(|(_, _, topic)| self.broker.committed(topic));
        messages.map(|message| message.value).collect()
    }

    fn wait_until_kept(&self, what: &str) {
        wait_until(what, PATIENCE, || {
            thread::sleep(STEP);
            let kept: BTreeSet<_> = self.kept().into_iter().collect();
            self.given.is_subset(&kept)
        });
    }

    /// Waits until so many members have all buckets, and says who has how many.
    fn wait_until_shared(&self, members: usize) {
        let mut shares = BTreeMap::new();
        wait_until("the members share the buckets", PATIENCE, || {
            shares = self.shares();
            shares.len() == members && shares.values().sum::<u64>() == BUCKETS
        });
        let shown: Vec<_> = shares
            .iter()
            .map(|(member, count)| format!("{member} has {count} buckets"))
            .collect();
        self.say(&shown.join(", "));
    }

    fn shares(&self) -> BTreeMap<String, u64> {
        let status = run(&mut self.program(&["fleet", "status", "--json"], "members"));
        let status: Value = serde_json::from_str(&status.stdout).unwrap_or_default();
        let members = status["members"].as_array().cloned().unwrap_or_default().into_iter();
        let share = |member: Value| Some((member["member"].as_str()?.to_owned(), member["buckets"].as_u64()?));
        members.filter_map(share).collect()
    }
}

fn make(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
}

fn write(path: &PathBuf, text: &str) {
    fs::write(path, text).unwrap();
}

fn demonstrate() -> ExitCode {
    let mut stage = Stage::new();
    stage.say("a broker, and the services of six organizations; the topics of the fleet are made");
    let made = run(&mut stage.program(&["fleet", "init"], "members"));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let mut members: Vec<_> = (0..3)
        .map(|_| {
            let mut member = stage.program(&["fleet", "run", "--interval", "1s"], "members");
            Process::start(member.stdin(Stdio::piped()))
        })
        .collect();
    (0..120).for_each(|number| stage.give(number));
    stage.say("three members are started, and the first 120 records are given");
    stage.wait_until_kept("the first records are kept");
    stage.say("all of them are kept");
    stage.wait_until_shared(3);
    let (giving, mut number, mut is_killed) = (Instant::now(), 120, false);
    while giving.elapsed() < GIVING {
        if !is_killed && giving.elapsed() >= KILLED_AFTER {
            let victim = members.remove(1);
            stage.say(&format!(
                "the member with process id {} is killed; records go on",
                victim.id()
            ));
            victim.kill();
            is_killed = true;
        }
        stage.give(number);
        number += 1;
        thread::sleep(STEP);
    }
    stage.say(&format!("{number} records are given"));
    stage.wait_until_kept("everything is kept");
    stage.say("the others have taken over what it had, and kept everything");
    stage.wait_until_shared(2);
    for member in members {
        member.kill();
    }
    stage.say("the two others are killed as well; an archive files what is there");
    let archived = run(&mut stage.program(&["archive", "--once"], "archive"));
    stage.say(&format!("it ends with {}", archived.code));
    let counts = [
        ("Kafka", stage.kept()),
        ("day files", lines_below(&stage.folder.path().join("days"))),
    ];
    let is_right = counts.iter().all(|(place, lines)| count(&stage.given, place, lines));
    if is_right && archived.code == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says what of what was given is there; returns whether that is right.
fn count(given: &BTreeSet<String>, place: &str, lines: &[String]) -> bool {
    let mut found = BTreeMap::<&str, usize>::new();
    for line in lines {
        *found.entry(line).or_default() += 1;
    }
    let lost = given.iter().filter(|line| !found.contains_key(line.as_str())).count();
    let twice = found.values().filter(|count| **count > 1).count();
    let strange = found.keys().filter(|line| !given.contains(**line)).count();
    println!(
        "\n{place}: given {}, kept {}, lost {lost}, twice {twice}{}",
        given.len(),
        lines.len(),
        if strange > 0 {
            format!(", given by nobody {strange}")
        } else {
            String::new()
        }
    );
    lost + twice + strange == 0
}

/// The lines of all day files.
fn lines_below(folder: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let days =
        entries.filter(|entry| entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "log"));
    days.flat_map(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}
