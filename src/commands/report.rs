//! `trailkeeper report`: the archive as a page for a browser. It sends no requests and changes nothing in a catalog.
//!
//! `docs/json.md` has the form of `--json`. Of an archive that cannot be read the page says so, and the exit code is 3.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{print_streams, print_text};
use crate::config::{EvidenceSettings, StreamPlace};
use crate::env::{ConfigErrors, Env};
use crate::evidence::folder::Folder;
use crate::evidence::sealed_days::SealedDays;
use crate::fs::{can_replace_own, replace_own};
use crate::output::print::print;
use crate::output::progress::ReadProgress;
use crate::process::exit::Exit;
use crate::process::host_name::host_name;
use crate::report::{BEGINNING, Page, People, StreamReport, Surveyor, UnreadableStream};

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
    let archives = Archives::find_showing(selection, clock)?;
    arguments.check_name(&archives)?;
    if !arguments.goes_to_stdout() {
        can_replace_own(&arguments.html, FILE_MODE, BEGINNING)?;
    }
    let streams = write(arguments, &archives, clock())?;
    let exit = if streams.iter().all(|stream| stream.error.is_none()) {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    if selection.json {
        print_streams(selection.settings.organization(), &streams, exit)?;
    } else if !arguments.goes_to_stdout() {
        let records: u64 = streams.iter().map(|stream| stream.records).sum();
        print_text(selection.verbosity, || {
            format!("{}: {records} records\n", arguments.html.display())
        })?;
    }
    Ok(exit)
}

impl Arguments {
    fn check_name(&self, archives: &Archives) -> Result<(), CommandError> {
        let mut locations = archives.streams.iter().map(|archive| &archive.location);
        if locations.any(|location| location.is_day_file(&self.html)) {
            let path = self.html.display();
            let problem = format!("--html: {path} is the name of a day file; name another file");
            return Err(CommandError::setup(problem));
        }
        Ok(())
    }

    fn goes_to_stdout(&self) -> bool {
        self.html.as_os_str() == "-"
    }
}

/// Writes the page of all streams.
fn write(arguments: &Arguments, archives: &Archives, now: DateTime<Utc>) -> Result<Vec<Shown>, CommandError> {
    let progress = archives.reading("report");
    let read = archives.streams.iter().map(|archive| read(archive, &progress, now));
    let mut streams: Vec<_> = read.collect();
    drop(progress);
    add_evidence(&archives.env, &mut streams)?;
    let host = host_name();
    let page = Page {
        streams: &streams,
        people: People::Named,
        host: host.as_deref(),
        now,
    };
    let page = page.render();
    if arguments.goes_to_stdout() {
        print(&page)?;
    } else {
        replace_own(&arguments.html, FILE_MODE, page.as_bytes(), BEGINNING)?;
    }
    Ok(streams.iter().map(Shown::of).collect())
}

/// Adds what the log says of each stream, if sealing is on.
fn add_evidence(env: &Env, streams: &mut [Result<StreamReport, UnreadableStream>]) -> Result<(), CommandError> {
    let mut errors = ConfigErrors::default();
    let settings = EvidenceSettings::read(env, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let Some(settings) = settings else { return Ok(()) };
    let mut sealed = SealedDays::read(&Folder::new(&settings.folder))?;
    for stream in streams.iter_mut().flatten() {
        stream.sealed = sealed.remove(stream.kind.name);
    }
    Ok(())
}

fn read(archive: &StreamPlace, progress: &ReadProgress, now: DateTime<Utc>) -> Result<StreamReport, UnreadableStream> {
    let mut surveyor = Surveyor::once(archive.kind);
    StreamReport::read(&mut surveyor, archive, progress, now).map_err(|error| {
        tracing::error!(stream = archive.name(), "its archive is not on the page: {error}");
        UnreadableStream {
            name: archive.name(),
            error: error.to_string(),
        }
    })
}

impl Shown {
    fn of(stream: &Result<StreamReport, UnreadableStream>) -> Self {
        match stream {
            Ok(report) => Self {
                stream: report.name,
                records: report.survey.records(),
                error: None,
            },
            Err(unreadable) => Self {
                stream: unreadable.name,
                records: 0,
                error: Some(unreadable.error.clone()),
            },
        }
    }
}
