//! Encodes a cursor for Kafka: positions as the metadata of committed offsets, in a consumer group for each year.
//!
//! A broker takes at most 4096 bytes of metadata (`offset.metadata.max.bytes`). A year of day files of up to a pebibyte
//! each fits: positions are written in base 32, and a day as its distance from the one before.

use chrono::{Datelike, NaiveDate};

use crate::forward::cursor::Positions;

/// The first character: the version of the format.
const VERSION: char = '1';

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
        write_number(&mut text, position);
        last = day.ordinal();
    }
    text
}

/// Decodes the positions of a year; `None` if the text has another format.
pub(super) fn decode(year: i32, text: &str) -> Option<Positions> {
    let mut digits = text.strip_prefix(VERSION)?.bytes();
    let mut positions = Positions::default();
    let mut day = 0;
    while digits.len() > 0 {
        day += u32::try_from(read_number(&mut digits)?).ok()?;
        let position = read_number(&mut digits)?;
        positions.set(NaiveDate::from_yo_opt(year, day)?, position);
    }
    Some(positions)
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
        let days = (1..=366).map(|day| (NaiveDate::from_yo_opt(2024, day).unwrap(), (1 << 50) - 1));
        let text = encode(2024, &days.collect());
        assert!(text.len() <= 4096, "{}", text.len());
    }

    #[test]
    fn text_in_another_format_is_refused() {
        for text in ["", "2AB", "1A", "1ABé", "1 ", "1z", "{}", "1-----------------"] {
            assert_eq!(decode(2025, text), None, "{text}");
        }
        assert_eq!(decode(2025, "1"), Some(Positions::default()));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn what_is_encoded_is_decoded(days in prop::collection::btree_map(1u32..=730, 0u64..1 << 60, 0..40)) {
            let start = NaiveDate::from_yo_opt(2024, 1).unwrap();
            let positions: Positions = days
                .iter()
                .map(|(day, position)| (start + chrono::TimeDelta::days(i64::from(*day) - 1), *position))
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
        fn no_text_makes_it_panic(text in "1[A-Za-z0-9_-]{0,40}") {
            let _ = decode(2025, &text);
        }
    }
}
