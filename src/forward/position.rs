//! Positions in day files, with a hash of the line before each, by which a file that is not the one that was forwarded is
//! noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::day_lines::{DayLines, ListedDays};
use crate::fs::FileError;

/// How much of the end of a line is hashed, in bytes: enough to tell lines apart, and one read where it is compared.
const HASHED: usize = 4096;

/// The hash of a line, with its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineHash(u64);

impl LineHash {
    /// Returns the hash of a line, which ends with its newline.
    #[must_use]
    pub(crate) fn of(line: &[u8]) -> Self {
        Self(xxh3_64(&line[line.len().saturating_sub(HASHED)..]))
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text is not the hash of a line, which has 16 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`line` is not the hash of a line")]
pub(crate) struct LineHashError;

impl FromStr for LineHash {
    type Err = LineHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hash = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = is_hash.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        hash.map(Self).ok_or(LineHashError)
    }
}

/// A position in the lines of a day, just after a newline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredPosition", into = "StoredPosition")]
pub(crate) struct Position {
    /// In bytes.
    pub(crate) offset: u64,
    /// The line before it; `None` at the start of a file, and where it is not known.
    pub(crate) line: Option<LineHash>,
}

impl Position {
    /// Returns the position behind lines that end at `offset`.
    #[must_use]
    pub(crate) fn after(lines: &[u8], offset: u64) -> Self {
        let text = lines.strip_suffix(b"\n").unwrap_or(lines);
        let last = memchr::memrchr(b'\n', text).map_or(0, |newline| newline + 1);
        Self {
            offset,
            line: Some(LineHash::of(&lines[last..])),
        }
    }
}

impl From<u64> for Position {
    fn from(offset: u64) -> Self {
        Self { offset, line: None }
    }
}

/// A position as a cursor file has it. Version 1 has the bytes alone.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPosition {
    Offset(u64),
    WithLine { offset: u64, line: String },
}

impl TryFrom<StoredPosition> for Position {
    type Error = LineHashError;

    /// A hash that is none is damage: without it the position would be taken over unseen, as one of version 1.
    fn try_from(stored: StoredPosition) -> Result<Self, LineHashError> {
        Ok(match stored {
            StoredPosition::Offset(offset) => offset.into(),
            StoredPosition::WithLine { offset, line } => Self {
                offset,
                line: Some(line.parse()?),
            },
        })
    }
}

impl From<Position> for StoredPosition {
    fn from(position: Position) -> Self {
        match position.line {
            None => Self::Offset(position.offset),
            Some(line) => Self::WithLine {
                offset: position.offset,
                line: line.to_string(),
            },
        }
    }
}

/// Positions in day files; a file without one is at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Positions(BTreeMap<NaiveDate, Position>);

impl Positions {
    /// Returns the position in the file of a day, in bytes.
    #[must_use]
    pub(crate) fn of(&self, day: NaiveDate) -> u64 {
        self.0.get(&day).map_or(0, |position| position.offset)
    }

    /// Sets the position in the file of a day.
    pub(crate) fn set(&mut self, day: NaiveDate, position: impl Into<Position>) {
        self.0.insert(day, position.into());
    }

    /// Overwrites the positions with those of `others`.
    pub(crate) fn update(&mut self, others: &Positions) {
        self.0.extend(&others.0);
    }

    /// Returns the greater position of both for each day.
    #[must_use]
    pub(crate) fn furthest(&self, others: &Positions) -> Self {
        let mut furthest = self.clone();
        for (day, position) in others.iter() {
            let own = self.0.get(&day).copied().unwrap_or_default();
            let is_further = position.offset > own.offset || position.offset == own.offset && own.line.is_none();
            furthest.set(day, if is_further { position } else { own });
        }
        furthest
    }

