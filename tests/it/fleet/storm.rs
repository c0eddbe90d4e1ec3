//! Members that are killed, stopped, replaced and cut off at random, while services go on giving records.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use super::ledger::{Ledger, Verdict};
use crate::kafka::broker::Broker;
use crate::support::random::random;
use crate::support::{PATIENCE, Process, wait_until};

/// The time in which every organization has to have an owner again: that of the fleet.
pub(super) const TAKEOVER: Duration = Duration::from_secs(15);

/// How long a group has been stable when no more rebalances follow: longer than between two heartbeats.
const QUIET: Duration = Duration::from_secs(3);

/// How long a run may take whose organization has an owner, with what comes before it in its bucket.
const RUN: Duration = Duration::from_secs(5);

/// How long what is late may take at the end.
const SETTLING: Duration = Duration::from_secs(60);

/// How often services give something, in milliseconds.
const STEP: usize = 100;

/// What a storm is let loose on.
pub(super) trait Fleet {
    /// The command of a member, whose working folder is empty.
    fn member(&self) -> Command;

    /// How long a member stays in the group without a heartbeat.
    fn session(&self) -> Duration;

    /// The names of the organizations.
    fn organizations(&self) -> Vec<String>;

    /// The topics of their records.
    fn topics(&self) -> Vec<String>;

    /// What is wrong with the services is over.
    fn calm(&self) {}

    /// Has the service of an organization give a record that is so many seconds old; the line that it has to become.
    fn give(&mut self, organization: &str, id: &str, seconds_ago: i64) -> String;
}

/// Something that happens to a member, or to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// A member is killed, and another takes its place.
    Kill,
    /// All are, at the same time.
    KillAll,
    /// A member stands still for longer than its session, and goes on then.
    Freeze,
    /// A member is asked to end, and another takes its place: a roll-out.
    Replace,
    /// One more member comes, or one goes.
    Scale,
    /// All members have to join again.
    Rebalance,
    /// The broker is away for a moment.
    Outage,
    /// Commits take longer than usual.
    SlowCommits,
    /// Answers to commits get lost, so that nobody knows whether they are carried out.
    LostAnswers,
    /// The broker takes its time for records.
    SlowRecords,
}

impl Blow {
    pub(super) const ALL: [Self; 10] = [
        Self::Kill,
        Self::KillAll,
        Self::Freeze,
        Self::Replace,
        Self::Scale,
        Self::Rebalance,
        Self::Outage,
        Self::SlowCommits,
        Self::LostAnswers,
        Self::SlowRecords,
    ];
}

/// A member, and until when it stands still.
struct Member {
    process: Process,
    frozen_until: Option<Instant>,
}

/// A fleet in a storm.
pub(super) struct Storm<'a, F> {
    broker: &'a Broker,
    pub(super) fleet: F,
    size: usize,
    members: Vec<Member>,
    /// Where what each member says on stderr is kept, and its working folder.
    folder: PathBuf,
    started: usize,
    given: usize,
    pub(super) ledger: Ledger,
    random: Rng,
    /// How often each blow fell.
    pub(super) blows: Vec<Blow>,
}

