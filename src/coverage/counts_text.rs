//! The counts in a line of the journal, read as this program writes them: a line has those of thousands of days, and each run reads
//! one.

use chrono::NaiveDate;

use super::day_counts::{Counted, Counts};

/// What comes before them.
const KEY: &str = "\"counts\":{";

/// A number of so many digits is no larger than a `u64` can be.
const MAX_DIGITS: usize = 19;

/// How much of a line a day takes, about, in bytes.
const DAY_BYTES: usize = 40;

/// Takes the counts out of a line, and returns it with none beside them; `None` if they are not as this program writes them. What
/// stands there may be a part of something else, which only a parser can tell.
pub(super) fn take_out(line: &str) -> Option<(String, Counts)> {
    let start = memchr::memmem::find(line.as_bytes(), KEY.as_bytes())? + KEY.len();
    let mut text = Text(&line.as_bytes()[start..]);
    let mut counts = Vec::with_capacity(text.0.len() / DAY_BYTES);
    if !text.skip(b"}") {
        loop {
            counts.push((text.date()?, text.counted()?));
            if text.skip(b"}") {
                break;
            }
            text.skip(b",").then_some(())?;
        }
    }
    let end = line.len() - text.0.len() - 1;
    let rest = [&line[..start], &line[end..]].concat();
    Some((rest, counts.into_iter().collect()))
}

/// What is still to be read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// Goes on behind these bytes, if they come next.
    fn skip<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        match self.0.split_first_chunk() {
            Some((first, rest)) if first == bytes => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads `"2026-11-28":`.
    fn date(&mut self) -> Option<NaiveDate> {
        let &[
            b'"',
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
            b'"',
            b':',
            ref rest @ ..,
        ] = self.0
        else {
            return None;
        };
        self.0 = rest;
        let year = i32::try_from(digits(&[y1, y2, y3, y4])?).ok()?;
        NaiveDate::from_ymd_opt(year, digits(&[m1, m2])?, digits(&[d1, d2])?)
    }

    /// Reads `{"lines":3,"bytes":1533}`, or the same with the lines of a compressed file.
    fn counted(&mut self) -> Option<Counted> {
        let lines = self.number(b"{\"lines\":")?;
        let bytes = self.number(b",\"bytes\":")?;
        let compressed = if self.skip(b"}") {
            return Some(Counted {
                lines,
                bytes,
                compressed: 0,
            });
        } else {
            self.number(b",\"compressed\":")?
        };
        self.skip(b"}").then_some(Counted {
            lines,
            bytes,
            compressed,
        })
    }

    /// Reads a number behind these bytes.
    fn number<const N: usize>(&mut self, before: &[u8; N]) -> Option<u64> {
        if !self.skip(before) {
            return None;
        }
        let (mut value, mut length) = (0, 0);
        while let Some(digit) = self
            .0
            .get(length)
            .map(|byte| byte.wrapping_sub(b'0'))
            .filter(|digit| *digit < 10)
        {
            // A longer one may be too large.
            if length == MAX_DIGITS {
                return None;
            }
            value = value * 10 + u64::from(digit);
            length += 1;
        }
        // JSON has no number of several digits that begins with a 0.
        if length == 0 || length > 1 && self.0[0] == b'0' {
            return None;
        }
        self.0 = &self.0[length..];
        Some(value)
    }
}

/// Parses ASCII digits; `None` if another byte is among them.
fn digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    const MAX: u64 = 10_u64.pow(MAX_DIGITS as u32);

    fn line(counts: &str) -> String {
        format!(r#"{{"error":"no \"counts\":{{","counts":{counts},"has_all_counts":true}}"#)
    }

    #[test]
    fn what_is_written_in_another_way_is_left_to_the_parser() {
        for counts in [
            "null",
            r#"{"2026-11-28": {"lines":1,"bytes":2}}"#,
            r#"{"2026-11-31":{"lines":1,"bytes":2}}"#,
            r#"{"2026-11-28":{"bytes":2,"lines":1}}"#,
            r#"{"2026-11-28":{"lines":01,"bytes":2}}"#,
            r#"{"2026-11-28":{"lines":1.0,"bytes":2}}"#,
            r#"{"2026-11-28":{"lines":-1,"bytes":2}}"#,
            r#"{"2026-11-28":{"lines":99999999999999999999,"bytes":2}}"#,
            r#"{"2026-11-28":{"lines":1,"bytes":2},}"#,
            r#"{"2026-11-28":{"lines":1,"bytes":2,"more":3}}"#,
            r#"{"2026-11-28":{"lines":1,"bytes":2"#,
        ] {
            assert_eq!(take_out(&line(counts)), None, "{counts}");
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn what_was_written_is_read_as_by_the_parser(
            days in prop::collection::btree_map(0..3_000_000_u32, (0..MAX, 0..MAX, 0..3_u64), 0..20)
        ) {
            let first = NaiveDate::from_ymd_opt(1000, 1, 1).unwrap();
            let counts: Counts = days
                .into_iter()
                .map(|(day, (lines, bytes, compressed))| {
                    (first + chrono::Days::new(u64::from(day)), Counted { lines, bytes, compressed })
                })
                .collect();
            let written = serde_json::to_string(&counts).unwrap();
            prop_assert_eq!(take_out(&line(&written)), Some((line("{}"), counts)));
        }
    }
}
