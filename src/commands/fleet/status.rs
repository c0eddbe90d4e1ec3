//! `trailkeeper fleet status`: how a fleet stands, without asking a service or a member.
//!
//! `docs/json.md` has the form of `--json`.

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::settings::read_fleet;
use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::commands::outcome::{print_json, print_text, say_problems};
use crate::fleet::status::{Collecting, FleetStatus, StreamStatus};
use crate::output::logging::Verbosity;
use crate::output::table::{Table, age, left, right, to_the_second};
use crate::process::exit::Exit;
use crate::process::signals;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) settings: SettingsArguments,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,
}

/// Reads the state of the fleet, and shows it.
pub(super) async fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let (fleet, ..) = read_fleet(&arguments.settings)?;
    let (shutdown, now) = (signals::shutdown(), clock());
    let read = spawn_blocking(move || FleetStatus::read(&fleet, &shutdown, now)).await;
    let status = read.map_err(CommandError::setup)?.map_err(CommandError::setup)?;
    let exit = if status.has_problems() {
        Exit::StreamFailed
    } else {
        Exit::Complete
    };
    if arguments.json {
        let shown = Shown {
            status: &status,
            exit_code: exit as u8,
        };
        print_json(None, &shown)?;
    } else {
        print_text(arguments.verbosity, || text(&status, now))?;
        say_problems(arguments.verbosity, problems(&status));
    }
    Ok(exit)
}

/// The status as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: &'a FleetStatus,
    exit_code: u8,
}

fn text(status: &FleetStatus, now: DateTime<Utc>) -> String {
    let mut streams = Table::new([
        left("STREAM"),
        right("BUCKET"),
        left("OWNER"),
        left("LAST RECORD"),
        right("AGE"),
        right("LAST RUN"),
        right("GAPS"),
        right("RECORDS"),
    ]);
    for stream in &status.streams {
        let age_of = |time: Option<DateTime<Utc>>| time.map_or_else(|| "-".to_owned(), |time| age(now - time));
        streams.row([
            name(stream),
            stream.bucket.to_string(),
            stream.owner.clone().unwrap_or_else(|| "none".to_owned()),
            stream.last_record.map_or_else(|| "-".to_owned(), to_the_second),
            age_of(stream.last_record),
            match stream.state {
                Collecting::Collected => age(now - stream.last_run),
                Collecting::Adopted => "adopted".to_owned(),
                Collecting::Released => "released".to_owned(),
            },
            (stream.open_gaps + stream.gone_gaps).to_string(),
            stream.records.to_string(),
        ]);
    }
    let mut members = Table::new([
        left("MEMBER"),
        right("BUCKETS"),
        left("VERSION"),
        left("SETTINGS"),
        right("SEEN"),
    ]);
    for member in &status.members {
        members.row([
            member.member.clone(),
            member.buckets.to_string(),
            member.program.clone(),
            member.config.clone(),
            age(now - member.at),
        ]);
    }
    let head = format!("The fleet {} has {} buckets.\n", status.fleet, status.buckets);
    let tables = [streams.is_empty(), members.is_empty()]
        .into_iter()
        .zip([streams.to_string(), members.to_string()])
        .filter(|(is_empty, _)| !is_empty)
        .map(|(_, table)| format!("\n{table}"));
    let problems = problems(status).into_iter().map(|problem| format!("\n{problem}\n"));
    std::iter::once(head).chain(tables).chain(problems).collect()
}

/// Returns what is wrong, and what is to be known of the members, in sentences.
fn problems(status: &FleetStatus) -> Vec<String> {
    let of_buckets = status
        .problems
        .iter()
        .map(|wrong| format!("Bucket {}: {}.", wrong.bucket, wrong.problem));
    let unowned: Vec<_> = status.unowned.iter().map(ToString::to_string).collect();
    let unowned = (!unowned.is_empty()).then(|| format!("Buckets without an owner: {}.", unowned.join(", ")));
    let failed = status.streams.iter().filter_map(|stream| {
        let error = stream.error.as_ref()?;
        Some(format!("The last run of {} failed: {error}.", name(stream)))
    });
    let differences = status
        .differences()
        .into_iter()
        .map(|difference| format!("Note: {difference}."));
    of_buckets.chain(unowned).chain(failed).chain(differences).collect()
}

fn name(stream: &StreamStatus) -> String {
    match &stream.organization {
        Some(organization) => format!("{organization}/{}", stream.stream),
        None => stream.stream.clone(),
    }
}
