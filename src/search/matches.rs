//! What was made of the records that match.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::source::ReadRow;

/// What was made of the records that match, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    text: String,
    records: Vec<Match>,
    /// How many lines were read for them, but for those that are blank.
    lines: u64,
}

#[derive(Clone, Copy, Debug)]
struct Match {
    /// Where what was made of it ends.
    end: usize,
    time: DateTime<Utc>,
    /// The hash of its content.
    content: u128,
    /// Whether what was made of it is not what it holds, but repaired.
    is_repaired: bool,
}

impl Matches {
    /// Returns where what is made of the next record is to be appended.
    pub(super) fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    /// Ends what was made of a record.
    pub(super) fn end_record(&mut self, record: &ReadRow, is_repaired: bool) {
        self.records.push(Match {
            end: self.text.len(),
            time: record.time,
            content: record.content,
            is_repaired,
        });
    }

    /// Notes how many lines were read, but for those that are blank.
    pub(super) fn add_lines(&mut self, lines: u64) {
        self.lines += lines;
    }

    /// Returns how many lines were read, but for those that are blank and those that cannot match by their bytes.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns how many records match.
    pub(crate) fn count(&self) -> usize {
        self.records.len()
    }

    /// Returns what was made of the first `count` records.
    pub(crate) fn first(&self, count: usize) -> &str {
        match count.checked_sub(1).and_then(|last| self.records.get(last)) {
            Some(last) => &self.text[..last.end],
            None if count == 0 => "",
            None => &self.text,
        }
    }

    /// Returns how many of the first `count` records were repaired.
    pub(crate) fn repaired(&self, count: usize) -> u64 {
        let first = self.records.iter().take(count);
        first.filter(|found| found.is_repaired).count() as u64
    }

    /// Returns what was made of all records.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the times of the records.
    pub(crate) fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.records.iter().map(|found| found.time)
    }

    /// Returns the hashes of the contents of the records.
    pub(super) fn contents(&self) -> impl Iterator<Item = u128> {
        self.records.iter().map(|found| found.content)
    }

    /// Forgets all but the last `count` records, if they are many more.
    pub(super) fn keep_last(&mut self, count: usize) {
        if self.count() > count.saturating_mul(2) {
            let kept = self.count() - count;
            *self = self.picked(self.spans().skip(kept));
        }
    }

    /// Returns those whose contents are not among these.
    pub(super) fn without(self, others: &HashSet<u128>) -> Self {
        let is_other = |content: u128| others.contains(&content);
        if !self.contents().any(is_other) {
            return self;
        }
        self.picked(self.spans().filter(|(_, found)| !is_other(found.content)))
    }

    pub(super) fn reversed(&self) -> Self {
        let spans: Vec<_> = self.spans().collect();
        self.picked(spans.into_iter().rev())
    }

    /// Where what was made of each record starts.
    fn spans(&self) -> impl Iterator<Item = (usize, &Match)> {
        let starts = std::iter::once(0).chain(self.records.iter().map(|found| found.end));
        starts.zip(&self.records)
    }

    fn picked<'a>(&self, spans: impl Iterator<Item = (usize, &'a Match)>) -> Self {
        let mut picked = Self {
            lines: self.lines,
            ..Self::default()
        };
        for (start, found) in spans {
            picked.text.push_str(&self.text[start..found.end]);
            let end = picked.text.len();
            picked.records.push(Match { end, ..*found });
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(texts: &[&str]) -> Matches {
        let mut matches = Matches::default();
        for (text, content) in texts.iter().zip(0..) {
            matches.text_mut().push_str(text);
            let end = matches.text.len();
            let time = DateTime::UNIX_EPOCH;
            matches.records.push(Match {
                end,
                time,
                content,
                is_repaired: *text == "bc\n",
            });
        }
        matches
    }

    #[test]
    fn a_part_of_what_was_made_stands_in_its_order() {
        let texts = ["a\n", "", "bc\n", "d\n", "e\n"];
        assert_eq!(matches(&texts).first(3), "a\nbc\n");
        assert_eq!([2, 3, 9].map(|count| matches(&texts).repaired(count)), [0, 1, 1]);
        assert_eq!(matches(&texts).without(&[2].into()).repaired(9), 0);
        assert_eq!(matches(&texts).reversed().text(), "e\nd\nbc\na\n");
        assert_eq!(matches(&texts).without(&[0, 3, 9].into()).text(), "bc\ne\n");
        let mut last = matches(&texts);
        last.keep_last(3);
        assert_eq!(last.count(), 5, "not many more");
        last.keep_last(2);
        assert_eq!((last.text(), last.count()), ("d\ne\n", 2));
    }
}