impl<'a, F: Fleet> Storm<'a, F> {
    /// Starts so many members; `name` is that of the folder in which what they say is kept.
    pub(super) fn of(broker: &'a Broker, fleet: F, size: usize, name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fleet").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mut storm = Self {
            broker,
            fleet,
            size,
            members: Vec::new(),
            folder,
            started: 0,
            given: 0,
            ledger: Ledger::default(),
            random: random(),
            blows: Vec::new(),
        };
        storm.fill();
        storm
    }

    fn fill(&mut self) {
        while self.members.len() < self.size {
            let member = self.start();
            self.members.push(member);
        }
    }

    fn start(&mut self) -> Member {
        self.started += 1;
        let place = self.folder.join(format!("member-{}", self.started));
        fs::create_dir(&place).unwrap();
        let mut command = self.fleet.member();
        let stderr = File::create(place.with_extension("stderr")).unwrap();
        command
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        Member {
            process: Process::start(&mut command),
            frozen_until: None,
        }
    }

    /// The services give so many records, new ones and late ones.
    pub(super) fn give(&mut self, count: usize) {
        let organizations = self.fleet.organizations();
        for _ in 0..count {
            let organization = self.random.choice(&organizations).unwrap().clone();
            let seconds_ago = if self.random.u8(..) < 64 {
                self.random.i64(1..60)
            } else {
                0
            };
            self.give_one(&organization, seconds_ago);
        }
    }

    /// A service has given the record that has to become this line.
    pub(super) fn note(&mut self, line: String) {
        self.ledger.note(line);
    }

    /// A record of this organization.
    pub(super) fn give_one(&mut self, organization: &str, seconds_ago: i64) {
        self.given += 1;
        let id = format!("{organization}-{}", self.given);
        let line = self.fleet.give(organization, &id, seconds_ago);
        self.ledger.note(line);
    }

    /// One of these things happens, and the world goes on for a moment, mostly a short one; at times it is long enough for another
    /// member to take over.
    pub(super) fn round(&mut self, blows: &[Blow]) {
        let blow = *self.random.choice(blows).unwrap();
        self.blows.push(blow);
        self.strike(blow);
        let is_long = self.random.u8(..) < 64;
        let steps = if is_long {
            self.fleet.session().as_millis() as usize * 3 / 2 / STEP
        } else {
            self.random.usize(1..8)
        };
        for _ in 0..steps {
            let records = self.random.usize(0..4);
            self.give(records);
            self.thaw(Instant::now());
            thread::sleep(Duration::from_millis(STEP as u64));
        }
    }

    fn strike(&mut self, blow: Blow) {
        let chosen = self.random.usize(..self.members.len());
        match blow {
            Blow::Kill => self.replace(chosen, Process::kill),
            Blow::KillAll => (0..self.members.len()).for_each(|member| self.replace(member, Process::kill)),
            Blow::Freeze => {
                let longer = Duration::from_millis(self.random.u64(100..3_000));
                self.freeze(chosen, longer);
            }
            Blow::Replace => {
                self.members[chosen].process.signal(Signal::CONT);
                self.replace(chosen, |process| drop(process.terminate()));
            }
            Blow::Scale if self.members.len() > self.size => drop(self.members.remove(chosen)),
            Blow::Scale => {
                let member = self.start();
                self.members.push(member);
            }
            Blow::Rebalance => {
                // None before the first member has joined.
                for group in self.broker.ask("groups") {
                    self.broker.ask(&format!("rebalance {group}"));
                }
            }
            Blow::Outage => {
                self.broker.ask("crash");
                thread::sleep(Duration::from_millis(self.random.u64(0..1_500)));
                self.broker.ask("restart");
            }
            Blow::SlowCommits => self.meddle("delay end 300"),
            Blow::LostAnswers => self.meddle("lose-answers end 3"),
            Blow::SlowRecords => self.meddle("delay produce 150"),
        }
    }

    fn meddle(&self, command: &str) {
        self.broker.ask("behave");
        self.broker.ask(command);
    }

    fn replace(&mut self, place: usize, end: impl Fn(Process)) {
        let new = self.start();
        end(std::mem::replace(&mut self.members[place], new).process);
    }

    /// A member stands still, for so much longer than its session.
    fn freeze(&mut self, chosen: usize, longer: Duration) {
        let member = &mut self.members[chosen];
        member.process.signal(Signal::STOP);
        member.frozen_until = Some(Instant::now() + self.fleet.session() + longer);
    }

    /// Those whose time is over go on.
    fn thaw(&mut self, now: Instant) {
        for member in &mut self.members {
            if member.frozen_until.is_some_and(|until| until <= now) {
                member.process.signal(Signal::CONT);
                member.frozen_until = None;
            }
        }
    }

    /// Nothing happens any more: all members that there should be are there, and none has ended by itself.
    pub(super) fn calm(&mut self) {
        self.fleet.calm();
        self.broker.ask("behave");
        self.broker.ask("restart");
        self.thaw(Instant::now() + 2 * PATIENCE);
        self.members.truncate(self.size);
        self.fill();
        for member in &mut self.members {
            member.process.assert_running();
        }
    }

    /// Whether readers see all that was given.
    fn is_complete(&self) -> bool {
        thread::sleep(Duration::from_millis(50));
        let topics = self.fleet.topics();
        let messages: Vec<_> = topics.iter().flat_map(|topic| self.broker.committed(topic)).collect();
        let values = messages.iter().map(|message| message.value.as_str());
        messages.len() >= self.ledger.len() && self.ledger.is_within(values)
    }

    /// Waits until readers see all that was given.
    #[track_caller]
    pub(super) fn wait_until_complete(&self, limit: Duration) {
        let what = format!(
            "all {} records are there, see {}",
            self.ledger.len(),
            self.folder.display()
        );
        wait_until(&what, limit, || self.is_complete());
    }

    /// One more member comes, and stays.
    pub(super) fn hire(&mut self) {
        self.size += 1;
        self.fill();
    }

    /// A member is asked to end, and does; how.
    pub(super) fn dismiss(&mut self) -> i32 {
        self.size -= 1;
        self.members.remove(0).process.terminate().code
    }

    /// Waits until all members are in the group, and nothing is shared out anew for a while.
    #[track_caller]
    pub(super) fn wait_until_shared(&self) {
        self.wait_until_shared_within(PATIENCE);
    }

    #[track_caller]
    pub(super) fn wait_until_shared_within(&self, limit: Duration) {
        let mut since = Instant::now();
        wait_until("the members have shared the work out", limit, || {
            let group = self.broker.ask("groups").pop();
            let described = group.and_then(|group| self.broker.ask(&format!("group {group}")).pop());
            // The state, the generation, the protocol, the members.
            let is_shared =
                |described: &String| described.starts_with("Stable ") && described.split(' ').count() == 3 + self.size;
            if !described.is_some_and(|described| is_shared(&described)) {
                since = Instant::now();
            }
            since.elapsed() > QUIET
        });
    }

    /// A member of a calm fleet is killed or stands still: how long it takes until every organization's new record is there.
    #[track_caller]
    pub(super) fn take_over(&mut self, blow: Blow) -> Duration {
        self.calm();
        self.wait_until_complete(PATIENCE);
        self.wait_until_shared();
        let chosen = self.random.usize(..self.members.len());
        match blow {
            Blow::Kill => drop(self.members.remove(chosen)),
            // Until all is calm again.
            Blow::Freeze => self.freeze(chosen, PATIENCE),
            other => panic!("nobody is to be replaced after {other:?}"),
        }
        self.blows.push(blow);
        let begun = Instant::now();
        for organization in self.fleet.organizations() {
            self.give_one(&organization, 0);
        }
        self.wait_until_complete(TAKEOVER + RUN);
        begun.elapsed()
    }

    /// The end: a last record of every organization, and what a reader finds when those are there.
    pub(super) fn end(&mut self) -> Verdict {
        self.calm();
        let before = std::mem::take(&mut self.ledger);
        for organization in self.fleet.organizations() {
            self.give_one(&organization, 0);
        }
        self.wait_until_complete(PATIENCE);
        self.ledger.add(before);
        // What is late has a few more runs.
        let limit = Instant::now() + SETTLING;
        while !self.is_complete() && Instant::now() < limit {}
        self.ledger.judge(self.broker.address(), &self.fleet.topics())
    }

    /// Asserts that no member has left a file behind but for what it says of itself.
    pub(super) fn assert_nothing_left_on_disk(&self) {
        let entries = walkdir::WalkDir::new(&self.folder).into_iter().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().is_file());
        let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let left: Vec<_> = names
            .filter(|name| !name.ends_with(".stderr") && !name.contains(".log"))
            .collect();
        assert_eq!(left, [""; 0]);
    }

    /// Asserts that none of these texts is in what a member has said, or in a message of these topics.
    pub(super) fn assert_nobody_has_heard(&self, secrets: &[String], topics: &[&str]) {
        let entries = walkdir::WalkDir::new(&self.folder).into_iter().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().is_file());
        let said = files.map(|entry| String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned());
        let messages = topics.iter().flat_map(|topic| self.broker.all(topic));
        let sent = messages.map(|message| format!("{message:?}"));
        let mut heard = 0;
        for text in said.chain(sent) {
            heard += text.len();
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
        }
        assert!(heard > 0 && !secrets.is_empty());
    }

    /// What the storm was, for who reads the test's output.
    pub(super) fn told(&self) -> String {
        let counts = Blow::ALL.map(|blow| (blow, self.blows.iter().filter(|found| **found == blow).count()));
        let counts = counts.map(|(blow, count)| format!("{blow:?} {count}"));
        format!(
            "{} records, {} members, {}",
            self.ledger.len(),
            self.started,
            counts.join(", ")
        )
    }
}
