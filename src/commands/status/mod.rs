//! `trailkeeper status`: the status of the streams, from the archive alone. It asks no service and needs no token.
//!
//! `docs/json.md` has the form of `--json`.
//!
//! Exit codes, but for those of [`nagios`]: 0; 3 if an archive cannot be read, and with `--max-age` if a stream is late, its
//! last run did not succeed, day files have lost records, or a witness refuses the evidence; 1 if the settings are wrong.
//!
//! Lines are counted once for each day file; the counts are stored beside it if the state folder is writable.

mod calendar;
mod evidence;
pub(super) mod nagios;
mod stream_status;
mod tables;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::age::Age;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_json, print_text};
use crate::config::StreamPlace;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use evidence::EvidenceStatus;
use stream_status::StreamStatus;
use tables::{Details, text};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Exit with 3 if the last record is older than this (90s, 15m, 36h, 7d, 2w), the last run failed, or a witness refuses
    #[arg(long, allow_hyphen_values = true, value_name = "AGE")]
    pub(crate) max_age: Option<Age>,

    /// Print one line and exit as a monitoring plugin does: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    ///
    /// CRITICAL is a stream that is older than --max-age, whose last run failed, whose day files have lost records, or
    /// whose archive cannot be read, and a witness that refuses the evidence; WARNING anything else that is wrong; UNKNOWN wrong settings and wrong usage. Figures
    /// stand behind a bar.
    #[arg(long, conflicts_with = "json")]
    pub(crate) nagios: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper status
  trailkeeper status -v                               with the day files and each forwarder of each stream
  trailkeeper status --max-age 2h -q                  as a check: exits with 3 when a stream is late, and says which
  trailkeeper status --max-age 2h --nagios            as a plugin of Nagios, Icinga and others
  trailkeeper status --stream tfc --json

Only the folders of the streams must be set; no token is needed, and no service is asked.";

/// The status as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    streams: &'a [StreamStatus],
    evidence: Option<&'a EvidenceStatus>,
    exit_code: u8,
}

/// Shows the status of the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let now = clock();
    let streams = read(&archives, arguments, now);
    let evidence = EvidenceStatus::read(&archives.env);
    let alarms: Vec<_> = evidence.iter().flat_map(EvidenceStatus::alarms).collect();
    let exit = exit(arguments, &streams, &alarms);
    for stream in &streams {
        log_problems(selection.verbosity, stream.stream, stream.all_problems());
    }
    for alarm in alarms.iter().filter(|_| selection.verbosity.quiet) {
        tracing::error!("{alarm}");
    }
    if selection.json {
        let shown = Shown {
            streams: &streams,
            evidence: evidence.as_ref(),
            exit_code: exit as u8,
        };
        print_json(selection.settings.organization(), &shown)?;
    } else {
        let with_colours = stdout_takes_colours(archives.env.allows_colours());
        let details = Details::of(selection.verbosity);
        let waiting = evidence.as_ref().map_or_else(String::new, EvidenceStatus::notes);
        print_text(selection.verbosity, || {
            text(&streams, details, with_colours, now) + &waiting
        })?;
    }
    Ok(exit)
}

fn exit(arguments: &Arguments, streams: &[StreamStatus], alarms: &[String]) -> Exit {
    let is_wrong = !alarms.is_empty() || streams.iter().any(StreamStatus::is_alarming);
    let is_alarming = arguments.max_age.is_some() && is_wrong;
    if is_alarming || streams.iter().any(|stream| !stream.is_read) {
        Exit::StreamFailed
    } else {
        Exit::Complete
    }
}

fn read(archives: &Archives, arguments: &Arguments, now: DateTime<Utc>) -> Vec<StreamStatus> {
    let max_age = arguments.max_age.map(|age| age.0);
    let streams = archives.streams.iter();
    let read = |stream: &StreamPlace| {
        let read = StreamStatus::read(stream, archives.scope_of(stream.kind), max_age, now);
        read.unwrap_or_else(|error| StreamStatus::unreadable(stream, &error))
    };
    streams.map(read).collect()
}
