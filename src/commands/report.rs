//! `trailkeeper report`: the archive as a page for a browser. No request is made and nothing in a catalog is changed.
//!
//! With `--json`: `{"streams": […], "exit_code": 0}`, and of each stream `stream` and `records`, how many its day files
//! hold.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::archives::Archives;
use super::print_json;
use crate::cli::Report;
use crate::fs::FileError;
use crate::fs::replace;
use crate::output::print::{print, print_error};
use crate::process::exit::Exit;
use crate::report::{StreamReport, render};

/// The page names users: its owner and group can read it, as they can read the records.
const FILE_MODE: u32 = 0o640;

/// Why there is no page.
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
pub fn run(arguments: &Report, clock: fn() -> DateTime<Utc>) -> Exit {
    let selection = &arguments.selection;
    let archives = match Archives::find(selection, clock) {
        Ok(archives) => archives,
        Err(exit) => return exit,
    };
    match write(arguments, &archives, clock()) {
        Ok(streams) if selection.json => print_json(&streams, Exit::Complete),
        Ok(streams) => {
            let records: u64 = streams.iter().map(|stream| stream.records).sum();
            print(&format!("{}: {records} records\n", arguments.html.display()));
            Exit::Complete
        }
        Err(error) => {
            print_error(&error.to_string());
            Exit::Setup
        }
    }
}

fn write(arguments: &Report, archives: &Archives, now: DateTime<Utc>) -> Result<Vec<Shown>, ReportError> {
    let mut reports = Vec::with_capacity(archives.streams.len());
    for archive in &archives.streams {
        let report = StreamReport::read(archive.kind, archive.location.clone(), now);
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
