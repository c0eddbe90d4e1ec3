//! What a run costs over more and more day files, a larger and larger newest one and more and more rejected records, without news and
//! with one new record: CPU, instructions and system calls, as ratios of one bench.
//!
//! `cargo bench --bench growth`; `-- mail` measures one service, `RUNS` says how often (9). System calls are counted by strace,
//! instructions by valgrind, if they are there.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "a bench makes the files that it measures, and reads the clock"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};
use trailkeeper::sandbox::{Api, Event, Options, Sandbox};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PROGRAM: &str = env!("CARGO_BIN_EXE_trailkeeper");

/// The services: each with the beginning of its variables.
const SERVICES: [(&str, Api, &str); 3] = [
    ("mail", Api::Mail, "MAIL"),
    ("Port", Api::Port, "PORT"),
    ("HCP Terraform", Api::Tfc, "TFC"),
];

/// What an archive holds.
struct Size {
    /// Number of day files.
    files: u64,
    /// Length of the newest, in MiB.
    mib: usize,
    rejected: usize,
}

const SIZES: [Size; 7] = [
    Size {
        files: 4,
        mib: 1,
        rejected: 0,
    },
    Size {
        files: 400,
        mib: 1,
        rejected: 0,
    },
    Size {
        files: 4_000,
        mib: 1,
        rejected: 0,
    },
    Size {
        files: 4,
        mib: 100,
        rejected: 0,
    },
    Size {
        files: 4,
        mib: 1_024,
        rejected: 0,
    },
    Size {
        files: 4_000,
        mib: 1_024,
        rejected: 0,
    },
    Size {
        files: 4,
        mib: 1,
        rejected: 100_000,
    },
];

/// What a run costs.
#[derive(Clone, Copy)]
struct Cost {
    milliseconds: [f64; 3],
    instructions: Option<u64>,
    calls: Option<u64>,
}

fn main() -> Result<()> {
    println!(
        "{:<14} {:>6} {:>6} {:>9} {:>4} {:>7} {:>7} {:>7} {:>6} {:>12} {:>6}",
        "", "files", "MiB", "rejected", "new", "CPU ms", "min", "max", "ratio", "instructions", "calls"
    );
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word.as_str()));
    for (name, api, variable) in SERVICES.into_iter().filter(|(name, ..)| is_chosen(name)) {
        let mut least = [None; 2];
        for size in SIZES {
            let archive = Archive::new(api, variable, &size)?;
            for (new, least) in least.iter_mut().enumerate() {
                let Cost {
                    milliseconds: [median, min, max],
                    instructions,
                    calls,
                } = archive.measure(new > 0)?;
                let ratio = median / *least.get_or_insert(median);
                let shown = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
                println!(
                    "{name:<14} {:>6} {:>6} {:>9} {new:>4} {median:>7.1} {min:>7.1} {max:>7.1} {ratio:>6.2} {:>12} {:>6}",
                    size.files,
                    size.mib,
                    size.rejected,
                    shown(instructions),
                    shown(calls),
                );
            }
        }
    }
    Ok(())
}

/// An archive of one stream, and the service of it.
struct Archive {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
    api: Api,
}

impl Archive {
    /// Collects once, and adds day files of a record each, and to the newest as many MiB as are wanted.
    fn new(api: Api, variable: &str, size: &Size) -> Result<Self> {
        let events =
            (0..300).map(|number| event(api, Utc::now() - TimeDelta::minutes(30 + 14 * number), number as u64));
        let sandbox = Sandbox::start_on_thread(Options::empty(Arc::new(Utc::now)).give(api, events.collect()))?;
        let folder = tempfile::tempdir()?;
        let catalog = folder.path().join("archive");
        fs::create_dir(&catalog)?;
        let settings = sandbox
            .variables()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        let shown = folder.path().display();
        let more = format!(
            "APP_LOG_FILE={shown}/log\n{variable}_LOG_CATALOG_LOCATION={shown}/archive\n{variable}_LOG_FILE_BASE_NAME=a\n"
        );
        let settings: String = settings.chain([more]).collect();
        fs::write(folder.path().join(".env"), settings)?;
        let archive = Self { folder, sandbox, api };
        archive.run(&[])?;
        archive.fill(&catalog, size)?;
        // What was changed is read once.
        (0..2).try_for_each(|_| archive.run(&[]).map(drop))?;
        Ok(archive)
    }

