//! The findings in the day files of a stream, as JSON and as a table.

use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::archive::{DayReport, HOLDS, Location, Problem, RESTORING, unfinished_restoring};
use crate::coverage::Standing;
use crate::fs::FileError;
use crate::output::printable::printable;
use crate::output::table::{Cell, Colour, Table, left, right, size};

/// How many findings of a stream the table lists.
const SHOWN: usize = 100;

/// What is said of a day file with hard links: it holds what it should, but nothing guards it.
const SEVERAL_NAMES: &str = "a warning: the file has other names (hard links), through which it can be changed; runs do not \
                             write to it until it has one name";

/// The findings in a stream. The fields are those of `trailkeeper verify --json`; `docs/json.md` says what they are.
#[derive(Debug, Default, Serialize)]
pub(super) struct StreamReport {
    stream: &'static str,
    files: u64,
    records: u64,
    in_both: u64,
    bytes: u64,
    repaired: u64,
    out_of_order: u64,
    /// Records in the file of another day, and lines that repeat an earlier one, as another program has left them.
    misplaced: u64,
    repeats: u64,
    wrong: u64,
    /// Findings that are not wrong, without the repaired lines.
    warnings: u64,
    /// Records that were given and not filed yet.
    pending: u64,
    findings: Vec<ShownFinding>,
    /// What is to be known and is no finding.
    remarks: Vec<String>,
    /// The findings in what another program has left, which come last.
    #[serde(skip)]
    left: Vec<ShownFinding>,
}

#[derive(Debug, Serialize)]
struct ShownFinding {
    file: String,
    /// From 1; 0 if it is about the file.
    line: u64,
    offset: u64,
    problem: &'static str,
    text: String,
    #[serde(skip)]
    is_wrong: bool,
}

impl ShownFinding {
    fn of_file(file: &str, problem: &'static str, text: String, is_wrong: bool) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            offset: 0,
            problem,
            text,
            is_wrong,
        }
    }
}

impl fmt::Display for ShownFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, text) = (printable(&self.file), printable(&self.text));
        match self.line {
            0 => write!(f, "{file}: {text}"),
            line => write!(f, "{file}:{line}: {text}"),
        }
    }
}

/// Returns the table, and below it the findings.
pub(super) fn text(streams: &[StreamReport], with_colours: bool) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("STATE"),
        right("FILES"),
        right("RECORDS"),
        right("SIZE"),
        right("WRONG"),
        right("REPAIRED"),
        right("CAME LATE"),
        right("MISPLACED"),
    ])
    .with_colours(with_colours);
    let mut findings = String::new();
    for stream in streams {
        table.row(stream.row());
        for finding in stream.findings.iter().take(SHOWN) {
            findings.push_str(&format!("{finding}\n"));
        }
        let listed = stream.findings.len().min(SHOWN) as u64;
        if let Some(more) = more(stream.wrong + stream.repaired + stream.warnings, listed) {
            findings.push_str(&format!("{}: {more}\n", stream.stream));
        }
        for remark in &stream.remarks {
            findings.push_str(&format!("{}: {remark}\n", stream.stream));
        }
    }
    format!("{table}{findings}")
}

/// Says that there are more findings than are listed.
fn more(all: u64, listed: u64) -> Option<String> {
    (all > listed).then(|| format!("{} more; --json lists them", all - listed))
}

impl StreamReport {
    /// Creates the report of a stream without day files.
    pub(super) fn new(stream: &'static str) -> Self {
        Self {
            stream,
            ..Self::default()
        }
    }

    /// Creates the report of a stream whose archive cannot be read.
    pub(super) fn unreadable(stream: &'static str, folder: &Path, error: &FileError) -> Self {
        let mut report = Self::new(stream);
        report.add_of_file(folder.display().to_string(), "unreadable", error.to_string());
        report
    }

    pub(super) fn is_ok(&self) -> bool {
        self.wrong == 0
    }

