//! Many organizations under `--follow`: what a round of all costs, and how long it takes beside organizations that begin.
//!
//! `cargo bench --bench organizations [-- steady beginners]`; `ORGANIZATIONS` says how many (1000), each with three streams, `ROUNDS`
//! how many rounds are measured (10), `INTERVAL` how long one is in seconds (20: what a run costs does not depend on that).

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

mod sandbox;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use sandbox::Sandbox;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_trailkeeper");

/// The first argument of a process that measures one other.
const MEASURE: &str = "--measure";

/// The interval of the steady state that the share of a core is computed for.
const STEADY: Duration = Duration::from_secs(300);

/// The first collections of the other group, and those that are up to date beside them.
const BEGINNERS: usize = 20;
const OTHERS: usize = 40;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [first, folder, interval, rounds] = &arguments[..]
        && first == MEASURE
    {
        return measure(Path::new(folder), interval, rounds.parse()?);
    }
    let is_wanted = |group: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == group);
    if is_wanted("steady") {
        steady()?;
    }
    if is_wanted("beginners") {
        beginners()?;
    }
    Ok(())
}

/// Collects everything once, and then nothing new, again and again.
fn steady() -> Result<()> {
    let (organizations, rounds) = (number("ORGANIZATIONS", 1_000), number("ROUNDS", 10));
    let interval = format!("{}s", number("INTERVAL", 20));
    let sandbox = Sandbox::start(100, &[])?;
    let folder = tempfile::tempdir()?;
    prepare(folder.path(), &sandbox.settings)?;
    add(folder.path(), &sandbox.settings, 0..organizations)?;
    let first = measured(folder.path(), &interval, 1)?;
    println!("first collection of {organizations} organizations: {first}");
    let one = measured(folder.path(), &interval, 1)?;
    let all = measured(folder.path(), &interval, rounds + 1)?;
    println!(
        "the start and one round: {one}\nthe start and {} rounds: {all}",
        rounds + 1
    );
    let a_run = (all.cpu_ms - one.cpu_ms) / (all.runs - one.runs) as f64;
    let share = a_run * (organizations * STREAMS.len()) as f64 / STEADY.as_millis() as f64 * 100.0;
    println!(
        "{a_run:.2} ms CPU a run; every 300 s: {share:.2} % of a core, at most {:.0} MiB",
        all.mib
    );
    Ok(())
}

/// Shows how long a round of organizations that are up to date takes, alone and while others are collected for the first time.
fn beginners() -> Result<()> {
    let sandbox = Sandbox::start(3_000, &["--latency-ms", "20"])?;
    let folder = tempfile::tempdir()?;
    prepare(folder.path(), &sandbox.settings)?;
    add(folder.path(), &sandbox.settings, 0..OTHERS)?;
    measured(folder.path(), "600s", 1)?;
    println!(
        "a round of {OTHERS} organizations alone: {}",
        measured(folder.path(), "600s", 1)?
    );
    add(folder.path(), &sandbox.settings, OTHERS..OTHERS + BEGINNERS)?;
    let both = measured(folder.path(), "600s", 1)?;
    println!("beside the first collections of {BEGINNERS} others: {both}");
    Ok(())
}

const STREAMS: [(&str, &str); 3] = [("MAIL", "mail"), ("DISK", "disk"), ("TFC", "tfc")];

/// Writes what all organizations have.
fn prepare(root: &Path, settings: &str) -> Result<()> {
    let (env, shown) = (root.join("env"), root.display());
    fs::create_dir(&env)?;
    let urls = settings
        .lines()
        .filter(|line| line.contains("_API_URL="))
        .map(|line| format!("{line}\n"));
    let streams = STREAMS.map(|(prefix, name)| {
        format!("{prefix}_LOG_CATALOG_LOCATION={shown}/archive/{{org}}/{name}\n{prefix}_LOG_FILE_BASE_NAME={name}\n")
    });
    let common = format!(
        "APP_LOG_FILE={shown}/log\n{}{}",
        urls.collect::<String>(),
        streams.concat()
    );
    Ok(fs::write(env.join("common.env"), common)?)
}

