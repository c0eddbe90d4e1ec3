//! `trailkeeper fleet init`: makes the topics of a fleet.

use chrono::{DateTime, Utc};
use clap::Args;

use super::settings::read_fleet;
use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::fleet::making::{Made, MakingOptions, make};
use crate::output::logging::{Log, LogOptions, Verbosity};
use crate::output::print::print;
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::signals;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// How many replicas the topics have [default: as the brokers have it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=99))]
    replication: Option<i32>,

    /// How many of the replicas have to be in sync [default: as the brokers have it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=99))]
    min_insync: Option<i32>,

    #[command(flatten)]
    pub(super) settings: SettingsArguments,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,
}

/// Makes what is missing, and says what there is.
pub(super) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let (fleet, log_settings, _) = read_fleet(&arguments.settings)?;
    let progress = Progress::hidden();
    let options = log_settings.options(arguments.verbosity, &progress, clock);
    log.start(LogOptions { file: None, ..options })?;
    let options = MakingOptions {
        replication: arguments.replication,
        min_insync: arguments.min_insync,
    };
    let shutdown = signals::shutdown();
    let made = make(&fleet, options, &shutdown, clock()).await;
    let made = made.map_err(CommandError::setup)?;
    if !arguments.verbosity.quiet {
        print(&text(&fleet.id, &made))?;
    }
    Ok(Exit::Complete)
}

fn text(fleet: &str, made: &Made) -> String {
    let topics = match made.topics.as_slice() {
        [] => "all topics were there".to_owned(),
        topics => format!("made {}", topics.join(" and ")),
    };
    let buckets = made.buckets;
    match made.begun {
        0 => format!("The fleet {fleet} has {buckets} buckets: {topics}, nothing was to be done.\n"),
        _ => format!("The fleet {fleet} has {buckets} buckets: {topics}.\n"),
    }
}