    /// Returns the positions, oldest day first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (NaiveDate, Position)> {
        self.0.iter().map(|(day, position)| (*day, *position))
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the ends of these days, just after their last newlines: a torn line may still be written to.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn at_the_ends(days: &[DayLines]) -> Result<Self, FileError> {
        let ends = days.iter().map(|day| Ok((day.date, day.end()?.into())));
        Ok(Self(ends.collect::<Result<_, FileError>>()?))
    }

    /// Compares the positions with the days for which `is_new` says so, as [`Positions::compare`] does. A day of which a compressed
    /// file cannot be read is left out of the list if the plain one is not the one that was sent.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn compare_listed(
        &mut self,
        listed: &mut ListedDays,
        is_new: impl Fn(&DayLines) -> bool,
    ) -> Result<Vec<Mismatch>, FileError> {
        let new: Vec<_> = listed.days.iter().filter(|day| is_new(day)).cloned().collect();
        let mut mismatches = self.compare(&new)?;
        mismatches.retain(|mismatch| !listed.leave_out_doubtful(mismatch.day));
        Ok(mismatches)
    }

    /// Compares each position with its day, and notes the line before it where none is noted, as in a cursor of version 1.
    ///
    /// A day without a file agrees: files are deleted when they are old, and may come back. So does a position at the end of a
    /// compressed file.
    ///
    /// # Errors
    /// If a file cannot be read.
    fn compare(&mut self, days: &[DayLines]) -> Result<Vec<Mismatch>, FileError> {
        let mut mismatches = Vec::new();
        for day in days {
            let Some(position) = self.0.get_mut(&day.date).filter(|position| position.offset > 0) else {
                continue;
            };
            if day.is_packed_end(position.offset) {
                continue;
            }
            // What came late was put into the compressed file, after it had been sent.
            let merged = day.packed_alone_end().filter(|end| *end < position.offset);
            if let Some(end) = merged
                && let Some(last) = day.line_before(end, HASHED)?
                && position.line == Some(LineHash::of(&last))
            {
                position.offset = end;
                continue;
            }
            let found = day
                .line_before(position.offset, HASHED)?
                .map(|line| LineHash::of(&line));
            let kind = match (position.line, found) {
                (None, Some(found)) => {
                    position.line = Some(found);
                    continue;
                }
                (Some(noted), Some(found)) if noted == found => continue,
                (_, Some(_)) => MismatchKind::OtherLine,
                (_, None) => MismatchKind::of_no_line(day, position.offset)?,
            };
            mismatches.push(Mismatch {
                day: day.date,
                file: day.name_before(position.offset),
                offset: position.offset,
                kind,
            });
        }
        Ok(mismatches)
    }

    /// Returns the positions without those that do not agree with their files.
    #[must_use]
    pub(crate) fn without(mut self, mismatches: &[Mismatch]) -> Self {
        let wrong: BTreeSet<_> = mismatches.iter().map(|mismatch| mismatch.day).collect();
        self.0.retain(|day, _| !wrong.contains(day));
        self
    }
}

impl<P: Into<Position>> FromIterator<(NaiveDate, P)> for Positions {
    fn from_iter<I: IntoIterator<Item = (NaiveDate, P)>>(positions: I) -> Self {
        Self(
            positions
                .into_iter()
                .map(|(day, position)| (day, position.into()))
                .collect(),
        )
    }
}

/// A position that does not agree with its file, so that the file is not the one that was forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    day: NaiveDate,
    /// Name of the file.
    file: String,
    offset: u64,
    kind: MismatchKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MismatchKind {
    /// The line before the position is not the one that was sent.
    OtherLine,
    /// No line ends there.
    InsideLine,
    /// The file ends before it, after this many bytes.
    Shorter(u64),
}

