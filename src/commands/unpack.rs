//! `trailkeeper unpack`: the way back from `pack`, in place or to a folder of copies.
//!
//! `docs/json.md` has the form of `--json`.

use std::ops::Range;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use serde::Serialize;

use super::archives::Archives;
use super::arguments::range::{EmptyRangeError, range};
use super::arguments::selection::Selection;
use super::arguments::time::TimeArg;
use super::error::CommandError;
use super::faults::Faults;
use super::outcome::{OddDay, exit_of_stream, log_problems, print_streams, print_text};
use crate::archive::{Listing, Lock, Packer, content_of};
use crate::config::StreamPlace;
use crate::coverage::day_span;
use crate::fs::{FileError, NewFolder};
use crate::process::exit::Exit;
use crate::upkeep::UpkeepError;
use crate::upkeep::packing::is_of_all;
use crate::window::bound;

/// The mode of the copies; the folder is its owner's alone.
const MODE: u32 = 0o600;

/// What agents do with files that come to be in a folder that they tail.
const AGENTS: &str = "agents that tail these folders take the files for new ones, and send their lines again";

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Only days that hold this time or a later one: a time, a date, or an age such as 36h
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,

    /// Only days that begin before this time
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,

    /// Write copies to this folder, which is new or empty, and leave the archive as it is
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,

    #[command(flatten)]
    pub(super) selection: Selection,
}

impl Arguments {
    /// Returns whether it writes to another folder than the catalogs.
    pub(super) fn has_place(&self) -> bool {
        self.to.is_some()
    }
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper unpack --since 2026-03-01 --until 2026-04-01 --to march
  trailkeeper unpack --stream tfc

Without --to the day files are where they were before `pack`: agents that tail them send these days again.";

/// What was done with a stream, as JSON.
#[derive(Debug, Serialize)]
struct ShownStream {
    stream: &'static str,
    days: Vec<ShownDay>,
    /// Those that cannot be unpacked.
    failed: Vec<OddDay>,
    problem: Option<String>,
    #[serde(skip)]
    is_locked: bool,
}

#[derive(Debug, Serialize)]
struct ShownDay {
    date: NaiveDate,
    bytes: u64,
}

/// Unpacks days of the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let (now, selection) = (clock(), &arguments.selection);
    let (archives, (times, folder)) = Archives::find_for(selection, clock, |_, faults| arguments.read(now, faults))?;
    let streams = match folder {
        Some(folder) => copy_all(&archives.streams, folder, &times)?,
        None => archives
            .streams
            .iter()
            .map(|place| unpack(place, &times, now))
            .collect(),
    };
    let exit = streams.iter().map(exit_of).max().unwrap_or(Exit::Complete);
    for stream in &streams {
        let failed = stream.failed.iter().map(|day| &day.reason);
        log_problems(selection.verbosity, stream.stream, failed.chain(&stream.problem));
    }
    let is_in_place = arguments.to.is_none() && streams.iter().any(|stream| !stream.days.is_empty());
    if is_in_place {
        tracing::warn!("{AGENTS}");
    }
    if selection.json {
        print_streams(selection.settings.organization(), &streams, exit)?;
    } else {
        print_text(selection.verbosity, || text(&streams))?;
    }
    Ok(exit)
}

impl Arguments {
    /// Returns the times, and the folder for copies, made.
    fn read(&self, now: DateTime<Utc>, faults: &mut Faults) -> Option<(Range<DateTime<Utc>>, Option<NewFolder>)> {
        let resolve = |time: Option<TimeArg>, default| time.map_or(default, |time| time.resolve(now));
        let times = range(
            resolve(self.since, DateTime::<Utc>::MIN_UTC),
            resolve(self.until, DateTime::<Utc>::MAX_UTC),
        );
        let times = times.map_err(|EmptyRangeError { since, until }| {
            let problem = format!(
                "must be before --until, or now: {} is not before {}",
                bound(since),
                bound(until)
            );
            faults.arguments.add("--since", problem);
        });
        let folder = self.to.as_deref().map(NewFolder::make).transpose();
        let folder = folder.map_err(|error| faults.settings.add("--to", format!("cannot be used: {error}")));
        Some((times.ok()?, folder.ok()?))
    }
}

