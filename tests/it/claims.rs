//! What `coverage` claims, compared with what the service has, after whatever can happen to an archive: ranges, kills, filters,
//! state that is deleted, older or another one's, day files that are deleted, cut, compressed or older.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use fastrand::Rng;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use trailkeeper::archive::STATE_FOLDER;
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::support::random::{many, random};
use super::support::{Catalog, at, base_name, event, serve};

const DAY: i64 = 86_400;

/// How many archives are tried, and how much happens to each.
const ARCHIVES: u32 = 24;
const STEPS: usize = 8;

/// For how many days the services have records.
const DAYS: i64 = 12;

/// Something that happens to an archive.
#[derive(Clone, Debug)]
enum Step {
    Collect,
    Range {
        since: i64,
        until: i64,
    },
    Reconcile,
    Kill {
        after: u64,
        since: Option<i64>,
    },
    Arrive,
    Filter(bool),
    DeleteState,
    DeleteJournal,
    /// The state is copied to be put back later, or the day files are, or both.
    Save,
    RestoreState,
    RestoreFiles,
    DeleteDay(i64),
    CutDay(i64),
    CompressDay(i64),
}

impl Step {
    fn any(random: &mut Rng) -> Self {
        match random.u32(0..20) {
            0..=3 => Self::Collect,
            4..=5 => Self::Range {
                since: random.i64(1..DAYS),
                until: random.i64(0..DAYS),
            },
            6 => Self::Reconcile,
            7..=9 => Self::Kill {
                after: random.u64(1..120),
                since: random.bool().then(|| random.i64(1..DAYS)),
            },
            10 => Self::Arrive,
            11 => Self::Filter(random.bool()),
            12 => Self::DeleteState,
            13 => Self::DeleteJournal,
            14 => Self::Save,
            15 => Self::RestoreState,
            16 => Self::RestoreFiles,
            17 => Self::DeleteDay(random.i64(0..DAYS)),
            18 => Self::CutDay(random.i64(0..DAYS)),
            _ => Self::CompressDay(random.i64(0..DAYS)),
        }
    }
}

/// An archive, its service, and what was saved of it.
struct Trial {
    api: Api,
    sandbox: Sandbox,
    catalog: Catalog,
    saved: Option<tempfile::TempDir>,
    /// Whether only the records of one kind are asked for.
    is_filtered: bool,
    arrived: i64,
}

/// A record that the filter lets pass, or another one.
fn record(api: Api, seconds_ago: i64, id: &str, passes: bool) -> Event {
    let mut event = event(api, at(seconds_ago), id);
    if api == Api::Port && !passes {
        event.text = event.text.replace("SUCCESS", "FAILURE");
    }
    event
}

