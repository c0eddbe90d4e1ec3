//! `status --nagios`: the status as a monitoring plugin gives it: one line, figures behind a bar, and the exit code of a
//! plugin.
//!
//! Facts: <https://www.monitoring-plugins.org/doc/guidelines.html>.

use std::fmt::{Display, Write};

use chrono::{DateTime, TimeDelta, Utc};

use super::evidence::EvidenceStatus;
use super::stream_status::{State, StreamStatus};
use super::{Arguments, read};
use crate::commands::archives::Archives;
use crate::commands::arguments::selection::Selection;
use crate::commands::arguments::settings::Turn;
use crate::commands::error::CommandError;
use crate::commands::organizations::{Organizations, check_dir};
use crate::env::Misnamed;
use crate::output::logging::Verbosity;
use crate::output::print::{print, print_error};
use crate::output::printable::printable;
use crate::output::table::age;
use crate::process::exit::PluginExit;

/// Prints the line, and returns the exit code. What keeps it from knowing is unknown.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> PluginExit {
    match all_streams(arguments, clock) {
        Ok(Standing { streams, alarms }) => {
            let least = if alarms.is_empty() {
                PluginExit::Ok
            } else {
                PluginExit::Critical
            };
            let exit = streams.iter().map(verdict).fold(least, PluginExit::max);
            // If only organizations as a whole are wrong, nothing is to be said of the streams.
            let of_streams = Some(text(&streams, exit)).filter(|text| !text.is_empty());
            let said: Vec<_> = alarms.into_iter().chain(of_streams).collect();
            say(
                exit,
                &said.join("; "),
                &figures(&streams, arguments.max_age.map(|age| age.0)),
            )
        }
        Err(error) => unknown(error),
    }
}

/// Prints why nothing is known, and returns the exit code.
pub(crate) fn unknown(reason: impl Display) -> PluginExit {
    say(PluginExit::Unknown, &reason.to_string(), "")
}

/// How everything stands.
struct Standing {
    streams: Vec<StreamStatus>,
    /// What is critical beside the streams: organizations whose settings are wrong, and evidence that is refused.
    alarms: Vec<String>,
}

/// Reads the streams and the evidence; of several organizations those of all, and what is wrong with the ones whose settings are.
fn all_streams(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Standing, CommandError> {
    let settings = &arguments.selection.settings;
    let Some(folder) = check_dir(settings)? else {
        return standing(arguments, clock);
    };
    let organizations = Organizations::find(settings, &folder)?;
    let misnamed = organizations.misnamed.into_iter();
    let mut failed: Vec<_> = misnamed
        .map(|Misnamed { name, problem }| format!("{name}: {problem}"))
        .collect();
    let mut all = Vec::new();
    for (organization, env) in organizations.all {
        let mut arguments = arguments.clone();
        arguments.selection.settings.turn = Some(Turn::of(organization, env));
        if let Some(problem) = organizations.sharing.get(&organization) {
            failed.push(format!("{organization}: {problem}"));
            continue;
        }
        match standing(&arguments, clock) {
            Ok(standing) => {
                all.extend(standing.streams);
                failed.extend(standing.alarms);
            }
            Err(error) => match error.of_all() {
                Some(of_all) => return Err(of_all),
                None => failed.push(error.of(organization).to_string()),
            },
        }
    }
    Ok(Standing {
        streams: all,
        alarms: failed,
    })
}

fn standing(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Standing, CommandError> {
    let verbosity = arguments.selection.verbosity;
    let selection = Selection {
        // Some monitoring systems take stderr for a part of the line.
        verbosity: Verbosity {
            quiet: !verbosity.verbose,
            ..verbosity
        },
        ..arguments.selection.clone()
    };
    let archives = Archives::find(&selection, clock)?;
    let evidence = EvidenceStatus::read(&archives.env);
    Ok(Standing {
        streams: read(&archives, arguments, clock()),
        alarms: evidence.iter().flat_map(EvidenceStatus::alarms).collect(),
    })
}

/// Critical is what `status --max-age` exits with 3 for; all else that is wrong is a warning.
fn verdict(stream: &StreamStatus) -> PluginExit {
    if stream.is_alarming() || !stream.is_read {
        PluginExit::Critical
    } else if stream.state == State::New || stream.all_problems().next().is_some() {
        PluginExit::Warning
    } else {
        PluginExit::Ok
    }
}

/// Prints the line. If it cannot be printed, nothing is known at the other end.
fn say(exit: PluginExit, text: &str, figures: &str) -> PluginExit {
    let separator = if figures.is_empty() { "" } else { " | " };
    match print(&format!("{}: {}{separator}{figures}\n", exit.word(), on_one_line(text))) {
        Ok(()) => exit,
        Err(error) => {
            print_error(&error.to_string());
            PluginExit::Unknown
        }
    }
}

/// Puts a text on one line without the bar that begins the figures.
fn on_one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        let separator = match line.chars().last() {
            None => "",
            Some(':') => " ",
            Some(_) => "; ",
        };
        line.extend([separator, &*printable(part)]);
    }
    line.replace('|', "/")
}

/// Says what is wrong, the worst first; or, if nothing is, how old the last records are.
fn text(streams: &[StreamStatus], exit: PluginExit) -> String {
    if exit == PluginExit::Ok {
        let ages: Vec<_> = streams.iter().map(age_of).collect();
        return format!("{} since the last record", ages.join(", "));
    }
    let of_verdict = |wanted| streams.iter().filter(move |stream| verdict(stream) == wanted);
    let wrong = of_verdict(PluginExit::Critical).chain(of_verdict(PluginExit::Warning));
    wrong.map(what_is_wrong).collect::<Vec<_>>().join("; ")
}

fn age_of(stream: &StreamStatus) -> String {
    let shown = stream.age_seconds.map(|seconds| age(TimeDelta::seconds(seconds)));
    format!("{} {}", stream.stream, shown.as_deref().unwrap_or("for ever"))
}

/// `tfc late: its last record is of 2026-11-20T10:00:00Z, and --max-age allows 2h`
fn what_is_wrong(stream: &StreamStatus) -> String {
    let state = match stream.state {
        State::Ok => "",
        State::New => " new",
        State::Late => " late",
        State::Failed => " failed",
    };
    let mut problems = stream.all_problems();
    let first = problems.next();
    let first = first.unwrap_or_else(|| "no run has ended yet".to_owned());
    let more = match problems.count() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    format!("{}{state}: {first}{more}", stream.stream)
}

/// Returns the figures of all streams, `label=value[unit];warning;critical;least` each.
fn figures(streams: &[StreamStatus], max_age: Option<TimeDelta>) -> String {
    let limit = max_age.map_or_else(String::new, |age| age.num_seconds().to_string());
    let mut figures = String::new();
    for stream in streams {
        let name = stream.stream;
        // `U` says that there is no value.
        let age = stream.age_seconds.map(|seconds| format!("{}s", seconds.max(0)));
        let age = age.as_deref().unwrap_or("U");
        let (records, problems) = (stream.records.all, stream.all_problems().count());
        let _ = write!(
            figures,
            "{name}_age={age};;{limit};0 {name}_records={records};;;0 {name}_problems={problems};0;;0 "
        );
        for lag in &stream.forwarders {
            let sink = lag.sink;
            let waiting = lag
                .waiting
                .map_or_else(|| "U".to_owned(), |waiting| waiting.to_string());
            let _ = write!(figures, "{name}_{sink}_waiting={waiting};;;0 ");
        }
    }
    figures.trim_end().to_owned()
}
