//! The time of a record → UTC: the ISO 8601 formats that services write, and seconds since 1970, or thousandths, millionths or
//! billionths of them.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, TimeDelta, Utc};

/// Numbers from here on are milliseconds since 1970: as seconds they would be in the year 5138. So it is with microseconds and
/// nanoseconds, from a thousand times as many on each.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
const FIRST_MICROSECONDS: i64 = FIRST_MILLISECONDS * 1_000;
const FIRST_NANOSECONDS: i64 = FIRST_MICROSECONDS * 1_000;

/// Parses a time; digits beyond nanoseconds are dropped.
///
/// Accepts RFC 3339 and what services write instead: an offset without its colon or minutes (`+0300`, `+03`), or none,
/// which is UTC; a comma before the fraction; no seconds; `24:00:00` for the midnight at the end of a day; a space
/// instead of the `T`; and a number, see [`read_number`].
pub(super) fn read(text: &str) -> Option<DateTime<Utc>> {
    read_usual(text.as_bytes())
        .or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()))
        .or_else(|| read_drifted(text))
        .or_else(|| read_number(text))
}

/// Parses a number: seconds since 1970, or milliseconds if seconds would be beyond the year 5138, and so on to nanoseconds, with
/// or without a fraction. Rejects exponents: no service writes its times like that.
pub(super) fn read_number(text: &str) -> Option<DateTime<Utc>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let billionths = number(&format!("{fraction:0<9}").as_bytes()[..9])?;
    let fraction = i64::from(billionths);
    let since_1970 = if whole < FIRST_MILLISECONDS {
        TimeDelta::new(whole, billionths)?
    } else if whole < FIRST_MICROSECONDS {
        TimeDelta::try_milliseconds(whole)? + TimeDelta::nanoseconds(fraction / 1_000)
    } else if whole < FIRST_NANOSECONDS {
        TimeDelta::microseconds(whole) + TimeDelta::nanoseconds(fraction / 1_000_000)
    } else {
        TimeDelta::nanoseconds(whole)
    };
    DateTime::UNIX_EPOCH.checked_add_signed(since_1970)
}

/// Parses a format near RFC 3339; see [`read`].
fn read_drifted(text: &str) -> Option<DateTime<Utc>> {
    let (date, rest) = text.split_at_checked("2025-06-09".len())?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-', '\u{2212}']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let local = read_date(date)?.and_time(NaiveTime::MIN) + read_clock(clock)?;
    let offset = read_zone(zone)?;
    Some(local.and_local_timezone(offset).single()?.to_utc())
}