impl Trial {
    fn new(api: Api, random: &mut Rng) -> Self {
        let often = random.i64(2..6);
        let records: Vec<Event> = (0..DAYS * 24 / often)
            .map(|n| record(api, 300 + n * often * 3_600, &n.to_string(), n % 3 > 0))
            .collect();
        let sandbox = serve(|mut options| {
            options.latency = Duration::from_millis(random.u64(0..8));
            options[Api::Port].page_cap = Some(20);
            options[Api::Tfc].page_cap = Some(20);
            options.give(api, records)
        });
        let lookback = random.i64(1..DAYS);
        Self {
            api,
            catalog: Catalog::of(&sandbox, &[api])
                .with("INITIAL_LOOKBACK_DAYS", lookback)
                .with("MAX_PAGES", random.u32(1..4)),
            sandbox,
            saved: None,
            is_filtered: false,
            arrived: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Collect => self.collect(&[]),
            Step::Range { since, until } if until < since => {
                self.collect(&["--since", &format!("{since}d"), "--until", &format!("{until}d")]);
            }
            Step::Range { since, .. } => self.collect(&["--since", &format!("{since}d")]),
            Step::Reconcile => {
                let _ = self.catalog.run(&["reconcile", "-q"]);
            }
            Step::Kill { after, since } => {
                let since = since.map(|days| format!("{days}d"));
                let range = since.iter().flat_map(|since| ["--since", since.as_str()]);
                let arguments: Vec<&str> = ["collect", "-q"].into_iter().chain(range).collect();
                let run = self.catalog.start(&arguments);
                thread::sleep(Duration::from_millis(after));
                run.kill();
            }
            Step::Arrive => {
                self.arrived += 1;
                let id = format!("new-{}", self.arrived);
                // Times are in whole seconds, and it is newer than what was covered.
                thread::sleep(Duration::from_millis(1_010));
                self.sandbox.add(self.api, vec![record(self.api, 0, &id, true)]);
            }
            Step::Filter(on) if self.api == Api::Port => {
                self.is_filtered = on;
                self.catalog
                    .set("PORT_API_QUERY", if on { "status=SUCCESS" } else { "" });
            }
            Step::Filter(_) => {}
            Step::DeleteState => drop(fs::remove_dir_all(self.state())),
            Step::DeleteJournal => {
                let journal = format!("{}.coverage.jsonl", base_name(self.api));
                drop(fs::remove_file(self.state().join(journal)));
            }
            Step::Save => {
                let folder = tempfile::tempdir().unwrap();
                copy(&self.folder(), folder.path());
                self.saved = Some(folder);
            }
            Step::RestoreState => self.restore(|path| path.starts_with(STATE_FOLDER)),
            Step::RestoreFiles => self.restore(|path| !path.starts_with(STATE_FOLDER)),
            Step::DeleteDay(days) => drop(fs::remove_file(self.day(days))),
            Step::CutDay(days) => self.rewrite(days, |text| {
                let half = text.lines().count() / 2;
                let kept: Vec<&str> = text.split_inclusive('\n').take(half).collect();
                Some(kept.concat())
            }),
            Step::CompressDay(days) => self.rewrite(days, |_| None),
        }
    }

    /// Collects; whether it is complete depends on what happened before.
    fn collect(&self, arguments: &[&str]) {
        let all: Vec<&str> = ["collect", "-q"].iter().chain(arguments).copied().collect();
        let run = self.catalog.run(&all);
        assert!([0, 3].contains(&run.code), "{}", run.stderr);
    }

    fn folder(&self) -> PathBuf {
        self.catalog.folder(self.api)
    }

    fn state(&self) -> PathBuf {
        self.folder().join(STATE_FOLDER)
    }

    fn day(&self, days_ago: i64) -> PathBuf {
        let date = at(days_ago * DAY).date_naive();
        self.folder().join(format!("{}_{date}.log", base_name(self.api)))
    }

    /// Replaces the text of a day file, or compresses it.
    fn rewrite(&self, days_ago: i64, change: impl FnOnce(&str) -> Option<String>) {
        let path = self.day(days_ago);
        let packed = PathBuf::from(format!("{}.gz", path.display()));
        let Ok(text) = fs::read_to_string(&path) else { return };
        match change(&text) {
            Some(changed) => fs::write(&path, changed).unwrap(),
            None if packed.exists() => {}
            None => {
                let mut encoder = GzEncoder::new(fs::File::create(packed).unwrap(), Compression::default());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap();
                fs::remove_file(&path).unwrap();
            }
        }
    }

    /// Puts back what was saved, and removes what came since, of the files that are picked.
    fn restore(&self, is_picked: impl Fn(&Path) -> bool) {
        let Some(saved) = &self.saved else { return };
        for path in files(&self.folder()) {
            if is_picked(&path) {
                fs::remove_file(self.folder().join(&path)).unwrap();
            }
        }
        for path in files(saved.path()) {
            if is_picked(&path) {
                let target = self.folder().join(&path);
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                fs::copy(saved.path().join(&path), target).unwrap();
            }
        }
    }

