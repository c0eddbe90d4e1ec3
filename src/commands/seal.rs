//! `trailkeeper seal`: notes in the evidence what the day files hold, and signs it. It reads day files only.
//!
//! `docs/json.md` has the form of `--json`. A stream that is not what was sealed makes the exit code 3.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_json, print_text};
use super::sealing;
use crate::config::{EvidenceSettings, StreamPlace};
use crate::env::{ConfigErrors, Env, Organization};
use crate::evidence::keeper::{Keeper, Seal};
use crate::evidence::seal::SealOptions;
use crate::output::table::{Cell, Colour, Table, left, right};
use crate::process::exit::Exit;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Read files too that were not written to since the last seal
    #[arg(long)]
    pub(crate) full: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper seal
  trailkeeper seal --stream tfc
  trailkeeper seal --full                  every file, as once a week

`collect` seals at its end too, where EVIDENCE_FOLDER is set.";

/// What a seal came to, as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    origin: &'a str,
    size: u64,
    waiting: u64,
    streams: Vec<ShownStream<'a>>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct ShownStream<'a> {
    stream: &'a str,
    entries: u64,
    problems: &'a [String],
}

/// Reads the settings of the evidence, which is not to be inside the catalog of one of these streams.
pub(super) fn evidence_settings(env: &Env, streams: &[StreamPlace]) -> Result<EvidenceSettings, CommandError> {
    let mut errors = ConfigErrors::because("the evidence is to be used");
    let settings = EvidenceSettings::read_required(env, &mut errors);
    if let Some(settings) = &settings {
        settings.check_outside(streams.iter().map(|place| place.location.folder()), &mut errors);
    }
    match settings {
        Some(settings) if errors.is_empty() => Ok(settings),
        _ => Err(errors.into()),
    }
}

/// Seals the chosen streams.
pub(crate) async fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let settings = evidence_settings(&archives.env, &archives.streams)?;
    let now = clock();
    let options = SealOptions {
        now,
        after: settings.after,
        every: TimeDelta::zero(),
        full: arguments.full,
    };
    let silent = sealing::ask_until_ended(&settings, now).await?;
    let seal = Keeper::new(&settings).seal(&archives.streams, options)?;
    let anchored = sealing::anchor(&settings, &silent, now).await;
    let is_whole = seal.streams.values().all(|stream| stream.problems.is_empty());
    let exit = if is_whole { anchored } else { Exit::StreamFailed };
    let organization = selection.settings.organization();
    for (kind, stream) in &seal.streams {
        log_problems(selection.verbosity, name_of(organization, kind), &stream.problems);
    }
    if selection.json {
        print_json(organization, &shown(&seal, organization, exit))?;
    } else {
        print_text(selection.verbosity, || text(&seal, organization))?;
    }
    Ok(exit)
}

/// Returns the name of a stream, as it is shown.
fn name_of(organization: Option<Organization>, kind: &'static str) -> &'static str {
    organization.map_or(kind, |organization| organization.stream(kind))
}

fn shown(seal: &Seal, organization: Option<Organization>, exit: Exit) -> Shown<'_> {
    let streams = seal.streams.iter().map(|(kind, stream)| ShownStream {
        stream: name_of(organization, kind),
        entries: stream.entries.len() as u64,
        problems: &stream.problems,
    });
    Shown {
        origin: seal.key.name(),
        size: seal.size,
        waiting: seal.waiting,
        streams: streams.collect(),
        exit_code: exit as u8,
    }
}

fn text(seal: &Seal, organization: Option<Organization>) -> String {
    let mut table = Table::new([left("STREAM"), left("STATE"), right("NEW ENTRIES")]);
    for (kind, stream) in &seal.streams {
        let state = if stream.problems.is_empty() {
            Cell::coloured("ok", Colour::Green)
        } else {
            Cell::coloured("not sealed", Colour::Red)
        };
        table.row([
            Cell::from(name_of(organization, kind)),
            state,
            stream.entries.len().to_string().into(),
        ]);
    }
    let problems = seal.streams.iter().flat_map(|(kind, stream)| {
        let (name, problems) = (name_of(organization, kind), stream.problems.iter());
        problems.map(move |problem| format!("{name}: {problem}\n"))
    });
    let problems: String = problems.collect();
    let waiting = match seal.waiting {
        0 => String::new(),
        waiting => format!("; {waiting} of them wait for the key on another host"),
    };
    format!(
        "{table}{problems}the log {} has {} entries{waiting}\n",
        seal.key.name(),
        seal.size
    )
}
