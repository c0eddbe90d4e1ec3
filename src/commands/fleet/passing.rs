//! `trailkeeper fleet adopt` and `release`: catalogs pass from one machine to a fleet, and back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::commands::archive::settings::ArchiveConfig;
use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::commands::outcome::{print_json, print_text};
use crate::config::{ArchiveSettings, ArchiveStream};
use crate::fleet::filing::{ArchiveError, Archivist, ArchivistOptions};
use crate::fleet::state::StreamState;
use crate::fleet::taking_over::{Adopted, Buckets, TakeoverError, belongs_to, give_back};
use crate::output::logging::{Log, LogOptions, Verbosity};
use crate::output::progress::Progress;
use crate::output::table::to_the_second;
use crate::process::exit::Exit;
use crate::process::shutdown::Shutdown;
use crate::process::signals;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Only these streams: yandex-mail, tfc [default: all whose folder is set]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',')]
    streams: Vec<String>,

    /// Print JSON instead of text
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) settings: SettingsArguments,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    stream: &'static str,
    outcome: Became,
    /// The same in a sentence.
    message: String,
    #[serde(skip)]
    exit: Exit,
}

/// Whether a stream has passed from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Became {
    /// It has.
    Passed,
    /// There was nothing to do.
    Unchanged,
    /// It has not.
    Failed,
}

impl Outcome {
    fn of(stream: &ArchiveStream, outcome: Became, message: impl Into<String>) -> Self {
        let organization = stream.place.organization;
        Self {
            organization: organization.map(|organization| organization.name().to_owned()),
            stream: stream.place.name(),
            outcome,
            message: message.into(),
            exit: if outcome == Became::Failed {
                Exit::StreamFailed
            } else {
                Exit::Complete
            },
        }
    }

    fn of_error(stream: &ArchiveStream, error: &TakeoverError) -> Self {
        let failed = Self::of(stream, Became::Failed, error.to_string());
        let exit = if error.is_held() { Exit::Locked } else { failed.exit };
        Self { exit, ..failed }
    }
}

/// All of it, as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    streams: &'a [Outcome],
    exit_code: u8,
}

/// What is needed for both ways.
struct Passing {
    settings: ArchiveSettings,
    /// All that this machine has.
    all: Vec<ArchiveStream>,
    /// Those that are to pass.
    chosen: Vec<ArchiveStream>,
    has_failed: bool,
    shutdown: Shutdown,
    clock: fn() -> DateTime<Utc>,
}