fn exit_of(stream: &ShownStream) -> Exit {
    exit_of_stream(stream.is_locked, stream.problem.is_some() || !stream.failed.is_empty())
}

/// Returns the packed days of which something lies between these times.
fn days(listing: &Listing, times: &Range<DateTime<Utc>>) -> Vec<NaiveDate> {
    let packed = listing.packed.values().filter(|file| file.is_packed_by_us());
    let is_asked_for = |date: &NaiveDate| {
        let day = day_span(*date);
        day.from < times.end && times.start < day.to
    };
    packed.map(|file| file.date).filter(is_asked_for).collect()
}

fn unpack(place: &StreamPlace, times: &Range<DateTime<Utc>>, now: DateTime<Utc>) -> ShownStream {
    let mut shown = ShownStream::of(place);
    if let Err(error) = unpack_all(place, times, now, &mut shown) {
        shown.is_locked = error.is_held();
        shown.problem = Some(error.to_string());
    }
    shown
}

fn unpack_all(
    place: &StreamPlace,
    times: &Range<DateTime<Utc>>,
    now: DateTime<Utc>,
    shown: &mut ShownStream,
) -> Result<(), UpkeepError> {
    let packer = Packer::under(Lock::acquire_between_runs(&place.location, "unpack", now)?);
    packer.finish(&place.location.listing()?)?;
    let listing = place.location.listing()?;
    for date in days(&listing, times) {
        let Some(packed) = listing.packed.get(&date) else {
            continue;
        };
        match packer.unpack(packed, listing.days.get(date).as_ref()) {
            Ok(day) => shown.days.push(ShownDay { date, bytes: day.bytes }),
            Err(error) if is_of_all(&error) => return Err(UpkeepError::of(packed.name(), error)),
            Err(error) => shown.failed.push(OddDay {
                date,
                reason: UpkeepError::of(packed.name(), error).to_string(),
            }),
        }
    }
    Ok(())
}

impl ShownStream {
    fn of(place: &StreamPlace) -> Self {
        Self {
            stream: place.name(),
            days: Vec::new(),
            failed: Vec::new(),
            problem: None,
            is_locked: false,
        }
    }
}

/// Copies days of all streams to a folder, whose files get their names when all of them are whole.
fn copy_all(
    places: &[StreamPlace],
    mut folder: NewFolder,
    times: &Range<DateTime<Utc>>,
) -> Result<Vec<ShownStream>, CommandError> {
    let mut streams = Vec::new();
    for place in places {
        let mut shown = ShownStream::of(place);
        if let Err(problem) = copy(place, &mut folder, times, &mut shown.days) {
            return Err(CommandError::setup(format!("{}: {problem}", shown.stream)));
        }
        streams.push(shown);
    }
    folder.finish()?;
    Ok(streams)
}

fn copy(
    place: &StreamPlace,
    folder: &mut NewFolder,
    times: &Range<DateTime<Utc>>,
    done: &mut Vec<ShownDay>,
) -> Result<(), String> {
    let listing = place.location.listing().map_err(|error| error.to_string())?;
    for date in days(&listing, times) {
        let name = place.location.day_name(date).unwrap_or_default();
        let mut file = folder.create(&name, MODE).map_err(|error| error.to_string())?;
        content_of(&listing, date, &mut file).map_err(|error| error.to_string())?;
        let path = folder.path().join(&name);
        let synced = file.sync_all().and_then(|()| file.metadata());
        let bytes = synced
            .map_err(|cause| FileError::io("sync", &path, cause).to_string())?
            .len();
        done.push(ShownDay { date, bytes });
    }
    Ok(())
}

fn text(streams: &[ShownStream]) -> String {
    let mut text = String::new();
    for stream in streams {
        text += &format!("{}: {} days unpacked\n", stream.stream, stream.days.len());
        for OddDay { reason, .. } in &stream.failed {
            text += &format!("{}: {reason}\n", stream.stream);
        }
        if let Some(problem) = &stream.problem {
            text += &format!("{}: {problem}\n", stream.stream);
        }
    }
    text
}
