//! The real binary against the sandbox in another process: one table of what it costs, with ratios of the same run.
//!
//! `cargo bench --bench end_to_end [-- GROUP…]`, where a group is `cpu`, `latency`, `memory`, `steady`, `since`, `start`
//! or `syncs`; all of them without one. `RUNS` says how often each is measured (5), `RECORDS` how many mail records are
//! collected (200 000), `MONTH_GIB` how large the month of `since` is (1). `docs/benchmarks.md` says what the lines mean.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

mod sandbox;

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use sandbox::Sandbox;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures and prints some lines of the table.
type Group = fn() -> Result<()>;

/// The first argument of a process that measures one other.
const MEASURE: &str = "--measure";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let Some((MEASURE, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return measure_child(rest);
    }
    let groups: [(&str, Group); 7] = [
        ("cpu", cpu),
        ("latency", latency),
        ("memory", memory),
        ("steady", steady),
        ("since", since),
        ("start", start),
        ("syncs", syncs),
    ];
    println!(
        "{:<58} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "", "CPU ms", "min", "max", "wall ms", "RSS MiB", "ratio"
    );
    for (name, group) in groups {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            println!("{name}");
            group()?;
        }
    }
    Ok(())
}

/// What one run of a program cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu_ms: f64,
    wall_ms: f64,
    rss_mib: f64,
}

/// What several runs cost: the medians, and the least and the most CPU.
#[derive(Clone, Copy, Debug)]
struct Costs {
    median: Cost,
    least_cpu_ms: f64,
    most_cpu_ms: f64,
}

impl Costs {
    fn of(mut runs: Vec<Cost>) -> Self {
        let median_of = |runs: &mut Vec<Cost>, value: fn(&Cost) -> f64| {
            runs.sort_by(|one, other| value(one).total_cmp(&value(other)));
            value(&runs[runs.len() / 2])
        };
        let wall_ms = median_of(&mut runs, |cost| cost.wall_ms);
        let rss_mib = median_of(&mut runs, |cost| cost.rss_mib);
        let cpu_ms = median_of(&mut runs, |cost| cost.cpu_ms);
        Self {
            median: Cost {
                cpu_ms,
                wall_ms,
                rss_mib,
            },
            least_cpu_ms: runs[0].cpu_ms,
            most_cpu_ms: runs[runs.len() - 1].cpu_ms,
        }
    }

    fn print(&self, what: &str, ratio: Option<f64>) {
        let Cost {
            cpu_ms,
            wall_ms,
            rss_mib,
        } = self.median;
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        println!(
            "  {what:<56} {cpu_ms:>9.1} {:>9.1} {:>9.1} {wall_ms:>9.1} {rss_mib:>9.1} {ratio:>7}",
            self.least_cpu_ms, self.most_cpu_ms
        );
    }
}

/// Runs a program from a process of its own, whose only child it is: its usage is then that of the program.
fn measure(command: &[&OsStr], stdout: Option<&Path>) -> Result<Cost> {
    let mut measuring = Command::new(std::env::current_exe()?);
    let stdout = stdout.map_or(OsStr::new("/dev/null"), Path::as_os_str);
    let output = measuring.arg(MEASURE).arg(stdout).args(command).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    match numbers[..] {
        [cpu_ms, wall_ms, rss_mib] if output.status.success() => Ok(Cost {
            cpu_ms,
            wall_ms,
            rss_mib,
        }),
        _ => Err(format!("{command:?} failed: {text}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn measure_child(arguments: &[String]) -> Result<()> {
    let [stdout, program, arguments @ ..] = arguments else {
        return Err("a file and a program are needed".into());
    };
    let began = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(stdout)?)
        .stderr(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    let wall = began.elapsed();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let rss_mib = usage.max_rss() as f64 / 1024.0;
    println!("{} {} {rss_mib}", cpu_us as f64 / 1e3, wall.as_secs_f64() * 1e3);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what this program reads is no setting of trailkeeper"
)]
fn number(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

fn runs() -> usize {
    number("RUNS", 5).max(1)
}

fn records() -> usize {
    number("RECORDS", 200_000)
}

fn trailkeeper() -> &'static OsStr {
    OsStr::new(env!("CARGO_BIN_EXE_trailkeeper"))
}

/// Starts the sandbox with records of 700 bytes.
fn sandbox_with(records: usize, flags: &[&str]) -> Result<Sandbox> {
    Sandbox::start(records, &[&["--record-bytes", "700"], flags].concat())
}

/// Returns a setting that the sandbox has printed; empty if it has not.
fn setting<'a>(sandbox: &'a Sandbox, name: &str) -> &'a str {
    let prefix = format!("{name}=");
    sandbox
        .settings
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_default()
}

