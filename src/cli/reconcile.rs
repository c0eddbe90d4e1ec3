//! The arguments of `reconcile`.

use std::path::PathBuf;

use clap::Args;

use super::{TimeArg, Verbosity};

/// The arguments of `reconcile`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconcile {
    /// Reconcile these streams only [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',')]
    pub streams: Vec<String>,

    /// Ask again from this time on [default: 36h, or RECONCILE_HOURS]
    ///
    /// A time (2025-06-09T10:00:00Z, with any offset, or UTC without one), a date (its midnight in UTC), or an age: 90s,
    /// 15m, 36h, 7d, 2w. The range always reaches up to now, and back at least as far as `collect` would ask.
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeArg>,

    /// Fetch and count, but write nothing to the catalogs
    #[arg(long)]
    pub dry_run: bool,

    /// Print the report as JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Read the settings from this file instead of .env in the working folder; the environment wins over it
    #[arg(long, value_name = "PATH")]
    pub env_file: Option<PathBuf>,

    /// How much is said on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

pub(super) const EXAMPLES: &str = "\
Only what is missing is added, to the day files where it belongs; nothing that stands there changes.

A record is late if an ordinary run would not have brought it any more. The report says what OVERLAP_MINUTES would
have caught 99 % and all of them, with two bounds, because only the runs that looked and did not see it are known:
  at least  less could not have helped: the run after the last one that missed it had to ask so far back
  surely    with this, an ordinary run in the place of this one would have brought it
The oftener you reconcile, the closer they are together.

Examples:
  trailkeeper reconcile                               the last 36 hours of all streams
  trailkeeper reconcile --since 7d --stream tfc
  trailkeeper reconcile --dry-run --json              count, write nothing";
