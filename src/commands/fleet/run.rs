//! `trailkeeper fleet run`: a member of a fleet.

use chrono::{DateTime, Utc};
use clap::Args;

use super::settings::FleetConfig;
use crate::commands::arguments::interval::Interval;
use crate::commands::arguments::settings::SettingsArguments;
use crate::commands::error::CommandError;
use crate::fleet::member::{self, MemberOptions};
use crate::output::logging::{Log, LogOptions, Verbosity};
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::signals;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The time between two runs of a stream: 30s, 5m, 1h [default: 60s]
    #[arg(long, value_name = "TIME")]
    interval: Option<Interval>,

    #[command(flatten)]
    pub(super) settings: SettingsArguments,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,
}

/// Collects until Ctrl-C or SIGTERM, which is the normal way to stop and not a failure.
pub(super) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let config = FleetConfig::read(&arguments.settings)?;
    let progress = Progress::hidden();
    let options = config.log.options(arguments.verbosity, &progress, clock);
    log.start(LogOptions { file: None, ..options })?;
    config.log_problems();
    let options = MemberOptions {
        fleet: config.fleet,
        streams: config.streams,
        config: config.version,
        interval: arguments.interval.unwrap_or_default().0,
        clock,
    };
    let shutdown = signals::shutdown_of_service();
    member::run(options, &shutdown).await.map_err(CommandError::start)?;
    Ok(Exit::Complete)
}
