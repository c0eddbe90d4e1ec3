//! The arguments of `check`.

use clap::Args;

use super::Selection;

/// The arguments of `check`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Which streams, and how it is shown.
    #[command(flatten)]
    pub selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper check                                   before the first run, and when one failed
  trailkeeper check --stream port --json

Nothing is written, and of each service one record is asked for. Exit codes: 0 everything works, 1 something does not.";
