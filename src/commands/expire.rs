//! `trailkeeper expire`: deletes days for their age, oldest first. It holds the lock of a stream while it works there.
//!
//! `docs/json.md` has the form of `--json`.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::age::Age;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::faults::Faults;
use super::outcome::{OddDay, exit_of_stream, log_problems, print_streams, print_text};
use super::sealing;
use crate::archive::Lock;
use crate::config::{EXPIRE_AFTER_DAYS, EvidenceSettings, StreamPlace, expire_after};
use crate::env::{ConfigErrors, Env, Row};
use crate::output::table::{Cell, Table, left, right, size};
use crate::output::terminal::Terminal;
use crate::process::exit::Exit;
use crate::upkeep::ExpiryRule;
use crate::upkeep::expiring::{self, ExpiryPlan};
use crate::upkeep::{Limit, UpkeepError, YOUNGEST, taking_back};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Only days that ended this long ago, such as 3y; at least 2d. EXPIRE_AFTER_DAYS says it otherwise
    #[arg(long, value_name = "AGE", allow_hyphen_values = true)]
    older_than: Option<Age>,

    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask on the terminal
    #[arg(long)]
    yes: bool,

    /// Delete days of an archive that was sealed, where sealing is switched off for good
    #[arg(long)]
    unsealed: bool,

    /// Delete nothing: forget that days from this one on were deleted, as by a clock that was ahead, so that they are asked for again
    #[arg(long, value_name = "DATE", conflicts_with_all = ["older_than", "dry_run", "yes", "unsealed"])]
    take_back: Option<NaiveDate>,

    #[command(flatten)]
    pub(super) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper expire --older-than 3y --dry-run
  trailkeeper expire --older-than 3y --stream tfc --yes
  trailkeeper expire --take-back 2026-11-01 --stream tfc   after a clock that was ahead

What is deleted is gone: the service has mostly forgotten it. `trailkeeper hold` keeps what is needed.";

/// What was done with a stream, as JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct ShownStream {
    stream: &'static str,
    days: Vec<ShownDay>,
    left: Vec<OddDay>,
    taken_back: u64,
    problem: Option<String>,
    #[serde(skip)]
    is_locked: bool,
}

#[derive(Debug, Serialize)]
struct ShownDay {
    date: NaiveDate,
    stored_bytes: u64,
}

/// A stream that is worked on.
struct Work<'a> {
    place: &'a StreamPlace,
    /// None in a dry run.
    lock: Option<Arc<Lock>>,
    plan: Option<ExpiryPlan>,
    shown: ShownStream,
}

/// Deletes the days of the chosen streams that are old enough.
pub(crate) async fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    if let Some(from) = arguments.take_back {
        return take_back(&arguments.selection, from, clock);
    }
    let Arguments {
        dry_run,
        yes,
        unsealed,
        selection,
        ..
    } = arguments;
    let (archives, (older_than, evidence)) =
        Archives::find_for(selection, clock, |env, faults| settings(arguments, env, faults))?;
    if let Some(evidence) = evidence.as_ref().filter(|_| !dry_run) {
        sealing::ask(evidence, clock()).await?;
    }
    let rule = ExpiryRule {
        older_than,
        now: clock(),
        evidence: evidence.as_ref(),
        unsealed: *unsealed,
    };
    let begin = |dry_run| {
        archives
            .streams
            .iter()
            .map(move |place| Work::begin(place, &rule, dry_run))
    };
    // Nothing is locked while somebody thinks about it.
    let found: Vec<_> = if *yes && !dry_run {
        Vec::new()
    } else {
        begin(true).collect()
    };
    let is_refused = !dry_run && !yes && !ask(&found)?;
    let works = if *dry_run {
        found
    } else if is_refused {
        found.into_iter().map(Work::left_as_it_is).collect()
    } else {
        let mut works: Vec<_> = begin(false).collect();
        for (index, work) in works.iter_mut().enumerate() {
            work.carry_out(&rule, found.get(index));
        }
        works
    };
    let streams = works.into_iter().map(|work| work.shown).collect();
    show(selection, streams, *dry_run || is_refused)
}

fn show(selection: &Selection, streams: Vec<ShownStream>, is_undone: bool) -> Result<Exit, CommandError> {
    let exit = streams.iter().map(exit_of).max().unwrap_or(Exit::Complete);
    for stream in &streams {
        log_problems(selection.verbosity, stream.stream, &stream.problem);
    }
    if selection.json {
        print_streams(selection.settings.organization(), &streams, exit)?;
    } else {
        print_text(selection.verbosity, || text(&streams, is_undone))?;
    }
    Ok(exit)
}

/// Forgets that days from this one on were deleted.
fn take_back(selection: &Selection, from: NaiveDate, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let archives = Archives::find(selection, clock)?;
    let streams = archives.streams.iter().map(|place| {
        let mut shown = ShownStream::of(place);
        match taking_back::take_back(place, from, clock()) {
            Ok(days) => shown.taken_back = days,
            Err(error) => shown.fail(&error),
        }
        shown
    });
    show(selection, streams.collect(), true)
}

