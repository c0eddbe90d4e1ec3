//! A point in time as people type it: absolute, or by its age.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use super::age::{Age, AgeError};

/// An absolute time or an age:
///
/// - RFC 3339: `2025-06-09T10:00:00+03:00`, with as many digits of a second as one has;
/// - the same without an offset, which is UTC, or without seconds: `2025-06-09 10:00:00.5`, `2025-06-09T10:00`;
/// - a date, which is its midnight in UTC: `2025-06-09`;
/// - an age: `90s`, `15m`, `36h`, `7d`, `2w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeArg {
    At(DateTime<Utc>),
    /// This long before now.
    Ago(TimeDelta),
}

impl TimeArg {
    /// Resolves it at the time `now`.
    pub(crate) fn resolve(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            TimeArg::At(time) => time,
            TimeArg::Ago(age) => now.checked_sub_signed(age).unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimeError {
    #[error("expected a time (2025-06-09T10:00:00Z), a date (2025-06-09) or an age (90s, 15m, 36h, 7d, 2w)")]
    Form,
    #[error(transparent)]
    Age(AgeError),
}

impl FromStr for TimeArg {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        match text.parse() {
            Ok(Age(age)) => return Ok(TimeArg::Ago(age)),
            Err(error @ AgeError::Negative) => return Err(TimeError::Age(error)),
            Err(AgeError::Form) => {}
        }
        // chrono also accepts fewer digits, signs and leading spaces; nobody means a time by them.
        if !has_shape(text) {
            return Err(TimeError::Form);
        }
        absolute(text).map(TimeArg::At).ok_or(TimeError::Form)
    }
}

/// Returns whether it is `YYYY-MM-DD`, alone or followed by `T` or a space and `HH:MM…`.
fn has_shape(text: &str) -> bool {
    let shape = b"dddd-dd-ddTdd:dd";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == other,
    };
    matches!(text.len(), 10 | 16..) && text.as_bytes().iter().zip(shape).all(fits)
}

fn absolute(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let text = text.replacen(['t', ' '], "T", 1);
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f"];
    forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
        .map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, SecondsFormat};
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    const NOW: &str = "2025-06-10T12:00:00Z";

    fn resolved(text: &str) -> Option<String> {
        let time: TimeArg = text.parse().ok()?;
        Some(
            time.resolve(NOW.parse().unwrap())
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )
    }

    #[test]
    fn every_form_is_understood() {
        for (text, expected) in [
            ("2025-06-09T10:00:00Z", "2025-06-09T10:00:00Z"),
            ("2025-06-09T10:00:00.118Z", "2025-06-09T10:00:00.118Z"),
            ("2025-06-09T10:00:00+03:00", "2025-06-09T07:00:00Z"),
            ("2025-06-09t10:00:00-02:30", "2025-06-09T12:30:00Z"),
            ("2025-06-09 10:00:00Z", "2025-06-09T10:00:00Z"),
            ("2025-06-09", "2025-06-09T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2025-06-09T10:00", "2025-06-09T10:00:00Z"),
            ("2025-06-09 10:00", "2025-06-09T10:00:00Z"),
            ("2025-06-09T10:00:30", "2025-06-09T10:00:30Z"),
            ("2025-06-09 10:00:30.5", "2025-06-09T10:00:30.500Z"),
            ("2025-06-09T10:00:00.123456789Z", "2025-06-09T10:00:00.123456789Z"),
            (
                "2025-06-09T10:00:00.12345678987654321Z",
                "2025-06-09T10:00:00.123456789Z",
            ),
            ("2025-06-09 10:00:00.123456789876", "2025-06-09T10:00:00.123456789Z"),
            ("90s", "2025-06-10T11:58:30Z"),
            ("15m", "2025-06-10T11:45:00Z"),
            ("36h", "2025-06-09T00:00:00Z"),
            ("7d", "2025-06-03T12:00:00Z"),
            ("2w", "2025-05-27T12:00:00Z"),
            ("0s", NOW),
        ] {
            assert_eq!(resolved(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "h",
            "-1h",
            "+1h",
            "1.5h",
            "36",
            "36H",
            "36 h",
            "1d12h",
            "99999999999h",
            "36526d",
            "½h",
            "2025-02-29",
            "2025-06-31",
            "2025-13-01",
            "2025-6-9",
            "20250609",
            "09.06.2025",
            "2025-06-09T",
            "2025-06-09T10",
            "2025-06-09T25:00",
            "2025-06-09T10:60",
            "2025-06-09T10:00Z+",
            "2025-06-09T10:00:00+3",
            " 2025-06-09",
            "2025-06-09 ",
            "+2025-06-09",
            "yesterday",
            "2025-06-0९",
        ] {
            assert_eq!(resolved(text), None, "{text}");
        }
    }

    #[test]
    fn an_age_beyond_the_calendar_ends_at_its_first_moment() {
        let time: TimeArg = "36525d".parse().unwrap();
        assert_eq!(time.resolve(DateTime::<Utc>::MIN_UTC), DateTime::<Utc>::MIN_UTC);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn any_rfc_3339_time_is_taken_as_it_is(
            seconds in 0_i64..253_402_300_799,
            nanos in 0_u32..1_000_000_000,
            offset in -86_340..86_340_i32,
        ) {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();
            let local = time.with_timezone(&FixedOffset::east_opt(offset / 60 * 60).unwrap());
            // RFC 3339 has only years of four digits.
            prop_assume!(chrono::Datelike::year(&local) <= 9999);
            let parsed: TimeArg = local.to_rfc3339_opts(SecondsFormat::AutoSi, true).parse().unwrap();
            prop_assert_eq!(parsed, TimeArg::At(time));
        }

        #[test]
        fn any_age_up_to_a_century_is_its_number_of_units(number in 0_i64..=5_000, unit in 0_usize..5) {
            let (letter, seconds) = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)][unit];
            let parsed: TimeArg = format!("{number}{letter}").parse().unwrap();
            prop_assert_eq!(parsed, TimeArg::Ago(TimeDelta::seconds(number * seconds)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}|[0-9TZ:+. -]{0,26}|[0-9]{0,25}[smhdw]") {
            if let Ok(time) = text.parse::<TimeArg>() {
                prop_assert!(time.resolve(NOW.parse().unwrap()) >= DateTime::<Utc>::MIN_UTC);
            }
        }
    }
}
