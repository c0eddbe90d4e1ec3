//! Encodes a cursor for Kafka: positions as the metadata of committed offsets.
//!
//! A broker takes at most 4096 bytes of metadata (`offset.metadata.max.bytes`), and a text holds the years of one partition of
//! the cursor's topic. A year of day files of up to a pebibyte each fits: positions are written in base 32, and a day as its
//! distance from the one before. The lines before the newest positions follow as hashes in hexadecimal, newest first, each
//! after a full stop, as many as there is room for; by them the cursor of another archive is noticed. Before all years stands
//! the id of the archive.

use chrono::{Datelike, NaiveDate};

use crate::forward::archive_id::ArchiveId;
use crate::forward::position::{Position, Positions};

/// The first character: the version of the format. Before it, there was a text for each year, in a group of its own.
const VERSION: char = '3';

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

/// Encodes all of these positions of an archive; `None` if they do not fit.
pub(super) fn encode(archive: ArchiveId, positions: &Positions) -> Option<String> {
    let years = years(positions);
    let texts: Vec<_> = years.iter().map(|year| encode_year(*year, positions)).collect();
    let mut text = format!("{VERSION}{archive}");
    let bytes = text.len() + texts.iter().map(String::len).sum::<usize>();
    let mut room = MAX_BYTES.checked_sub(bytes)? / LINE_BYTES;
    let mut hashes = Vec::new();
    for year in years.iter().rev() {
        let newest = positions.iter().rev().filter(|(day, _)| day.year() == *year);
        let lines: Vec<_> = newest.take(room).map(|(_, position)| position.line).collect();
        room -= lines.len();
        hashes.push(lines);
    }
    for (year, lines) in texts.iter().zip(hashes.iter().rev()) {
        text.push_str(year);
        for line in lines {
            text.push('.');
            text.extend(line.map(|line| line.to_string()));
        }
    }
    Some(text)
}

/// Encodes the positions of a year, without hashes.
fn encode_year(year: i32, positions: &Positions) -> String {
    let mut text = format!(":{year},");
    let mut last = 0;
    for (day, position) in positions.iter().filter(|(day, _)| day.year() == year) {
        write_number(&mut text, u64::from(day.ordinal() - last));
        write_number(&mut text, position.offset);
        last = day.ordinal();
    }
    text
}

/// Decodes positions, and the archive that they are of, if it had an id; `None` if the text has another format.
pub(super) fn decode(text: &str) -> Option<(Option<ArchiveId>, Positions)> {
    let mut years = text.strip_prefix(VERSION)?.split(':');
    let mut positions = Positions::default();
    let archive = match years.next()? {
        "" => None,
        id => Some(id.parse().ok()?),
    };
    for year in years {
        let (year, text) = year.split_once(',')?;
        positions.update(&decode_year(year.parse().ok()?, text)?);
    }
    Some((archive, positions))
}

fn decode_year(year: i32, text: &str) -> Option<Positions> {
    let mut parts = text.split('.');
    let mut digits = parts.next()?.bytes();
    let mut days = Vec::new();
    let mut day = 0_u32;
    while digits.len() > 0 {
        day = day.checked_add(u32::try_from(read_number(&mut digits)?).ok()?)?;
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

    const ARCHIVE: &str = "0123456789abcdef";

    fn encode(positions: &Positions) -> Option<String> {
        super::encode(ARCHIVE.parse().unwrap(), positions)
    }

    #[test]
    fn a_whole_leap_year_of_huge_files_fits_into_the_metadata_of_an_offset() {
        let position = Position::after(b"line\n", (1 << 50) - 1);
        let days = (1..=366).map(|day| (NaiveDate::from_yo_opt(2024, day).unwrap(), position));
        let mut positions: Positions = days.collect();
        let text = encode(&positions).unwrap();
        assert!(text.len() <= 4096, "{}", text.len());
        let (archive, read) = decode(&text).unwrap();
        assert_eq!(archive, ARCHIVE.parse().ok());
        assert_eq!(read.iter().next_back().unwrap().1, position);
        assert_eq!(read.iter().next().unwrap().1, position.offset.into());
        let next = (1..=366).filter_map(|day| Some((NaiveDate::from_yo_opt(2025, day)?, position)));
        positions.update(&next.collect());
        assert_eq!(encode(&positions), None, "two such years do not");
    }

    #[test]
    fn text_in_another_format_is_refused() {
        for text in [
            "",
            "2BB",
            "4:2025,AB",
            "3:2025,A",
            "3:2025,ABé",
            "3:2025,1 ",
            "3:2025,1z",
            "{}",
            "3AB",
            "3:x,AB",
            "3:2025",
            "3:2025,1-----------------",
            "3:2025,BB.x",
            "30123:2025,BB",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("3"), Some((None, Positions::default())));
        let first = NaiveDate::from_yo_opt(2025, 1).unwrap();
        assert_eq!(decode("3:2025,BC"), Some((None, [(first, 2)].into_iter().collect())));
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
            let text = encode(&positions).unwrap();
            prop_assert!(text.is_ascii());
            prop_assert_eq!(decode(&text).unwrap(), (ARCHIVE.parse().ok(), positions));
        }

        #[test]
        fn no_text_makes_it_panic(text in "3[0-9a-f]{0,17}(:[0-9]{0,5},[A-Za-z0-9_.-]{0,40}){0,3}") {
            let _ = decode(&text);
        }
    }
}
