//! `trailkeeper report`: the archive as a page for a browser. It sends no requests and changes nothing in a catalog.
//!
//! With `--json`: `{"streams": […], "exit_code": 0}`, and for each stream `stream` and `records`, the number in its day
//! files.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::print_streams;
use crate::fs::{FileError, replace};
use crate::output::print::print;
use crate::process::exit::Exit;
use crate::report::{StreamReport, render};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Write the page to this file, replacing an existing one
    #[arg(long, value_name = "FILE")]
    pub(crate) html: PathBuf,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

/// The page names users: its owner and group can read it, as they can read the records.
const FILE_MODE: u32 = 0o640;

/// Why no page was written.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("{stream}: {cause}")]
    Read { stream: &'static str, cause: FileError },
    #[error(transparent)]
    Write(FileError),
}

#[derive(Debug, Serialize)]
struct Shown {
    stream: &'static str,
    records: u64,
}

/// Writes the page.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let streams = write(arguments, &archives, clock()).map_err(CommandError::setup)?;
    if selection.json {
        print_streams(&streams, Exit::Complete)?;
    } else {
        let records: u64 = streams.iter().map(|stream| stream.records).sum();
        print(&format!("{}: {records} records\n", arguments.html.display()));
    }
    Ok(Exit::Complete)
}

fn write(arguments: &Arguments, archives: &Archives, now: DateTime<Utc>) -> Result<Vec<Shown>, ReportError> {
    let mut reports = Vec::with_capacity(archives.streams.len());
    for archive in &archives.streams {
        let report = StreamReport::read(archive.kind, archive.location.clone(), archive.keep, now);
        reports.push(report.map_err(|cause| ReportError::Read {
            stream: archive.kind.name,
            cause,
        })?);
    }
    let page = render(&reports, now);
    replace(&arguments.html, FILE_MODE, page.as_bytes()).map_err(ReportError::Write)?;
    let shown = reports.iter().map(|report| Shown {
        stream: report.name,
        records: report.survey.records(),
    });
    Ok(shown.collect())
}