impl Passing {
    fn read(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Self, CommandError> {
        let config = ArchiveConfig::read(&arguments.settings)?;
        let is_chosen = |stream: &&ArchiveStream| {
            arguments.streams.is_empty() || arguments.streams.iter().any(|name| name == stream.place.kind.name)
        };
        let chosen: Vec<_> = config.streams.iter().filter(is_chosen).cloned().collect();
        if chosen.is_empty() {
            return Err(CommandError::usage("--stream must name streams whose folder is set"));
        }
        let progress = Progress::hidden();
        let options = config.log.options(arguments.verbosity, &progress, clock);
        log.start(LogOptions { file: None, ..options })?;
        config.log_problems();
        Ok(Self {
            has_failed: !config.failed.is_empty(),
            settings: config.settings,
            all: config.streams,
            chosen,
            shutdown: signals::shutdown(),
            clock,
        })
    }

    /// Does something that blocks, and shows what became of each stream.
    async fn pass(
        self,
        arguments: &Arguments,
        act: fn(&Self) -> Result<Vec<Outcome>, CommandError>,
    ) -> Result<Exit, CommandError> {
        let has_failed = self.has_failed;
        let span = tracing::Span::current();
        let acted = spawn_blocking(move || span.in_scope(|| act(&self)));
        let outcomes = acted.await.map_err(CommandError::start)??;
        let has_passed = |outcome: &&Outcome| outcome.outcome != Became::Failed;
        for Outcome { stream, message, .. } in outcomes.iter().filter(|outcome| !has_passed(outcome)) {
            tracing::error!(stream, "{message}");
        }
        let of_settings = if has_failed { Exit::StreamFailed } else { Exit::Complete };
        let exit = outcomes
            .iter()
            .fold(of_settings, |worst, outcome| worst.max(outcome.exit));
        if arguments.json {
            let shown = Shown {
                streams: &outcomes,
                exit_code: exit as u8,
            };
            print_json(None, &shown)?;
            return Ok(exit);
        }
        // What has failed is in the log.
        let passed = outcomes.iter().filter(has_passed);
        let text = passed.map(|Outcome { stream, message, .. }| format!("{stream}: {message}\n"));
        print_text(arguments.verbosity, || text.collect())?;
        Ok(exit)
    }
}

/// Makes catalogs the first state of their streams.
pub(super) async fn adopt(
    arguments: &Arguments,
    log: &Log,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let passing = Passing::read(arguments, log, clock)?;
    passing
        .pass(arguments, |passing| {
            let now = (passing.clock)();
            let buckets = Buckets::of(&passing.settings, &passing.shutdown, now).map_err(CommandError::start)?;
            let adopt = |stream: &ArchiveStream| match buckets.adopt(stream) {
                Ok(adopted) => {
                    let became = if adopted.was_done {
                        Became::Unchanged
                    } else {
                        Became::Passed
                    };
                    Outcome::of(stream, became, adopted_text(&adopted))
                }
                Err(error) => Outcome::of_error(stream, &error),
            };
            Ok(passing.chosen.iter().map(adopt).collect())
        })
        .await
}

fn adopted_text(adopted: &Adopted) -> String {
    let Adopted {
        records,
        last_record,
        gaps,
        pending,
        was_done,
    } = adopted;
    if *was_done {
        return "the fleet has it already, from this catalog".to_owned();
    }
    let last = last_record.map_or_else(|| "none".to_owned(), to_the_second);
    let pending = match pending {
        0 => String::new(),
        count => format!("; {count} pending records stay in the catalog, for the way back"),
    };
    format!("the fleet goes on from {records} records, the last of them {last}, with {gaps} gaps{pending}")
}

/// Gives catalogs back, when everything that the fleet has kept of them is filed.
pub(super) async fn release(
    arguments: &Arguments,
    log: &Log,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let passing = Passing::read(arguments, log, clock)?;
    passing.pass(arguments, release_all).await
}

fn release_all(passing: &Passing) -> Result<Vec<Outcome>, CommandError> {
    let now = (passing.clock)();
    let fleet = &passing.settings.fleet.id;
    let (mut of_fleet, mut outcomes) = (Vec::new(), Vec::new());
    for stream in &passing.all {
        let is_chosen = passing.chosen.iter().any(|chosen| chosen.place == stream.place);
        match belongs_to(&stream.place.location, fleet) {
            Ok(true) => of_fleet.push((stream, is_chosen)),
            Ok(false) if is_chosen => {
                outcomes.push(Outcome::of(
                    stream,
                    Became::Unchanged,
                    "its catalog belongs to no fleet",
                ));
            }
            Err(error) if is_chosen => outcomes.push(Outcome::of_error(stream, &error.into())),
            Ok(false) | Err(_) => {}
        }
    }
    if !of_fleet.iter().any(|(_, is_chosen)| *is_chosen) {
        return Ok(outcomes);
    }
    let buckets = Buckets::of(&passing.settings, &passing.shutdown, now).map_err(CommandError::start)?;
    let mut archivist = Archivist::join(
        ArchivistOptions {
            settings: passing.settings.clone(),
            streams: of_fleet.iter().map(|(stream, _)| (*stream).clone()).collect(),
            once: true,
            take_over: false,
            accept_missing: false,
            from_start: false,
            interval: Duration::from_secs(1),
            told: None,
            clock: passing.clock,
        },
        &passing.shutdown,
    )
    .map_err(archive_error)?;
    // First what there is, so that a stream that cannot be given back is not given up either.
    archivist.run().map_err(archive_error)?;
    let mut released = Vec::new();
    for (stream, _) in of_fleet.iter().filter(|(_, is_chosen)| *is_chosen) {
        match release_in_fleet(passing, &buckets, &archivist, stream) {
            Ok(Some((name, state))) => released.push((*stream, name, state)),
            Ok(None) => outcomes.push(Outcome::of(
                stream,
                Became::Passed,
                "given back: the fleet has never collected it",
            )),
            Err(problem) => outcomes.push(Outcome::of(stream, Became::Failed, problem)),
        }
    }
    if !released.is_empty() {
        archivist.run().map_err(archive_error)?;
    }
    for (stream, name, state) in released {
        outcomes.push(end(passing, &archivist, (stream, &name, &state)));
    }
    Ok(outcomes)
}

fn archive_error(error: ArchiveError) -> CommandError {
    if error.is_held() {
        CommandError::held(error)
    } else {
        CommandError::start(error)
    }
}

/// Has the fleet collect a stream no more; `None` if it never did, and the catalog is given back.
fn release_in_fleet(
    passing: &Passing,
    buckets: &Buckets<'_>,
    archivist: &Archivist,
    stream: &ArchiveStream,
) -> Result<Option<(String, StreamState)>, String> {
    let organization = stream.place.organization.map_or("", |organization| organization.name());
    let name = format!("{organization}/{}", stream.place.kind.name);
    if !archivist.is_known(&name) {
        let given_back = give_back(&stream.place.location, (passing.clock)());
        return given_back.map(|()| None).map_err(|error| error.to_string());
    }
    if archivist.claimed(&name).is_none() {
        return Err(
            "not everything that the fleet has kept of it is here: its partition is another member's, or `trailkeeper archive --once` \
             says what stands in the way"
                .to_owned(),
        );
    }
    buckets.release(stream).map(Some)
}

/// Gives a catalog back, if it has everything up to the last state.
fn end(
    passing: &Passing,
    archivist: &Archivist,
    (stream, name, state): (&ArchiveStream, &str, &StreamState),
) -> Outcome {
    if archivist.claimed(name) != Some(&state.run) {
        let problem = "the fleet collects it no more, and not everything that it has kept is here yet: do it again";
        return Outcome::of(stream, Became::Failed, problem);
    }
    match give_back(&stream.place.location, (passing.clock)()) {
        Ok(()) => {
            let sentence =
                "given back: `trailkeeper collect` goes on with it; take its topic out of the settings of the fleet";
            Outcome::of(stream, Became::Passed, sentence)
        }
        Err(error) => Outcome::of_error(stream, &error),
    }
}
