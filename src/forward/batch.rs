//! Lines to be sent to a sink: their bytes, once, and the offset of each line.

use std::ops::Range;

use chrono::{DateTime, NaiveDate, Utc};

use super::position::{Position, Positions};
use crate::record::Identity;

/// Lines in the order of the files, and the cursor after them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The bytes of all lines, newlines and skipped lines included.
    pub(super) text: Vec<u8>,
    /// The strict copies of lines that need one, with their newlines.
    pub(super) copies: String,
    pub(super) lines: Vec<Line>,
    /// The positions after it, for the days that it touches.
    pub(super) end: Positions,
    /// Number of lines that are not records, such as repaired fragments.
    pub(super) skipped: u64,
}

/// A line that is a record.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its range in the text of the batch, without the newline.
    pub(super) range: Range<usize>,
    /// The range of its strict copy, if that is sent in its place, without the newline.
    pub(super) copy: Option<Range<usize>>,
    /// The day of its file.
    pub(crate) day: NaiveDate,
    /// Offset of its first byte in that file.
    pub(crate) offset: u64,
    pub(crate) time: DateTime<Utc>,
    pub(crate) identity: Identity,
    /// Id of the record, if the service documents one.
    pub(crate) id: Option<String>,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.copies.clear();
        self.lines.clear();
        self.end = Positions::default();
        self.skipped = 0;
    }

    /// Returns the lines that are records, in order.
    #[must_use]
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Returns the bytes of a line of this batch as they are in its file, without the newline.
    #[must_use]
    pub(crate) fn bytes(&self, line: &Line) -> &[u8] {
        &self.text[line.range.clone()]
    }

    /// Returns what is sent of a line, without a newline: its strict copy, or else its bytes.
    #[must_use]
    pub(crate) fn payload(&self, line: &Line) -> &[u8] {
        match &line.copy {
            Some(copy) => &self.copies.as_bytes()[copy.clone()],
            None => self.bytes(line),
        }
    }

    /// Returns what is sent of lines, with the newlines, in pieces: one for each copy, one for lines side by side.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let are_adjacent = |one: &Line, next: &Line| {
            let are_as_they_are = one.copy.is_none() && next.copy.is_none();
            are_as_they_are && one.range.end + 1 == next.range.start
        };
        self.lines.chunk_by(are_adjacent).filter_map(|lines| {
            let (first, last) = (lines.first()?, lines.last()?);
            Some(match &first.copy {
                Some(copy) => &self.copies.as_bytes()[copy.start..=copy.end],
                None => &self.text[first.range.start..=last.range.end],
            })
        })
    }

    /// Returns the positions after the first `count` lines, for the days that they touch.
    #[must_use]
    pub(crate) fn end_of(&self, count: usize) -> Positions {
        if count >= self.lines.len() {
            return self.end.clone();
        }
        let days = self.lines[..count].chunk_by(|one, next| one.day == next.day);
        let ends = days.filter_map(|lines| {
            let last = lines.last()?;
            let text = &self.text[last.range.start..=last.range.end];
            Some((last.day, Position::after(text, last.end())))
        });
        ends.collect()
    }
}

impl Line {
    /// Returns the position after its newline.
    #[must_use]
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.range.len() as u64 + 1
    }
}
