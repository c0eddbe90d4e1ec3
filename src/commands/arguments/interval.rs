//! The time between two runs as people type it.

use std::str::FromStr;
use std::time::Duration;

use super::age::{Age, AgeError};

/// From a second to a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(pub(crate) Duration);

impl Default for Interval {
    fn default() -> Self {
        Interval(Duration::from_secs(60))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IntervalError {
    #[error("expected a time from 1s to 1d, such as 30s, 5m or 1h")]
    Form,
    #[error("an interval cannot be negative: expected a time from 1s to 1d, such as 30s, 5m or 1h")]
    Negative,
}

impl From<AgeError> for IntervalError {
    fn from(error: AgeError) -> Self {
        match error {
            AgeError::Form => Self::Form,
            AgeError::Negative => Self::Negative,
        }
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let Age(age) = text.parse()?;
        let interval = age.to_std().map_err(|_| IntervalError::Form)?;
        let allowed = Duration::from_secs(1)..=Duration::from_secs(86_400);
        allowed
            .contains(&interval)
            .then_some(Interval(interval))
            .ok_or(IntervalError::Form)
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
        for text in ["", "0s", "60", "2d", "2025-06-09", "1.5s", "-x"] {
            assert_eq!(text.parse::<Interval>(), Err(IntervalError::Form), "{text}");
        }
        assert_eq!("-1s".parse::<Interval>(), Err(IntervalError::Negative));
    }
}
