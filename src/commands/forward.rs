//! `trailkeeper forward`: what the archive holds goes to a sink, without asking a service.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::Instrument;

use crate::cli::{CollectForward, Forward, SinkArg, StartArg};
use crate::config::{self, HttpSettings, KafkaSettings, StreamPlace};
use crate::env::{ConfigErrors, Env};
use crate::forward::{ForwardContext, Target, Targets, kafka};
use crate::output::logging;
use crate::output::print::{print, print_error};
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::summary::ForwardSummary;
use crate::source::{Kind, SOURCES};

/// Forwards once.
pub async fn run(arguments: &Forward, clock: fn() -> DateTime<Utc>) -> Exit {
    let now = clock();
    let replay = match arguments.replay(now) {
        Ok(replay) => replay,
        Err(error) => return give_up(&error.to_string(), Exit::Usage),
    };
    let env = Env::load(arguments.env_file.as_deref());
    let settings = match Settings::read(&env, arguments) {
        Ok(settings) => settings,
        Err(errors) => return give_up(&format!("the settings cannot be used:\n{errors}"), Exit::Setup),
    };
    let targets = Targets {
        list: vec![settings.target],
        start: StartArg::resolve(arguments.forward_from, now),
        replay,
    };
    let progress = Progress::unless_quiet(arguments.verbosity.quiet);
    if let Err(error) = logging::start(arguments.verbosity, Some(&settings.log_file), &progress, clock) {
        return give_up(&error.to_string(), Exit::Setup);
    }
    for warning in env.warnings() {
        tracing::warn!("{warning}");
    }
    for unknown in config::unknown(&env, SOURCES).iter() {
        tracing::warn!("{unknown}");
    }
    warn_of(&targets, &env);
    let context = ForwardContext {
        now,
        progress,
        shutdown: signals::shutdown(),
    };
    let summary = forward(&settings.places, &targets, &context).await;
    summary.print(arguments)
}

/// What the command needs of the settings.
struct Settings {
    places: Vec<StreamPlace>,
    target: Target,
    log_file: PathBuf,
}

impl Settings {
    /// Every fault at once, those of the streams and those of the sink.
    fn read(env: &Env, arguments: &Forward) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let places = config::places(env, SOURCES, &arguments.streams).map_err(|others| errors.append(others));
        let log_file = config::log_file(env, &mut errors);
        let kinds: Vec<_> = SOURCES.iter().collect();
        let target = match arguments.sink {
            SinkArg::Kafka => kafka_target(env, &kinds, "the lines are to go to Kafka", &mut errors),
            SinkArg::Http => http_target(env, "the lines are to go there", &mut errors),
            SinkArg::Stdout => Some(Target::Stdout),
        };
        match (places, target, log_file) {
            (Ok(places), Some(target), Some(log_file)) if errors.is_empty() => Ok(Self {
                places,
                target,
                log_file,
            }),
            _ => {
                // What is missing may have been mistyped.
                errors.append(config::unknown(env, SOURCES));
                Err(errors)
            }
        }
    }
}

/// What `collect` forwards to; faults are added to `faults`.
pub(super) fn targets(
    env: &Env,
    arguments: CollectForward,
    kinds: &[&'static Kind],
    now: DateTime<Utc>,
    errors: &mut ConfigErrors,
) -> Targets {
    let mut list = Vec::new();
    if arguments.kafka {
        list.extend(kafka_target(env, kinds, "--forward-kafka is given", errors));
    }
    if arguments.http {
        list.extend(http_target(env, "--forward-http is given", errors));
    }
    Targets {
        list,
        start: StartArg::resolve(arguments.from, now),
        replay: None,
    }
}

/// Says what about the settings of sinks deserves a word.
pub(super) fn warn_of(targets: &Targets, env: &Env) {
    for warning in targets.list.iter().filter_map(Target::warning) {
        tracing::warn!("{warning}");
    }
    if targets.is_empty() {
        return;
    }
    for warning in config::exposed_forward_secrets(env) {
        tracing::warn!("{warning}");
    }
}

fn kafka_target(env: &Env, kinds: &[&'static Kind], because: &str, errors: &mut ConfigErrors) -> Option<Target> {
    let mut own_errors = ConfigErrors::because(because);
    let settings = KafkaSettings::read(env, kinds, &mut own_errors);
    if let Some(settings) = settings.as_ref().filter(|_| own_errors.is_empty()) {
        kafka::check(settings, &mut own_errors);
    }
    errors.append(own_errors);
    settings.map(Target::Kafka)
}

fn http_target(env: &Env, because: &str, errors: &mut ConfigErrors) -> Option<Target> {
    let mut own_errors = ConfigErrors::because(because);
    let settings = HttpSettings::read(env, &mut own_errors);
    errors.append(own_errors);
    settings.map(Target::Http)
}

/// Forwards all streams side by side.
async fn forward(places: &[StreamPlace], targets: &Targets, context: &ForwardContext) -> ForwardRun {
    let mut running = Vec::new();
    for place in places {
        // Every line that the stream logs carries its name.
        let span = tracing::info_span!("stream", stream = place.kind.name);
        let starting = targets.clone().start(place.clone(), context.clone());
        let (notifier, forwarding) = starting.instrument(span.clone()).await;
        // Nothing more will be appended by this process.
        drop(notifier);
        running.push((place.kind.name, forwarding, span));
    }
    let mut streams = Vec::new();
    for (stream, forwarding, span) in running {
        let forward = forwarding.finish().instrument(span).await;
        streams.push(StreamForward {
            stream,
            forward: forward.into_iter().map(ForwardSummary::from).collect(),
        });
    }
    let all = streams.iter().flat_map(|stream| &stream.forward);
    let exit = all.map(ForwardSummary::exit).fold(Exit::Complete, Exit::max);
    ForwardRun {
        streams,
        exit,
        exit_code: exit as u8,
    }
}

/// What came of it, stream by stream.
#[derive(Debug, Serialize)]
struct ForwardRun {
    streams: Vec<StreamForward>,
    #[serde(skip)]
    exit: Exit,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct StreamForward {
    stream: &'static str,
    forward: Vec<ForwardSummary>,
}

impl ForwardRun {
    fn print(&self, arguments: &Forward) -> Exit {
        let text = if arguments.json {
            serde_json::to_string(self).map(|json| json + "\n")
        } else {
            Ok(self.lines())
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => return give_up(&format!("the summary cannot be written: {error}"), Exit::StreamFailed),
        };
        match (arguments.sink, arguments.json, arguments.verbosity.quiet) {
            // Standard output holds the lines themselves; the log says the rest.
            (SinkArg::Stdout, true, _) => eprint(&text),
            (SinkArg::Stdout, false, _) => {}
            _ => print(&text),
        }
        self.exit
    }

    fn lines(&self) -> String {
        let lines = self.streams.iter().flat_map(|stream| {
            let lines = stream.forward.iter();
            lines.map(|forward| forward.line(stream.stream) + "\n")
        });
        lines.collect()
    }
}

fn eprint(text: &str) {
    use std::io::Write;
    // Nobody is left to tell when stderr is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn give_up(text: &str, exit: Exit) -> Exit {
    print_error(text);
    exit
}
