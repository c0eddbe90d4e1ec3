//! The time of a record: RFC 3339 → UTC.

use std::ops::Range;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// The time that a text says, if it says one. Digits beyond nanoseconds are dropped.
pub(super) fn read(text: &str) -> Option<DateTime<Utc>> {
    read_usual(text.as_bytes()).or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()))
}

/// A time as services write it, `2025-06-09T10:11:12.345Z`; `None` for every other form, and for leap seconds.
///
/// One is read with each record, and a parser for all forms takes several times as long.
fn read_usual(text: &[u8]) -> Option<DateTime<Utc>> {
    let (to_second, rest) = text.split_at_checked("2025-06-09T10:11:12".len())?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(place, mark)| to_second[*place] != *mark) {
        return None;
    }
    let nanosecond = match rest {
        [b'Z'] => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            number(fraction)? * 10_u32.pow(9 - fraction.len() as u32)
        }
        _ => return None,
    };
    let part = |range: Range<usize>| number(&to_second[range]);
    let date = NaiveDate::from_ymd_opt(part(0..4)? as i32, part(5..7)?, part(8..10)?)?;
    let time = NaiveTime::from_hms_nano_opt(part(11..13)?, part(14..16)?, part(17..19)?, nanosecond)?;
    Some(date.and_time(time).and_utc())
}

/// The number that up to nine digits say.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The parser for all forms.
    fn parsed(text: &str) -> Option<DateTime<Utc>> {
        Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
    }

    #[test]
    fn the_usual_form_is_read_without_the_parser_for_all_forms() {
        for text in [
            "2025-06-09T10:11:12Z",
            "2025-06-09T10:11:12.5Z",
            "2024-02-29T23:59:59.123456789Z",
            "0000-01-01T00:00:00.000Z",
        ] {
            assert_eq!(read_usual(text.as_bytes()), Some(parsed(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn every_other_form_is_left_to_the_parser() {
        for text in [
            "",
            "Z",
            "2025-06-09T10:11:12",
            "2025-06-09T10:11:12.Z",
            "2025-06-09T10:11:12.1234567890Z",
            "2025-06-09T10:11:12+00:00",
            "2025-06-09t10:11:12z",
            "2016-12-31T23:59:60Z",
            "2025-02-29T10:11:12Z",
            "2025-06-09T24:00:00Z",
            "2025-6-09T10:11:12.0Z",
            "+025-06-09T10:11:12Z",
            "2025-06-09T10:11:12Zé",
            "2025-06-09T10:11:1éZ",
        ] {
            assert_eq!(read_usual(text.as_bytes()), None, "{text}");
            assert_eq!(read(text), parsed(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_say_the_same(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|z|[+-][01][0-9]:00)",
            place in 0_usize..30,
            byte in "[0-9TZ:. +-]",
            is_spoilt in any::<bool>(),
        ) {
            let mut text = text;
            if is_spoilt && place < text.len() {
                text.replace_range(place..=place, &byte);
            }
            prop_assert_eq!(read(&text), parsed(&text));
        }
    }
}
