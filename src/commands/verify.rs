//! `trailkeeper verify`: every line of the day files, and what is wrong with it.
//!
//! A day file is sound when each of its lines is one JSON object with a time of that UTC day, no record stands there
//! twice, no id with two contents, and the last line has its newline. Torn lines that a crash left and a later run repaired
//! are listed and not wrong, since their records came again. Records that came late stand behind newer ones; they are
//! counted, and not wrong either.
//!
//! With `--json`: `{"streams": […], "exit_code": 0}`, and of each stream `stream`, `files`, `records`, `bytes`, `repaired`,
//! `out_of_order`, `wrong`, and `findings`: `[{"file","line","offset","problem","text"}]`, at most
//! [`MOST_FINDINGS`](crate::archive::MOST_FINDINGS) of each file. `problem` is one of `blank`, `not-utf8`, `not-json`,
//! `not-a-record`, `wrong-day`, `repeated`, `same-id`, `no-newline`, `torn-line`, `unreadable` and `repaired`; only
//! `repaired` is not wrong.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::archives::Archives;
use super::print_json;
use crate::archive::{DayFile, DayReport, Noted, verify_day};
use crate::cli;
use crate::config::StreamPlace;
use crate::fs::FileError;
use crate::output::print::{print, print_error};
use crate::output::printable::printable;
use crate::output::table::{Cell, Colour, Table, left, right, size};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::record::Reader;

/// Of each stream, as many findings are listed for people.
const SHOWN: usize = 100;

/// More threads than this wait for the disk.
const MOST_THREADS: usize = 8;

/// Verifies the chosen streams.
pub fn run(arguments: &cli::Verify, clock: fn() -> DateTime<Utc>) -> Exit {
    let selection = &arguments.selection;
    let archives = match Archives::find(selection, clock) {
        Ok(archives) => archives,
        Err(exit) => return exit,
    };
    let streams = match verify(&archives.streams) {
        Ok(streams) => streams,
        Err(error) => {
            print_error(&error.to_string());
            return Exit::Setup;
        }
    };
    let exit = if streams.iter().all(|stream| stream.wrong == 0) {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    if selection.json {
        return print_json(&streams, exit);
    }
    print(&text(&streams, stdout_takes_colours(archives.env.allows_colours())));
    exit
}

#[derive(Debug, Default, Serialize)]
struct StreamReport {
    stream: &'static str,
    files: u64,
    records: u64,
    bytes: u64,
    repaired: u64,
    out_of_order: u64,
    wrong: u64,
    findings: Vec<ShownFinding>,
}

#[derive(Debug, Serialize)]
struct ShownFinding {
    file: String,
    /// From 1; 0 where the file could not be read.
    line: u64,
    offset: u64,
    problem: &'static str,
    text: String,
}

/// One day file of a stream, by the place of the stream among all.
struct Job {
    stream: usize,
    file: DayFile,
    outcome: Option<Result<DayReport, FileError>>,
}

/// All day files, side by side, each by one thread.
fn verify(streams: &[StreamPlace]) -> Result<Vec<StreamReport>, FileError> {
    let mut jobs = Vec::new();
    for (stream, archive) in streams.iter().enumerate() {
        let files = archive.location.day_files()?.into_iter();
        jobs.extend(files.map(|file| Job {
            stream,
            file,
            outcome: None,
        }));
    }
    let noted = streams.iter().map(|stream| Noted::read(&stream.location));
    let noted: Vec<Noted> = noted.collect::<Result<_, _>>()?;
    let queue = Mutex::new(jobs.iter_mut());
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| work(&queue, streams, &noted));
        }
    });
    Ok(put_together(streams, &jobs))
}

fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST_THREADS)
}

/// Takes one file after the other until there is none.
fn work<'a>(queue: &Mutex<impl Iterator<Item = &'a mut Job>>, streams: &[StreamPlace], noted: &[Noted]) {
    let next = || queue.lock().ok().and_then(|mut jobs| jobs.next());
    while let Some(job) = next() {
        let mut reader = Reader::new(streams[job.stream].kind.shape);
        let repaired = noted[job.stream].repaired_in(&name(&job.file));
        job.outcome = Some(verify_day(&job.file, &mut reader, repaired));
    }
}

fn name(file: &DayFile) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn put_together(streams: &[StreamPlace], jobs: &[Job]) -> Vec<StreamReport> {
    let named = |archive: &StreamPlace| StreamReport {
        stream: archive.kind.name,
        ..StreamReport::default()
    };
    let mut reports: Vec<_> = streams.iter().map(named).collect();
    for job in jobs {
        reports[job.stream].add(job);
    }
    reports
}

impl StreamReport {
    fn add(&mut self, job: &Job) {
        let file = name(&job.file);
        self.files += 1;
        let report = match &job.outcome {
            Some(Ok(report)) => report,
            Some(Err(error)) => return self.add_unreadable(file, error.to_string()),
            None => return self.add_unreadable(file, "an error inside the program; please report it".to_owned()),
        };
        self.records += report.records;
        self.bytes += report.bytes;
        self.repaired += report.repaired;
        self.out_of_order += report.out_of_order;
        self.wrong += report.wrong;
        self.findings.extend(report.findings.iter().map(|finding| ShownFinding {
            file: file.clone(),
            line: finding.line,
            offset: finding.offset,
            problem: finding.problem.name(),
            text: finding.problem.to_string(),
        }));
    }

    fn add_unreadable(&mut self, file: String, text: String) {
        self.wrong += 1;
        self.findings.push(ShownFinding {
            file,
            line: 0,
            offset: 0,
            problem: "unreadable",
            text,
        });
    }
}

fn text(streams: &[StreamReport], with_colours: bool) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("STATE"),
        right("FILES"),
        right("RECORDS"),
        right("SIZE"),
        right("WRONG"),
        right("REPAIRED"),
        right("CAME LATE"),
    ])
    .with_colours(with_colours);
    let mut findings = String::new();
    for stream in streams {
        table.row(stream.row());
        for finding in stream.findings.iter().take(SHOWN) {
            let (file, text) = (printable(&finding.file), printable(&finding.text));
            findings.push_str(&format!("{file}:{}: {text}\n", finding.line));
        }
        let listed = stream.findings.len().min(SHOWN) as u64;
        let rest = (stream.wrong + stream.repaired).saturating_sub(listed);
        if rest > 0 {
            findings.push_str(&format!("{}: {rest} more; --json lists them\n", stream.stream));
        }
    }
    format!("{table}{findings}")
}

impl StreamReport {
    fn row(&self) -> [Cell; 8] {
        let state = match self.wrong {
            0 => Cell::coloured("ok", Colour::Green),
            _ => Cell::coloured("wrong", Colour::Red),
        };
        [
            self.stream.into(),
            state,
            self.files.to_string().into(),
            self.records.to_string().into(),
            size(self.bytes).into(),
            self.wrong.to_string().into(),
            self.repaired.to_string().into(),
            self.out_of_order.to_string().into(),
        ]
    }
}
