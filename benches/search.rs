//! `search` and `export` against the programs that people use otherwise, over the same files, in one run.
//!
//! `cargo bench --bench search [-- GROUP…]`, where a group is `rare`, `field`, `csv`, `packed` or `export`; all of them without one. An
//! archive of mail is made, of `MIB` of lines (800) in days of 16 MiB. Each program runs `RUNS` times (5), in turns with the
//! others; those that take many times as long, jq and Python, `SLOW_RUNS` times (2). A program that is missing is left out with a
//! word. `docs/benchmarks.md` says what came of it.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::disallowed_methods, reason = "a bench makes the files that it measures")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures and prints some lines of the table.
type Group = fn(&Archive) -> Result<()>;

/// How much of lines a day has.
const DAY_BYTES: usize = 16 << 20;

/// What few records hold.
const RARE: &str = "quarterly-figures-7731";

/// One record in so many holds [`RARE`].
const RARITY: u64 = 100_000;

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let archive = Archive::make(number("MIB", 800) << 20)?;
    println!(
        "{} MiB of mail, {} records in {} files; load of the machine before: {}",
        archive.bytes >> 20,
        archive.records,
        archive.files.len(),
        load()
    );
    println!(
        "{:<58} {:>9} {:>9} {:>9} {:>5} {:>7}",
        "", "wall ms", "min", "max", "runs", "ratio"
    );
    let groups: [(&str, Group); 5] = [
        ("rare", rare),
        ("field", field),
        ("csv", csv),
        ("packed", packed),
        ("export", export),
    ];
    for (name, group) in groups {
        if asked.is_empty() || asked.iter().any(|argument| argument == name) {
            println!("{name}");
            archive.read_all()?;
            group(&archive)?;
        }
    }
    println!("load of the machine behind: {}", load());
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

/// The load of the last minute, where the system tells it.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("not known").to_owned()
}

/// An archive of mail, and settings for it.
struct Archive {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
    bytes: usize,
    records: u64,
}

impl Archive {
    fn make(bytes: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("mail"))?;
        let settings = format!(
            "MAIL_LOG_CATALOG_LOCATION={}/mail\nMAIL_LOG_FILE_BASE_NAME=mail\n",
            folder.path().display()
        );
        fs::write(folder.path().join(".env"), settings)?;
        let mut archive = Self {
            folder,
            files: Vec::new(),
            bytes: 0,
            records: 0,
        };
        while archive.bytes < bytes {
            archive.add_day()?;
        }
        Ok(archive)
    }

    fn add_day(&mut self) -> Result<()> {
        let day =
            chrono::NaiveDate::from_ymd_opt(2025, 1, 1).ok_or("no date")? + chrono::Days::new(self.files.len() as u64);
        let path = self.mail().join(format!("mail_{day}.log"));
        let mut file = BufWriter::new(File::create(&path)?);
        let (mut line, mut length) = (String::new(), 0);
        for number in 0_u32.. {
            line.clear();
            push_record(&mut line, &day.to_string(), number, self.records)?;
            file.write_all(line.as_bytes())?;
            length += line.len();
            self.records += 1;
            if length >= DAY_BYTES {
                break;
            }
        }
        file.into_inner()?.sync_all()?;
        self.bytes += length;
        self.files.push(path);
        Ok(())
    }

    fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// Reads all files once, so that they are in memory for whoever comes first.
    fn read_all(&self) -> Result<()> {
        let mut buffer = vec![0; 1 << 20];
        for entry in fs::read_dir(self.mail())? {
            let mut file = File::open(entry?.path())?;
            while file.read(&mut buffer)? > 0 {}
        }
        Ok(())
    }

    fn trailkeeper(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailkeeper"));
        command
            .args(arguments)
            .arg("--env-file")
            .arg(self.folder.path().join(".env"));
        command
    }

    /// A program with these arguments, and the files behind them.
    fn over_files(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).args(&self.files);
        command
    }
}

