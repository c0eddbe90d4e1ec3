//! Evidence: what is sealed, what verifiers refuse, and the proof of one line.

mod asked;
mod audit;
pub(crate) mod bundles;
mod edges;
mod elsewhere;
mod forger;
mod kafka;
mod keys;
#[cfg(unix)]
mod kills;
mod mutations;
mod proofs;
mod publishing;
mod refusals;
mod sealing;
#[cfg(unix)]
mod ssh_agent;
#[cfg(unix)]
mod timestamps;
mod witnesses;

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::Value;
use trailkeeper::sandbox::{Api, Event, Sandbox};

use super::support::{Catalog, at, base_name, event, now, serve, streams};

const DAY: i64 = 86_400;

pub(super) const ORIGIN: &str = "audit.example.org/trails";

/// How many seconds ago the newest record is: the three of a day are of one day, at whatever hour.
fn newest() -> i64 {
    let since_midnight = now().timestamp() % DAY;
    if since_midnight < 1_800 {
        since_midnight + 60
    } else {
        600
    }
}

/// A time that is so many seconds after the newest record, and of its day.
fn newer(seconds: i64) -> DateTime<Utc> {
    at(newest() - seconds)
}

/// Three records on each of the last days.
fn records(api: Api, days: i64) -> Vec<Event> {
    let three = |day: i64| (0..3).map(move |n| event(api, at(day * DAY + newest() + n * 300), &format!("{day}-{n}")));
    (0..days).flat_map(three).collect()
}

/// Services with three records on each of the last days.
fn daily(days: i64) -> Sandbox {
    serve(|options| {
        let all = streams().into_iter();
        all.fold(options, |options, (_, api)| options.give(api, records(api, days)))
    })
}

/// A catalog of some streams that is sealed, with a log that has begun.
fn sealed(sandbox: &Sandbox, apis: &[Api]) -> Catalog {
    let catalog = unsealed(sandbox, apis);
    let run = catalog.run(&["evidence", "keygen"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    catalog.collect(0, &[]);
    catalog
}

/// A catalog with the settings of evidence, and no log.
fn unsealed(sandbox: &Sandbox, apis: &[Api]) -> Catalog {
    let mut catalog = Catalog::of(sandbox, apis);
    let root = catalog.root().to_owned();
    catalog.set("EVIDENCE_FOLDER", root.join("evidence").display());
    catalog.set("EVIDENCE_ORIGIN", ORIGIN);
    catalog.set("EVIDENCE_KEY_FILE", root.join("evidence.key").display());
    catalog
}

fn folder(catalog: &Catalog) -> PathBuf {
    catalog.root().join("evidence")
}

fn key_file(catalog: &Catalog) -> PathBuf {
    catalog.root().join("evidence.key")
}

fn path(catalog: &Catalog, api: Api, days_ago: i64) -> PathBuf {
    let date = at(days_ago * DAY + newest()).date_naive();
    catalog.folder(api).join(format!("{}_{date}.log", base_name(api)))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What `verify --evidence` says, with more arguments.
fn verify(catalog: &Catalog, code: i32, more: &[&str]) -> Value {
    let arguments = [&["verify", "--evidence", "--json"], more].concat();
    let run = catalog.run(&arguments);
    assert_eq!(run.code, code, "{more:?}: {}{}", run.stdout, run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

/// Everything that is wrong, as `verify --evidence` names it.
fn problems(verdict: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let own = verdict["problems"].as_array().unwrap().iter().map(text);
    let streams = verdict["streams"].as_array().unwrap();
    let of_streams = streams.iter().flat_map(|stream| {
        let own = stream["problems"].as_array().unwrap().iter().map(text);
        let files = stream["files"].as_array().unwrap().iter();
        own.chain(files.filter_map(|file| {
            let problem = file["problem"].as_str()?;
            Some(format!("{}: {problem}", file["file"].as_str().unwrap()))
        }))
    });
    own.chain(of_streams).collect()
}

fn seal(catalog: &Catalog, code: i32) -> Value {
    let run = catalog.run(&["seal", "--json"]);
    assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

/// The entries of the log.
fn entries(catalog: &Catalog) -> Vec<Value> {
    let text = fs::read_to_string(folder(catalog).join("entries.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The entries of a kind.
fn kinds(catalog: &Catalog, kind: &str) -> Vec<Value> {
    let mut entries = entries(catalog);
    entries.retain(|entry| entry["kind"] == kind);
    entries
}

/// Changes a file as a whole.
fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, change(text)).unwrap();
}
