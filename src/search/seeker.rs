//! Finds the records that match in the lines of a kind of stream: by their bytes first, then by what they say.

use memchr::{memchr, memrchr};
use regex::bytes::{Regex, RegexBuilder};

use super::query::Query;
use crate::json::form_of_text;
use crate::source::{ColumnReader, Kind, ReadRow};

/// How another program can have written characters for which a line of this one has no escape.
const OTHER_SPELLINGS: &str = r"\\[u/]";

/// Looks for the records of one kind.
pub(super) struct Seeker<'a> {
    query: &'a Query,
    reader: ColumnReader,
    /// Matches in every line that can match; `None` if any can.
    needles: Option<Regex>,
}

impl<'a> Seeker<'a> {
    /// If it `reads_all` lines, each that is no record is noticed; else only those with the bytes of a match.
    pub(super) fn new(query: &'a Query, kind: &Kind, reads_all: bool) -> Self {
        let needles = query.needles().filter(|_| !reads_all).and_then(|needles| {
            let needles = needles.into_iter().map(|needle| regex::escape(&form_of_text(needle)));
            let any: Vec<_> = needles.chain([OTHER_SPELLINGS.to_owned()]).collect();
            // One that is too large is done without.
            let built = RegexBuilder::new(&any.join("|"))
                .case_insensitive(query.ignores_case)
                .build();
            built.ok()
        });
        Self {
            query,
            reader: ColumnReader::new(kind),
            needles,
        }
    }

    /// Passes on each record that matches, with its line without the newline, and where a line begins that is no record; `lines` are
    /// whole. Returns how many were read, but for those that are blank.
    pub(super) fn seek(
        &mut self,
        lines: &[u8],
        mut found: impl FnMut(&str, &ReadRow),
        mut not_a_record: impl FnMut(usize),
    ) -> u64 {
        let (mut start, mut count) = (0, 0);
        while let Some(candidate) = self.candidate(&lines[start..]) {
            let from = memrchr(b'\n', &lines[start..start + candidate]).map_or(start, |at| start + at + 1);
            let rest = &lines[start + candidate..];
            let end = start + candidate + memchr(b'\n', rest).unwrap_or(rest.len());
            let line = str::from_utf8(&lines[from..end]).unwrap_or_default();
            match self.reader.read(line) {
                Ok(record) => {
                    count += 1;
                    if self.query.matches(record.time, &record.row, self.reader.form()) {
                        found(line, &record);
                    }
                }
                // Whether something was lost with a line that is blank, only the journal can say.
                Err(_) if lines[from..end].trim_ascii().is_empty() => {}
                Err(_) => {
                    count += 1;
                    not_a_record(from);
                }
            }
            start = (end + 1).min(lines.len());
        }
        count
    }

    /// Returns an offset in the next line that can match.
    fn candidate(&self, lines: &[u8]) -> Option<usize> {
        match &self.needles {
            Some(needles) => needles.find(lines).map(|found| found.start()),
            None => (!lines.is_empty()).then_some(0),
        }
    }
}
