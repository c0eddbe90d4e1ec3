//! `trailkeeper hold`: says of which spans nothing may be deleted, and for which case. It takes the lock of a run only to settle what an
//! interrupted deletion has left.
//!
//! `docs/json.md` has the form of `--json`.

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::archives::Archives;
use super::arguments::range::range;
use super::arguments::selection::Selection;
use super::arguments::settings::SettingsArguments;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use super::outcome::{exit_of_stream, log_problems, print_json, print_text};
use super::sealing;
use crate::archive::{Hold, Holds, HoldsError};
use crate::config::{EvidenceSettings, StreamPlace};
use crate::env::{ConfigErrors, Env};
use crate::output::printable::printable;
use crate::output::table::{Cell, Table, left, to_the_second};
use crate::process::exit::Exit;
use crate::upkeep::settling::settle;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper hold add 2026/17 --note inquiry
  trailkeeper hold add 2026/17 --since 2026-03-01 --until 2026-06-01 --stream yandex-mail
  trailkeeper hold list
  trailkeeper hold release 2026/17

What is held is kept until its case is released.";

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Action {
    /// Keep everything of a span until the case is released
    Add(AddArguments),
    /// Show what is held
    List(ListArguments),
    /// End what is held for a case
    Release(ReleaseArguments),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct AddArguments {
    /// What it is for, such as the number of an inquiry
    #[arg(value_name = "CASE", value_parser = NonEmptyStringValueParser::new())]
    case: String,

    /// Only records of this time or later: a time, a date, or an age such as 36h
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,

    /// Only records before this time, which is not included
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,

    /// Why, or for whom: it is kept with the hold
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    note: Option<String>,

    #[command(flatten)]
    selection: Selection,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct ListArguments {
    #[command(flatten)]
    selection: Selection,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct ReleaseArguments {
    /// The case, as `hold add` was given it
    #[arg(value_name = "CASE", value_parser = NonEmptyStringValueParser::new())]
    case: String,

    #[command(flatten)]
    selection: Selection,
}

/// What is held, as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    streams: &'a [ShownStream],
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct ShownStream {
    stream: &'static str,
    /// How many holds were placed or released.
    changed: u64,
    /// None where they are not known.
    holds: Vec<Hold>,
    problem: Option<String>,
    #[serde(skip)]
    is_locked: bool,
}

impl Arguments {
    pub(super) fn selection(&self) -> &Selection {
        match &self.action {
            Action::Add(AddArguments { selection, .. })
            | Action::List(ListArguments { selection })
            | Action::Release(ReleaseArguments { selection, .. }) => selection,
        }
    }

    /// Returns where the path of `--env-file` is kept.
    pub(super) fn settings(&mut self) -> &mut SettingsArguments {
        match &mut self.action {
            Action::Add(AddArguments { selection, .. })
            | Action::List(ListArguments { selection })
            | Action::Release(ReleaseArguments { selection, .. }) => &mut selection.settings,
        }
    }

    /// Returns whether the result is printed as JSON.
    pub(super) fn is_json(&self) -> bool {
        self.selection().json
    }
}

/// Places, shows or releases holds.
pub(crate) async fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let new = match &arguments.action {
        Action::Add(arguments) => Some(arguments.hold(clock())?),
        Action::List(_) | Action::Release(_) => None,
    };
    let archives = Archives::find(arguments.selection(), clock)?;
    let evidence = match arguments.action {
        Action::List(_) => None,
        Action::Add(_) | Action::Release(_) => evidence(&archives.env)?,
    };
    let now = clock();
    let act = |place: &StreamPlace| -> Result<u64, HoldsError> {
        let stream = place.kind.name;
        match (&arguments.action, &new) {
            (Action::Add(_), Some(hold)) => add(place, hold.clone(), now),
            (Action::Release(ReleaseArguments { case, .. }), _) => Holds::release(&place.location, stream, case, now),
            _ => Ok(0),
        }
    };
    let streams: Vec<_> = archives.streams.iter().map(|place| shown(place, act(place))).collect();
    if let Action::Release(ReleaseArguments { case, .. }) = &arguments.action {
        check_released(case, &streams)?;
    }
    // It is held already; the evidence says so from now on.
    let sealed = sealing::seal(evidence, archives.streams, now).await;
    let exit = exit_of(&streams).max(sealed);
    show(arguments.selection(), &streams, exit)?;
    Ok(exit)
}

impl AddArguments {
    fn hold(&self, now: DateTime<Utc>) -> Result<Hold, CommandError> {
        let [since, until] = [self.since, self.until].map(|time| time.map(|time| time.resolve(now)));
        range(
            since.unwrap_or(DateTime::<Utc>::MIN_UTC),
            until.unwrap_or(DateTime::<Utc>::MAX_UTC),
        )?;
        Ok(Hold {
            case: self.case.clone(),
            since,
            until,
            note: self.note.clone(),
            at: now,
        })
    }
}

/// Reads the settings of the evidence, if there are any: what is held is sealed at once.
fn evidence(env: &Env) -> Result<Option<EvidenceSettings>, CommandError> {
    let mut errors = ConfigErrors::default();
    let settings = EvidenceSettings::read(env, &mut errors);
    if errors.is_empty() {
        Ok(settings.map(|settings| EvidenceSettings {
            every: TimeDelta::zero(),
            ..settings
        }))
    } else {
        Err(errors.into())
    }
}

/// Places a hold. What was deleted before is not held, and is not lost.
fn add(place: &StreamPlace, hold: Hold, now: DateTime<Utc>) -> Result<u64, HoldsError> {
    if let Err(error) = settle(place, now)
        && !error.is_held()
    {
        tracing::warn!(
            stream = place.name(),
            "days that were being deleted may be told as lost: {error}"
        );
    }
    Holds::add(&place.location, place.kind.name, hold).map(u64::from)
}

fn shown(place: &StreamPlace, changed: Result<u64, HoldsError>) -> ShownStream {
    let stream = place.name();
    let read = changed.and_then(|changed| Ok((changed, Holds::read(&place.location, place.kind.name)?)));
    match read {
        Ok((changed, holds)) => ShownStream {
            stream,
            changed,
            holds: holds.iter().cloned().collect(),
            problem: None,
            is_locked: false,
        },
        Err(error) => ShownStream {
            stream,
            changed: 0,
            holds: Vec::new(),
            is_locked: error.is_held(),
            problem: Some(error.to_string()),
        },
    }
}

/// Errors if nothing was held for a case: its name may have been mistyped.
fn check_released(case: &str, streams: &[ShownStream]) -> Result<(), CommandError> {
    if streams
        .iter()
        .all(|stream| stream.changed == 0 && stream.problem.is_none())
    {
        let case = printable(case);
        let problem = format!("nothing is held for the case {case}: `trailkeeper hold list` shows what is");
        return Err(CommandError::usage(problem));
    }
    Ok(())
}

fn exit_of(streams: &[ShownStream]) -> Exit {
    let of_stream = |stream: &ShownStream| exit_of_stream(stream.is_locked, stream.problem.is_some());
    streams.iter().map(of_stream).max().unwrap_or(Exit::Complete)
}

fn show(selection: &Selection, streams: &[ShownStream], exit: Exit) -> Result<(), CommandError> {
    for stream in streams {
        log_problems(selection.verbosity, stream.stream, &stream.problem);
    }
    if selection.json {
        let exit_code = exit as u8;
        print_json(selection.settings.organization(), &Shown { streams, exit_code })?;
    } else {
        print_text(selection.verbosity, || text(streams))?;
    }
    Ok(())
}

fn text(streams: &[ShownStream]) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("CASE"),
        left("SINCE"),
        left("UNTIL"),
        left("PLACED"),
        left("NOTE"),
    ]);
    for stream in streams {
        for hold in &stream.holds {
            let time = |time: Option<DateTime<Utc>>| Cell::from(time.map_or_else(|| "-".to_owned(), to_the_second));
            table.row([
                Cell::from(stream.stream),
                printable(&hold.case).into_owned().into(),
                time(hold.since),
                time(hold.until),
                time(Some(hold.at)),
                printable(hold.note.as_deref().unwrap_or_default()).into_owned().into(),
            ]);
        }
    }
    let problems = streams.iter().filter_map(|stream| {
        let problem = stream.problem.as_ref()?;
        Some(format!("{}: {problem}\n", stream.stream))
    });
    let problems: String = problems.collect();
    let is_held = streams.iter().any(|stream| !stream.holds.is_empty());
    if is_held {
        format!("{table}{problems}")
    } else if problems.is_empty() {
        "nothing is held\n".to_owned()
    } else {
        problems
    }
}