/// Adds the organizations of these numbers, each with its own credentials.
fn add(root: &Path, settings: &str, numbers: Range<usize>) -> Result<()> {
    let of_first = |name: &str| {
        let value = settings
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.ok_or_else(|| format!("the sandbox prints no {name}"))
    };
    let (id, oauth, tfc) = (
        of_first("ORGANIZATION_ID_ARG")?.parse::<usize>()?,
        of_first("OAUTH_TOKEN_ARG")?,
        of_first("TFC_ORG_TOKEN")?,
    );
    for number in numbers.map(|number| number + 1) {
        for (_, name) in STREAMS {
            fs::create_dir_all(root.join(format!("archive/o{number}/{name}")))?;
        }
        let own = format!(
            "ORGANIZATION_ID_ARG={}\nOAUTH_TOKEN_ARG={oauth}~{number}\nTFC_ORG_TOKEN={tfc}~{number}\n",
            id + number
        );
        fs::write(root.join(format!("env/o{number}.env")), own)?;
    }
    Ok(())
}

/// What came of following for some rounds.
struct Measured {
    cpu_ms: f64,
    mib: f64,
    runs: u64,
    /// When the last stream that had something archived was complete for the first time, and when the last one was.
    others_s: f64,
    all_s: f64,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} runs, {:.0} ms CPU, {:.0} MiB; all complete once in {:.1} s, those with an archive in {:.1} s",
            self.runs, self.cpu_ms, self.mib, self.all_s, self.others_s
        )
    }
}

/// Measures in a process of its own, whose only child is what is measured.
fn measured(folder: &Path, interval: &str, rounds: usize) -> Result<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args([MEASURE, &folder.to_string_lossy(), interval, &rounds.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let figures = text
        .split_whitespace()
        .map(str::parse)
        .collect::<std::result::Result<Vec<f64>, _>>()?;
    let [cpu_ms, mib, runs, others_s, all_s] = figures[..] else {
        return Err(format!("no figures: {text}").into());
    };
    Ok(Measured {
        cpu_ms,
        mib,
        runs: runs as u64,
        others_s,
        all_s,
    })
}

fn measure(folder: &Path, interval: &str, rounds: usize) -> Result<()> {
    let env = folder.join("env");
    let streams = (fs::read_dir(&env)?.count() - 1) * STREAMS.len();
    let began = Instant::now();
    let mut program = Command::new(PROGRAM)
        .args([
            "collect",
            "--follow",
            "-q",
            "--json",
            "--interval",
            interval,
            "--env-dir",
        ])
        .arg(&env)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = program.stdout.take().ok_or("no stdout")?;
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    let (mut done, mut all, mut others_s, mut all_s) = (0, 0_u64, 0.0, 0.0);
    for line in BufReader::new(stdout).lines() {
        let summary: Value = serde_json::from_str(&line?)?;
        if summary["status"] != "complete" {
            return Err(format!("a run was not complete: {summary}").into());
        }
        let of_stream = runs.entry(summary["stream"].to_string()).or_default();
        *of_stream += 1;
        all += 1;
        if *of_stream == 1 {
            all_s = began.elapsed().as_secs_f64();
            // A run that goes on with an archive knows what it has of it.
            if summary["duplicates"].as_u64() > Some(0) || summary["appended"] == 0 {
                others_s = all_s;
            }
        }
        done += usize::from(*of_stream == rounds);
        if done == streams {
            break;
        }
    }
    kill(Pid::from_raw(i32::try_from(program.id())?), Signal::SIGTERM)?;
    program.wait()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let mib = usage.max_rss() as f64 / 1024.0;
    println!("{} {mib} {all} {others_s} {all_s}", cpu_us as f64 / 1e3);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what this program reads is no setting of trailkeeper"
)]
fn number(name: &str, usual: usize) -> usize {
    let set = std::env::var(name).ok().and_then(|text| text.parse().ok());
    set.unwrap_or(usual)
}