    fn fill(&self, catalog: &Path, size: &Size) -> Result<()> {
        let journal = catalog.join(".trailkeeper/a.coverage.jsonl");
        let text = fs::read_to_string(&journal)?;
        let (mut counts, mut last) = (BTreeMap::new(), Value::Null);
        for line in text.lines() {
            last = serde_json::from_str(line)?;
            let counted = last["counts"].as_object().cloned().unwrap_or_default();
            counts.extend(
                counted
                    .into_iter()
                    .map(|(day, count)| (day, counted_text(&count["lines"], &count["bytes"]))),
            );
        }
        let newest = counts.keys().max().ok_or("no day file")?.parse::<NaiveDate>()?;
        let days = (counts.len() as u64..size.files).map(|number| newest - Days::new(100 + number));
        for (number, day) in days.enumerate() {
            let line = event(self.api, start_of(day), number as u64).text + "\n";
            fs::write(catalog.join(format!("a_{day}.log")), &line)?;
            counts.insert(day.to_string(), counted_text(1, line.len()));
        }
        let path = catalog.join(format!("a_{newest}.log"));
        let held = fs::read(&path)?;
        let (mut file, mut bytes, mut lines) = (BufWriter::new(File::create(&path)?), held.len(), 0);
        while bytes < size.mib << 20 {
            let time = start_of(newest) + TimeDelta::milliseconds(lines % 60_000);
            let line = event(self.api, time, 1_000_000 + lines as u64).text + "\n";
            file.write_all(line.as_bytes())?;
            (bytes, lines) = (bytes + line.len(), lines + 1);
        }
        file.write_all(&held)?;
        file.flush()?;
        let lines = lines as usize + held.iter().filter(|byte| **byte == b'\n').count();
        counts.insert(newest.to_string(), counted_text(lines, bytes));
        let counts: Vec<_> = counts.iter().map(|(day, count)| format!("\"{day}\":{count}")).collect();
        (last["counts"], last["has_all_counts"]) = (json!({}), json!(true));
        let line = last
            .to_string()
            .replace("\"counts\":{}", &format!("\"counts\":{{{}}}", counts.join(",")));
        fs::write(&journal, format!("{text}{line}\n"))?;
        let note = |number| {
            format!(
                "{{\"noted_at\": \"2026-01-01T00:00:00.000Z\", \"reason\": \"odd\", \"record\": {{\"id\": {number}}}}}\n"
            )
        };
        if size.rejected > 0 {
            fs::write(
                catalog.join(".trailkeeper/a.rejected.jsonl"),
                (0..size.rejected).map(note).collect::<String>(),
            )?;
        }
        Ok(())
    }

    fn measure(&self, has_news: bool) -> Result<Cost> {
        let mut number = 0;
        let mut news = || {
            number += 1;
            let event = event(self.api, Utc::now() - TimeDelta::minutes(2), 500_000 + number);
            self.sandbox
                .add(self.api, if has_news { vec![event] } else { Vec::new() });
        };
        let mut costs = Vec::new();
        for _ in 0..runs() {
            news();
            costs.push(self.run(&[])?);
        }
        costs.sort_by(f64::total_cmp);
        news();
        let calls = self.system_calls();
        news();
        Ok(Cost {
            milliseconds: [costs[costs.len() / 2], costs[0], costs[costs.len() - 1]],
            instructions: self.instructions(),
            calls,
        })
    }

    /// Returns a run, behind the words of another program.
    fn command(&self, before: &[&str]) -> Command {
        let mut words = before.iter().copied().chain([PROGRAM, "collect", "-q", "--env-file"]);
        let mut command = Command::new(words.next().unwrap_or(PROGRAM));
        // What cargo sets makes the loader look for libraries in many folders, and is compared with known variables.
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .args(words)
            .arg(self.folder.path().join(".env"))
            .stdout(Stdio::null());
        command
    }

    /// Collects, and returns the CPU time of that in milliseconds.
    fn run(&self, before: &[&str]) -> Result<f64> {
        let started = cpu_us()?;
        let output = self.command(before).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok((cpu_us()? - started) as f64 / 1e3)
    }

    /// Counts the system calls of a run.
    fn system_calls(&self) -> Option<u64> {
        let trace: PathBuf = self.folder.path().join("trace");
        self.run(&["strace", "-f", "-qq", "-o", trace.to_str()?]).ok()?;
        let text = fs::read_to_string(&trace).ok()?;
        // A call that another thread interrupts has a second line.
        let calls = text
            .lines()
            .filter(|line| !line.contains(" resumed>") && line.contains('('));
        Some(calls.count() as u64)
    }

    /// Counts the instructions of user mode of a run.
    fn instructions(&self) -> Option<u64> {
        let words = [
            "valgrind",
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ];
        let stderr = self.command(&words).output().ok()?.stderr;
        let stderr = String::from_utf8(stderr).ok()?;
        let counted = stderr.lines().find(|line| line.contains("refs:"))?.rsplit(':').next()?;
        let digits: String = counted.chars().filter(char::is_ascii_digit).collect();
        digits.parse().ok()
    }
}

/// The counts of a day, as the program writes them.
fn counted_text(lines: impl std::fmt::Display, bytes: impl std::fmt::Display) -> String {
    format!(r#"{{"lines":{lines},"bytes":{bytes}}}"#)
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// A record of the service, in its line form.
fn event(api: Api, time: DateTime<Utc>, number: u64) -> Event {
    let at = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let padding = "some words that a record of this kind may have; ".repeat(6);
    let text = match api {
        Api::Port => format!(
            r#"{{"identifier": "event_{number}", "action": "UPDATE", "resourceType": "entity", "status": "SUCCESS", "trigger": {{"at": "{at}", "by": {{"userId": "u"}}, "origin": "UI"}}, "context": {{"entity": "{padding}"}}}}"#
        ),
        Api::Tfc => format!(
            r#"{{"id": "ae66e491-{number}", "version": "0", "type": "Resource", "timestamp": "{at}", "auth": {{"accessor_id": "user-1"}}, "request": {{"id": "{padding}"}}, "resource": {{"id": "run-1", "action": "create"}}}}"#
        ),
        _ => format!(
            r#"{{"eventType": "message_receive", "date": "{at}", "orgId": 1, "userUid": "1", "uniqId": "{number}", "subject": "{padding}"}}"#
        ),
    };
    Event::new(time, number.to_string(), text)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what this program reads is no setting of trailkeeper"
)]
fn runs() -> usize {
    let runs = std::env::var("RUNS").ok().and_then(|text| text.parse().ok());
    runs.unwrap_or(9).max(1)
}

/// The CPU time of the children that have ended.
fn cpu_us() -> Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}
