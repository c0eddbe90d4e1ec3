//! `trailkeeper pack`: compresses the files of days that are closed. It holds the lock of a stream while it works there.
//!
//! `docs/json.md` has the form of `--json`.

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::age::Age;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{OddDay, exit_of_stream, log_problems, print_streams, print_text};
use crate::archive::{Lock, Packer};
use crate::config::StreamPlace;
use crate::output::table::{Cell, Table, left, right, size};
use crate::process::exit::Exit;
use crate::upkeep::packing::{PackPlan, PackRule, Packed};
use crate::upkeep::{Limit, UpkeepError, YOUNGEST};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Only days that ended this long ago; at least 2d
    #[arg(long, value_name = "AGE", default_value = "90d", allow_hyphen_values = true)]
    older_than: Age,

    /// Say what would be packed, and write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    pub(super) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper pack --dry-run
  trailkeeper pack --older-than 30d --stream tfc

`trailkeeper unpack` is the way back.";

/// What was done with a stream, as JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct ShownStream {
    stream: &'static str,
    days: Vec<ShownDay>,
    /// Those that are old enough, and are not to be packed.
    left: Vec<OddDay>,
    /// Those that cannot be packed, although they are to be.
    failed: Vec<OddDay>,
    problem: Option<String>,
    #[serde(skip)]
    is_locked: bool,
}

#[derive(Debug, Serialize)]
struct ShownDay {
    date: NaiveDate,
    bytes: u64,
    packed_bytes: Option<u64>,
}

/// Packs the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let Arguments {
        older_than: Age(older_than),
        dry_run,
        selection,
    } = arguments;
    let (archives, ()) = Archives::find_for(selection, clock, |_, faults| {
        if *older_than < YOUNGEST {
            faults
                .arguments
                .add("--older-than", "must be at least 2d: younger days are not closed");
        }
        Some(())
    })?;
    let rule = PackRule {
        older_than: *older_than,
        now: clock(),
    };
    let streams = archives.streams.iter();
    let streams: Vec<_> = streams.map(|place| pack(place, rule, *dry_run)).collect();
    let exit = streams.iter().map(exit_of).max().unwrap_or(Exit::Complete);
    for stream in &streams {
        let failed = stream.failed.iter().map(|day| &day.reason);
        log_problems(selection.verbosity, stream.stream, failed.chain(&stream.problem));
    }
    if selection.json {
        print_streams(selection.settings.organization(), &streams, exit)?;
    } else {
        print_text(selection.verbosity, || text(&streams, *dry_run))?;
    }
    Ok(exit)
}

fn exit_of(stream: &ShownStream) -> Exit {
    exit_of_stream(stream.is_locked, stream.problem.is_some() || !stream.failed.is_empty())
}

fn pack(place: &StreamPlace, rule: PackRule, dry_run: bool) -> ShownStream {
    let mut shown = ShownStream {
        stream: place.name(),
        ..ShownStream::default()
    };
    let packed = if dry_run {
        would_pack(place, rule, &mut shown)
    } else {
        pack_all(place, rule, &mut shown)
    };
    if let Err(error) = packed {
        shown.is_locked = error.is_held();
        shown.problem = Some(error.to_string());
    }
    shown
}

fn would_pack(place: &StreamPlace, rule: PackRule, shown: &mut ShownStream) -> Result<(), UpkeepError> {
    let mut plan = rule.plan(place)?;
    shown.failed = OddDay::all(&plan.check());
    let days = plan.days.iter().map(|(date, bytes)| ShownDay {
        date: *date,
        bytes: *bytes,
        packed_bytes: None,
    });
    shown.days = days.collect();
    shown.left = OddDay::all(&plan.left);
    Ok(())
}

fn pack_all(place: &StreamPlace, rule: PackRule, shown: &mut ShownStream) -> Result<(), UpkeepError> {
    let packer = Packer::under(Lock::acquire_between_runs(&place.location, "pack", rule.now)?);
    packer.finish(&place.location.listing()?)?;
    let plan: PackPlan = rule.plan(place)?;
    shown.left = OddDay::all(&plan.left);
    let Packed {
        days, failed, ended, ..
    } = plan.carry_out(&packer, Limit::NONE, &|| false);
    let days = days.into_iter().map(|(date, day)| ShownDay {
        date,
        bytes: day.bytes,
        packed_bytes: Some(day.packed_bytes),
    });
    shown.days = days.collect();
    shown.failed = OddDay::all(&failed);
    ended.map_or(Ok(()), Err)
}

fn text(streams: &[ShownStream], dry_run: bool) -> String {
    let mut table = Table::new([
        left("STREAM"),
        right("DAYS"),
        right("BYTES"),
        right("PACKED"),
        right("LEFT"),
    ]);
    let mut notes = String::new();
    for stream in streams {
        let sum = |bytes: fn(&ShownDay) -> u64| Cell::from(size(stream.days.iter().map(bytes).sum()));
        table.row([
            Cell::from(stream.stream),
            stream.days.len().to_string().into(),
            sum(|day| day.bytes),
            sum(|day| day.packed_bytes.unwrap_or(0)),
            stream.left.len().to_string().into(),
        ]);
        notes += &OddDay::left_lines(stream.stream, &stream.left);
        for OddDay { reason, .. } in &stream.failed {
            notes += &format!("{}: {reason}\n", stream.stream);
        }
        if let Some(problem) = &stream.problem {
            notes += &format!("{}: {problem}\n", stream.stream);
        }
    }
    let end = if dry_run { "nothing was written\n" } else { "" };
    format!("{table}{notes}{end}")
}
