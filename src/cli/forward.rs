//! The arguments of forwarding: those of the command, and those that `collect` has for it.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, ValueEnum};

use super::{EmptyRangeError, TimeArg, Verbosity};
use crate::forward::StartPosition;

/// The arguments of `forward`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where the lines go
    #[arg(value_enum, value_name = "SINK")]
    pub sink: SinkArg,

    /// Forward these streams only [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',')]
    pub streams: Vec<String>,

    /// Where a stream begins that was never forwarded to this sink: `start`, or a time [default: what comes from now on]
    #[arg(long, value_name = "start|TIME")]
    pub forward_from: Option<StartArg>,

    /// Send the records from this time on once more, without touching the cursor; same forms as for `collect`
    #[arg(long, value_name = "TIME", conflicts_with = "forward_from")]
    pub since: Option<TimeArg>,

    /// Send again up to this time instead of up to now
    #[arg(long, value_name = "TIME", requires = "since")]
    pub until: Option<TimeArg>,

    /// Print the summary as JSON instead of lines
    #[arg(long)]
    pub json: bool,

    /// Read the settings from this file instead of .env in the working folder; the environment wins over it
    #[arg(long, value_name = "PATH")]
    pub env_file: Option<PathBuf>,

    /// How much is said on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// What `collect` forwards to.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[command(group = ArgGroup::new("forward sinks").multiple(true))]
pub struct CollectForward {
    /// Forward new lines to Kafka while collecting; see `trailkeeper forward --help`
    #[arg(long = "forward-kafka", group = "forward sinks")]
    pub kafka: bool,

    /// Forward new lines to an HTTP listener while collecting
    #[arg(long = "forward-http", group = "forward sinks")]
    pub http: bool,

    /// Where a stream begins that was never forwarded: `start`, or a time [default: what comes from now on]
    #[arg(long = "forward-from", value_name = "start|TIME", requires = "forward sinks")]
    pub from: Option<StartArg>,
}

/// A sink by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SinkArg {
    /// A Kafka topic for each stream
    Kafka,
    /// An HTTP listener such as Logstash or Splunk
    Http,
    /// Standard output
    Stdout,
}

/// Where forwarding begins, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartArg {
    /// With the first line of the archive.
    Start,
    /// With the first line of this time or later.
    Time(TimeArg),
}

impl FromStr for StartArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "start" {
            return Ok(StartArg::Start);
        }
        let time = text.parse().map(StartArg::Time);
        time.map_err(|error: super::TimeError| {
            format!(
                "expected `start`, or else {}",
                error.to_string().trim_start_matches("expected ")
            )
        })
    }
}

impl StartArg {
    /// What is meant when it is `now`.
    #[must_use]
    pub fn resolve(this: Option<Self>, now: DateTime<Utc>) -> StartPosition {
        match this {
            None => StartPosition::End,
            Some(StartArg::Start) => StartPosition::Start,
            Some(StartArg::Time(time)) => StartPosition::Time(time.resolve(now)),
        }
    }
}

impl Forward {
    /// The time whose records are sent again, when it is `now`; `None` if this is no replay.
    ///
    /// # Errors
    /// The range would be empty.
    pub fn replay(&self, now: DateTime<Utc>) -> Result<Option<Range<DateTime<Utc>>>, EmptyRangeError> {
        let Some(since) = self.since.map(|time| time.resolve(now)) else {
            return Ok(None);
        };
        let until = self.until.map_or(now, |time| time.resolve(now));
        if since < until {
            Ok(Some(since..until))
        } else {
            Err(EmptyRangeError { since, until })
        }
    }
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper forward kafka                            what is new since the last time
  trailkeeper forward kafka --forward-from start       the first time: everything in the archive
  trailkeeper forward kafka --since 2025-06-01 --until 2025-06-08 --stream port
                                                       once more, marked by the header `replay`
  trailkeeper forward http --json
  trailkeeper forward stdout | jq -c .

The cursor of each stream and sink is a file in .trailkeeper; it moves when the sink has confirmed the lines.

Exit codes: 3 if lines are waiting, 4 if another program forwards with the same cursor or transactional id.";
