//! `trailkeeper coverage`: the spans that were fetched completely, and the gaps.
//!
//! `docs/json.md` has the form of `--json`. An archive that cannot be read makes the exit code 3.
//!
//! [`crate::coverage`] documents the journal.

mod stream_coverage;

use chrono::{DateTime, Utc};
use clap::Args;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::{log_problems, print_streams, print_text};
use crate::archive::Lock;
use crate::config::StreamPlace;
use crate::coverage::{Entry, Fed, Journal, Standing, Wanted};
use crate::process::exit::Exit;
use crate::run::StartError;
use crate::window::{bound, floor_to_millisecond};
use stream_coverage::{StreamCoverage, text};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Accept what is lost for good: records of day files, which count as covered again, and gaps that are gone
    ///
    /// For files that were deleted or shortened on purpose, and that the service no longer has. Files that are deleted
    /// regularly are better declared with KEEP_DAYS. A gap that the service has dropped stays a gap, and is no cause for
    /// alarm any more.
    #[arg(long)]
    pub(crate) accept_missing: bool,

    /// Exit with 3 if there is a gap that is not accepted, or a day file that has lost records, but for the pause since a
    /// run that fetched all that was new
    #[arg(long)]
    pub(crate) fail_on_gaps: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper coverage
  trailkeeper coverage --stream tfc --json
  trailkeeper coverage --fail-on-gaps -q                   as a check: exits with 3 if something is missing
  trailkeeper coverage --stream tfc --accept-missing      what is lost of tfc, in its files or as a gap, is to stay so

`collect` goes back for gaps by itself, as long as the service still has their records.";

/// Shows the coverage of the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let now = floor_to_millisecond(clock());
    if arguments.accept_missing {
        accept_all_losses(&archives.streams, now)?;
    }
    let streams = archives.streams.iter();
    let streams = streams.map(|stream| {
        let read = StreamCoverage::read(stream, archives.scope_of(stream.kind), now);
        read.unwrap_or_else(|error| StreamCoverage::unreadable(stream, &error))
    });
    let streams: Vec<_> = streams.collect();
    let has_gaps = arguments.fail_on_gaps && streams.iter().any(|stream| stream.has_gaps(now));
    let exit = if has_gaps || !streams.iter().all(StreamCoverage::is_read) {
        Exit::StreamFailed
    } else {
        Exit::Complete
    };
    for stream in &streams {
        log_problems(selection.verbosity, stream.name(), stream.problems(now));
    }
    if selection.json {
        print_streams(selection.settings.organization(), &streams, exit)?;
    } else {
        print_text(selection.verbosity, || text(&streams, now))?;
    }
    Ok(exit)
}

/// Accepts the losses of each stream whose archive can be used; the first error of another one is returned at the end.
fn accept_all_losses(streams: &[StreamPlace], now: DateTime<Utc>) -> Result<(), CommandError> {
    let accepted = streams.iter().map(|stream| accept_losses(stream, now));
    let accepted: Vec<_> = accepted.collect();
    accepted.into_iter().collect()
}

/// Notes in the journal of a stream that its losses are accepted, and its gaps that are gone.
fn accept_losses(stream: &StreamPlace, now: DateTime<Utc>) -> Result<(), CommandError> {
    let name = stream.name();
    // Whoever is noted in the lock is taken for a run.
    let _lock = Lock::acquire_between_runs(&stream.location, "coverage --accept-missing", now)
        .map_err(|cause| StartError::Lock { stream: name, cause })?;
    let mut standing = Standing::read(&stream.location, Wanted::Stream(stream.kind.name), stream.keep, now)?;
    let gone = standing.sum.gone_gaps(stream.kind.retention, now);
    if standing.sum.lost.is_empty() && gone.is_empty() {
        tracing::info!(
            stream = name,
            "nothing to accept: no day file has lost records, and no gap is gone"
        );
        return Ok(());
    }
    let Some(newest) = standing.newest.take() else {
        tracing::warn!(
            stream = name,
            "not accepted: the journal has no line of this stream to go on from; {} first",
            Fed::advice(&stream.location)
        );
        return Ok(());
    };
    let (mut sum, mut counts) = (standing.sum.clone(), standing.counts.as_ref().clone());
    for (date, lost) in &sum.lost {
        tracing::info!(stream = name, %date, "accepted: {}", lost.loss);
        // What is left is guarded from now on.
        let left = standing.count(*date)?;
        counts.remove(date);
        counts.extend((left.all() > 0).then_some((*date, left)));
    }
    sum.accept_losses(now);
    for gap in &gone {
        tracing::info!(
            stream = name,
            from = bound(gap.from),
            to = bound(gap.to),
            "accepted: a gap that is gone"
        );
    }
    sum.accept_gone(&gone);
    let accepted = Entry {
        sum,
        counts,
        has_all_counts: true,
        expiring: Vec::new(),
        ..newest
    };
    Journal::of(&stream.location)
        .append(&accepted)
        .map_err(CommandError::setup)
}
