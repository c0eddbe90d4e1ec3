//! Where forwarding starts, as people type it.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::time::{TimeArg, TimeError};
use crate::forward::StartPosition;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartArg {
    /// At the first line of the archive.
    Start,
    /// Behind the last line of the archive.
    End,
    /// At the first line of this time or later.
    Time(TimeArg),
}

impl FromStr for StartArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" => return Ok(StartArg::Start),
            "end" => return Ok(StartArg::End),
            _ => {}
        }
        text.parse()
            .map(StartArg::Time)
            .map_err(|error: TimeError| match error {
                TimeError::Form => {
                    let forms = error.to_string();
                    format!(
                        "expected `start`, `end`, or else {}",
                        forms.trim_start_matches("expected ")
                    )
                }
                TimeError::Age(error) => error.to_string(),
            })
    }
}

impl StartArg {
    /// Resolves it at the time `now`.
    pub(crate) fn resolve(self, now: DateTime<Utc>) -> StartPosition {
        match self {
            StartArg::Start => StartPosition::Start,
            StartArg::End => StartPosition::End,
            StartArg::Time(time) => StartPosition::Time(time.resolve(now)),
        }
    }
}