/// Appends a record of mail, of about 700 bytes.
fn push_record(line: &mut String, day: &str, number: u32, unique: u64) -> Result<()> {
    let (user, hash) = (
        unique.wrapping_mul(2_654_435_761) % 997,
        unique.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    );
    let event = ["message_receive", "message_read", "message_seen", "mailbox_send"][(hash % 4) as usize];
    let subject = if unique % RARITY == RARITY / 2 {
        RARE
    } else {
        "Re: «План» of the week"
    };
    let seconds = number % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    writeln!(
        line,
        "{{\"eventType\": \"{event}\", \"date\": \"{day}T{hour:02}:{minute:02}:{second:02}.118Z\", \"orgId\": 1000001, \"userUid\": \"1130{user:012}\", \
         \"userLogin\": \"user-{user}@example.org\", \"userName\": \"Анна Петрова\", \"requestId\": \"{hash:016x}-mail\", \"uniqId\": \"{unique:020}\", \
         \"source\": \"server\", \"mid\": \"{hash:020}\", \"folderName\": \"Inbox\", \"folderType\": \"inbox\", \"labels\": [], \
         \"msgId\": \"<{hash:x}@mail.example.org>\", \"subject\": \"{subject}\", \"from\": \"calendar@example.org\", \"to\": \"user-{user}@example.org\", \
         \"cc\": \"\", \"bcc\": \"\", \"filler\": \"{}\", \"clientIp\": \"192.0.2.{}\"}}",
        "lorem ipsum dolor ".repeat(8),
        user % 250
    )?;
    Ok(())
}

/// A way to find something.
struct Way<'a> {
    what: String,
    command: Box<dyn Fn() -> Result<Command> + 'a>,
    is_slow: bool,
}

impl<'a> Way<'a> {
    fn new(what: impl Into<String>, command: impl Fn() -> Command + 'a) -> Self {
        let what = what.into();
        Self {
            what,
            command: Box::new(move || Ok(command())),
            is_slow: false,
        }
    }

    /// One that takes many times as long.
    fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }

    /// Runs it once; returns the milliseconds, and how many lines it has found.
    fn run(&self) -> Result<(f64, usize)> {
        let began = Instant::now();
        let output = (self.command)()?.stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        if !output.status.success() {
            return Err(format!("{}: {}", self.what, String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok((took, memchr::memchr_iter(b'\n', &output.stdout).count()))
    }
}

/// Whether a program can be started; says so if not.
fn has(program: &str) -> bool {
    let is_there = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_there {
        println!("  (left out: {program} is not installed)");
    }
    is_there
}

/// Runs the ways in turns, and prints each with its ratio to the first. All have to find as much, but for a heading.
fn compare(ways: Vec<Way<'_>>, headings: usize) -> Result<()> {
    let (most, most_slow) = (number("RUNS", 5).max(1), number("SLOW_RUNS", 2).max(1));
    let mut times: Vec<Vec<f64>> = ways.iter().map(|_| Vec::new()).collect();
    let mut found = None;
    for turn in 0..most {
        for (way, times) in ways
            .iter()
            .zip(&mut times)
            .filter(|(way, _)| !way.is_slow || turn < most_slow)
        {
            let (took, lines) = way.run()?;
            times.push(took);
            let is_headed = way.what.contains("--csv") || way.what.contains("csv module");
            let lines = lines.saturating_sub(if is_headed { headings } else { 0 });
            if *found.get_or_insert(lines) != lines {
                return Err(format!("{}: {lines} lines, and not {found:?}", way.what).into());
            }
        }
    }
    let mut first = None;
    for (way, mut times) in ways.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let ratio = median / *first.get_or_insert(median);
        println!(
            "  {:<56} {median:>9.0} {:>9.0} {:>9.0} {:>5} {ratio:>7.2}",
            way.what,
            times[0],
            times[times.len() - 1],
            times.len()
        );
    }
    println!("  lines found: {}", found.unwrap_or_default());
    Ok(())
}

const PYTHON_SELECT: &str = "
import json, sys
name, value, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
for path in paths:
    for line in open(path, encoding='utf-8'):
        if json.loads(line).get(name) == value: sys.stdout.write(line)
";

const PYTHON_CSV: &str = "
import csv, json, sys
name, value, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
out = csv.writer(sys.stdout)
out.writerow(['date', 'eventType', 'userLogin', 'clientIp', 'subject', 'uniqId'])
for path in paths:
    for line in open(path, encoding='utf-8'):
        record = json.loads(line)
        if record.get(name) == value: out.writerow([record[key] for key in ('date', 'eventType', 'userLogin', 'clientIp', 'subject', 'uniqId')])
";

/// A word that few records hold, anywhere in them.
fn rare(archive: &Archive) -> Result<()> {
    let mut ways = Vec::new();
    if has("rg") {
        let folder = archive.mail();
        ways.push(Way::new("rg -j2 -F WORD", move || {
            let mut command = Command::new("rg");
            command.args(["-j2", "-F", "--no-filename", RARE]).arg(&folder);
            command
        }));
    }
    ways.push(Way::new("trailkeeper search --text WORD", || {
        archive.trailkeeper(&["search", "--json", "--text", RARE])
    }));
    ways.push(Way::new("trailkeeper search --object WORD", || {
        archive.trailkeeper(&["search", "--json", "--object", RARE])
    }));
    if has("grep") {
        ways.push(Way::new("grep -hF WORD", || archive.over_files("grep", &["-hF", RARE])));
    }
    selecting(archive, &mut ways, "subject", RARE);
    compare(ways, 0)
}

/// One user of a thousand: the value of a field.
fn field(archive: &Archive) -> Result<()> {
    const USER: &str = "user-77@example.org";
    let mut ways = vec![Way::new("trailkeeper search --user USER", || {
        archive.trailkeeper(&["search", "--json", "--user", USER])
    })];
    selecting(archive, &mut ways, "userLogin", USER);
    compare(ways, 0)
}

/// Adds the ways that parse each record.
fn selecting<'a>(archive: &'a Archive, ways: &mut Vec<Way<'a>>, name: &'static str, value: &'static str) {
    if has("jq") {
        let filter = format!("select(.{name} == \"{value}\")");
        let jq = move || archive.over_files("jq", &["-c", &filter]);
        ways.push(Way::new(format!("jq -c select(.{name} == VALUE)"), jq).slow());
    }
    if has("python3") {
        let python = move || archive.over_files("python3", &["-c", PYTHON_SELECT, name, value]);
        ways.push(Way::new(format!("Python, json.loads(line)[{name}]"), python).slow());
    }
}

