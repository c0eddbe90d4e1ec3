//! Evidence: sealing and verifying an archive, against `sha256sum` of the same bytes; and a seal where nothing is new.
//!
//! `cargo bench --bench evidence`. `MIB` says how large the archive is (512), `DAYS` over how many days of each of the five streams
//! the quiet one is spread (400), `RUNS` how often each is measured (5). The files are in the page cache by then.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use chrono::{Days, NaiveDate, Utc};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The streams: their prefix and the base name of their files.
const STREAMS: [(&str, &str); 5] = [
    ("MAIL", "mail_audit"),
    ("DISK", "disk_audit"),
    ("AUDIT", "yandex_audit"),
    ("PORT", "port_audit"),
    ("TFC", "tfc_audit"),
];

/// How long a line is, as a mail record's.
const LINE: usize = 545;

fn main() -> Result<()> {
    let (mib, days, runs) = (number("MIB", 512), number("DAYS", 400), number("RUNS", 5));
    let large = Archive::make(4, mib << 20)?;
    println!(
        "{:<52} {:>10} {:>10} {:>10} {:>7}",
        "", "wall ms", "CPU ms", "GB/s CPU", "ratio"
    );
    let bytes = large.bytes as f64;
    let sums = measure(runs, || large.sha256sum())?;
    print("sha256sum of all day files", sums, Some(bytes), None);
    let sealed = measure(runs, || large.run_anew(&["seal", "-q"]))?;
    print("seal, of everything", sealed, Some(bytes), Some(sums));
    let verified = measure(runs, || large.run(&["verify", "--evidence", "-q"]))?;
    print("verify --evidence", verified, Some(bytes), Some(sums));
    let quiet = Archive::make(days, 40 << 20)?;
    quiet.run_anew(&["seal", "-q"])?;
    let version = measure(runs, || quiet.run(&["--version"]))?;
    print("--version", version, None, None);
    let nothing = measure(runs, || quiet.run(&["seal", "-q"]))?;
    print(
        &format!("seal, nothing new, {days} days of 5 streams"),
        nothing,
        None,
        None,
    );
    let full = measure(runs, || quiet.run(&["seal", "--full", "-q"]))?;
    print("seal --full, nothing new", full, None, None);
    Ok(())
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Wall and CPU time in milliseconds: the medians.
type Cost = (f64, f64);

fn measure(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<Cost> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (before, began) = (cpu()?, Instant::now());
        run()?;
        walls.push(began.elapsed().as_secs_f64() * 1e3);
        cpus.push(cpu()? - before);
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Ok((median(&mut walls), median(&mut cpus)))
}

/// The CPU time of all children so far, in milliseconds.
fn cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e3)
}

fn print(what: &str, (wall, cpu): Cost, bytes: Option<f64>, base: Option<Cost>) {
    let speed = bytes.map_or(String::new(), |bytes| format!("{:.2}", bytes / cpu / 1e6));
    let ratio = base.map_or(String::new(), |(_, base)| format!("{:.2}", cpu / base));
    println!("  {what:<50} {wall:>10.1} {cpu:>10.1} {speed:>10} {ratio:>7}");
}

/// An archive of invented lines, with a log.
struct Archive {
    root: tempfile::TempDir,
    bytes: u64,
}

impl Archive {
    /// Makes one of so many days of each stream, and so many bytes in all.
    fn make(days: usize, bytes: usize) -> Result<Self> {
        let root = tempfile::tempdir()?;
        let mut env = String::from(
            "OAUTH_TOKEN_ARG=invented\nORGANIZATION_ID_ARG=1000001\nPORT_API_TOKEN=invented\nTFC_ORG_TOKEN=invented\n\
             EVIDENCE_FOLDER=evidence\nEVIDENCE_ORIGIN=audit.example.org/bench\nEVIDENCE_KEY_FILE=evidence.key\n",
        );
        let lines = bytes / LINE / days / STREAMS.len();
        let newest = Utc::now().date_naive() - Days::new(4);
        let mut written = 0;
        for (prefix, base) in STREAMS {
            writeln!(
                env,
                "{prefix}_LOG_CATALOG_LOCATION={base}\n{prefix}_LOG_FILE_BASE_NAME={base}"
            )?;
            let folder = root.path().join(base);
            fs::create_dir(&folder)?;
            for age in 0..days {
                let date = newest - Days::new(age as u64);
                let text = text(date, lines);
                written += text.len() as u64;
                fs::write(folder.join(format!("{base}_{date}.log")), text)?;
            }
        }
        fs::write(root.path().join(".env"), env)?;
        let archive = Self { root, bytes: written };
        archive.run(&["evidence", "keygen", "-q"])?;
        Ok(archive)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root.path()).stdout(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_trailkeeper"));
        let output = self
            .command(&program)
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()?
            .wait_with_output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
        }
    }

    /// Runs with a log that holds nothing yet.
    fn run_anew(&self, arguments: &[&str]) -> Result<()> {
        fs::remove_dir_all(self.root.path().join("evidence"))?;
        fs::remove_file(self.root.path().join("evidence.key"))?;
        self.run(&["evidence", "keygen", "-q"])?;
        self.run(arguments)
    }

    fn sha256sum(&self) -> Result<()> {
        let files = STREAMS.map(|(_, base)| format!("{base}/*.log")).join(" ");
        let status = self
            .command(Path::new("sh"))
            .args(["-c", &format!("sha256sum {files}")])
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err("sha256sum failed".into())
        }
    }
}

/// So many lines of a day, as long as those of mail.
fn text(date: NaiveDate, lines: usize) -> String {
    let mut text = String::with_capacity(lines * (LINE + 1));
    for n in 0..lines {
        let from = text.len();
        let (hour, minute, second) = (n % 24, n % 60, n / 60 % 60);
        let _ = write!(
            text,
            "{{\"date\":\"{date}T{hour:02}:{minute:02}:{second:02}Z\",\"uniqId\":\"{date}-{n}\",\"filler\":\""
        );
        while text.len() < from + LINE - 3 {
            text.push((b'a' + (text.len() * 7 + n) as u8 % 26) as char);
        }
        text.push_str("\"}\n");
    }
    text
}
