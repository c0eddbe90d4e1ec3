//! `trailkeeper search`: finds records in the day files. It takes no lock, needs no token and writes nothing.
//!
//! Exit codes as grep has them: 0 found, 1 nothing found, 2 for everything else.

mod form;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};

use super::archives::Archives;
use super::arguments::filters::Filters;
use super::arguments::range::range;
use super::arguments::selection::Selection;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use crate::output::csv::Csv;
use crate::output::progress::ReadProgress;
use crate::output::terminal::{stdout_is_terminal, stdout_takes_colours, stdout_width};
use crate::process::exit::Exit;
use crate::search::{Files, Finder, Order, Place, Query};
use crate::source::{Kind, ReadRow};
use form::{Form, Printer, widths, widths_of_many};

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper search --since 7d --user a.petrova@example.org
  trailkeeper search --event message_receive --object '*k3@calendar.example.org*' --csv    who got this mail
  trailkeeper search --stream yandex-audit --since 7d --event '*login*' --failed           failed sign-ins
  trailkeeper search --since 2025-06-09 --until 2025-06-10 --ip 192.0.2.0/24 --count
  trailkeeper search --where /trigger/origin=UI --where /trigger/origin=API --event '*DELETE'
  trailkeeper search --text billing --newest-first --limit 20 --json

Exit codes: 0 found, 1 nothing found, 2 for everything else.";

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(group = ArgGroup::new("form").args(["json", "csv", "table", "count", "files"]))]
pub(crate) struct Arguments {
    /// Only records of this time or later: a time, a date, or an age such as 36h
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,

    /// Only records before this time, which is not included
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,

    #[command(flatten)]
    filters: Filters,

    /// The newest days and lines first
    #[arg(long)]
    newest_first: bool,

    /// No more than this many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Print comma-separated values (RFC 4180): time, stream, event, user, address, object, id, failure
    #[arg(long)]
    csv: bool,

    /// CSV for Excel: a byte-order mark, by which it knows UTF-8, and a `'` before what it would take for a formula
    #[arg(long, requires = "csv", conflicts_with_all = ["table", "count", "files"])]
    bom: bool,

    /// Print a table, also where stdout is no terminal
    #[arg(long)]
    table: bool,

    /// Print only how many records match
    #[arg(long)]
    count: bool,

    /// Print only the files that have a record that matches
    #[arg(long)]
    files: bool,

    #[command(flatten)]
    pub(super) selection: Selection,
}

impl Arguments {
    fn query(&self, now: DateTime<Utc>) -> Result<Query, CommandError> {
        let resolve = |time: Option<TimeArg>, default| time.map_or(default, |time| time.resolve(now));
        let since = resolve(self.since, DateTime::<Utc>::MIN_UTC);
        let until = resolve(self.until, DateTime::<Utc>::MAX_UTC);
        let times = range(since, until).map_err(CommandError::usage)?;
        self.filters.query(times).map_err(CommandError::usage)
    }

    fn form(&self, with_colours: bool) -> Form {
        let Selection { json, verbosity, .. } = &self.selection;
        let table = || Form::Table {
            with_colours,
            widths: match self.selection.settings.organization() {
                Some(_) => widths_of_many(stdout_width()),
                None => widths(stdout_width()),
            },
        };
        match self {
            Self { csv: true, bom, .. } => Form::Csv {
                csv: if *bom { Csv::ForExcel } else { Csv::Plain },
                is_for_terminal: stdout_is_terminal(),
            },
            Self { count: true, .. } => Form::Count,
            Self { files: true, .. } => Form::Files,
            Self { table: true, .. } => table(),
            _ if *json => Form::Lines {
                is_for_terminal: stdout_is_terminal(),
            },
            _ if verbosity.quiet => Form::Nothing,
            _ if stdout_is_terminal() => table(),
            _ => Form::Lines { is_for_terminal: false },
        }
    }
}

/// Searches the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let query = arguments.query(clock())?;
    let archives = Archives::find_showing(&arguments.selection, clock)?;
    let form = arguments.form(stdout_takes_colours(archives.env.allows_colours()));
    let finder = Finder {
        query: &query,
        order: if arguments.newest_first {
            Order::NewestFirst
        } else {
            Order::OldestFirst
        },
        limit: arguments.limit,
        checks_all: false,
        shutdown: None,
    };
    let places = archives.streams.iter().map(|place| Place {
        kind: place.kind,
        location: &place.location,
    });
    let files = Files::list(&query.times, finder.order, places);
    // What is found would run into the line of the progress.
    let progress = if stdout_is_terminal() {
        ReadProgress::hidden()
    } else {
        archives.reading_bytes("search", files.bytes())
    };
    let settings = &arguments.selection.settings;
    let organization = settings.organization();
    let mut printer = Printer::new(form, arguments.limit).of(organization);
    if settings.is_after_another() {
        printer = printer.without_head();
    }
    files
        .problems
        .iter()
        .for_each(|unsearched| printer.fail(&unsearched.problem));
    let render = |kind: &Kind, line: &str, record: &ReadRow, text: &mut String| {
        form.render((organization, kind), line, record, text)
    };
    finder.find(&files, &progress, render, |found| printer.take(&found));
    drop(progress);
    Ok(printer.end()?)
}
