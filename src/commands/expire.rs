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
use super::outcome::{OddDay, log_problems, print_streams, print_text};
use crate::archive::Lock;
use crate::config::{EXPIRE_AFTER_DAYS, EvidenceSettings, StreamPlace, expire_after};
use crate::env::{ConfigErrors, Env, Row};
use crate::output::table::{Cell, Table, left, right, size};
use crate::output::terminal::Terminal;
use crate::process::exit::Exit;
use crate::upkeep::expiring::{self, ExpiryPlan, ExpiryRule};
use crate::upkeep::{UpkeepError, YOUNGEST};

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

    #[command(flatten)]
    pub(super) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper expire --older-than 3y --dry-run
  trailkeeper expire --older-than 3y --stream tfc --yes

What is deleted is gone: the service has mostly forgotten it. `trailkeeper hold` keeps what is needed.";

/// What was done with a stream, as JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct ShownStream {
    stream: &'static str,
    days: Vec<ShownDay>,
    left: Vec<OddDay>,
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
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let Arguments {
        dry_run,
        yes,
        selection,
        ..
    } = arguments;
    let (archives, (older_than, evidence)) =
        Archives::find_for(selection, clock, |env, faults| settings(arguments, env, faults))?;
    let rule = ExpiryRule {
        older_than,
        now: clock(),
        evidence: evidence.as_ref(),
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
    let works = if *dry_run {
        found
    } else {
        if !yes {
            ask(&found)?;
        }
        let mut works: Vec<_> = begin(false).collect();
        for (index, work) in works.iter_mut().enumerate() {
            work.carry_out(&rule, found.get(index));
        }
        works
    };
    let streams: Vec<_> = works.into_iter().map(|work| work.shown).collect();
    let exit = streams.iter().map(exit_of).max().unwrap_or(Exit::Complete);
    for stream in &streams {
        log_problems(selection.verbosity, stream.stream, &stream.problem);
    }
    if selection.json {
        print_streams(&streams, exit)?;
    } else {
        print_text(selection.verbosity, || text(&streams, *dry_run))?;
    }
    Ok(exit)
}

fn settings(arguments: &Arguments, env: &Env, faults: &mut Faults) -> Option<(TimeDelta, Option<EvidenceSettings>)> {
    let evidence = EvidenceSettings::read(env, &mut faults.settings);
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

/// Asks whether the days are to be deleted that were found.
fn ask(works: &[Work<'_>]) -> Result<(), CommandError> {
    let days: usize = works.iter().map(|work| work.shown.days.len()).sum();
    if days == 0 {
        return Ok(());
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
    match answer.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CommandError::usage("nothing was deleted")),
    }
}

impl ShownStream {
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
            shown: ShownStream {
                stream: place.kind.name,
                ..ShownStream::default()
            },
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
        match rule.plan(place) {
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
    match (&stream.problem, stream.is_locked) {
        (None, _) => Exit::Complete,
        (Some(_), true) => Exit::Locked,
        (Some(_), false) => Exit::StreamFailed,
    }
}

fn text(streams: &[ShownStream], dry_run: bool) -> String {
    let mut table = Table::new([left("STREAM"), right("DAYS"), right("BYTES"), right("LEFT")]);
    let mut notes = String::new();
    for stream in streams {
        table.row([
            Cell::from(stream.stream),
            stream.days.len().to_string().into(),
            size(stream.days.iter().map(|day| day.stored_bytes).sum()).into(),
            stream.left.len().to_string().into(),
        ]);
        for OddDay { date, reason } in &stream.left {
            notes += &format!("{}: {date} is left: {reason}\n", stream.stream);
        }
        if let Some(problem) = &stream.problem {
            notes += &format!("{}: {problem}\n", stream.stream);
        }
    }
    let end = if dry_run { "nothing was deleted\n" } else { "" };
    format!("{table}{notes}{end}")
}
