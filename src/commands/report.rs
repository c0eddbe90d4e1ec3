//! `trailkeeper report`: the archive as a page for a browser. It sends no requests and changes nothing in a catalog.
//!
//! `docs/json.md` has the form of `--json`. An archive that cannot be read is not on the page, and makes the exit code 3.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{print_streams, print_text};
use crate::fs::replace_own;
use crate::output::print::print;
use crate::process::exit::Exit;
use crate::report::{BEGINNING, StreamReport, render};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Write the page to this file, replacing an older page; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) html: PathBuf,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

/// The page names users: its owner and group can read it, as they can read the records.
const FILE_MODE: u32 = 0o640;

#[derive(Debug, Serialize)]
struct Shown {
    stream: &'static str,
    records: u64,
    error: Option<String>,
}

/// Writes the page.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let mut locations = archives.streams.iter().map(|archive| &archive.location);
    if locations.any(|location| location.is_day_file(&arguments.html)) {
        let path = arguments.html.display();
        let problem = format!("--html: {path} is the name of a day file; name another file");
        return Err(CommandError::setup(problem));
    }
    let streams = write(arguments, &archives, clock())?;
    let exit = if streams.iter().all(|stream| stream.error.is_none()) {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    if selection.json {
        print_streams(&streams, exit)?;
    } else if !arguments.goes_to_stdout() {
        let records: u64 = streams.iter().map(|stream| stream.records).sum();
        print_text(selection.verbosity, || {
            format!("{}: {records} records\n", arguments.html.display())
        })?;
    }
    Ok(exit)
}

impl Arguments {
    fn goes_to_stdout(&self) -> bool {
        self.html.as_os_str() == "-"
    }
}

/// Writes the page of all streams whose archive can be read.
fn write(arguments: &Arguments, archives: &Archives, now: DateTime<Utc>) -> Result<Vec<Shown>, CommandError> {
    let (mut reports, mut shown) = (Vec::new(), Vec::new());
    for archive in &archives.streams {
        let stream = archive.kind.name;
        let (records, error) = match StreamReport::read(archive.kind, archive.location.clone(), archive.keep, now) {
            Ok(report) => {
                let records = report.survey.records();
                reports.push(report);
                (records, None)
            }
            Err(error) => {
                tracing::error!(stream, "not on the page: {error}");
                (0, Some(error.to_string()))
            }
        };
        shown.push(Shown { stream, records, error });
    }
    let page = render(&reports, now);
    if arguments.goes_to_stdout() {
        print(&page)?;
    } else {
        replace_own(&arguments.html, FILE_MODE, page.as_bytes(), BEGINNING)?;
    }
    Ok(shown)
}
