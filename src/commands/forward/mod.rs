//! `trailkeeper forward`: sends the lines of the archive to a sink, without asking a service.

mod outcome;

use std::ops::Range;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use tracing::Instrument;

use super::arguments::range::{EmptyRangeError, range};
use super::arguments::settings::SettingsArguments;
use super::arguments::start::StartArg;
use super::arguments::stream_name;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use super::outcome::{Form, exit_of};
use super::targets::{self, http_target, kafka_target, stdout_target};
use crate::config::{self, LogSettings, StreamPlace};
use crate::env::{ConfigErrors, Env};
use crate::forward::{ForwardContext, Target, Targets};
use crate::output::logging::{Log, Verbosity};
use crate::output::progress::Progress;
use crate::output::terminal::stdout_is_closed;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::summary::ForwardSummary;
use crate::source::SOURCES;
use outcome::{Outcome, StreamOutcome};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Where the lines go
    #[arg(value_enum, value_name = "SINK")]
    pub(crate) sink: SinkArg,

    /// Forward only these streams [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',', value_parser = stream_name::parser())]
    pub(crate) streams: Vec<String>,

    /// Where to start a stream without a cursor for this sink: `start`, `end` (what comes from now on), or a time. Without it
    /// nothing is sent, unless the archive is empty
    #[arg(long, allow_hyphen_values = true, value_name = "start|end|TIME")]
    pub(crate) forward_from: Option<StartArg>,

    /// Send the records from this time on again, without moving the cursor; same forms as for `collect`
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "TIME",
        conflicts_with = "forward_from"
    )]
    pub(crate) since: Option<TimeArg>,

    /// Send again up to this time instead of now
    #[arg(long, allow_hyphen_values = true, value_name = "TIME", requires = "since")]
    pub(crate) until: Option<TimeArg>,

    /// Send a repaired copy of each record that strict JSON parsers refuse
    ///
    /// In the copy a lone surrogate (`\ud800`) is U+FFFD, and a number that no double holds (`1e400`), or what is nested
    /// more than 100 levels deep, is a string of its text. The day files stay as they are. The summary counts the copies.
    #[arg(long)]
    pub(crate) strict_json: bool,

    /// Print the summary as JSON instead of lines
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArguments,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// A sink by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SinkArg {
    /// A Kafka topic for each stream
    Kafka,
    /// An HTTP listener such as Logstash or Splunk
    Http,
    /// Standard output
    Stdout,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper forward kafka                            what is new since the last time
  trailkeeper forward kafka --forward-from start       the first time: everything in the archive
  trailkeeper forward kafka --since 2025-06-01 --until 2025-06-08 --stream port
                                                       once more, marked by the header `replay`
  trailkeeper forward http --json
  trailkeeper forward stdout --strict-json | jq -c .

The cursor of each stream and sink is a file in .trailkeeper; it moves when the sink has confirmed the lines. Without one, or
if a day file is not the one that was forwarded, nothing is sent until --forward-from says where to go on.

Exit codes: 3 if lines are waiting, 4 if another program forwards with the same cursor or transactional id.";

/// Forwards once.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let now = clock();
    let replay = arguments.replay(now)?;
    if arguments.sink == SinkArg::Stdout && stdout_is_closed() {
        let problem = "standard output is closed, so the lines would go nowhere: give them a reader or a file";
        return Err(CommandError::setup(problem));
    }
    let env = arguments.settings.load();
    let settings = Settings::read(&env, arguments)?;
    let targets = Targets {
        list: vec![settings.target],
        start: arguments.forward_from.map(|from| from.resolve(now)),
        replay,
        strict_json: arguments.strict_json,
        ..Targets::default()
    };
    let progress = Progress::unless_quiet(arguments.verbosity.quiet);
    // Of organizations it was started for all of them.
    if env.organization().is_none() {
        log.start(settings.log.options(arguments.verbosity, &progress, clock))?;
    }
    log_all_warnings(&env, &targets);
    let context = ForwardContext {
        now,
        progress,
        shutdown: signals::shutdown(),
    };
    let streams = forward(&settings.places, &targets, &context).await;
    Ok(Outcome::new(streams, exit_of(log)).show(arguments)?)
}

impl Arguments {
    /// Returns whether standard output has the lines.
    pub(super) fn is_to_stdout(&self) -> bool {
        self.sink == SinkArg::Stdout
    }

    /// Returns how the result is printed.
    pub(super) fn form(&self) -> Form {
        match self.sink {
            SinkArg::Stdout if self.json => Form::JsonOnStderr,
            _ => Form::json_if(self.json),
        }
    }

    /// Returns the range to send again, at the time `now`; `None` if this is not a replay.
    fn replay(&self, now: DateTime<Utc>) -> Result<Option<Range<DateTime<Utc>>>, EmptyRangeError> {
        let Some(since) = self.since.map(|time| time.resolve(now)) else {
            return Ok(None);
        };
        let until = self.until.map_or(now, |time| time.resolve(now));
        range(since, until).map(Some)
    }
}

/// The settings that the command needs.
struct Settings {
    places: Vec<StreamPlace>,
    target: Target,
    log: LogSettings,
}

impl Settings {
    /// Reads the settings, or returns all errors in them: those of the streams and those of the sink.
    fn read(env: &Env, arguments: &Arguments) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let places = config::places(env, SOURCES, &arguments.streams).map_err(|others| errors.append(others));
        let log = LogSettings::read(env, &mut errors);
        let target = match arguments.sink {
            SinkArg::Kafka => kafka_target(env, "the lines are to go to Kafka", &mut errors),
            SinkArg::Http => http_target(env, "the lines are to go there", &mut errors),
            SinkArg::Stdout => stdout_target(env, &mut errors),
        };
        match (places, target, log) {
            (Ok(places), Some(target), Some(log)) if errors.is_empty() => Ok(Self { places, target, log }),
            _ => {
                // What is missing may have been mistyped.
                errors.append(config::unknown(env, SOURCES));
                Err(errors)
            }
        }
    }
}

fn log_all_warnings(env: &Env, targets: &Targets) {
    for warning in env.warnings() {
        tracing::warn!("{warning}");
    }
    for unknown in config::unknown(env, SOURCES).iter() {
        tracing::warn!("{unknown}");
    }
    for warning in targets::warnings(targets, env) {
        tracing::warn!("{warning}");
    }
}

/// Forwards all streams concurrently.
async fn forward(places: &[StreamPlace], targets: &Targets, context: &ForwardContext) -> Vec<StreamOutcome> {
    let mut running = Vec::new();
    for place in places {
        // Adds the stream's name to each of its log lines; at the error level, so that `-q` keeps it.
        let span = tracing::error_span!("stream", stream = place.name());
        let starting = targets.clone().start(place.clone(), context.clone());
        let (notifier, forwarding) = starting.instrument(span.clone()).await;
        // This process appends nothing more.
        drop(notifier);
        running.push((place.name(), forwarding, span));
    }
    let mut streams = Vec::new();
    for (stream, forwarding, span) in running {
        let forward = forwarding.finish().instrument(span).await;
        streams.push(StreamOutcome {
            stream,
            forward: forward.into_iter().map(ForwardSummary::from).collect(),
        });
    }
    streams
}
