//! Packing: `pack` and `unpack` against gzip, xz and zstd over the same lines, and `search`, `status` and `verify` over years of
//! days, plain and packed.
//!
//! `cargo bench --bench pack [-- GROUP…]`, where a group is `speed` or `years`; both without one. `speed` makes a day of each
//! source, of `MIB` of lines (8), and `years` an archive of `DAYS` days (1095) of five streams, of `KIB` each (64). What is compared
//! takes turns, `RUNS` of them (5), the slow programs in `SLOW_RUNS` of these (2), so that each ratio is of runs that were
//! neighbours. A program that is missing is left out with a word. `-- --test` tries all of it once, on a little.
//! `docs/benchmarks.md` says what came of it.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

mod invented;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, TimeDelta, Utc};
use invented::{Random, Recipe};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use trailkeeper::record::Reader;
use trailkeeper::source::SOURCES;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How much is measured.
struct Sizes {
    /// Bytes of lines of a day, for `speed`.
    day: usize,
    /// For `years`: how many days each stream has, and the bytes of each.
    days: u64,
    small_day: usize,
    runs: usize,
    slow_runs: usize,
}

impl Sizes {
    fn asked(is_test: bool) -> Self {
        if is_test {
            return Self {
                day: 1 << 18,
                days: 5,
                small_day: 8 << 10,
                runs: 1,
                slow_runs: 1,
            };
        }
        Self {
            day: number("MIB", 8) << 20,
            days: number("DAYS", 3 * 365) as u64,
            small_day: number("KIB", 64) << 10,
            runs: number("RUNS", 5).max(1),
            slow_runs: number("SLOW_RUNS", 2).max(1),
        }
    }
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

fn main() -> Result<()> {
    let (flags, groups): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let sizes = Sizes::asked(flags.iter().any(|flag| flag == "--test"));
    let is_asked = |name: &str| groups.is_empty() || groups.iter().any(|group| group == name);
    println!("load of the machine before: {}", load());
    if is_asked("speed") {
        speed(&sizes)?;
    }
    if is_asked("years") {
        years(&sizes)?;
    }
    println!("load of the machine behind: {}", load());
    Ok(())
}

/// The load of the last minute, where the system tells it.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("not known").to_owned()
}

/// A stream, as the settings name it.
struct Stream {
    name: &'static str,
    prefix: &'static str,
    recipe: Recipe,
}

const STREAMS: [Stream; 5] = [
    Stream {
        name: "yandex-mail",
        prefix: "MAIL",
        recipe: invented::mail,
    },
    Stream {
        name: "yandex-disk",
        prefix: "DISK",
        recipe: invented::disk,
    },
    Stream {
        name: "yandex-audit",
        prefix: "AUDIT",
        recipe: invented::yandex_audit,
    },
    Stream {
        name: "port",
        prefix: "PORT",
        recipe: invented::port,
    },
    Stream {
        name: "tfc",
        prefix: "TFC",
        recipe: invented::terraform,
    },
];

impl Stream {
    /// Returns lines of a day, of this many bytes or a little more, in the order of their times.
    fn lines(&self, date: NaiveDate, bytes: usize) -> Result<String> {
        let source = SOURCES.iter().find(|source| source.name == self.name);
        let mut reader = Reader::new(source.ok_or("no such source")?.shape);
        let mut random = Random::new(u64::from(chrono::Datelike::num_days_from_ce(&date).unsigned_abs()));
        let begin = date.and_time(chrono::NaiveTime::MIN).and_utc();
        let mut lines = String::with_capacity(bytes + (8 << 10));
        while lines.len() < bytes {
            let share = lines.len() as f64 / bytes as f64;
            let time = begin + TimeDelta::milliseconds((share * 86_400_000.0) as i64);
            let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            let record = random.record_at(self.recipe, time);
            let record = reader.read(&record).map_err(|error| format!("{error:?}"))?;
            lines.push_str(&record.line);
            lines.push('\n');
        }
        Ok(lines)
    }
}

