//! The arguments of `collect` that concern runs that go on and what others see of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::TimeArg;

/// Whether and how often to collect again, and where the figures go.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// Keep running: collect each stream again and again, until Ctrl-C or SIGTERM
    ///
    /// The streams do not wait for each other, and one that fails is asked less and less often, up to every 15 minutes.
    /// --since counts until a stream was complete once.
    #[arg(long, conflicts_with_all = ["until", "dry_run"])]
    pub follow: bool,

    /// The time between the end of a run of a stream and its next, give or take a tenth [default: 60s]
    #[arg(long, value_name = "AGE", requires = "follow")]
    pub interval: Option<Interval>,

    /// Write the figures of the run to this file, as text for Prometheus (node_exporter's textfile collector)
    ///
    /// The file is replaced whole, every few seconds and at the end of each stream's run, and counters go on from what it
    /// held before.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub metrics_file: Option<PathBuf>,

    /// Serve the same figures at http://ADDRESS/metrics [default address: 127.0.0.1:9464]
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "follow",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:9464"
    )]
    pub metrics_listen: Option<SocketAddr>,
}

/// The time between two runs, from a second to a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub Duration);

impl Default for Interval {
    fn default() -> Self {
        Interval(Duration::from_secs(60))
    }
}

/// The text is no time between two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time from 1s to 1d, such as 30s, 5m or 1h")]
pub struct IntervalError;

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let Ok(TimeArg::Ago(age)) = text.parse() else {
            return Err(IntervalError);
        };
        let interval = age.to_std().map_err(|_| IntervalError)?;
        let allowed = Duration::from_secs(1)..=Duration::from_secs(86_400);
        allowed
            .contains(&interval)
            .then_some(Interval(interval))
            .ok_or(IntervalError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_an_age_from_a_second_to_a_day() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("5m", 300), ("24h", 86_400), ("1d", 86_400)] {
            assert_eq!(text.parse(), Ok(Interval(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "0s", "60", "2d", "2025-06-09", "1.5s", "-1s"] {
            assert_eq!(text.parse::<Interval>(), Err(IntervalError), "{text}");
        }
    }
}