fn settings(arguments: &Arguments, env: &Env, faults: &mut Faults) -> Option<(TimeDelta, Option<EvidenceSettings>)> {
    let evidence = EvidenceSettings::read(env, &mut faults.settings);
    if arguments.unsealed && evidence.is_some() {
        faults.arguments.add(
            "--unsealed",
            "is for an archive that is not sealed any more, and sealing is on",
        );
    }
    let mut of_age = ConfigErrors::default();
    let by_setting = expire_after(env, &mut of_age);
    let is_set = by_setting.is_some() || !of_age.is_empty();
    faults.settings.append(of_age);
    match arguments.older_than.map(|Age(age)| age) {
        Some(age) if age < YOUNGEST => {
            let problem = "must be at least 2d: younger days are not closed";
            faults.arguments.add("--older-than", problem);
        }
        None if !is_set => {
            let name = format!("--older-than or {}", EXPIRE_AFTER_DAYS.name());
            faults
                .arguments
                .add(name, "must say how old the days are that are to be deleted");
        }
        age => return Some((age.or(by_setting)?, evidence)),
    }
    None
}

/// Asks whether the days are to be deleted that were found, and returns the answer.
fn ask(works: &[Work<'_>]) -> Result<bool, CommandError> {
    let days: usize = works.iter().map(|work| work.shown.days.len()).sum();
    if days == 0 {
        return Ok(true);
    }
    let Some(terminal) = Terminal::of_this_process() else {
        return Err(CommandError::usage(format!(
            "{days} days would be deleted: --yes says so where no terminal can be asked"
        )));
    };
    let found = works.iter().filter_map(|work| {
        let (first, last) = (work.shown.days.first()?, work.shown.days.last()?);
        let (stream, count) = (work.shown.stream, work.shown.days.len());
        Some(format!("{stream}: {count} days from {} to {}\n", first.date, last.date))
    });
    let question = format!("{}Delete them for good? [y/N] ", found.collect::<String>());
    let answer = terminal.ask(&question).map_err(CommandError::setup)?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}

impl ShownStream {
    fn of(place: &StreamPlace) -> Self {
        Self {
            stream: place.name(),
            ..Self::default()
        }
    }

    fn fail(&mut self, error: &UpkeepError) {
        self.is_locked = error.is_held();
        self.problem = Some(error.to_string());
    }
}

impl<'a> Work<'a> {
    fn begin(place: &'a StreamPlace, rule: &ExpiryRule<'_>, dry_run: bool) -> Self {
        let mut work = Self {
            place,
            lock: None,
            plan: None,
            shown: ShownStream::of(place),
        };
        if !dry_run {
            match expiring::lock(place, rule.now) {
                Ok(lock) => work.lock = Some(lock),
                Err(error) => {
                    work.shown.fail(&error);
                    return work;
                }
            }
        }
        match rule.plan(place, Limit::NONE) {
            Ok(plan) => work.take(plan),
            Err(error) => work.shown.fail(&error),
        }
        work
    }

    fn take(&mut self, plan: ExpiryPlan) {
        let days = plan.days.iter().map(|(date, stored_bytes)| ShownDay {
            date: *date,
            stored_bytes: *stored_bytes,
        });
        self.shown.days = days.collect();
        self.shown.left = OddDay::all(&plan.left);
        self.plan = Some(plan);
    }

    /// Returns it with nothing deleted.
    fn left_as_it_is(mut self) -> Self {
        self.shown.days.clear();
        self
    }

    /// Deletes what is found; of what was `asked` about before, only that.
    fn carry_out(&mut self, rule: &ExpiryRule<'_>, asked: Option<&Self>) {
        let (Some(plan), Some(lock)) = (&mut self.plan, &self.lock) else {
            return;
        };
        if let Some(asked) = asked {
            let is_asked = |date: NaiveDate| asked.shown.days.iter().any(|day| day.date == date);
            plan.days.retain(|date, _| is_asked(*date));
            self.shown.days.retain(|day| is_asked(day.date));
        }
        match rule.carry_out(self.place, plan, lock) {
            Ok(expired) => {
                // Something may have been placed in hold meanwhile.
                self.shown.days.retain(|day| plan.days.contains_key(&day.date));
                self.shown.left = OddDay::all(&plan.left);
                for day in expired {
                    tracing::info!(
                        stream = self.shown.stream,
                        file = day.file,
                        lines = day.lines,
                        "deleted for its age"
                    );
                }
            }
            Err(error) => {
                // What is there is not deleted.
                let there = self
                    .place
                    .location
                    .listing()
                    .map(|listing| listing.dates())
                    .unwrap_or_default();
                self.shown.days.retain(|day| !there.contains(&day.date));
                self.shown.fail(&error);
            }
        }
    }
}

fn exit_of(stream: &ShownStream) -> Exit {
    exit_of_stream(stream.is_locked, stream.problem.is_some())
}

fn text(streams: &[ShownStream], is_undone: bool) -> String {
    let mut table = Table::new([left("STREAM"), right("DAYS"), right("BYTES"), right("LEFT")]);
    let mut notes = String::new();
    for stream in streams {
        table.row([
            Cell::from(stream.stream),
            stream.days.len().to_string().into(),
            size(stream.days.iter().map(|day| day.stored_bytes).sum()).into(),
            stream.left.len().to_string().into(),
        ]);
        notes += &OddDay::left_lines(stream.stream, &stream.left);
        if stream.taken_back > 0 {
            let days = stream.taken_back;
            notes += &format!(
                "{}: {days} days are asked for again, as far as the service has them\n",
                stream.stream
            );
        }
        if let Some(problem) = &stream.problem {
            notes += &format!("{}: {problem}\n", stream.stream);
        }
    }
    let end = if is_undone { "nothing was deleted\n" } else { "" };
    format!("{table}{notes}{end}")
}
