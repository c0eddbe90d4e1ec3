//! The arguments of `check`.

use clap::Args;

use super::Selection;

/// The arguments of `check`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Also ask Kafka: the broker, the topic of each stream, and whether the user may begin to write
    ///
    /// No line is sent and no topic is made, so that the user may write to each topic shows with its first line only.
    #[arg(long)]
    pub forward_kafka: bool,

    /// Which streams, and how it is shown.
    #[command(flatten)]
    pub selection: Selection,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper check                                   before the first run, and when one failed
  trailkeeper check --stream port --json
  trailkeeper check --forward-kafka                   the broker and the topics too

Nothing is written, and of each service one record is asked for. Exit codes: 0 everything works, 1 something does not.";
