//! `trailkeeper reconcile`: fetches recent days again, adds what arrived late, and says how late.

mod report;

use chrono::{DateTime, Utc};
use clap::Args;

use super::arguments::settings::SettingsArguments;
use super::arguments::sinks::Sinks;
use super::arguments::stream_name;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use super::outcome::{exit_of, print_json, print_text};
use super::session::Session;
use super::session_options::SessionOptions;
use crate::output::logging::{Log, Verbosity};
use crate::process::exit::Exit;
use crate::run::RunOptions;
use crate::window::Range;
use report::Report;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Reconcile only these streams [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',', value_parser = stream_name::parser())]
    pub(crate) streams: Vec<String>,

    /// Start at this time [default: 36h, or RECONCILE_HOURS]
    ///
    /// A time (2025-06-09T10:00:00Z, with any offset, or UTC without one), a date (its midnight in UTC), or an age:
    /// 90s, 15m, 36h, 7d, 2w. The range always reaches up to now, and back at least as far as `collect` would ask.
    #[arg(long, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) since: Option<TimeArg>,

    /// Fetch and count, but write nothing to the catalogs
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Exit with 3 if a record was rejected, although every stream is complete
    ///
    /// A record is rejected if no day file can hold it; it is kept in the rejected file, with the reason, and counts once.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print the report as JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArguments,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

pub(super) const EXAMPLES: &str = "\
Only missing records are added, to the day files of their dates; existing lines do not change.

A record is late if an ordinary run would not have brought it any more. The report says what OVERLAP_MINUTES would
have caught 99 % and all of them, with two bounds, because only the runs that looked and did not see it are known:
  at least  less could not have helped: the run after the last one that missed it had to ask so far back
  surely    with this, an ordinary run in the place of this one would have brought it
The oftener you reconcile, the closer they are together.

Examples:
  trailkeeper reconcile                               the last 36 hours of all streams
  trailkeeper reconcile --since 7d --stream tfc
  trailkeeper reconcile --dry-run --json              count, write nothing";

/// Reconciles once.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let run_options = arguments.run_options(clock())?;
    let options = SessionOptions {
        settings: &arguments.settings,
        streams: &arguments.streams,
        verbosity: arguments.verbosity,
        run_options,
        sinks: Sinks::default(),
    };
    let session = Session::start(options, log, clock)?;
    let mut summary = session.run(run_options).await?;
    if arguments.strict {
        summary = summary.strict();
    }
    if !arguments.dry_run {
        for exit in session.seal(clock()).await {
            summary = summary.at_least(exit);
        }
    }
    let summary = summary.at_least(exit_of(log));
    let report = Report::of(&summary);
    if arguments.json {
        print_json(arguments.settings.organization(), &report)?;
    } else {
        print_text(arguments.verbosity, || report.to_string())?;
    }
    Ok(summary.exit())
}

impl Arguments {
    fn run_options(&self, now: DateTime<Utc>) -> Result<RunOptions, CommandError> {
        let since = self.since.map(|time| time.resolve(now));
        if since.is_some_and(|since| since >= now) {
            return Err(CommandError::usage("--since must be before now"));
        }
        Ok(RunOptions {
            now,
            range: Range { since, until: None },
            dry_run: self.dry_run,
            reconcile: true,
            starts_over: false,
        })
    }
}
