//! `trailkeeper check`: checks the settings as `collect` would read them, and for each stream its folder, its archive,
//! its service and the clock. It writes only the program's own log, and asks each service for one record, once.
//!
//! `docs/json.md` has the form of `--json`.
//!
//! Exit codes: 0 if everything works, otherwise 1.

mod kafka;
mod stream_check;
mod subjects;

use chrono::{DateTime, Utc};
use clap::Args;
use futures::future::join_all;
use serde::Serialize;

use super::arguments::selection::Selection;
use super::arguments::sinks::Sinks;
use super::error::CommandError;
use super::outcome::{exit_of, log_problems, print_json, print_text};
use super::targets;
use crate::config::{self, APP_LOG_FILE};
use crate::env::{ConfigErrors, Env, Organization, Row};
use crate::forward::Target;
use crate::output::logging::{Log, LogOptions, Verbosity};
use crate::output::progress::Progress;
use crate::output::table::{Cell, Colour, Table, left, right};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::source::SOURCES;
use kafka::KafkaCheck;
use stream_check::StreamCheck;
use subjects::{SubjectOrErrors, Subjects};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Also check Kafka: the broker, the topic of each stream, and whether the user may start to write
    ///
    /// It sends no line and creates no topic, so only the first line shows whether the user may write to a topic. With
    /// KAFKA_TRANSACTIONAL_ID it asks Kafka where the cursors stand. Where no token is set, as on a machine that only forwards, the
    /// services are not asked.
    #[arg(long)]
    pub(crate) forward_kafka: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper check                                   before the first run, and when one failed
  trailkeeper check --stream port --json
  trailkeeper check --forward-kafka                   the broker and the topics too

It locks, appends and syncs as a run does, in scratch files of the state folder, which it removes; it opens the files that a run
uses, and writes nothing to them; and it asks each service for one record. Exit codes: 0 everything works, 1 something does not.";

/// Checks the chosen streams.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let env = selection.settings.load();
    let only_forwards = arguments.forward_kafka && config::has_no_token(&env, SOURCES);
    let Subjects {
        streams,
        log: log_settings,
        mut problems,
        warnings,
    } = if only_forwards {
        Subjects::forwarded(&env, &selection.streams)
    } else {
        Subjects::collected(&env, &selection.streams)
    };
    let (verbosity, progress) = (selection.verbosity, Progress::hidden());
    // Of organizations it was started for all of them.
    if env.organization().is_none() {
        log.start(match &log_settings {
            Some(settings) => settings.options(verbosity, &progress, clock),
            None => LogOptions::on_stderr(verbosity, &progress, clock),
        })?;
    }
    tracing::debug!("checking the settings");
    if exit_of(log) != Exit::Complete {
        problems.push(format!(
            "{} names a file that cannot be written to",
            APP_LOG_FILE.name()
        ));
    }
    let (targets, errors) = sinks(&env, arguments, clock());
    problems.extend(errors.iter().map(ToString::to_string));
    let outcome = check(env.organization(), (problems, streams, targets), clock).await;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    outcome.log_problems(selection.verbosity);
    if selection.json {
        print_json(selection.settings.organization(), &outcome)?;
    } else {
        let with_colours = stdout_takes_colours(env.allows_colours());
        print_text(selection.verbosity, || outcome.text(with_colours))?;
    }
    Ok(outcome.exit)
}

/// Checks the services and Kafka, all at the same time.
async fn check(
    organization: Option<Organization>,
    (problems, streams, targets): (Vec<String>, Vec<SubjectOrErrors>, Vec<Target>),
    clock: fn() -> DateTime<Utc>,
) -> Outcome {
    let places = streams.iter().map(|(kind, subject)| {
        let location = subject.as_ref().ok().map(|subject| subject.location().clone());
        (kind.name, location)
    });
    let places: Vec<_> = places.collect();
    let forwarders = targets.into_iter().filter_map(|target| match target {
        // If no stream is on, that was reported already.
        Target::Kafka(settings) if !places.is_empty() => Some(KafkaCheck::run(settings, places.clone())),
        _ => None,
    });
    let streams = streams.into_iter();
    let (streams, forwarders) = futures::join!(
        join_all(streams.map(|(kind, subject)| StreamCheck::run(kind.name_of(organization), subject, clock))),
        join_all(forwarders)
    );
    Outcome::new(problems, streams, forwarders)
}

#[derive(Debug, Serialize)]
struct Outcome {
    problems: Vec<String>,
    streams: Vec<StreamCheck>,
    forwarders: Vec<KafkaCheck>,
    #[serde(skip)]
    exit: Exit,
    exit_code: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Failed,
}

impl State {
    fn of(is_ok: bool) -> Self {
        if is_ok { Self::Ok } else { Self::Failed }
    }

    fn cell(self) -> Cell {
        match self {
            State::Ok => Cell::coloured("ok", Colour::Green),
            State::Failed => Cell::coloured("failed", Colour::Red),
        }
    }
}

/// Returns Kafka as `collect` would forward to it, if it is to be checked, and the HTTP listener, if one is set; or the errors in
/// their settings.
fn sinks(env: &Env, arguments: &Arguments, now: DateTime<Utc>) -> (Vec<Target>, ConfigErrors) {
    let sinks = Sinks {
        kafka: arguments.forward_kafka,
        http: config::has_listener(env),
        ..Sinks::default()
    };
    let mut errors = ConfigErrors::default();
    let targets = targets::targets(env, sinks, now, &mut errors);
    if errors.is_empty() {
        (targets.list, errors)
    } else {
        (Vec::new(), errors)
    }
}

impl Outcome {
    fn new(problems: Vec<String>, streams: Vec<StreamCheck>, forwarders: Vec<KafkaCheck>) -> Self {
        let is_ok = problems.is_empty()
            && streams.iter().all(|stream| stream.state == State::Ok)
            && forwarders.iter().all(KafkaCheck::is_ok);
        let exit = if is_ok { Exit::Complete } else { Exit::Setup };
        Self {
            problems,
            streams,
            forwarders,
            exit,
            exit_code: exit as u8,
        }
    }

    /// Logs, with `-q`, what does not work.
    fn log_problems(&self, verbosity: Verbosity) {
        for problem in self.problems.iter().filter(|_| verbosity.quiet) {
            tracing::error!("{problem}");
        }
        for stream in &self.streams {
            log_problems(verbosity, stream.stream, &stream.problems);
        }
        self.forwarders
            .iter()
            .for_each(|forwarder| forwarder.log_problems(verbosity));
    }

    fn text(&self, with_colours: bool) -> String {
        let mut table = Table::new([
            left("STREAM"),
            left("STATE"),
            left("LAST RECORD"),
            left("AT THE SERVICE"),
            right("ANSWER"),
            right("CLOCK"),
        ])
        .with_colours(with_colours);
        let mut problems = String::new();
        for stream in &self.streams {
            table.row(stream.row());
            for problem in &stream.problems {
                problems.push_str(&format!("{}: {problem}\n", stream.stream));
            }
            for remark in &stream.remarks {
                problems.push_str(&format!("{}: {remark}\n", stream.stream));
            }
            if let Some(notice) = stream.notice {
                problems.push_str(&format!("{}: {notice}\n", stream.stream));
            }
        }
        for problem in &self.problems {
            problems.push_str(&format!("{problem}\n"));
        }
        let forwarders = self.forwarders.iter().map(|forwarder| forwarder.text(with_colours));
        let forwarders: String = forwarders.collect();
        if table.is_empty() {
            problems + &forwarders
        } else {
            format!("{table}{problems}{forwarders}")
        }
    }
}
