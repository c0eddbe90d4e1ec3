//! `trailkeeper collect`: fetches new records, once or repeatedly.

pub(super) mod follow;
mod once;
mod sampler;
mod served_page;

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use super::arguments::interval::Interval;
use super::arguments::listen::listen_address;
use super::arguments::range::{EmptyRangeError, range};
use super::arguments::settings::SettingsArguments;
use super::arguments::sinks::Sinks;
use super::arguments::stream_name;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use super::session::Session;
use super::session_options::SessionOptions;
use crate::config::StreamSettings;
use crate::metrics::Metrics;
use crate::metrics::export::{Exporter, MetricsFileError};
use crate::output::logging::{Log, Verbosity};
use crate::process::exit::Exit;
use crate::run::RunOptions;
use crate::window::Range;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Collect only these streams [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',', value_parser = stream_name::parser())]
    pub(crate) streams: Vec<String>,

    /// Start at this time instead of the last record
    ///
    /// A time (2025-06-09T10:00:00Z, with any offset, or UTC without one), a date (its midnight in UTC), or an age:
    /// 90s, 15m, 36h, 7d, 2w. Only missing records are added. A start after the last record is moved back to it, so
    /// that it leaves no gap.
    #[arg(long, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) since: Option<TimeArg>,

    /// Stop at this time instead of now; same forms as --since
    #[arg(long, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) until: Option<TimeArg>,

    /// Fetch and count, but write nothing to the catalogs
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Begin anew where the day files are gone, or their journal is not to be believed
    ///
    /// What earlier runs have noted to be covered counts no more: everything from the first day file on is asked for again, or,
    /// without one, as far back as for a first run.
    #[arg(long, conflicts_with_all = ["dry_run", "follow", "until"])]
    pub(crate) start_over: bool,

    /// Exit with 3 if a record was rejected, although every stream is complete
    ///
    /// A record is rejected if no day file can hold it; it is kept in the rejected file, with the reason, and counts once.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) strict: bool,

    #[command(flatten)]
    pub(crate) sinks: Sinks,

    /// Print the summary as JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArguments,

    /// Keep running: collect each stream again and again, until Ctrl-C or SIGTERM
    ///
    /// The streams do not wait for each other, and one that fails is asked less and less often, up to every 15 minutes.
    /// --since counts until a stream was complete once.
    #[arg(long, conflicts_with_all = ["until", "dry_run"])]
    pub(crate) follow: bool,

    /// The time between the end of a stream's run and its next one, give or take a tenth [default: 60s]
    #[arg(long, allow_hyphen_values = true, value_name = "AGE", requires = "follow")]
    pub(crate) interval: Option<Interval>,

    /// Write metrics to this file, as text for Prometheus (node_exporter's textfile collector)
    ///
    /// The file is replaced as a whole, every few seconds and at the end of each stream's run, and counters continue
    /// from what it held before.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(crate) metrics_file: Option<PathBuf>,

    /// Serve the same metrics at http://ADDRESS/metrics [default address: 127.0.0.1:9464]
    ///
    /// At / it serves the page of `report`, without what names users and addresses; at /healthz whether every stream is well:
    /// 200 if its last run was complete and ended in the last 15 minutes, or three intervals, and 503 otherwise.
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "follow",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:9464",
        value_parser = listen_address
    )]
    pub(crate) metrics_listen: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper collect --stream yandex-mail,yandex-disk
  trailkeeper collect --since 36h                     add what arrived late
  trailkeeper collect --since 2025-06-01 --until 2025-06-08
  trailkeeper collect --dry-run --json                count, write nothing
  trailkeeper collect --env-file /etc/trailkeeper.env -q
  trailkeeper collect --follow --interval 5m          keep running, as a service does
  trailkeeper collect --follow --metrics-listen       with metrics for Prometheus";

/// Collects once, or until a shutdown.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let run_options = arguments.run_options(clock())?;
    let options = SessionOptions {
        settings: &arguments.settings,
        streams: &arguments.streams,
        verbosity: arguments.verbosity,
        run_options,
        sinks: arguments.sinks,
    };
    let session = Session::start(options, log, clock)?;
    arguments.check_metrics_file(&session)?;
    if arguments.follow {
        follow::run(arguments, session, run_options.range, clock).await
    } else {
        once::run(arguments, &session, run_options, clock).await
    }
}