fn read_date(text: &str) -> Option<NaiveDate> {
    let [year @ .., b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else {
        return None;
    };
    let year = <&[u8; 4]>::try_from(year).ok()?;
    NaiveDate::from_ymd_opt(number(year)? as i32, number(&[*m1, *m2])?, number(&[*d1, *d2])?)
}

/// Parses `10:11`, `10:11:12`, `10:11:12,345` and `24:00:00` as the time since midnight.
fn read_clock(text: &str) -> Option<TimeDelta> {
    let (to_second, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = to_second.split(':').map(|part| match part.as_bytes() {
        [_, _] => number(part.as_bytes()),
        _ => None,
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || fraction.is_empty() {
        return None;
    }
    let digits = &fraction.as_bytes()[..fraction.len().min(9)];
    let nanosecond = number(digits)? * 10_u32.pow(9 - digits.len() as u32);
    let is_digits = fraction.bytes().all(|digit| digit.is_ascii_digit());
    if hour == 24 {
        let is_midnight = is_digits && (minute, second, nanosecond) == (0, 0, 0);
        return is_midnight.then(|| TimeDelta::days(1));
    }
    let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanosecond).filter(|_| is_digits)?;
    Some(time.signed_duration_since(NaiveTime::MIN))
}

/// Parses `Z`, `+03:00`, `+0300`, `+03`, or nothing, which is UTC.
fn read_zone(text: &str) -> Option<FixedOffset> {
    if matches!(text, "" | "Z" | "z") {
        return FixedOffset::east_opt(0);
    }
    let (is_west, digits) = match text.strip_prefix('+') {
        Some(digits) => (false, digits),
        None => (true, text.strip_prefix(['-', '\u{2212}'])?),
    };
    let (hours, minutes) = match digits.as_bytes() {
        [h1, h2] => (number(&[*h1, *h2])?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3_600 + minutes * 60)
        .ok()
        .filter(|_| minutes < 60)?;
    FixedOffset::east_opt(if is_west { -seconds } else { seconds })
}

/// Parses the usual format of services, `2025-06-09T10:11:12.345Z`; `None` for every other, and for leap seconds.
///
/// Each record has a time, and a parser for all formats takes several times as long.
fn read_usual(text: &[u8]) -> Option<DateTime<Utc>> {
    let (to_second, rest) = text.split_first_chunk::<19>()?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        i1,
        i2,
        b':',
        s1,
        s2,
    ] = *to_second
    else {
        return None;
    };
    let nanosecond = match rest {
        [b'Z'] => 0,
        [b'.', f1, f2, f3, b'Z'] => number(&[*f1, *f2, *f3])? * 1_000_000,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            number(fraction)? * 10_u32.pow(9 - fraction.len() as u32)
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(
        number(&[y1, y2, y3, y4])? as i32,
        number(&[m1, m2])?,
        number(&[d1, d2])?,
    )?;
    let time = NaiveTime::from_hms_nano_opt(number(&[h1, h2])?, number(&[i1, i2])?, number(&[s1, s2])?, nanosecond)?;
    Some(date.and_time(time).and_utc())
}

/// Parses up to nine digits.
#[inline(always)]
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    /// Parses all formats.
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
            if parsed(text).is_some() {
                assert_eq!(read(text), parsed(text), "{text}");
            }
        }
    }

    #[test]
    fn the_forms_that_services_drift_into_are_read() {
        for (text, utc) in [
            ("2025-06-09T10:11:12+0300", "2025-06-09T07:11:12Z"),
            ("2025-06-09T10:11:12.345+0300", "2025-06-09T07:11:12.345Z"),
            ("2025-06-09T10:11:12+03", "2025-06-09T07:11:12Z"),
            ("2025-06-09T10:11:12-0330", "2025-06-09T13:41:12Z"),
            ("2025-06-09T10:11:12\u{2212}03:30", "2025-06-09T13:41:12Z"),
            ("2025-06-09T10:11:12,345Z", "2025-06-09T10:11:12.345Z"),
            ("2025-06-09T10:11Z", "2025-06-09T10:11:00Z"),
            ("2025-06-09T10:11+03:00", "2025-06-09T07:11:00Z"),
            ("2025-06-09T24:00:00Z", "2025-06-10T00:00:00Z"),
            ("2025-12-31T24:00:00.000+03:00", "2025-12-31T21:00:00Z"),
            ("2025-06-09T10:11:12", "2025-06-09T10:11:12Z"),
            ("2025-06-09T10:11:12.5", "2025-06-09T10:11:12.500Z"),
            ("2025-06-09 10:11:12,345", "2025-06-09T10:11:12.345Z"),
            ("2025-06-09T10:11:12.1234567899Z", "2025-06-09T10:11:12.123456789Z"),
            ("1749463872", "2025-06-09T10:11:12Z"),
            ("1749463872.345", "2025-06-09T10:11:12.345Z"),
            ("1749463872345", "2025-06-09T10:11:12.345Z"),
            ("1749463872345.678", "2025-06-09T10:11:12.345678Z"),
        ] {
            assert_eq!(read(text), Some(utc.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn numbers_of_any_usual_unit_are_read() {
        let expected = "2025-06-09T10:11:12.345678Z".parse().unwrap();
        for text in [
            "1749463872.345678",
            "1749463872345.678",
            "1749463872345678",
            "1749463872345678000",
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "Z",
            "soon",
            "2025-06-09",
            "2025-06-09T",
            "2025-06-09T10",
            "2025-06-09T10:11:12.Z",
            "2025-06-09T10:11:12.+03",
            "2025-06-09T10:11:12.3x",
            "2025-02-29T10:11:12",
            "2025-06-09T24:00:01Z",
            "2025-06-09T25:00Z",
            "2025-06-09T10:60Z",
            "2025-06-09T10:11:12+3",
            "2025-06-09T10:11:12+0360",
            "2025-06-09T10:11:12+99",
            "2025-06-09T10:11:12 MSK",
            "2025-6-09T10:11:12.0Z",
            "+025-06-09T10:11:12Z",
            "2025-06-09T10:11:12Z\u{e9}",
            "2025-06-09T10:11:1\u{e9}Z",
            "-1749463872",
            "1749463872.",
            ".5",
            "1.7e9",
            "17494638729999999999",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn any_text_is_read_or_not_without_a_panic(text in "[-0-9TZtz:.,+ \u{2212}]{0,32}", any: String) {
            for text in [text, any] {
                let _ = (read(&text), read_number(&text));
            }
        }

        #[test]
        fn what_the_parser_reads_is_read_the_same(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|z|[+-][01][0-9]:00)",
            place in 0_usize..30,
            byte in "[0-9TZ:. +-]",
            is_spoilt in any::<bool>(),
        ) {
            let mut text = text;
            if is_spoilt && place < text.len() {
                text.replace_range(place..=place, &byte);
            }
            // The others may be formats near RFC 3339.
            if let Some(time) = parsed(&text) {
                prop_assert_eq!(read(&text), Some(time));
            }
        }
    }
}
