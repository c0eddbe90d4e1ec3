//! The sinks that new lines are forwarded to while collecting.

use clap::{ArgGroup, Args};

use super::start::StartArg;

#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[command(group = ArgGroup::new("forward sinks").multiple(true))]
pub(crate) struct Sinks {
    /// Forward new lines to Kafka while collecting; see `trailkeeper forward --help`
    #[arg(long = "forward-kafka", group = "forward sinks")]
    pub(crate) kafka: bool,

    /// Forward new lines to an HTTP listener while collecting
    #[arg(long = "forward-http", group = "forward sinks")]
    pub(crate) http: bool,

    /// Where to start a stream without a cursor: `start`, `end` (what comes from now on), or a time. Without it nothing is
    /// sent, unless the archive is empty
    #[arg(
        long = "forward-from",
        allow_hyphen_values = true,
        value_name = "start|end|TIME",
        requires = "forward sinks"
    )]
    pub(crate) from: Option<StartArg>,

    /// Forward a repaired copy of each record that strict JSON parsers refuse; see `trailkeeper forward --help`
    #[arg(long, requires = "forward sinks")]
    pub(crate) strict_json: bool,
}
