//! Instructions of user mode for each byte of line: what it costs to make lines, identities and times from the answers of a
//! service, UTF-8 check and envelope included.
//!
//! `cargo bench --bench instructions` runs itself under valgrind, which has to be installed, and counts; the counts are the
//! same on a busy machine. Pages are read once and three times: the difference is what two readings cost.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

#[expect(dead_code, reason = "another bench has the records of all services, at given times")]
mod invented;

use std::error::Error;
use std::process::Command;

use chrono::DateTime;
use invented::{Random, Recipe};
use trailkeeper::env::{ConfigErrors, Env};
use trailkeeper::record::{Broken, Reader};
use trailkeeper::source::{PageRequest, Position, SOURCES, read_page};
use trailkeeper::window::Window;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The first argument of a process that is counted.
const READ: &str = "--read";

/// How many different pages are read.
const PAGES: u64 = 8;

struct Kind {
    recipe: Recipe,
    source: &'static str,
    /// What stands before the records of an answer, and behind them.
    envelope: (&'static str, &'static str),
    what: &'static str,
    /// Records of a page.
    page: usize,
}

const KINDS: [Kind; 3] = [
    Kind {
        recipe: invented::mail,
        source: "yandex-mail",
        envelope: (r#"{"events":["#, r#"],"nextPageToken":"100_0"}"#),
        what: "mail",
        page: 100,
    },
    Kind {
        recipe: invented::terraform,
        source: "tfc",
        envelope: (
            r#"{"data":["#,
            r#"],"pagination":{"current_page":1,"prev_page":null,"next_page":2,"total_pages":8,"total_count":7100}}"#,
        ),
        what: "HCP Terraform",
        page: 500,
    },
    Kind {
        recipe: invented::port,
        source: "port",
        envelope: (r#"{"ok":true,"audits":["#, "]}"),
        what: "Port, an object before and after",
        page: 250,
    },
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, first, kind, rounds] = &arguments[..]
        && first == READ
    {
        let (records, bytes) = read(&KINDS[kind.parse::<usize>()?], rounds.parse()?)?;
        println!("{records} {bytes}");
        return Ok(());
    }
    println!("{:<34} {:>12} {:>18}", "", "bytes a line", "instructions a byte");
    for (number, kind) in KINDS.iter().enumerate() {
        let (once, three_times) = (count(number, 1)?, count(number, 3)?);
        let (instructions, bytes) = (three_times.0 - once.0, three_times.2 - once.2);
        println!(
            "{:<34} {:>12.0} {:>18.2}",
            kind.what,
            once.2 as f64 / once.1 as f64,
            instructions as f64 / bytes as f64
        );
    }
    Ok(())
}

/// Reads the pages of a service that many times; returns how many records they have, and how many bytes of lines.
fn read(kind: &Kind, rounds: usize) -> Result<(usize, usize)> {
    let variables = [
        ("OAUTH_TOKEN_ARG", "invented"),
        ("ORGANIZATION_ID_ARG", "1000001"),
        ("PORT_CLIENT_ID", "invented"),
        ("PORT_CLIENT_SECRET", "invented"),
        ("TFC_ORG_TOKEN", "invented"),
    ];
    let env = Env::from_pairs(variables);
    let source = SOURCES.iter().find(|source| source.name == kind.source);
    let source = source.and_then(|source| (source.configure)(&env, &mut ConfigErrors::default()));
    let source = source.ok_or("no such source")?;
    let request = PageRequest {
        window: Window::new(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH),
        position: Position::First,
        size: source.page_size(),
    };
    let pages: Vec<String> = (0..PAGES).map(|seed| page(kind, seed)).collect();
    let mut reader = Reader::new(source.kind().shape);
    let (mut records, mut bytes) = (0, 0);
    for page in (0..rounds).flat_map(|_| &pages) {
        let page = read_page(&*source, &mut reader, &request, page.as_bytes(), Broken::Refuse)?;
        for record in &page.records {
            records += 1;
            bytes += record.as_ref().map_err(|rejected| rejected.reason.clone())?.line.len() + 1;
        }
    }
    Ok((records, bytes))
}

/// Returns an answer of the service, different for each `seed`.
fn page(kind: &Kind, seed: u64) -> String {
    let mut random = Random::new(seed);
    let records: Vec<String> = (0..kind.page).map(|_| (kind.recipe)(&mut random)).collect();
    let (before, behind) = kind.envelope;
    format!("{before}{}{behind}", records.join(","))
}

/// Counts the instructions of a process that reads pages; returns them, and what that process returns.
fn count(kind: usize, rounds: usize) -> Result<(u64, u64, u64)> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([READ, &kind.to_string(), &rounds.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let counted = stderr
        .lines()
        .find(|line| line.contains("refs:"))
        .ok_or(stderr.as_str())?;
    let instructions = counted.rsplit(':').next().unwrap_or_default();
    let instructions: String = instructions.chars().filter(char::is_ascii_digit).collect();
    let numbers: Vec<u64> = stdout
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    let [records, bytes] = numbers[..] else {
        return Err(stderr.into());
    };
    Ok((instructions.parse()?, records, bytes))
}
