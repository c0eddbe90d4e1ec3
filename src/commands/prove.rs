//! `trailkeeper prove`: writes the proof of one line, for somebody who has nothing but the public key of the log.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::arguments::settings::SettingsArguments;
use super::arguments::stream_name;
use super::error::CommandError;
use super::seal::evidence_settings;
use crate::evidence::folder::Folder;
use crate::evidence::prover::{Wanted, prove};
use crate::fs::replace_own;
use crate::output::logging::Verbosity;
use crate::output::print::print;
use crate::process::exit::Exit;

/// The proof holds a record: its owner and group can read it, as they can read the day files.
const FILE_MODE: u32 = 0o640;

/// What a proof begins with.
const BEGINNING: &str = "c2sp.org/tlog-proof@";

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The stream of the record
    #[arg(long, value_name = "NAME", value_parser = stream_name::parser())]
    pub(crate) stream: String,

    /// The id of the record
    #[arg(long, value_name = "ID", required_unless_present = "line")]
    pub(crate) id: Option<String>,

    /// The line with this number, from 1, of this day file
    #[arg(long, value_name = "FILE:N", conflicts_with = "id", value_parser = line)]
    pub(crate) line: Option<Line>,

    /// Write the proof to this file, replacing an older one, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: SettingsArguments,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    file: String,
    number: u64,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper prove --stream tfc --id ae66e491-db59-457c-8445-9c908ee726ae --out event.tlog-proof
  trailkeeper prove --stream yandex-mail --line mail_audit_2026-11-20.log:17
  trailkeeper verify --proof event.tlog-proof --policy policy.txt

The proof holds the record itself. Whoever has it and the public key of the log needs nothing else.";

fn line(text: &str) -> Result<Line, String> {
    let parts = text.rsplit_once(':');
    let line = parts.and_then(|(file, number)| {
        let name = std::path::Path::new(file).file_name()?.to_str()?.to_owned();
        let number = number.parse().ok().filter(|number| *number > 0)?;
        Some(Line { file: name, number })
    });
    line.ok_or_else(|| "expected the name of a day file, a colon, and the number of a line, from 1".to_owned())
}

/// Writes the proof.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = Selection {
        streams: vec![arguments.stream.clone()],
        settings: arguments.settings.clone(),
        verbosity: arguments.verbosity,
        json: false,
    };
    let archives = Archives::find(&selection, clock)?;
    let settings = evidence_settings(&archives.env, &archives.streams)?;
    let wanted = match (&arguments.line, &arguments.id) {
        (Some(Line { file, number }), _) => Wanted::Line(file.clone(), *number),
        (None, id) => Wanted::Id(id.clone().unwrap_or_default()),
    };
    let Some(place) = archives.streams.first() else {
        return Err(CommandError::setup("the stream is not switched on"));
    };
    let proof = prove(&Folder::new(&settings.folder), place, &wanted)?;
    let text = proof.to_text().map_err(CommandError::setup)?;
    match &arguments.out {
        Some(path) => replace_own(path, FILE_MODE, text.as_bytes(), BEGINNING)?,
        None => print(&text)?,
    }
    Ok(Exit::Complete)
}