/// All of one kind of event as CSV: a quarter of the records.
fn csv(archive: &Archive) -> Result<()> {
    let mut ways = vec![Way::new("trailkeeper search --event EVENT --csv", || {
        archive.trailkeeper(&["search", "--csv", "--event", "mailbox_send"])
    })];
    if has("python3") {
        let python = || archive.over_files("python3", &["-c", PYTHON_CSV, "eventType", "mailbox_send"]);
        ways.push(Way::new("Python, json and csv module", python).slow());
    }
    compare(ways, 1)
}

/// The rare word in compressed files.
fn packed(archive: &Archive) -> Result<()> {
    let packed = tempfile::tempdir()?;
    for path in &archive.files {
        let name = path.file_name().ok_or("no name")?.to_string_lossy().into_owned() + ".gz";
        let mut encoder = GzEncoder::new(File::create(packed.path().join(name))?, Compression::default());
        encoder.write_all(&fs::read(path)?)?;
        encoder.finish()?.sync_all()?;
    }
    let folder = packed.path();
    let mut ways = Vec::new();
    if has("rg") {
        ways.push(Way::new("rg -z -j2 -F WORD, gzip", || {
            in_folder("rg", &["-z", "-j2", "-F", "--no-filename", RARE], folder)
        }));
    }
    ways.push(Way::new("trailkeeper search --text WORD, gzip", || {
        let mut command = archive.trailkeeper(&["search", "--json", "--text", RARE]);
        command.env("MAIL_LOG_CATALOG_LOCATION", folder);
        command
    }));
    compare(ways, 0)
}

fn in_folder(program: &str, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(folder);
    command
}

/// The whole archive as a bundle, against copying and hashing it.
fn export(archive: &Archive) -> Result<()> {
    let bundle = archive.folder.path().join("bundle");
    let exported = |format: &'static str| {
        let (bundle, archive) = (bundle.clone(), archive);
        Way::new(format!("trailkeeper export --format {format}"), move || {
            // What the turn before has written.
            let _ = fs::remove_dir_all(&bundle);
            let mut command = archive.trailkeeper(&["export", "-q", "--since", "2025-01-01", "--format", format]);
            command.arg("--to").arg(&bundle);
            command
        })
    };
    let copy = archive.folder.path().join("copy");
    let mut ways = vec![Way::new("cat, and sha256sum of both", || {
        let script = "cat mail/*.log > \"$0\" && sync \"$0\" && sha256sum mail/*.log \"$0\" > /dev/null";
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .arg(&copy)
            .current_dir(archive.folder.path());
        command
    })];
    ways.extend([exported("ndjson"), exported("csv")]);
    #[cfg(feature = "parquet")]
    ways.push(exported("parquet"));
    compare(ways, 0)
}