/// A folder with settings and catalogs for some streams.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(sandbox: &Sandbox, prefixes: &[&str], more: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().display();
        let mut env = format!("{}APP_LOG_FILE={root}/log\n{more}\n", sandbox.settings);
        for prefix in prefixes {
            fs::create_dir(folder.path().join(prefix))?;
            env.push_str(&format!("{prefix}_LOG_CATALOG_LOCATION={root}/{prefix}\n"));
        }
        fs::write(folder.path().join(".env"), env)?;
        Ok(Self { folder })
    }

    fn run(&self, arguments: &[&str]) -> Result<Cost> {
        let env = self.folder.path().join(".env");
        let mut command = vec![trailkeeper()];
        command.extend(arguments.iter().map(OsStr::new));
        command.extend([OsStr::new("-q"), OsStr::new("--env-file"), env.as_os_str()]);
        measure(&command, None)
    }

    /// The day files of a stream, oldest first.
    fn day_files(&self, prefix: &str) -> Result<Vec<PathBuf>> {
        let files = fs::read_dir(self.folder.path().join(prefix))?;
        let mut files: Vec<PathBuf> = files.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        files.retain(|path| path.is_file());
        files.sort();
        Ok(files)
    }

    /// The addresses that were asked for, by the program's own log.
    fn addresses(&self) -> Result<Vec<String>> {
        let mut files: Vec<PathBuf> = (1..=5)
            .map(|number| self.folder.path().join(format!("log.{number}")))
            .collect();
        files.push(self.folder.path().join("log"));
        let mut addresses = Vec::new();
        for path in files.into_iter().filter(|path| path.exists()) {
            for line in fs::read_to_string(path)?.lines() {
                let address = line
                    .split_once("url=\"")
                    .map(|(_, rest)| rest.split('"').next().unwrap_or(rest));
                addresses.extend(address.map(str::to_owned));
            }
        }
        Ok(addresses)
    }
}

/// Collects anew, `runs` times, each in a place of its own; gives the last one.
fn first_collections(sandbox: &Sandbox, prefixes: &[&str], more: &str, runs: usize) -> Result<(Costs, Place)> {
    let mut costs = Vec::new();
    let mut last = None;
    for _ in 0..runs {
        let place = Place::new(sandbox, prefixes, more)?;
        costs.push(place.run(&["collect"])?);
        last = Some(place);
    }
    Ok((Costs::of(costs), last.ok_or("no run")?))
}

/// A service whose first collection is measured.
struct Service {
    prefix: &'static str,
    /// The setting of its token, and how that is sent.
    token: &'static str,
    scheme: &'static str,
    /// How long its records are at least, in bytes.
    record_bytes: &'static str,
    /// Of so many mail records it has one.
    share: usize,
    /// Records of a page.
    page: usize,
}

const SERVICES: [Service; 3] = [
    Service {
        prefix: "MAIL",
        token: "OAUTH_TOKEN_ARG",
        scheme: "OAuth",
        record_bytes: "700",
        share: 1,
        page: 100,
    },
    Service {
        prefix: "PORT",
        token: "PORT_API_TOKEN",
        scheme: "Bearer",
        record_bytes: "4100",
        share: 5,
        page: 1_000,
    },
    Service {
        prefix: "TFC",
        token: "TFC_ORG_TOKEN",
        scheme: "Bearer",
        record_bytes: "535",
        share: 1,
        page: 1_000,
    },
];

/// First collections against curl, which downloads the same pages, in turns: what else the machine does at the time then weighs
/// on both.
fn cpu() -> Result<()> {
    for service in &SERVICES {
        for flags in [&[][..], &["--gzip"][..]] {
            against_curl(service, flags)?;
        }
    }
    Ok(())
}

