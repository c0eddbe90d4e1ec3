//! `trailkeeper archive`: day files of what a fleet keeps in Kafka.
//!
//! `docs/json.md` has the form of `--json`.

mod serving;
pub(super) mod settings;

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::arguments::interval::Interval;
use super::arguments::listen::listen_address;
use super::arguments::settings::SettingsArguments;
use super::error::CommandError;
use super::outcome::{print_json, print_text};
use crate::fleet::filing::report::{ArchiveReport, StreamReport};
use crate::fleet::filing::{ArchiveError, Archivist, ArchivistOptions};
use crate::output::logging::{Log, LogOptions, Verbosity};
use crate::output::progress::Progress;
use crate::output::table::{Table, left, right, to_the_second};
use crate::process::exit::Exit;
use crate::process::signals;
use serving::Serving;
use settings::ArchiveConfig;

/// The time between two looks at the topics.
const INTERVAL: Duration = Duration::from_secs(5);

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Read to the end of the topics, and end; else it goes on until Ctrl-C or SIGTERM
    #[arg(long)]
    once: bool,

    /// The time between two looks at the topics: 1s, 30s, 5m [default: 5s]
    #[arg(long, value_name = "TIME")]
    interval: Option<Interval>,

    /// Write also the partitions that another member of the group has written, if the group assigns them to this one: its disk is lost
    #[arg(long)]
    take_over: bool,

    /// Go on where messages are gone from Kafka before they were read; what they covered is a gap
    #[arg(long)]
    accept_missing: bool,

    /// Read all that Kafka still has once more: day files were lost, or restored from an older copy
    #[arg(long)]
    from_start: bool,

    /// Serve metrics of this member for Prometheus at /metrics, and /healthz [default address: 127.0.0.1:9464]
    #[arg(
        long,
        value_name = "ADDR:PORT",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:9464",
        value_parser = listen_address,
        conflicts_with = "once"
    )]
    metrics_listen: Option<SocketAddr>,

    /// Exit with 3 if something was rejected, although everything else is filed
    ///
    /// That is what no day file can hold, and messages that are no stream's. It is kept, with the reason, and counts once.
    #[arg(long, requires = "once")]
    strict: bool,

    /// Print JSON instead of tables
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) settings: SettingsArguments,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper archive --env-dir /etc/trailkeeper/fleet               keep day files of what a fleet collects
  trailkeeper archive --env-dir /etc/trailkeeper/fleet --once        up to now

A stream is on where its folder is set (MAIL_LOG_CATALOG_LOCATION), as for collect; it needs its own topic, and no token.
ARCHIVE_FOLDER is where a member keeps how far it has come. Members of one ARCHIVE_GROUP share the partitions of the topics, and
each keeps those that it has begun with; another group is another whole archive.";

/// Files until it is told to end, or everything is filed.
pub(super) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let config = ArchiveConfig::read(&arguments.settings)?;
    let progress = Progress::hidden();
    let options = config.log.options(arguments.verbosity, &progress, clock);
    log.start(LogOptions { file: None, ..options })?;
    config.log_problems();
    config.check_has_streams()?;
    let failed = config.failed.clone();
    let interval = arguments.interval.map_or(INTERVAL, |interval| interval.0);
    let shutdown = signals::shutdown_of_service();
    let listened = (arguments.metrics_listen, interval);
    let serving = Serving::start(listened, &failed, (log, &shutdown), clock).await?;
    let (sender, told) = mpsc::unbounded_channel();
    let options = ArchivistOptions {
        settings: config.settings,
        streams: config.streams,
        once: arguments.once,
        take_over: arguments.take_over,
        accept_missing: arguments.accept_missing,
        from_start: arguments.from_start,
        interval,
        told: serving.is_some().then_some(sender),
        clock,
    };
    let span = tracing::Span::current();
    let worked = spawn_blocking(move || {
        span.in_scope(|| {
            let mut archivist = Archivist::join(options, &shutdown)?;
            let ended = archivist.run();
            Ok::<_, ArchiveError>((archivist.report(), ended))
        })
    });
    // The last sender is gone when the member has ended.
    let served = async {
        if let Some(serving) = serving {
            serving.show(told).await;
        }
    };
    let (worked, ()) = futures::join!(worked, served);
    let (mut report, ended) = worked.map_err(CommandError::start)?.map_err(error)?;
    if let Some(warning) = report.not_begun().filter(|_| arguments.once) {
        tracing::warn!("{warning}");
        report.warnings.push(warning);
    }
    let exit = exit(arguments, &report, &failed);
    show(arguments, &report, (&failed, exit))?;
    ended.map_err(error)?;
    Ok(exit)
}

/// Returns the exit code of one that ends when everything is filed. Another one ends when it is told to, which is no failure.
fn exit(arguments: &Arguments, report: &ArchiveReport, failed: &[(String, String)]) -> Exit {
    if !arguments.once {
        return Exit::Complete;
    }
    let has_rejected = arguments.strict && report.has_rejected();
    if has_rejected {
        tracing::error!("something was rejected, and --strict allows none");
    }
    let least = if has_rejected || !failed.is_empty() {
        Exit::StreamFailed
    } else {
        Exit::Complete
    };
    report.exit().max(least)
}

fn error(error: ArchiveError) -> CommandError {
    if error.is_held() {
        CommandError::held(error)
    } else {
        CommandError::start(error)
    }
}

/// How it stands, as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a ArchiveReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_organizations: Vec<ShownFailed<'a>>,
    exit_code: u8,
}

/// An organization whose settings are wrong.
#[derive(Serialize)]
struct ShownFailed<'a> {
    organization: &'a str,
    error: &'a str,
}

fn show(
    arguments: &Arguments,
    report: &ArchiveReport,
    (failed, exit): (&[(String, String)], Exit),
) -> Result<(), CommandError> {
    if !arguments.json {
        return Ok(print_text(arguments.verbosity, || text(report))?);
    }
    let failed = failed
        .iter()
        .map(|(organization, error)| ShownFailed { organization, error });
    let shown = Shown {
        report,
        failed_organizations: failed.collect(),
        exit_code: exit as u8,
    };
    Ok(print_json(None, &shown)?)
}

fn text(report: &ArchiveReport) -> String {
    let mut streams = Table::new([
        left("STREAM"),
        right("APPENDED"),
        right("DUPLICATES"),
        right("REJECTED"),
        right("REVISED"),
        left("LAST RECORD"),
        left("RUN OF THE FLEET"),
    ]);
    let time = |time: Option<DateTime<Utc>>| time.map_or_else(|| "-".to_owned(), to_the_second);
    for stream in &report.streams {
        let StreamReport {
            appended,
            duplicates,
            rejected,
            revised,
            last_record,
            fleet_run_at,
            ..
        } = stream;
        streams.row([
            stream.stream.to_owned(),
            appended.to_string(),
            duplicates.to_string(),
            rejected.to_string(),
            revised.to_string(),
            time(*last_record),
            time(*fleet_run_at),
        ]);
    }
    let ArchiveReport { group, partitions, .. } = report;
    let (own, others) = (partitions.len(), report.elsewhere.len() + report.not_begun);
    let table = if streams.is_empty() {
        String::new()
    } else {
        format!("\n{streams}")
    };
    let hosts = report.hosts().into_iter();
    let hosts = hosts.map(|(host, count)| format!("\nPartitions that {host} writes: {count}.\n"));
    // What is wrong is in the log.
    format!("The group {group}: {own} partitions are written here, {others} are not.\n{table}")
        + &hosts.collect::<String>()
}