/// Wall and CPU time of a process and its children, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// Runs a command to its end; returns what it took, and what it printed.
fn measure(mut command: Command) -> Result<(Cost, Vec<u8>)> {
    let (before, began) = (cpu()?, Instant::now());
    let output = command.stdin(Stdio::null()).output()?;
    let cost = Cost {
        wall: began.elapsed().as_secs_f64(),
        cpu: cpu()? - before,
    };
    if output.status.success() {
        Ok((cost, output.stdout))
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// The CPU time of all children that have ended, in seconds.
fn cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios of neighbours, and the least and the greatest of them.
fn ratio(costs: &[Cost], bases: &[Cost]) -> String {
    let ratios = || costs.iter().zip(bases).map(|(cost, base)| cost.cpu / base.cpu);
    let (least, most) = (
        ratios().fold(f64::INFINITY, f64::min),
        ratios().fold(f64::NEG_INFINITY, f64::max),
    );
    format!("{:.2} ({least:.2} to {most:.2})", median(ratios()))
}

/// A folder with a catalog for each stream, and the settings that name them.
struct Archive {
    folder: tempfile::TempDir,
}

impl Archive {
    /// Makes one that holds these days of these streams.
    fn make(streams: &[Stream], newest: NaiveDate, days: u64, bytes: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut settings = String::new();
        for stream in streams {
            let Stream { name, prefix, .. } = stream;
            writeln!(
                settings,
                "{prefix}_LOG_CATALOG_LOCATION={}/{name}\n{prefix}_LOG_FILE_BASE_NAME={name}",
                folder.path().display()
            )?;
            let catalog = folder.path().join(name);
            fs::create_dir_all(catalog.join(".trailkeeper"))?;
            let mut counts = serde_json::Map::new();
            for age in 0..days {
                let date = newest - Days::new(age);
                let lines = stream.lines(date, bytes)?;
                let count = memchr::memchr_iter(b'\n', lines.as_bytes()).count();
                let counted = serde_json::json!({"lines": count, "bytes": lines.len()});
                counts.insert(date.to_string(), counted);
                fs::write(catalog.join(format!("{name}_{date}.log")), lines)?;
            }
            let journal = journal(name, newest - Days::new(days), counts);
            let file = catalog.join(format!(".trailkeeper/{name}.coverage.jsonl"));
            fs::write(file, format!("{journal}\n"))?;
        }
        fs::write(folder.path().join(".env"), settings)?;
        Ok(Self { folder })
    }

    fn trailkeeper(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
        command
            .args(arguments)
            .arg("--env-file")
            .arg(self.folder.path().join(".env"));
        command
    }

    /// Packs all days; returns what it took, and the bytes of the packed files.
    fn pack(&self) -> Result<(Cost, u64)> {
        let (cost, _) = measure(self.trailkeeper(&["pack", "-q", "--older-than", "2d"]))?;
        let (left, packed) = (self.bytes("")?, self.bytes("packed")?);
        if left == 0 && packed > 0 {
            Ok((cost, packed))
        } else {
            Err(format!("{left} bytes were not packed").into())
        }
    }

    /// Returns the bytes of all files of a folder of each stream: of the catalog itself, or of one within it.
    fn bytes(&self, within: &str) -> Result<u64> {
        let mut bytes = 0;
        for stream in fs::read_dir(self.folder.path())? {
            let folder = stream?.path().join(within);
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder)? {
                let meta = entry?.metadata()?;
                bytes += if meta.is_file() { meta.len() } else { 0 };
            }
        }
        Ok(bytes)
    }
}

/// The line of a run that has fetched all of this, as `src/coverage/mod.rs` describes it: a day with a gap is not packed.
fn journal(stream: &str, first: NaiveDate, counts: serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
    let (now, first) = (Utc::now(), first.and_time(chrono::NaiveTime::MIN).and_utc());
    serde_json::json!({
        "version": 2, "program": "bench", "at": now, "seconds": 1.0,
        "scope": {"stream": stream, "organization": null, "address": "https://api.example.org", "filter": null},
        "overlap_seconds": 120, "asked": [], "end": "exhausted", "error": null, "requests": 1, "retries": 0, "pages": 1,
        "received": 0, "duplicates": 0, "appended": 0, "rejected": 0, "revised": 0, "repaired": 0, "last_before": null,
        "last_record": null, "service_date": null, "counts": counts, "has_all_counts": true, "asked_from": first,
        "covered": [{"from": first, "to": now}], "claimed_to": null, "last_complete": now, "last_reconciled": null,
        "reconciling": null, "assumptions": {"order": "newest-first", "is_order_shown": true, "looks_above": 0, "disorder_ms": 0, "above_ms": 0, "below_ms": 0}, "other_order_at": null, "lost": {}, "contradictions": 0, "unproved": [],
        "accepted": []
    })
}

/// A day that is closed.
fn newest() -> NaiveDate {
    let now: DateTime<Utc> = Utc::now();
    now.date_naive() - Days::new(4)
}

/// Another program, as shell commands: from `$0` to `$1`, and back to `$0`.
struct Way {
    what: &'static str,
    program: &'static str,
    pack: &'static str,
    unpack: &'static str,
    is_slow: bool,
}

const WAYS: [Way; 5] = [
    Way {
        what: "gzip -6",
        program: "gzip",
        pack: r#"exec gzip -6 -c "$0" > "$1""#,
        unpack: r#"exec gzip -dc "$1" > "$0""#,
        is_slow: false,
    },
    Way {
        what: "xz",
        program: "xz",
        pack: r#"exec xz -c "$0" > "$1""#,
        unpack: r#"exec xz -dc "$1" > "$0""#,
        is_slow: true,
    },
    Way {
        what: "zstd -19",
        program: "zstd",
        pack: r#"exec zstd -q -19 -c "$0" > "$1""#,
        unpack: r#"exec zstd -q -dc "$1" > "$0""#,
        is_slow: true,
    },
    Way {
        what: "zstd -9",
        program: "zstd",
        pack: r#"exec zstd -q -9 -c "$0" > "$1""#,
        unpack: r#"exec zstd -q -dc "$1" > "$0""#,
        is_slow: false,
    },
    Way {
        what: "zstd -9, synced, compared",
        program: "zstd",
        pack: r#"zstd -q -9 -c "$0" > "$1" && sync "$1" && zstd -q -dc "$1" | cmp - "$0""#,
        unpack: r#"zstd -q -dc "$1" > "$0" && sync "$0" && zstd -q -dc "$1" | cmp - "$0""#,
        is_slow: false,
    },
];

impl Way {
    fn command(&self, script: &str, plain: &Path, packed: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).args([plain, packed]);
        command
    }

    fn is_there(&self) -> bool {
        let is_there = Command::new(self.program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !is_there {
            println!("  ({} is left out: {} is not installed)", self.what, self.program);
        }
        is_there
    }
}

/// What was measured of one way.
#[derive(Default)]
struct Measured {
    packing: Vec<Cost>,
    unpacking: Vec<Cost>,
    packed_bytes: u64,
}

impl Measured {
    fn add(&mut self, packing: Cost, unpacking: Cost, packed_bytes: u64) {
        self.packing.push(packing);
        self.unpacking.push(unpacking);
        self.packed_bytes = packed_bytes;
    }

    fn print(&self, what: &str, bytes: u64, base: &Self) {
        let speed = |costs: &[Cost], of: fn(&Cost) -> f64| bytes as f64 / 1e6 / median(costs.iter().map(of));
        println!(
            "  {what:<26} {:>6.2} {:>7.1} {:>7.1} {:>22} {:>7.0} {:>7.0} {:>22} {:>4}",
            bytes as f64 / self.packed_bytes as f64,
            speed(&self.packing, |cost| cost.cpu),
            speed(&self.packing, |cost| cost.wall),
            ratio(&self.packing, &base.packing),
            speed(&self.unpacking, |cost| cost.cpu),
            speed(&self.unpacking, |cost| cost.wall),
            ratio(&self.unpacking, &base.unpacking),
            self.packing.len()
        );
    }
}

/// A day of each source: how fast it is packed and unpacked, and how small it gets.
fn speed(sizes: &Sizes) -> Result<()> {
    println!(
        "{:<28} {:>6} {:>7} {:>7} {:>22} {:>7} {:>7} {:>22} {:>4}",
        "", "ratio", "CPU", "wall", "CPU to pack", "CPU", "wall", "CPU to unpack", "runs"
    );
    println!("{:<28} {:>6} pack, MB/s {:>48} MB/s", "", "", "unpack,");
    let ways: Vec<&Way> = WAYS.iter().filter(|way| way.is_there()).collect();
    for stream in &STREAMS {
        speed_of(stream, &ways, sizes)?;
    }
    Ok(())
}

fn speed_of(stream: &Stream, ways: &[&Way], sizes: &Sizes) -> Result<()> {
    let archive = Archive::make(std::slice::from_ref(stream), newest(), 1, sizes.day)?;
    let name = format!("{}_{}.log", stream.name, newest());
    let plain = archive.folder.path().join(stream.name).join(name);
    let lines = fs::read(&plain)?;
    let other = tempfile::tempdir()?;
    let (others_plain, others_packed) = (other.path().join("plain"), other.path().join("packed"));
    let mut own = Measured::default();
    let mut others: Vec<Measured> = ways.iter().map(|_| Measured::default()).collect();
    for turn in 0..sizes.runs {
        let (packing, packed_bytes) = archive.pack()?;
        let unpacking = measure(archive.trailkeeper(&["unpack", "-q"]))?.0;
        same(&plain, &lines, "trailkeeper")?;
        own.add(packing, unpacking, packed_bytes);
        for (way, measured) in ways.iter().zip(&mut others) {
            if way.is_slow && turn >= sizes.slow_runs {
                continue;
            }
            fs::write(&others_plain, &lines)?;
            let packing = measure(way.command(way.pack, &others_plain, &others_packed))?.0;
            let packed_bytes = fs::metadata(&others_packed)?.len();
            let unpacking = measure(way.command(way.unpack, &others_plain, &others_packed))?.0;
            same(&others_plain, &lines, way.what)?;
            measured.add(packing, unpacking, packed_bytes);
        }
    }
    let bytes = lines.len() as u64;
    println!("{}, {bytes} bytes", stream.name);
    own.print("trailkeeper", bytes, &own);
    for (way, measured) in ways.iter().zip(&others) {
        measured.print(way.what, bytes, &own);
    }
    Ok(())
}

fn same(path: &PathBuf, lines: &[u8], what: &str) -> Result<()> {
    if fs::read(path)? == lines {
        Ok(())
    } else {
        Err(format!("{what}: what was unpacked is not what was packed").into())
    }
}

/// Years of days, plain and packed.
fn years(sizes: &Sizes) -> Result<()> {
    let make = || Archive::make(&STREAMS, newest(), sizes.days, sizes.small_day);
    let (plain, packed) = (make()?, make()?);
    let ((cost, packed_bytes), bytes) = (packed.pack()?, plain.bytes("")?);
    println!(
        "{} days of {} streams, {:.0} MB, packed {:.0} MB ({:.2}) in {:.1} s, {:.1} s of CPU",
        sizes.days,
        STREAMS.len(),
        bytes as f64 / 1e6,
        packed_bytes as f64 / 1e6,
        bytes as f64 / packed_bytes as f64,
        cost.wall,
        cost.cpu
    );
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>22}",
        "", "wall ms", "CPU ms", "wall ms", "CPU ms", "CPU, packed to plain"
    );
    println!("{:<28} {:>21} {:>21}", "", "plain", "packed");
    let id = id_of_a_record(sizes)?;
    let commands: [(&str, &[&str]); 4] = [
        ("search --text ID", &["search", "--json", "--text", &id]),
        (
            "search --text ID, one stream",
            &["search", "--json", "--stream", "yandex-mail", "--text", &id],
        ),
        ("status", &["status", "-q"]),
        ("verify", &["verify", "-q"]),
    ];
    for (what, arguments) in commands {
        let (mut of_plain, mut of_packed) = (Vec::new(), Vec::new());
        for _ in 0..sizes.runs {
            let (cost, found) = measure(plain.trailkeeper(arguments))?;
            of_plain.push(cost);
            let (cost, found_packed) = measure(packed.trailkeeper(arguments))?;
            of_packed.push(cost);
            if arguments[0] == "search" && (found.is_empty() || found != found_packed) {
                return Err(format!("{what}: not the same was found").into());
            }
        }
        let ms = |costs: &[Cost], of: fn(&Cost) -> f64| median(costs.iter().map(of)) * 1e3;
        println!(
            "  {what:<28} {:>8.1} {:>10.1} {:>10.1} {:>10.1} {:>22}",
            ms(&of_plain, |cost| cost.wall),
            ms(&of_plain, |cost| cost.cpu),
            ms(&of_packed, |cost| cost.wall),
            ms(&of_packed, |cost| cost.cpu),
            ratio(&of_packed, &of_plain)
        );
    }
    Ok(())
}

/// Returns an id that one record has, of a mail in the middle of the archive.
fn id_of_a_record(sizes: &Sizes) -> Result<String> {
    let lines = STREAMS[0].lines(newest() - Days::new(sizes.days / 2), sizes.small_day)?;
    let record: serde_json::Value = serde_json::from_str(lines.lines().next().ok_or("no line")?)?;
    Ok(record["uniqId"].as_str().ok_or("no id")?.to_owned())
}