fn against_curl(service: &Service, flags: &[&str]) -> Result<()> {
    let Service {
        prefix, record_bytes, ..
    } = *service;
    let (count, is_compressed) = (records() / service.share, !flags.is_empty());
    let sandbox = Sandbox::start(count, &[&["--record-bytes", record_bytes], flags].concat())?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut pages, mut page_bytes, mut line_bytes) = (0, 0, 0);
    for _ in 0..runs() {
        let place = Place::new(&sandbox, &[prefix], "")?;
        ours.push(place.run(&["collect"])?);
        let lengths = place.day_files(prefix)?;
        let lengths = lengths.iter().map(|path| Ok(fs::metadata(path)?.len()));
        line_bytes = lengths.sum::<Result<u64>>()?;
        let addresses = place.addresses()?;
        pages = addresses.len();
        let downloaded = place.folder.path().join("pages");
        let header = format!("{} {}", service.scheme, setting(&sandbox, service.token));
        let options = if prefix == "TFC" { TFC_RATE } else { "" };
        theirs.push(download(
            &format!("{options}header=\"Authorization: {header}\"\n"),
            &place,
            &addresses,
            is_compressed,
            &downloaded,
        )?);
        page_bytes = fs::metadata(&downloaded)?.len();
    }
    let (ours, theirs) = (Costs::of(ours), Costs::of(theirs));
    let how = if is_compressed { "gzipped" } else { "uncompressed" };
    let what = format!("{prefix}: curl, {pages} pages, {} MB {how}", page_bytes / 1_000_000);
    theirs.print(&what, None);
    let what = format!(
        "{prefix}: collect, {count} records, {} MB of lines",
        line_bytes / 1_000_000
    );
    ours.print(&what, Some(ours.median.cpu_ms / theirs.median.cpu_ms));
    Ok(())
}

/// As often as HCP Terraform lets anybody ask.
const TFC_RATE: &str = "rate=25/s\n";

/// Lets curl download these pages over one connection into one file.
fn download(options: &str, place: &Place, addresses: &[String], is_compressed: bool, to: &Path) -> Result<Cost> {
    // Addresses have brackets, which stand for themselves.
    let mut text = format!("globoff\n{options}");
    if is_compressed {
        text.push_str("compressed\n");
    }
    for address in addresses {
        text.push_str(&format!("url=\"{address}\"\n"));
    }
    let config = place.folder.path().join("curl");
    fs::write(&config, text)?;
    let curl = ["curl", "-s", "-f", "-K"].map(OsStr::new);
    let command: Vec<&OsStr> = curl.into_iter().chain([config.as_os_str()]).collect();
    measure(&command, Some(to))
}

/// HCP Terraform answers so many requests in a second at most.
const TFC_REQUESTS: f64 = 30.0;

/// First collections with so much latency and so many requests at a time, against the time that the pages take at least.
fn latency() -> Result<()> {
    let count = records() / 2;
    for (milliseconds, concurrencies) in [(50, &[1, 4, 8, 16][..]), (200, &[8, 16][..])] {
        let sandbox = sandbox_with(count, &["--latency-ms", &milliseconds.to_string()])?;
        for Service { prefix, page, .. } in SERVICES {
            for concurrency in concurrencies {
                let more = format!("FETCH_CONCURRENCY={concurrency}");
                let (costs, _) = first_collections(&sandbox, &[prefix], &more, 1)?;
                let pages = count.div_ceil(page) as f64;
                let mut least_ms = pages * f64::from(milliseconds) / f64::from(*concurrency);
                if prefix == "TFC" {
                    least_ms = least_ms.max(pages / TFC_REQUESTS * 1e3);
                }
                let what = format!("{prefix}, {count} records, {milliseconds} ms, {more} (ratio to {least_ms:.0} ms)");
                costs.print(&what, Some(costs.median.wall_ms / least_ms));
            }
        }
    }
    Ok(())
}

/// The peak memory of a first collection of a million records in all, and of the run after it.
fn memory() -> Result<()> {
    let each = number("MEMORY_RECORDS", 1_000_000) / 4;
    let sandbox = sandbox_with(each, &[])?;
    let (costs, place) = first_collections(&sandbox, &["MAIL", "DISK", "PORT", "TFC"], "", 1)?;
    costs.print(&format!("first collection, four streams of {each} records"), None);
    let again = (0..runs()).map(|_| place.run(&["collect"])).collect::<Result<_>>()?;
    Costs::of(again).print("the run after it", None);
    Ok(())
}

/// Runs that find nothing new, with a newest day file of three sizes.
fn steady() -> Result<()> {
    let sandbox = sandbox_with(3_000, &[])?;
    let mut smallest = None;
    for mib in [1, 100, 1024] {
        let (_, place) = first_collections(&sandbox, &["MAIL"], "", 1)?;
        let newest = place.day_files("MAIL")?.pop().ok_or("no day file")?;
        fill_to(&newest, mib << 20)?;
        let first = place.run(&["collect"])?;
        let costs = Costs::of(
            (0..runs() * 2)
                .map(|_| place.run(&["collect"]))
                .collect::<Result<_>>()?,
        );
        let base = *smallest.get_or_insert(costs.median.cpu_ms);
        Costs::of(vec![first]).print(&format!("newest file of {mib} MiB, changed by another program"), None);
        costs.print(
            &format!("newest file of {mib} MiB, nothing new"),
            Some(costs.median.cpu_ms / base),
        );
    }
    Ok(())
}

