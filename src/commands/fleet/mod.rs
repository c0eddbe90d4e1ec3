//! `trailkeeper fleet`: collects as one of several members, with Kafka as the only thing that they share.

mod init;
mod passing;
mod run;
mod settings;
mod status;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::arguments::settings::SettingsArguments;
use super::error::CommandError;
use crate::output::logging::{Log, Verbosity};
use crate::process::exit::Exit;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper fleet init --env-dir /etc/trailkeeper/fleet --replication 3 --min-insync 2
  trailkeeper fleet run --env-dir /etc/trailkeeper/fleet --interval 60s
  trailkeeper fleet status --env-dir /etc/trailkeeper/fleet
  trailkeeper fleet adopt --env-dir /etc/trailkeeper/fleet        go on from what one machine has collected
  trailkeeper fleet release --env-dir /etc/trailkeeper/fleet      and the way back

A stream is on where its own topic is set (MAIL_KAFKA_TOPIC, TFC_KAFKA_TOPIC); its folder and base name are not needed, since nothing is
kept on the disk of a member. FLEET_ID names the fleet, KAFKA_SERVER and the other variables of Kafka say how it is reached; with
--env-dir they stand in common.env.";

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Action {
    /// Make the topics of the fleet, or check them; run it once, before the first member
    Init(init::Arguments),
    /// Collect as a member of the fleet, until Ctrl-C or SIGTERM
    Run(run::Arguments),
    /// Show how the fleet stands: organizations, owners, ages, failures, members, buckets without an owner
    Status(status::Arguments),
    /// Have the fleet go on from the catalogs that this machine has collected
    Adopt(passing::Arguments),
    /// Give the catalogs of this machine's archive back to it: the fleet collects their streams no more
    Release(passing::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    match &arguments.action {
        Action::Init(arguments) => init::run(arguments, log, clock).await,
        Action::Run(arguments) => run::run(arguments, log, clock).await,
        Action::Status(arguments) => status::run(arguments, clock).await,
        Action::Adopt(arguments) => passing::adopt(arguments, log, clock).await,
        Action::Release(arguments) => passing::release(arguments, log, clock).await,
    }
}

impl Arguments {
    /// Returns whether the result is printed as JSON.
    pub(super) fn is_json(&self) -> bool {
        match &self.action {
            Action::Status(arguments) => arguments.json,
            Action::Adopt(arguments) | Action::Release(arguments) => arguments.json,
            Action::Init(_) | Action::Run(_) => false,
        }
    }

    /// Returns where it is said from where the settings are read.
    pub(super) fn settings(&mut self) -> &mut SettingsArguments {
        match &mut self.action {
            Action::Init(arguments) => &mut arguments.settings,
            Action::Run(arguments) => &mut arguments.settings,
            Action::Status(arguments) => &mut arguments.settings,
            Action::Adopt(arguments) | Action::Release(arguments) => &mut arguments.settings,
        }
    }

    /// Returns how much it says.
    pub(super) fn verbosity(&self) -> Verbosity {
        match &self.action {
            Action::Init(arguments) => arguments.verbosity,
            Action::Run(arguments) => arguments.verbosity,
            Action::Status(arguments) => arguments.verbosity,
            Action::Adopt(arguments) | Action::Release(arguments) => arguments.verbosity,
        }
    }
}
