//! `trailkeeper check`: the settings as `collect` would read them, and of each stream its folder, its archive, its
//! service and the clock. Nothing is written but the program's own log, and each service is asked for one record, once.
//!
//! With `--json`: `{"problems": […], "streams": […], "forwarders": […], "exit_code": 0}`. `problems` are faults in the
//! settings that belong to no stream alone. Of each stream:
//!
//! - `stream`; `state`: `ok` or `failed`; `problems`: sentences that say what, why, and what to do; `notice`: what is worth
//!   knowing although it works, or null;
//! - `folder`; `newest_file`, the name of the newest day file; `last_record`, its time;
//! - `address`: what was asked; `records`: how many records came, 0 or 1; `newest_record`: the time of it; `milliseconds`:
//!   how long the answer took;
//! - `clock_skew_seconds`: how much this machine's clock is ahead of the service's (below 0: behind), by the `Date` of its
//!   answer, which has whole seconds.
//!
//! `forwarders` is empty without `--forward-kafka`, else it has `sink`, `kafka`; `state`, `problems` and `notice` as above;
//! `server`, as it is set; `brokers`: how many the cluster has; `milliseconds`: how long all of it took; and `topics`, one for
//! each stream: `stream`, `state`, `problem` (a sentence or null), `topic`, and how many `partitions` it has.
//!
//! Exit codes: 0 where everything works, else 1.

mod kafka;

use std::path::PathBuf;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use serde::Serialize;

use super::forward;
use crate::archive::Archive;
use crate::cli::{self, CollectForward};
use crate::config::{self, Access, Choice, Config, StreamSettings};
use crate::env::{ConfigErrors, Env};
use crate::fetch::Fetcher;
use crate::forward::Target;
use crate::http::Http;
use crate::http::retry::RetryPolicy;
use crate::output::logging;
use crate::output::print::{print, print_error};
use crate::output::progress::Progress;
use crate::output::table::{Cell, Colour, Table, left, right, to_the_second};
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::source::{Kind, SOURCES};
use crate::window::Window;
use kafka::KafkaCheck;

/// How far back one record is asked for. It matters little: a service answers with the newest one, or with none.
const REACH: TimeDelta = TimeDelta::days(1);

/// A `Date` has whole seconds, and an answer takes its time: less than this is no skew.
const UNSURE: TimeDelta = TimeDelta::seconds(5);

/// Checks the chosen streams.
pub async fn run(arguments: &cli::Check, clock: fn() -> DateTime<Utc>) -> Exit {
    let selection = &arguments.selection;
    let env = Env::load(selection.env_file.as_deref());
    let choice = Choice {
        streams: &selection.streams,
        access: Access::Write,
    };
    let config = Config::read(&env, SOURCES, choice);
    let log_file = config.as_ref().ok().map(|config| config.log_file.as_path());
    if let Err(error) = logging::start(selection.verbosity, log_file, &Progress::hidden(), clock) {
        print_error(&error.to_string());
        return Exit::Setup;
    }
    let streams = config::each(&env, SOURCES, choice);
    let mut problems = problems_of_all(&config, &streams);
    let (targets, errors) = targets(&env, arguments, clock());
    problems.extend(errors.iter().map(ToString::to_string));
    let names: Vec<_> = streams.iter().map(|(kind, _)| kind.name).collect();
    let forwarders = targets.into_iter().filter_map(|target| match target {
        // That no stream is on is said already.
        Target::Kafka(settings) if !names.is_empty() => Some(KafkaCheck::run(settings, names.clone())),
        _ => None,
    });
    let (streams, forwarders) = futures::join!(
        join_all(streams.into_iter().map(|(kind, settings)| check(kind, settings, clock))),
        join_all(forwarders)
    );
    let outcome = Outcome {
        problems,
        streams,
        forwarders,
        exit_code: 0,
    };
    for warning in config.iter().flat_map(|config| &config.warnings) {
        tracing::warn!("{warning}");
    }
    outcome.show(selection.json, stdout_takes_colours(env.allows_colours()))
}

#[derive(Debug, Serialize)]
struct Outcome {
    problems: Vec<String>,
    streams: Vec<StreamCheck>,
    forwarders: Vec<KafkaCheck>,
    exit_code: u8,
}