/// Puts records of the start of its day before those of a day file, until it has so many bytes.
fn fill_to(path: &Path, bytes: usize) -> Result<()> {
    let lines = fs::read_to_string(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let day = &name[name.len() - 10..];
    let mut file = BufWriter::new(File::create(path)?);
    let mut written = lines.len();
    for number in 0_u64.. {
        if written >= bytes {
            break;
        }
        let line = filling_line(day, number);
        written += line.len();
        file.write_all(line.as_bytes())?;
    }
    file.write_all(lines.as_bytes())?;
    file.into_inner()?.sync_all()?;
    Ok(())
}

/// A mail record of 700 bytes in the first minute of a day.
fn filling_line(day: &str, number: u64) -> String {
    let millisecond = number % 60_000;
    format!(
        "{{\"eventType\": \"message_receive\", \"date\": \"{day}T00:00:{:02}.{:03}Z\", \"orgId\": 1000001, \"userUid\": \
         \"1130000000000001\", \"userLogin\": \"a.petrova@example.org\", \"userName\": \"Анна Петрова\", \"requestId\": \
         \"\", \"uniqId\": \"{number:020}\", \"source\": \"server\", \"mid\": \"1894326593260001\", \"folderName\": \
         \"Inbox\", \"folderType\": \"inbox\", \"labels\": [], \"msgId\": \"<{number:x}@calendar.example.org>\", \
         \"subject\": \"{}\", \"from\": \"calendar@example.org\", \"to\": \"\", \"cc\": \"\", \"bcc\": \"\", \
         \"clientIp\": \"2001:db8::61\"}}\n",
        millisecond / 1000,
        millisecond % 1000,
        "План на сегодня ".repeat(8),
    )
}

/// `--since` a month ago, over day files that hold it already and far more.
fn since() -> Result<()> {
    let gib = number("MONTH_GIB", 1);
    let sandbox = sandbox_with(3_000, &[])?;
    let (_, place) = first_collections(&sandbox, &["MAIL"], "", 1)?;
    let files = place.day_files("MAIL")?;
    let month = &files[files.len().saturating_sub(30)..];
    for path in month {
        fill_to(path, (gib << 30) / month.len())?;
    }
    let costs = Costs::of(vec![place.run(&["collect", "--since", "30d"])?]);
    costs.print(&format!("--since 30d over {gib} GiB of day files"), None);
    Ok(())
}

/// What it takes to start, and to look at 400 day files.
fn start() -> Result<()> {
    let sandbox = sandbox_with(200, &[])?;
    let (_, place) = first_collections(&sandbox, &["MAIL"], "", 1)?;
    let base = place.day_files("MAIL")?.pop().ok_or("no day file")?;
    let name = base.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let prefix = &name[..name.len() - "2025-06-09.log".len()];
    for number in 0..400 {
        let day = format!(
            "20{:02}-{:02}-{:02}",
            10 + number / 336,
            1 + number / 28 % 12,
            1 + number % 28
        );
        fs::write(
            base.with_file_name(format!("{prefix}{day}.log")),
            filling_line(&day, number),
        )?;
    }
    place.run(&["status"])?;
    for arguments in [&["--version"][..], &["status"], &["collect", "--dry-run"], &["collect"]] {
        let costs = (0..runs() * 2).map(|_| match arguments {
            ["--version"] => measure(&[trailkeeper(), OsStr::new("--version")], None),
            arguments => place.run(arguments),
        });
        Costs::of(costs.collect::<Result<_>>()?).print(&format!("{} (400 day files)", arguments.join(" ")), None);
    }
    Ok(())
}

/// Data syncs of a first collection, counted by strace.
fn syncs() -> Result<()> {
    let count = 20_000;
    let sandbox = sandbox_with(count, &[])?;
    let place = Place::new(&sandbox, &["MAIL"], "")?;
    let (env, trace) = (place.folder.path().join(".env"), place.folder.path().join("trace"));
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(trailkeeper())
        .args(["collect", "-q", "--env-file"])
        .arg(env)
        .stdout(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("  strace could not be run");
        return Ok(());
    }
    let trace = fs::read_to_string(trace)?;
    let of = |call: &str| trace.lines().filter(|line| line.contains(call)).count();
    let files = place.day_files("MAIL")?.len();
    println!(
        "  {count} mail records into {files} day files: {} data syncs, {} syncs of the folder",
        of("fdatasync("),
        of(" fsync(")
    );
    Ok(())
}
