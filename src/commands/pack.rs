//! `trailkeeper pack`: compresses the files of days that are closed. It holds the lock of a stream while it works there.
//!
//! `docs/json.md` has the form of `--json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::age::Age;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_streams, print_text};
use crate::archive::{Listing, Lock, Packer};
use crate::config::StreamPlace;
use crate::coverage::{Standing, Wanted, day_span};
use crate::forward::not_passed;
use crate::output::table::{Cell, Table, left, right, size};
use crate::process::exit::Exit;

/// Younger days are not closed: records come late, and gaps are filled.
const YOUNGEST: TimeDelta = TimeDelta::days(2);

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Only days that ended this long ago; at least 2d
    #[arg(long, value_name = "AGE", default_value = "90d")]
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
    left: Vec<LeftDay>,
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

/// A day that is old enough, and was not packed.
#[derive(Debug, Serialize)]
struct LeftDay {
    date: NaiveDate,
    reason: String,
}

/// Packs the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let Arguments {
        older_than: Age(older_than),
        dry_run,
        selection,
    } = arguments;
    if *older_than < YOUNGEST {
        return Err(CommandError::usage(
            "--older-than must be at least 2d: younger days are not closed",
        ));
    }
    let archives = Archives::find(selection, clock)?;
    let now = clock();
    let streams = archives.streams.iter();
    let streams: Vec<_> = streams.map(|place| pack(place, now, *older_than, *dry_run)).collect();
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

fn exit_of(stream: &ShownStream) -> Exit {
    match (&stream.problem, stream.is_locked) {
        (None, _) => Exit::Complete,
        (Some(_), true) => Exit::Locked,
        (Some(_), false) => Exit::StreamFailed,
    }
}

fn pack(place: &StreamPlace, now: DateTime<Utc>, older_than: TimeDelta, dry_run: bool) -> ShownStream {
    let mut shown = ShownStream {
        stream: place.kind.name,
        ..ShownStream::default()
    };
    let lock = if dry_run {
        None
    } else {
        match Lock::acquire_between_runs(&place.location) {
            Ok(lock) => Some(lock),
            Err(error) => {
                shown.is_locked = error.is_held();
                shown.problem = Some(error.to_string());
                return shown;
            }
        }
    };
    if let Err(problem) = pack_under(lock, place, now, older_than, &mut shown) {
        shown.problem = Some(problem);
    }
    shown
}

fn pack_under(
    lock: Option<Lock>,
    place: &StreamPlace,
    now: DateTime<Utc>,
    older_than: TimeDelta,
    shown: &mut ShownStream,
) -> Result<(), String> {
    let packer = lock.map(Packer::under);
    if let Some(packer) = &packer {
        let listing = place.location.listing().map_err(|error| error.to_string())?;
        packer.finish(&listing).map_err(|error| error.to_string())?;
    }
    let closed = ClosedDays::read(place, now, older_than)?;
    for (date, reason) in closed.days {
        if let Some(reason) = reason {
            shown.left.push(LeftDay { date, reason });
            continue;
        }
        let Some(plain) = closed.listing.days.get(&date) else {
            continue;
        };
        let packed = closed.listing.packed.get(&date);
        let Some(packer) = &packer else {
            let bytes = plain.length().map_err(|error| error.to_string())?;
            let packed_bytes = None;
            shown.days.push(ShownDay {
                date,
                bytes,
                packed_bytes,
            });
            continue;
        };
        match packer.pack(plain, packed) {
            Ok(packed) => shown.days.push(ShownDay {
                date,
                bytes: packed.bytes,
                packed_bytes: Some(packed.packed_bytes),
            }),
            Err(error) => return Err(format!("{}: {error}", plain.name())),
        }
    }
    Ok(())
}

/// The days of a stream that are old enough and have a plain file, with the reason why one is not to be packed.
struct ClosedDays {
    listing: Arc<Listing>,
    days: BTreeMap<NaiveDate, Option<String>>,
}

impl ClosedDays {
    fn read(place: &StreamPlace, now: DateTime<Utc>, older_than: TimeDelta) -> Result<Self, String> {
        let wanted = Wanted::Stream(place.kind.name);
        let standing = Standing::read(&place.location, wanted, place.keep, now).map_err(|error| error.to_string())?;
        let waiting = not_passed(&place.location, place.kind.name).map_err(|error| error.to_string())?;
        let gaps = standing.sum.gaps(place.kind.retention, now);
        let reason = |date: NaiveDate| {
            let day = day_span(date);
            let is_touched = gaps
                .iter()
                .filter(|gap| !gap.is_gone)
                .any(|gap| gap.span().from < day.to && day.from < gap.span().to);
            let other = standing
                .listing
                .packed
                .get(&date)
                .filter(|file| !file.is_packed_by_us());
            if is_touched || standing.sum.lost.contains_key(&date) {
                Some("it has a gap that can still be filled".to_owned())
            } else if let Some(sink) = waiting.get(&date) {
                Some(format!("it is not all forwarded to {sink}"))
            } else {
                other.map(|file| format!("another program has compressed it to {}", file.name()))
            }
        };
        let days = standing.listing.days.values().filter(|file| {
            let is_over = day_span(file.date).to + older_than <= now;
            is_over && file.length().is_ok_and(|length| length > 0)
        });
        Ok(Self {
            days: days.map(|file| (file.date, reason(file.date))).collect(),
            listing: standing.listing,
        })
    }
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
        for LeftDay { date, reason } in &stream.left {
            notes += &format!("{}: {date} is left: {reason}\n", stream.stream);
        }
        if let Some(problem) = &stream.problem {
            notes += &format!("{}: {problem}\n", stream.stream);
        }
    }
    let end = if dry_run { "nothing was written\n" } else { "" };
    format!("{table}{notes}{end}")
}