    /// The lines of all day files, compressed or not.
    fn lines(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for (name, bytes) in self.catalog.day_files(self.api) {
            let text = if name.ends_with(".gz") {
                std::io::read_to_string(GzDecoder::new(bytes.as_slice())).unwrap()
            } else {
                String::from_utf8(bytes).unwrap()
            };
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }

    /// The records that the service gives and that no day file holds.
    fn missing(&self) -> Vec<Event> {
        let lines = self.lines();
        let given = self.sandbox.events(self.api).into_iter();
        let asked_for = given.filter(|event| !self.is_filtered || !event.text.contains("FAILURE"));
        asked_for.filter(|event| !lines.contains(&line(event))).collect()
    }

    fn coverage(&self) -> Value {
        let run = self.catalog.run(&["coverage", "--json"]);
        run.summary().into_values().next().unwrap()
    }

    /// Asserts that every record of the time that is said to be covered is there.
    fn assert_claims_are_true(&self, done: &dyn fmt::Debug) {
        let coverage = self.coverage();
        // What is claimed, is claimed of the newest scope of the journal.
        if self.scope_of_journal() != Some(self.is_filtered) {
            return;
        }
        let time = |value: &Value| value.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        for event in self.missing() {
            let spans = coverage["covered"].as_array().unwrap().iter();
            let is_claimed = spans
                .clone()
                .any(|span| time(&span["from"]) <= event.time && event.time <= time(&span["to"]));
            assert!(
                !is_claimed,
                "{done:?}\n{} is said to be covered: {coverage:#}",
                event.time
            );
        }
    }

    /// Whether the newest line of the journal is of a filter; `None` without one.
    fn scope_of_journal(&self) -> Option<bool> {
        let journal = self.state().join(format!("{}.coverage.jsonl", base_name(self.api)));
        let text = fs::read_to_string(journal).ok()?;
        let newest: Value = text.lines().rev().find_map(|line| serde_json::from_str(line).ok())?;
        Some(!newest["scope"]["filter"].is_null())
    }
}

fn line(event: &Event) -> String {
    let mut line = String::new();
    trailkeeper::json::scan(&event.text, &[], &mut line).unwrap();
    line
}

/// The files of a folder and its state folder, by their paths in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = all.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| entry.path().strip_prefix(folder).unwrap().to_owned())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(&path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&path), target).unwrap();
    }
}

/// The oldest day of which the archive or its journal says anything.
fn known_from(trial: &Trial) -> Option<NaiveDate> {
    let coverage = trial.coverage();
    let known = coverage["known_from"].as_str()?;
    Some(known.parse::<DateTime<Utc>>().unwrap().date_naive())
}

#[test]
fn whatever_happens_what_is_said_to_be_covered_is_there_and_the_next_runs_bring_the_rest() {
    let mut random = random();
    for number in 0..many(ARCHIVES) {
        let api = Api::ALL[number as usize % Api::ALL.len()];
        let mut trial = Trial::new(api, &mut random);
        let mut done = Vec::new();
        for _ in 0..STEPS {
            let step = Step::any(&mut random);
            trial.take(&step);
            done.push(step);
            trial.assert_claims_are_true(&(api, &done));
        }
        // A file that was restored empty, or none at all, needs a word of the operator.
        let is_gone = trial.catalog.run(&["collect", "-q"]).stderr.contains("--start-over");
        if is_gone {
            trial.collect(&["--start-over"]);
        }
        let last = trial.catalog.run(&["collect", "-q"]);
        assert_eq!(last.code, 0, "{api:?} {done:?}\n{}", last.stderr);
        trial.assert_claims_are_true(&(api, &done));
        let Some(first) = known_from(&trial) else { continue };
        let missing = trial
            .missing()
            .into_iter()
            .filter(|event| event.time.date_naive() > first);
        let missing: Vec<_> = missing.map(|event| event.time).collect();
        assert_eq!(missing, Vec::<DateTime<Utc>>::new(), "{api:?} {done:?}");
    }
}