    pub(super) fn name(&self) -> &'static str {
        self.stream
    }

    /// Returns what is wrong, a sentence for each finding.
    pub(super) fn problems(&self) -> Vec<String> {
        let wrong = self.findings.iter().filter(|finding| finding.is_wrong);
        let mut problems: Vec<_> = wrong.take(SHOWN).map(ToString::to_string).collect();
        problems.extend(more(self.wrong, problems.len() as u64));
        problems
    }

    /// Adds what was found in a file, which held so many lines when a run wrote to it.
    pub(super) fn add(&mut self, file: String, outcome: Option<&Result<DayReport, FileError>>, lines: u64) {
        self.files += 1;
        let report = match outcome {
            Some(Ok(report)) => report,
            Some(Err(error)) => return self.add_of_file(file, "unreadable", error.to_string()),
            None => {
                let text = "an internal error; please report it".to_owned();
                return self.add_of_file(file, "unreadable", text);
            }
        };
        if report.lines < lines {
            let text = format!("{} lines, and it had {lines} when they were written", report.lines);
            self.add_of_file(file.clone(), "fewer-lines", text);
        }
        if report.has_other_names {
            self.warnings += 1;
            self.note_of_file(file.clone(), "several-names", SEVERAL_NAMES.to_owned(), false);
        }
        self.records += report.records;
        self.in_both += report.in_both;
        self.bytes += report.bytes;
        self.repaired += report.repaired;
        self.out_of_order += report.out_of_order;
        self.add_left(&file, report);
        self.wrong += report.wrong;
        self.findings.extend(report.findings.iter().map(|finding| ShownFinding {
            file: file.clone(),
            line: finding.line,
            offset: finding.offset,
            problem: finding.problem.name(),
            text: finding.problem.to_string(),
            is_wrong: finding.problem != Problem::Repaired,
        }));
    }

    /// Adds what another program has left in a file, and is not wrong.
    fn add_left(&mut self, file: &str, report: &DayReport) {
        self.misplaced += report.misplaced;
        self.repeats += report.repeats;
        let misplaced = "records of other days, as another program left them before the first run";
        let repeats = "lines that repeat an earlier one, as another program left them before the first run";
        for (problem, count, what) in [
            ("misplaced", report.misplaced, misplaced),
            ("repeats", report.repeats, repeats),
        ] {
            if count > 0 {
                self.warnings += 1;
                self.left
                    .push(ShownFinding::of_file(file, problem, format!("{count} {what}"), false));
            }
        }
    }

    /// Adds what is wrong with day files as a whole, by the journal, and what is to be known of them.
    pub(super) fn compare(&mut self, standing: &Standing, location: &Location, now: DateTime<Utc>) {
        for (date, wrong) in standing.wrong_days(now) {
            let file = location.day_name(date).unwrap_or_default();
            self.add_of_file(file, wrong.name(), wrong.to_string());
        }
        match unfinished_restoring(location) {
            Ok(None) => {}
            Ok(Some(problem)) => self.add_of_file(location.state_name(RESTORING), "not-restored", problem),
            Err(error) => self.add_of_file(location.state_name(RESTORING), "unreadable", error.to_string()),
        }
        if let Err(problem) = &standing.holds {
            self.add_of_file(location.state_name(HOLDS), "holds-unknown", problem.clone());
        }
        self.findings.append(&mut self.left);
        self.pending = standing.pending;
        self.remarks = standing.remarks();
        if self.in_both > 0 {
            let count = self.in_both;
            self.remarks.push(format!(
                "{count} records are both in a day file and in its compressed form, and are counted once"
            ));
        }
    }

    fn add_of_file(&mut self, file: String, problem: &'static str, text: String) {
        self.wrong += 1;
        self.note_of_file(file, problem, text, true);
    }

    fn note_of_file(&mut self, file: String, problem: &'static str, text: String, is_wrong: bool) {
        self.findings
            .push(ShownFinding::of_file(&file, problem, text, is_wrong));
    }

    fn row(&self) -> [Cell; 9] {
        let state = if self.is_ok() {
            Cell::coloured("ok", Colour::Green)
        } else {
            Cell::coloured("wrong", Colour::Red)
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
            self.misplaced.to_string().into(),
        ]
    }
}
