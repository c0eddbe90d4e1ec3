//! `trailkeeper search`: finds records in the day files. It takes no lock, needs no token and writes nothing.
//!
//! Exit codes as grep has them: 0 found, 1 nothing found, 2 for everything else.

mod form;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use ipnet::IpNet;

use super::archives::Archives;
use super::arguments::range::range;
use super::arguments::selection::Selection;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use crate::output::progress::ReadProgress;
use crate::output::terminal::{stdout_is_terminal, stdout_takes_colours};
use crate::process::exit::Exit;
use crate::search::{Field, Filter, Finder, Manner, Order, Place, Pointer, Query};
use crate::source::{Kind, ReadRow};
use form::{Form, Printer};

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

    /// Who did it: any of the names and ids that a record has for that
    ///
    /// This option and those that follow can be repeated, and then one of the values is enough; all options have to match. A
    /// value is the whole text; `*` stands for any characters, `?` for one, and a backslash takes the meaning from these and from another backslash.
    #[arg(long, value_name = "TEXT")]
    user: Vec<String>,

    /// What happened
    #[arg(long, value_name = "TEXT")]
    event: Vec<String>,

    /// The network address that it came from, or its network: 192.0.2.7, 2001:db8::/32
    #[arg(long, value_name = "CIDR", value_parser = network)]
    ip: Vec<IpNet>,

    /// What it was done to: subject or message id of a mail, path, entity or its blueprint, workspace, …
    #[arg(long, value_name = "TEXT")]
    object: Vec<String>,

    /// The id that the service gave the record
    #[arg(long, value_name = "TEXT")]
    id: Vec<String>,

    /// A part of any value, wherever it stands
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,

    /// The value at a JSON pointer (RFC 6901), as in /trigger/origin=UI; those of one pointer are alternatives
    #[arg(long = "where", value_name = "POINTER=VALUE", value_parser = pointer_and_value)]
    places: Vec<(String, String)>,

    /// Values are regular expressions, which match anywhere in a text
    #[arg(long)]
    regex: bool,

    /// Upper and lower case are the same
    #[arg(short, long)]
    ignore_case: bool,

    /// Only what failed, by the word that the record has for how it ended
    #[arg(long)]
    failed: bool,

    /// The records of the time that do not match
    #[arg(long)]
    invert: bool,

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

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
    network.ok_or_else(|| "expected an address or a network, such as 192.0.2.7 or 2001:db8::/32".to_owned())
}

/// Splits at the first `=` behind the pointer; a key with one cannot be named.
fn pointer_and_value(text: &str) -> Result<(String, String), String> {
    let (pointer, value) = text
        .split_once('=')
        .ok_or("expected a JSON pointer and a value, as in /trigger/origin=UI")?;
    pointer.parse::<Pointer>().map_err(|error| error.to_string())?;
    Ok((pointer.to_owned(), value.to_owned()))
}

impl Arguments {
    fn query(&self, now: DateTime<Utc>) -> Result<Query, CommandError> {
        let resolve = |time: Option<TimeArg>, default| time.map_or(default, |time| time.resolve(now));
        let since = resolve(self.since, DateTime::<Utc>::MIN_UTC);
        let until = resolve(self.until, DateTime::<Utc>::MAX_UTC);
        Ok(Query {
            times: range(since, until).map_err(CommandError::usage)?,
            filters: self.filters()?,
            is_inverted: self.invert,
            ignores_case: self.ignore_case,
        })
    }

    fn filters(&self) -> Result<Vec<Filter>, CommandError> {
        let manner = Manner {
            is_regex: self.regex,
            ignores_case: self.ignore_case,
        };
        let texts = [
            ("--user", Field::User, &self.user),
            ("--event", Field::Event, &self.event),
            ("--object", Field::Object, &self.object),
            ("--id", Field::Id, &self.id),
            ("--text", Field::Text, &self.text),
        ];
        let mut filters = Vec::new();
        for (option, field, texts) in texts.into_iter().filter(|(.., texts)| !texts.is_empty()) {
            filters.push(filter(option, field, texts, manner)?);
        }
        let mut pointers: Vec<&str> = self.places.iter().map(|(pointer, _)| pointer.as_str()).collect();
        pointers.sort_unstable();
        pointers.dedup();
        for pointer in pointers {
            let places = self.places.iter().filter(|(at, _)| at == pointer);
            let values: Vec<_> = places.map(|(_, value)| value.clone()).collect();
            let field = Field::Pointer(pointer.parse().map_err(CommandError::usage)?);
            filters.push(filter("--where", field, &values, manner)?);
        }
        if self.failed {
            filters.push(Filter::Failed);
        }
        if !self.ip.is_empty() {
            filters.push(Filter::Address(self.ip.clone()));
        }
        Ok(filters)
    }

    fn form(&self, with_colours: bool) -> Form {
        let Selection { json, verbosity, .. } = &self.selection;
        match self {
            Self { csv: true, bom, .. } => Form::Csv {
                is_for_excel: *bom,
                is_for_terminal: stdout_is_terminal(),
            },
            Self { count: true, .. } => Form::Count,
            Self { files: true, .. } => Form::Files,
            Self { table: true, .. } => Form::Table { with_colours },
            _ if *json => Form::Lines {
                is_for_terminal: stdout_is_terminal(),
            },
            _ if verbosity.quiet => Form::Nothing,
            _ if stdout_is_terminal() => Form::Table { with_colours },
            _ => Form::Lines { is_for_terminal: false },
        }
    }
}

fn filter(option: &str, field: Field, texts: &[String], manner: Manner) -> Result<Filter, CommandError> {
    Filter::of(field, texts, manner).map_err(|error| CommandError::usage(format!("{option}: {error}")))
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
    };
    let places = archives.streams.iter().map(|place| Place {
        kind: place.kind,
        location: &place.location,
    });
    let files = finder.files(places);
    // What is found would run into the line of the progress.
    let progress = if stdout_is_terminal() {
        ReadProgress::hidden()
    } else {
        archives.reading_bytes("search", files.bytes())
    };
    let mut printer = Printer::new(form, arguments.limit);
    files.problems.iter().for_each(|problem| printer.fail(problem));
    let render = |kind: &Kind, line: &str, record: &ReadRow, text: &mut String| form.render(kind, line, record, text);
    finder.find(&files, &progress, render, |found| printer.take(&found));
    drop(progress);
    Ok(printer.end()?)
}