impl MismatchKind {
    fn of_no_line(day: &DayLines, offset: u64) -> Result<Self, FileError> {
        let length = day.length()?;
        Ok(if length < offset {
            Self::Shorter(length)
        } else {
            Self::InsideLine
        })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, .. } = self;
        match self.kind {
            MismatchKind::OtherLine => write!(
                f,
                "in {file} another line ends at byte {offset} than the one that was sent"
            ),
            MismatchKind::InsideLine => write!(f, "in {file} no line ends at byte {offset}, up to which it was sent"),
            MismatchKind::Shorter(length) => {
                write!(f, "{file} ends at byte {length}, and was sent up to byte {offset}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::random::cases;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn of(offset: u64, line: &str) -> Positions {
        let line = Some(LineHash::of(line.as_bytes()));
        [(day("2025-06-09"), Position { offset, line })].into_iter().collect()
    }

    #[test]
    fn the_end_of_a_file_is_after_its_last_newline() {
        let long = format!("{{}}\n{}", "x".repeat(200_000));
        let catalog = Catalog::new().with(&[
            ("2025-06-07", ""),
            ("2025-06-08", "half"),
            ("2025-06-09", "a\nb\n"),
            ("2025-06-10", "a\nbb\nhalf"),
            ("2025-06-11", &long),
        ]);
        let ends = Positions::at_the_ends(&catalog.days()).unwrap();
        let found: Vec<_> = ends.iter().map(|(_, position)| position.offset).collect();
        assert_eq!(found, [0, 0, 4, 5, 3]);
    }

    #[test]
    fn a_position_agrees_only_with_the_line_that_was_sent() {
        let catalog = Catalog::new().with(&[("2025-06-09", "one\ntwo\nthree\n")]);
        let days = catalog.days();
        let said = |mut positions: Positions| {
            let mismatches = positions.compare(&days).unwrap();
            mismatches.first().map(ToString::to_string)
        };
        assert_eq!(said(of(4, "one\n")), None);
        assert_eq!(said(of(8, "two\n")), None);
        let file = "mail_2025-06-09.log";
        assert_eq!(
            said(of(8, "too\n")).unwrap(),
            format!("in {file} another line ends at byte 8 than the one that was sent")
        );
        assert_eq!(
            said(of(7, "two\n")).unwrap(),
            format!("in {file} no line ends at byte 7, up to which it was sent")
        );
        assert_eq!(
            said(of(15, "four\n")).unwrap(),
            format!("{file} ends at byte 14, and was sent up to byte 15")
        );
    }

    #[test]
    fn of_lines_that_are_read_the_last_one_is_noted() {
        let long = "x".repeat(3 * HASHED) + "\n";
        for (text, last) in [("a\n", "a\n"), ("a\nbb\n", "bb\n"), ("\n", "\n"), (&long, &long)] {
            let after = Position::after(text.as_bytes(), text.len() as u64);
            assert_eq!(after.line, Some(LineHash::of(last.as_bytes())));
            let catalog = Catalog::new().with(&[("2025-06-09", text)]);
            let mut positions: Positions = [(day("2025-06-09"), after)].into_iter().collect();
            assert_eq!(positions.compare(&catalog.days()).unwrap(), []);
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn bytes_alone_agree_exactly_if_a_line_ends_there(text in "[a\n]{0,12}", offset in 0u64..15) {
            let catalog = Catalog::new().with(&[("2025-06-09", &text)]);
            let mut positions: Positions = [(day("2025-06-08"), 9), (day("2025-06-09"), offset)].into_iter().collect();
            let mismatches = positions.compare(&catalog.days()).unwrap();
            let is_right = offset == 0 || text.as_bytes().get(offset as usize - 1) == Some(&b'\n');
            prop_assert_eq!(mismatches.is_empty(), is_right);
            prop_assert_eq!(positions.of(day("2025-06-09")), offset);
            let noted = positions.iter().filter(|(_, position)| position.line.is_some()).count();
            prop_assert_eq!(noted, usize::from(is_right && offset > 0));
            prop_assert_eq!(positions.without(&mismatches).of(day("2025-06-09")), if is_right { offset } else { 0 });
        }
    }
}
