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
    let nothing = if made.begun == 0 && made.topics.is_empty() {
        ", nothing was to be done"
    } else {
        ""
    };
    format!("The fleet {fleet} has {buckets} buckets: {topics}{nothing}.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_it_has_made_or_that_there_was_nothing_to_do() {
        let made = |topics: &[&str], begun| Made {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            begun,
            buckets: 8,
        };
        for (made, told) in [
            (made(&["t.state", "t.rejected"], 8), "made t.state and t.rejected."),
            (made(&["t.rejected"], 0), "made t.rejected."),
            (made(&[], 3), "all topics were there."),
            (made(&[], 0), "all topics were there, nothing was to be done."),
        ] {
            assert_eq!(text("t", &made), format!("The fleet t has 8 buckets: {told}\n"));
        }
    }
}
