//! A duration as people type it.

use std::str::FromStr;

use chrono::TimeDelta;

/// The longest age: more than a century is a typing error.
const LONGEST: TimeDelta = TimeDelta::days(36_525);

/// A whole number with one unit: `90s`, `15m`, `36h`, `7d`, `2w`, `3y`; a year has 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) TimeDelta);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AgeError {
    #[error("expected an age such as 90s, 15m, 36h, 7d, 2w or 3y")]
    Form,
    #[error("an age cannot be negative: 5m is five minutes")]
    Negative,
}

impl FromStr for Age {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Self, AgeError> {
        match text.strip_prefix('-') {
            Some(rest) if age(rest).is_some() => Err(AgeError::Negative),
            _ => age(text).map(Self).ok_or(AgeError::Form),
        }
    }
}

fn age(text: &str) -> Option<TimeDelta> {
    let seconds: i64 = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        b'w' => 604_800,
        b'y' => 31_536_000,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    TimeDelta::try_seconds(number.checked_mul(seconds)?).filter(|age| *age <= LONGEST)
}
