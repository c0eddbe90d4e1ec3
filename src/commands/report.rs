//! `trailkeeper report`: the archive as a page for a browser. No request is made and nothing in a catalog is changed.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::{complain, print, progress};
use crate::archive::{BadName, FileError, Location};
use crate::cli::Report;
use crate::config::{Access, Choice, Config, StreamSettings};
use crate::env::{Env, Faults};
use crate::logging;
use crate::replace::replace;
use crate::report::{StreamReport, render};
use crate::source::SOURCES;
use crate::summary::Exit;

/// The page names users: its owner and group can read it, as they can read the records.
const FILE_MODE: u32 = 0o640;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the settings cannot be used:\n{0}")]
    Settings(Faults),
    #[error("{stream}: {cause}")]
    Name { stream: &'static str, cause: BadName },
    #[error("{stream}: {cause}")]
    Read { stream: &'static str, cause: FileError },
    #[error("cannot write {}: {source}; check that its folder exists and can be written to", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the page.
pub fn run(arguments: &Report, clock: fn() -> DateTime<Utc>) -> Exit {
    let _log = logging::start(arguments.verbosity, None, &progress(true), clock);
    match write(arguments, clock()) {
        Ok(records) => {
            if !arguments.verbosity.quiet {
                print(&format!("{}: {records} records\n", arguments.html.display()));
            }
            Exit::Complete
        }
        Err(error) => {
            complain(&error.to_string());
            Exit::Setup
        }
    }
}

fn write(arguments: &Report, now: DateTime<Utc>) -> Result<u64, ReportError> {
    let env = Env::load(arguments.env_file.as_deref());
    let choice = Choice {
        streams: &arguments.streams,
        access: Access::Read,
    };
    let config = Config::read(&env, SOURCES, choice).map_err(ReportError::Settings)?;
    let reports = config.streams.iter().map(|settings| read(settings, now));
    let reports: Vec<StreamReport> = reports.collect::<Result<_, _>>()?;
    let page = render(&reports, now);
    replace(&arguments.html, FILE_MODE, page.as_bytes()).map_err(|source| ReportError::Write {
        path: arguments.html.clone(),
        source,
    })?;
    Ok(reports.iter().map(|report| report.survey.records()).sum())
}

fn read(settings: &StreamSettings, now: DateTime<Utc>) -> Result<StreamReport, ReportError> {
    let stream = settings.kind.name;
    let location = Location::new(&settings.folder, &settings.base, &settings.extension)
        .map_err(|cause| ReportError::Name { stream, cause })?;
    StreamReport::read(settings.kind, location, now).map_err(|cause| ReportError::Read { stream, cause })
}
