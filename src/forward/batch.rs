//! Lines on their way to a sink, as they were read: the bytes once, and where each line stands.

use std::ops::Range;

use chrono::{DateTime, NaiveDate, Utc};

use super::cursor::Positions;
use crate::record::Identity;

/// A run of lines in the order of the files, and the cursor behind it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The bytes of all lines, newlines included, and of what was skipped between them.
    pub(super) text: Vec<u8>,
    /// The lines that are records.
    pub(super) lines: Vec<Line>,
    /// The positions behind it, of the days that it touches.
    pub(super) end: Positions,
    /// Lines that are no records, such as repaired fragments.
    pub(super) skipped: u64,
}

/// A line that is a record.
#[derive(Debug)]
pub(crate) struct Line {
    /// Where it stands in the text of its batch, without the newline.
    pub(super) range: Range<usize>,
    /// Whose file it stands in.
    pub(crate) day: NaiveDate,
    /// Of its first byte in that file.
    pub(crate) offset: u64,
    /// The record's time.
    pub(crate) time: DateTime<Utc>,
    /// What the record is known by.
    pub(crate) identity: Identity,
    /// The id that the service documents.
    pub(crate) id: Option<String>,
}

impl Batch {
    /// Nothing again, but for the memory.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
        self.end = Positions::default();
        self.skipped = 0;
    }

    /// The lines that are records, in order.
    #[must_use]
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The bytes of a line of this batch, without its newline.
    #[must_use]
    pub(crate) fn bytes(&self, line: &Line) -> &[u8] {
        &self.text[line.range.clone()]
    }

    /// The positions behind the first `count` lines, of the days that they touch.
    #[must_use]
    pub(crate) fn end_of(&self, count: usize) -> Positions {
        if count >= self.lines.len() {
            return self.end.clone();
        }
        let behind = self.lines[..count].iter().map(|line| (line.day, line.end()));
        behind.collect()
    }
}

impl Line {
    /// The position behind its newline.
    #[must_use]
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.range.len() as u64 + 1
    }
}