impl Arguments {
    fn run_options(&self, now: DateTime<Utc>) -> Result<RunOptions, EmptyRangeError> {
        Ok(RunOptions {
            now,
            range: self.range(now)?,
            dry_run: self.dry_run,
            reconcile: false,
            starts_over: self.start_over,
        })
    }

    /// Resolves `--since` and `--until` at the time `now`.
    ///
    /// # Errors
    /// The range would be empty: `--since` is not before `--until`, or not before now.
    fn range(&self, now: DateTime<Utc>) -> Result<Range, EmptyRangeError> {
        let since = self.since.map(|time| time.resolve(now));
        let until = self.until.map(|time| time.resolve(now).min(now));
        if let Some(since) = since {
            range(since, until.unwrap_or(now))?;
        }
        Ok(Range { since, until })
    }

    fn check_metrics_file(&self, session: &Session<'_>) -> Result<(), CommandError> {
        let Some(path) = &self.metrics_file else { return Ok(()) };
        if path.as_os_str() == "-" {
            let problem =
                "--metrics-file: name a file; standard output has the summary, and --metrics-listen serves metrics";
            return Err(CommandError::usage(problem));
        }
        if session.streams().any(|stream| stream.location.is_day_file(path)) {
            let path = path.display();
            let problem = format!("--metrics-file: {path} is the name of a day file; name another file");
            return Err(CommandError::setup(problem));
        }
        Ok(())
    }

    /// Returns the streams that the metrics are limited to: those that are switched on, unless some were chosen by name.
    fn only<'a>(&self, names: &'a [&'static str]) -> Option<&'a [&'static str]> {
        self.streams.is_empty().then_some(names)
    }

    /// Returns whether metrics are exported.
    fn has_metrics(&self) -> bool {
        self.metrics_file.is_some() || self.metrics_listen.is_some()
    }
}

/// Creates the exporter of a session.
fn exporter(arguments: &Arguments, session: &Session<'_>) -> Result<Exporter, MetricsFileError> {
    let names = stream_names(session);
    let mut exporter = Exporter::start(
        Metrics::new(names.iter().copied()),
        arguments.metrics_file.clone(),
        arguments.only(&names),
        session.log.lost_lines(),
    )?;
    show_evidence(arguments, session, &[], &mut exporter);
    Ok(exporter)
}

/// Exports how the evidence stands, with what came of sealing it, for each organization in turn.
fn show_evidence(arguments: &Arguments, session: &Session<'_>, sealed: &[Exit], exporter: &mut Exporter) {
    if arguments.has_metrics() {
        let figures = session.evidence(sealed);
        exporter.update(|metrics| metrics.evidence(&figures));
    }
}

fn stream_names(session: &Session<'_>) -> Vec<&'static str> {
    session.streams().map(StreamSettings::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::command_line::tests::collect;

    #[test]
    fn a_range_is_resolved_against_the_clock() {
        let now = "2025-06-10T12:00:00Z".parse().unwrap();
        let range = |arguments| collect(arguments).range(now);
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            range(""),
            Ok(Range {
                since: None,
                until: None
            })
        );
        assert_eq!(
            range("--since 36h"),
            Ok(Range {
                since: time("2025-06-09T00:00:00Z"),
                until: None
            })
        );
        let until = Range {
            since: time("2025-06-01T00:00:00Z"),
            until: time("2025-06-10T11:00:00Z"),
        };
        assert_eq!(range("--since 2025-06-01 --until 1h"), Ok(until));
        let clipped = Range {
            since: None,
            until: Some(now),
        };
        assert_eq!(range("--until 2025-07-01"), Ok(clipped));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_wrong_usage() {
        let now = "2025-06-10T12:00:00Z".parse().unwrap();
        for arguments in [
            "--since 1h --until 2h",
            "--since 1h --until 1h",
            "--since 2025-07-01",
            "--since 0s",
        ] {
            assert!(collect(arguments).range(now).is_err(), "{arguments}");
        }
        let error = collect("--since 1h --until 2h").range(now).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--since 2025-06-10T11:00:00.000Z must be before --until, or now: 2025-06-10T10:00:00.000Z"
        );
    }
}