/// How one stream would fare.
#[derive(Debug, Serialize)]
struct StreamCheck {
    stream: &'static str,
    state: State,
    problems: Vec<String>,
    notice: Option<&'static str>,
    folder: Option<PathBuf>,
    newest_file: Option<String>,
    last_record: Option<DateTime<Utc>>,
    address: Option<String>,
    records: Option<usize>,
    newest_record: Option<DateTime<Utc>>,
    milliseconds: Option<u64>,
    clock_skew_seconds: Option<i64>,
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

/// Where `collect` would forward to, as far as that can be checked, or what is wrong with the settings for it.
fn targets(env: &Env, arguments: &cli::Check, now: DateTime<Utc>) -> (Vec<Target>, ConfigErrors) {
    let wanted = CollectForward {
        kafka: arguments.forward_kafka,
        ..CollectForward::default()
    };
    let kinds: Vec<_> = SOURCES.iter().collect();
    let mut errors = ConfigErrors::default();
    let targets = forward::targets(env, wanted, &kinds, now, &mut errors);
    if errors.is_empty() {
        (targets.list, errors)
    } else {
        (Vec::new(), errors)
    }
}

/// The faults that are not those of one stream alone.
fn problems_of_all(
    config: &Result<Config, ConfigErrors>,
    streams: &[(&'static Kind, Result<StreamSettings, ConfigErrors>)],
) -> Vec<String> {
    let of_streams: Vec<_> = streams
        .iter()
        .filter_map(|(_, settings)| settings.as_ref().err())
        .collect();
    let is_known = |problem: &String| {
        let mut all = of_streams.iter().flat_map(|errors| errors.iter());
        all.any(|error| error.to_string() == *problem)
    };
    let errors = config.as_ref().err();
    let problems = errors.into_iter().flat_map(ConfigErrors::iter).map(ToString::to_string);
    problems.filter(|problem| !is_known(problem)).collect()
}

async fn check(
    kind: &'static Kind,
    settings: Result<StreamSettings, ConfigErrors>,
    clock: fn() -> DateTime<Utc>,
) -> StreamCheck {
    let mut check = StreamCheck::new(kind);
    match settings {
        Ok(settings) => {
            check.folder = Some(settings.location.folder().to_owned());
            check.notice = settings.source.notice();
            check.archive(&settings, clock());
            check.service(&settings, clock).await;
        }
        Err(errors) => check.problems.extend(errors.iter().map(ToString::to_string)),
    }
    check.state = State::of(check.problems.is_empty());
    check
}

impl StreamCheck {
    fn new(kind: &'static Kind) -> Self {
        Self {
            stream: kind.name,
            state: State::Ok,
            problems: Vec::new(),
            notice: None,
            folder: None,
            newest_file: None,
            last_record: None,
            address: None,
            records: None,
            newest_record: None,
            milliseconds: None,
            clock_skew_seconds: None,
        }
    }

    /// The newest day file and the last record. That the folder can be written to, the settings have shown.
    fn archive(&mut self, settings: &StreamSettings, now: DateTime<Utc>) {
        let location = &settings.location;
        match location.day_files() {
            Ok(files) => self.newest_file = files.last().and_then(|file| location.day_name(file.date)),
            Err(error) => return self.problems.push(error.to_string()),
        }
        match Archive::dry_run(location.clone(), settings.kind.shape).recover(now) {
            Ok(last) => self.last_record = last,
            Err(error) => self.problems.push(error.to_string()),
        }
    }

    /// One request for one record, and the clock by its answer.
    async fn service(&mut self, settings: &StreamSettings, clock: fn() -> DateTime<Utc>) {
        self.address = Some(settings.source.address().to_string());
        let http = match Http::new() {
            Ok(http) => http.with_timeout(settings.limits.request_timeout),
            Err(error) => return self.problems.push(error.to_string()),
        };
        // What works at the second attempt only is worth knowing here.
        let policy = RetryPolicy {
            max_retries: 0,
            delay: settings.limits.retry_delay,
        };
        let fetcher = Fetcher::new(settings.source.clone(), http, policy);
        let (before, started) = (clock(), Instant::now());
        let probe = fetcher.probe(Window::new(before - REACH, before)).await;
        self.milliseconds = Some(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        match probe {
            Ok(probe) => {
                self.records = Some(probe.records);
                self.newest_record = probe.newest;
            }
            Err(error) => self.problems.push(error.to_string()),
        }
        if let Some(server) = fetcher.server_time() {
            let skew = skew(before, clock(), server);
            self.clock_skew_seconds = Some(skew.num_seconds());
            self.problems.extend(skew_problem(skew, settings.limits.overlap));
        }
    }
}

/// How much this clock is ahead of a server that answered between these two times; nothing where the difference may as
/// well be the answer's way and the missing fraction of a second.
fn skew(before: DateTime<Utc>, after: DateTime<Utc>, server: DateTime<Utc>) -> TimeDelta {
    let (least, most) = (before - server - UNSURE, after - server + UNSURE);
    if least > TimeDelta::zero() {
        before - server
    } else if most < TimeDelta::zero() {
        after - server
    } else {
        TimeDelta::zero()
    }
}

/// A clock that is off by more than runs overlap lets records pass that the next run does not ask for.
fn skew_problem(skew: TimeDelta, overlap: TimeDelta) -> Option<String> {
    let direction = if skew > TimeDelta::zero() { "ahead of" } else { "behind" };
    (skew.abs() > overlap).then(|| {
        format!(
            "this machine's clock is {} seconds {direction} the service's, more than the overlap of {} seconds: set the \
             clock, or have NTP do it",
            skew.abs().num_seconds(),
            overlap.num_seconds()
        )
    })
}

impl Outcome {
    fn show(mut self, as_json: bool, with_colours: bool) -> Exit {
        let is_ok = self.problems.is_empty()
            && self.streams.iter().all(|stream| stream.state == State::Ok)
            && self.forwarders.iter().all(KafkaCheck::is_ok);
        let exit = if is_ok { Exit::Complete } else { Exit::Setup };
        self.exit_code = exit as u8;
        if !as_json {
            print(&self.text(with_colours));
            return exit;
        }
        match serde_json::to_string(&self) {
            Ok(json) => print(&format!("{json}\n")),
            Err(error) => {
                print_error(&format!("the outcome cannot be written: {error}"));
                return Exit::Setup;
            }
        }
        exit
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

impl StreamCheck {
    fn row(&self) -> [Cell; 6] {
        let newest = match (self.records, self.newest_record) {
            (Some(_), Some(newest)) => to_the_second(newest),
            (Some(_), None) => "none in a day".to_owned(),
            (None, _) => "no answer".to_owned(),
        };
        let answer = self.milliseconds.filter(|_| self.records.is_some());
        [
            self.stream.into(),
            self.state.cell(),
            self.last_record.map_or_else(|| "none".to_owned(), to_the_second).into(),
            newest.into(),
            answer
                .map(|milliseconds| format!("{milliseconds}ms"))
                .unwrap_or_default()
                .into(),
            self.clock_skew_seconds
                .map(|seconds| format!("{seconds:+}s"))
                .unwrap_or_default()
                .into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_clock_is_off_only_by_what_the_way_of_the_answer_does_not_explain() {
        for (before, after, server, expected) in [
            (0, 0, 0, 0),
            (0, 1, -4, 0),
            (0, 30, 25, 0),
            (0, 1, 5, 0),
            (0, 1, 6, 0),
            (0, 1, 7, -6),
            (0, 1, -6, 6),
            (0, 1, 600, -599),
            (600, 601, 0, 600),
        ] {
            let found = skew(at(before), at(after), at(server)).num_seconds();
            assert_eq!(found, expected, "{before} {after} {server}");
        }
    }

    #[test]
    fn a_skew_above_the_overlap_is_a_problem() {
        let overlap = TimeDelta::minutes(2);
        assert_eq!(skew_problem(TimeDelta::seconds(120), overlap), None);
        assert_eq!(skew_problem(TimeDelta::seconds(-120), overlap), None);
        let ahead = skew_problem(TimeDelta::seconds(121), overlap).unwrap();
        assert!(
            ahead.starts_with("this machine's clock is 121 seconds ahead of the service's"),
            "{ahead}"
        );
        let behind = skew_problem(TimeDelta::seconds(-300), overlap).unwrap();
        assert!(
            behind.starts_with("this machine's clock is 300 seconds behind the service's"),
            "{behind}"
        );
    }
}
