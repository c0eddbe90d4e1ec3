//! A run without news over more and more day files: CPU and system calls, as ratios of one bench.
//!
//! `cargo bench --bench growth`; `RUNS` says how often each is measured (9). System calls are counted by strace, if it is there.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

mod sandbox;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::NaiveDate;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use sandbox::Sandbox;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_trailkeeper");

/// A record of HCP Terraform without its id and time.
const REST: &str =
    r#""version": "0", "type": "Resource", "auth": {"accessor_id": "user-1"}, "resource": {"id": "run-1"}"#;

fn main() -> Result<()> {
    let sandbox = Sandbox::start(3_000, &[])?;
    println!(
        "{:>10} {:>10} {:>8} {:>8} {:>8} {:>7} {:>12}",
        "day files", "MiB", "CPU ms", "min", "max", "ratio", "system calls"
    );
    let mut least = None;
    for (files, mib) in [(14, 0), (400, 0), (4_000, 0), (14, 100)] {
        let folder = tempfile::tempdir()?;
        let env = prepare(folder.path(), &sandbox.settings, files, mib)?;
        // What was changed is read once.
        (0..2).try_for_each(|_| run(&env).map(drop))?;
        let mut costs = (0..runs()).map(|_| run(&env)).collect::<Result<Vec<f64>>>()?;
        costs.sort_by(f64::total_cmp);
        let median = costs[costs.len() / 2];
        let ratio = median / *least.get_or_insert(median);
        let calls = system_calls(&env).map_or_else(|| "no strace".to_owned(), |calls| calls.to_string());
        let (min, max) = (costs[0], costs[costs.len() - 1]);
        println!("{files:>10} {mib:>10} {median:>8.1} {min:>8.1} {max:>8.1} {ratio:>7.2} {calls:>12}");
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what this program reads is no setting of trailkeeper"
)]
fn runs() -> usize {
    let runs = std::env::var("RUNS").ok().and_then(|text| text.parse().ok());
    runs.unwrap_or(9).max(1)
}

/// Collects once, and adds day files of a record each, or as many MiB to the newest; returns the settings file.
fn prepare(root: &Path, settings: &str, files: usize, mib: usize) -> Result<PathBuf> {
    let (env, catalog, shown) = (root.join(".env"), root.join("tfc"), root.display());
    fs::create_dir(&catalog)?;
    let more = format!("APP_LOG_FILE={shown}/log\nTFC_LOG_CATALOG_LOCATION={shown}/tfc\n");
    fs::write(&env, format!("{settings}{more}"))?;
    run(&env)?;
    let names = fs::read_dir(&catalog)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.retain(|name| name.ends_with(".log"));
    names.sort();
    let newest = names.last().ok_or("no day file")?;
    let (stem, day) = newest.split_at(newest.len() - "2025-06-09.log".len());
    let journal = find(&catalog.join(".trailkeeper"), ".coverage.jsonl")?;
    let text = fs::read_to_string(&journal)?;
    let mut counts = serde_json::Map::new();
    let mut last = Value::Null;
    for line in text.lines() {
        last = serde_json::from_str(line)?;
        counts.extend(last["counts"].as_object().cloned().unwrap_or_default());
    }
    let first = NaiveDate::from_ymd_opt(2010, 1, 1).ok_or("no such day")?;
    for (number, day) in first.iter_days().take(files.saturating_sub(names.len())).enumerate() {
        let line = line(&day.to_string(), number);
        fs::write(catalog.join(format!("{stem}{day}.log")), &line)?;
        counts.insert(day.to_string(), json!({"lines": 1, "bytes": line.len()}));
    }
    if mib > 0 {
        let (path, day) = (catalog.join(newest), day.trim_end_matches(".log"));
        let lines: Vec<String> = (0..(mib << 20) / line(day, 0).len())
            .map(|number| line(day, number))
            .collect();
        fs::write(&path, lines.concat() + &fs::read_to_string(&path)?)?;
        let held = counts
            .get(day)
            .and_then(|counted| counted["lines"].as_u64())
            .unwrap_or_default();
        let counted = json!({"lines": held + lines.len() as u64, "bytes": fs::metadata(&path)?.len()});
        counts.insert(day.to_owned(), counted);
    }
    last["counts"] = Value::Object(counts);
    last["has_all_counts"] = json!(true);
    fs::write(&journal, format!("{text}{last}\n"))?;
    Ok(env)
}

/// A line of the first minute of a day.
fn line(day: &str, number: usize) -> String {
    let (second, millisecond) = (number / 1_000 % 60, number % 1_000);
    format!("{{\"id\": \"{number:036}\", \"timestamp\": \"{day}T00:00:{second:02}.{millisecond:03}Z\", {REST}}}\n")
}

fn find(folder: &Path, end: &str) -> Result<PathBuf> {
    let paths = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.into_iter().find(|path| path.to_string_lossy().ends_with(end));
    Ok(found.ok_or("no such file")?)
}

/// Collects, and returns the CPU time of that in milliseconds.
fn run(env: &Path) -> Result<f64> {
    let before = cpu_us()?;
    let output = Command::new(PROGRAM)
        .args(["collect", "-q", "--env-file"])
        .arg(env)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok((cpu_us()? - before) as f64 / 1e3)
}

/// The CPU time of the children that have ended: the sandbox has not.
fn cpu_us() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

/// Counts the system calls of a run.
fn system_calls(env: &Path) -> Option<usize> {
    let trace = env.with_file_name("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace).arg(PROGRAM);
    let status = strace
        .args(["collect", "-q", "--env-file"])
        .arg(env)
        .stdout(Stdio::null())
        .status();
    let text = status
        .ok()
        .filter(|status| status.success())
        .and_then(|_| fs::read_to_string(&trace).ok())?;
    // A call that another thread interrupts has a second line.
    Some(
        text.lines()
            .filter(|line| !line.contains(" resumed>") && line.contains('('))
            .count(),
    )
}
