//! The arguments of the commands that read the archive alone: `status`, `coverage`, `verify`.

use std::str::FromStr;

use chrono::TimeDelta;
use clap::Args;

use super::Selection;
use super::time::age;

/// The arguments of `status`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Exit with 3 where the last record is older than this (90s, 15m, 36h, 7d, 2w), or the last run failed
    #[arg(long, value_name = "AGE")]
    pub max_age: Option<Age>,

    /// Which streams, and how it is shown.
    #[command(flatten)]
    pub selection: Selection,
}

/// The arguments of `coverage`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Which streams, and how it is shown.
    #[command(flatten)]
    pub selection: Selection,
}

/// The arguments of `verify`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Verify {
    /// Which streams, and how it is shown.
    #[command(flatten)]
    pub selection: Selection,
}

/// A length of time: `90s`, `15m`, `36h`, `7d`, `2w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(pub TimeDelta);

/// A text that is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an age such as 90s, 15m, 36h, 7d or 2w")]
pub struct AgeError;

impl FromStr for Age {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Self, AgeError> {
        age(text).map(Self).ok_or(AgeError)
    }
}

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  trailkeeper status
  trailkeeper status --max-age 2h -q                  as a check of Nagios or systemd: exits with 3 when it is late
  trailkeeper status --stream tfc --json

Only the folders of the streams have to be set; no token is needed, and nobody is asked.";

pub(super) const COVERAGE_EXAMPLES: &str = "\
Examples:
  trailkeeper coverage
  trailkeeper coverage --stream tfc --json

`collect` goes back for gaps by itself, as long as the service still has their records.";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  trailkeeper verify
  trailkeeper verify --stream yandex-mail --json

It takes no lock and writes nothing, and may run beside `collect`. Exit codes: 0 all is well, 3 something is wrong.";
