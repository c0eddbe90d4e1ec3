//! `trailkeeper coverage`: the spans that were fetched completely, and the gaps.
//!
//! With `--json`: `{"streams": […], "exit_code": 0}`, and for each stream
//!
//! - `stream`; `retention_days` and whether the service documents them, `retention_is_documented`;
//! - `covered`: `[{"from","to"}]`, the spans that were fetched completely, oldest first;
//! - `gaps`: `[{"from","to","going_at","gone_at","is_gone","unproved","reaches_now"}]`, what is not covered of what was to
//!   be asked for: from `going_at` on the service drops its records, at `gone_at` it has dropped all of them. `unproved`
//!   says why it was filed as the service gives it, or is null. One that `reaches_now` is what the next run fetches anyway;
//! - `first_day`: the day of the oldest day file. The coverage between it and the first covered span is unknown;
//! - `last_complete`: when the last successful run began;
//! - `doubt`: why less is known than there might be, such as a missing journal, or null.
//!
//! [`crate::coverage`] documents the journal.

mod stream_coverage;

use chrono::{DateTime, Utc};
use clap::Args;

use super::archives::Archives;
use super::arguments::selection::Selection;
use super::error::CommandError;
use super::outcome::print_streams;
use crate::output::print::print;
use crate::process::exit::Exit;
use stream_coverage::{StreamCoverage, text};

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper coverage
  trailkeeper coverage --stream tfc --json

`collect` goes back for gaps by itself, as long as the service still has their records.";

/// Shows the coverage of the chosen streams.
pub(crate) fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let selection = &arguments.selection;
    let archives = Archives::find(selection, clock)?;
    let now = clock();
    let streams = archives.streams.iter().map(|stream| StreamCoverage::read(stream, now));
    let streams: Vec<_> = streams.collect::<Result<_, _>>()?;
    if selection.json {
        print_streams(&streams, Exit::Complete)?;
    } else {
        print(&text(&streams, now));
    }
    Ok(Exit::Complete)
}
