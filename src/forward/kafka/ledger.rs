//! Encodes a cursor for Kafka: positions as the metadata of committed offsets, in a consumer group for each year.
//!
//! A broker takes at most 4096 bytes of metadata (`offset.metadata.max.bytes`). A year of day files of up to a pebibyte
//! each fits: positions are written in base 32, and a day as its distance from the one before. The lines before the newest
//! positions follow as hashes in hexadecimal, newest first, each after a full stop; by them the cursor of another archive is
//! noticed. Version 1 has none, and is read too.

use chrono::{Datelike, NaiveDate};

use crate::forward::position::{Position, Positions};

/// The first character: the version of the format.
const VERSION: char = '2';

/// What is read too.
const VERSION_WITHOUT_LINES: char = '1';

/// How many lines are written, if they fit.
const LINES: usize = 32;

/// The most bytes of metadata that a broker takes by default.
const MAX_BYTES: usize = 4096;

/// A hash, with its full stop.
const LINE_BYTES: usize = 17;

/// The digits. Those of the second half say that another digit follows. All are plain ASCII.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns the years that have a position.
pub(super) fn years(positions: &Positions) -> Vec<i32> {
    let mut years: Vec<_> = positions.iter().map(|(day, _)| day.year()).collect();
    years.dedup();
    years
}

/// Encodes the positions of a year.
pub(super) fn encode(year: i32, positions: &Positions) -> String {
    let mut text = String::from(VERSION);
    let mut last = 0;
    for (day, position) in positions.iter().filter(|(day, _)| day.year() == year) {
        write_number(&mut text, u64::from(day.ordinal() - last));
        write_number(&mut text, position.offset);
        last = day.ordinal();
    }
    let newest = positions.iter().rev().filter(|(day, _)| day.year() == year);
    let most = LINES.min(MAX_BYTES.saturating_sub(text.len()) / LINE_BYTES);
    for (_, position) in newest.take(most) {
        text.push('.');
        text.extend(position.line.map(|line| line.to_string()));
    }
    text
}

/// Decodes the positions of a year; `None` if the text has another format.
pub(super) fn decode(year: i32, text: &str) -> Option<Positions> {
    let mut parts = text.strip_prefix([VERSION, VERSION_WITHOUT_LINES])?.split('.');
    let mut digits = parts.next()?.bytes();
    let mut days = Vec::new();
    let mut day = 0;
    while digits.len() > 0 {
        day += u32::try_from(read_number(&mut digits)?).ok()?;
        let offset = read_number(&mut digits)?;
        days.push((NaiveDate::from_yo_opt(year, day)?, Position::from(offset)));
    }
    for (line, (_, position)) in parts.zip(days.iter_mut().rev()) {
        position.line = if line.is_empty() {
            None
        } else {
            Some(line.parse().ok()?)
        };
    }
    Some(days.into_iter().collect())
}

fn write_number(text: &mut String, mut number: u64) {
    while number >= 32 {
        text.push(char::from(DIGITS[32 + (number % 32) as usize]));
        number /= 32;
    }
    text.push(char::from(DIGITS[number as usize]));
}

fn read_number(digits: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number: u64 = 0;
    for shift in (0..64).step_by(5) {
        let byte = digits.next()?;
        let digit = DIGITS.iter().position(|digit| *digit == byte)? as u64;
        number |= (digit % 32).checked_shl(shift)?;
        if digit < 32 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    #[test]
    fn a_whole_leap_year_of_huge_files_fits_into_the_metadata_of_an_offset() {
        let position = Position::after(b"line\n", (1 << 50) - 1);
        let days = (1..=366).map(|day| (NaiveDate::from_yo_opt(2024, day).unwrap(), position));
        let text = encode(2024, &days.collect());
        assert!(text.len() <= 4096, "{}", text.len());
        let read = decode(2024, &text).unwrap();
        assert_eq!(read.iter().next_back().unwrap().1, position);
        assert_eq!(read.iter().next().unwrap().1, position.offset.into());
    }

    #[test]
    fn text_in_another_format_is_refused() {
        for text in ["", "3AB", "1A", "1ABé", "1 ", "1z", "{}", "1-----------------", "2BB.x"] {
            assert_eq!(decode(2025, text), None, "{text}");
        }
        assert_eq!(decode(2025, "1"), Some(Positions::default()));
        assert_eq!(decode(2025, "2"), Some(Positions::default()));
    }

    #[test]
    fn what_an_older_version_committed_is_read() {
        let first = NaiveDate::from_yo_opt(2025, 1).unwrap();
        assert_eq!(decode(2025, "1BC"), Some([(first, 2)].into_iter().collect()));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn what_is_encoded_is_decoded(days in prop::collection::btree_map(1u32..=730, 0u64..1 << 60, 0..30)) {
            let start = NaiveDate::from_yo_opt(2024, 1).unwrap();
            let positions: Positions = days
                .iter()
                .map(|(day, offset)| {
                    let line = Position::after(&offset.to_be_bytes(), *offset);
                    let position = if offset % 3 == 0 { Position::from(*offset) } else { line };
                    (start + chrono::TimeDelta::days(i64::from(*day) - 1), position)
                })
                .collect();
            let mut decoded = Positions::default();
            for year in years(&positions) {
                let text = encode(year, &positions);
                prop_assert!(text.is_ascii());
                decoded.update(&decode(year, &text).unwrap());
            }
            prop_assert_eq!(decoded, positions);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[12][A-Za-z0-9_.-]{0,40}") {
            let _ = decode(2025, &text);
        }
    }
}
