//! The lines of a day as they are forwarded: those of its compressed file, if another program has made one, then those of the
//! plain file beside it.
//!
//! A position counts the bytes of both, so that it stays right when a day is compressed or unpacked, and when something comes
//! late for a compressed day.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeBounds;

use chrono::{DateTime, NaiveDate, Utc};

use crate::archive::{DayFile, DayParts, LineCounter, Location};
use crate::fs::FileError;
use crate::record::Reader;

/// Compressed days that cannot be read, so that nothing is sent of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was sent of {}: {cause}", files.join(", "))]
pub(crate) struct UnreadableDays {
    /// The names of the files, oldest first.
    files: Vec<String>,
    /// Why the first cannot be read.
    cause: String,
}

/// Lists the days of a location. What it had to count of compressed files is kept with the counts of the archive.
#[derive(Debug)]
pub(crate) struct Days {
    location: Location,
    counter: LineCounter,
}

/// The days of a location, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ListedDays {
    pub(crate) days: Vec<DayLines>,
    /// Those that are not among them.
    pub(crate) unreadable: Option<UnreadableDays>,
    /// Compressed files beside plain ones that cannot be read, and why.
    doubtful: BTreeMap<NaiveDate, (String, String)>,
}

/// The lines of a day.
#[derive(Clone, Debug)]
pub(crate) struct DayLines {
    pub(crate) date: NaiveDate,
    packed: Option<Packed>,
    plain: Option<DayFile>,
}

/// Which files a day has: the lines of a plain one are other ones than before if the compressed one has another end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Where the compressed file ends, in bytes of its content.
    packed_end: Option<u64>,
    has_plain: bool,
}

/// A compressed file.
#[derive(Clone, Debug)]
struct Packed {
    file: DayFile,
    /// Where its last whole line ends, in bytes of its content.
    end: u64,
}

/// Which file of a day an offset lies in.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// The compressed one, at this offset of its content.
    Packed(&'a DayFile, u64),
    /// The plain one.
    Plain(&'a DayFile, u64),
    /// Behind the last line.
    End,
}

impl Days {
    pub(crate) fn of(location: &Location) -> Self {
        Self {
            location: location.clone(),
            counter: LineCounter::of(location),
        }
    }

    /// Lists those among these days.
    ///
    /// # Errors
    /// If the folder, or a plain file beside a compressed one, cannot be read, or a file is gone since it was listed.
    pub(crate) fn list(&mut self, dates: impl RangeBounds<NaiveDate>) -> Result<ListedDays, FileError> {
        let listing = self.location.listing()?;
        listing.warn_of_odd_ones();
        let mut listed = ListedDays::default();
        for date in listing.dates().range(dates).copied() {
            let parts = listing.parts_of(date, &mut self.counter)?;
            if let Some((file, error)) = &parts.unreadable {
                listed.doubtful.insert(date, (file.name(), error.to_string()));
            }
            match self.day(date, &parts, listing.unread.get(&date)) {
                Ok(day) => listed.days.push(day),
                Err(DayError::Unreadable { file, cause }) => listed.leave_out(file, cause),
                Err(DayError::Gone(error)) => return Err(error),
            }
        }
        self.counter.store(&listing);
        Ok(listed)
    }

    fn day(&mut self, date: NaiveDate, parts: &DayParts, other: Option<&DayFile>) -> Result<DayLines, DayError> {
        let mut end_of = |file: &DayFile| {
            let end = self.counter.end_of_lines(file);
            end.map_err(|error| DayError::of(file, error))
        };
        let packed = match &parts.packed {
            Some(file) => Some(Packed {
                file: file.clone(),
                end: end_of(file)?,
            }),
            None => None,
        };
        if let (Some(packed), Some(other)) = (&packed, other)
            && end_of(other)? != packed.end
        {
            let cause = format!("the day has other lines in {}; keep one of the two", packed.file.name());
            let file = other.name();
            return Err(DayError::Unreadable { file, cause });
        }
        Ok(DayLines {
            date,
            packed,
            plain: parts.plain.clone(),
        })
    }
}

/// Why a day is not among those that are listed.
enum DayError {
    /// The file cannot be read.
    Unreadable { file: String, cause: String },
    /// The file is gone since it was listed.
    Gone(FileError),
}

impl DayError {
    fn of(file: &DayFile, error: FileError) -> Self {
        if error.is_missing() {
            return Self::Gone(error);
        }
        Self::Unreadable {
            file: file.name(),
            cause: error.to_string(),
        }
    }
}

impl ListedDays {
    /// Leaves out a day of which a compressed file cannot be read; returns whether there is one.
    pub(crate) fn leave_out_doubtful(&mut self, date: NaiveDate) -> bool {
        let Some((file, cause)) = self.doubtful.remove(&date) else {
            return false;
        };
        self.days.retain(|day| day.date != date);
        self.leave_out(file, cause);
        true
    }

    fn leave_out(&mut self, file: String, cause: String) {
        match &mut self.unreadable {
            Some(unreadable) => unreadable.files.push(file),
            None => {
                let files = vec![file];
                self.unreadable = Some(UnreadableDays { files, cause });
            }
        }
    }

    /// Whether there is no line, as far as can be read.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn are_empty(&self) -> Result<bool, FileError> {
        Ok(self.unreadable.is_none() && !has_lines(&self.days)?)
    }
}

/// Returns whether there is a line that can be forwarded.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn has_lines(days: &[DayLines]) -> Result<bool, FileError> {
    for day in days {
        if day.end()? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

impl DayLines {
    /// Returns which of its files there are.
    pub(crate) fn form(&self) -> Form {
        Form {
            packed_end: self.packed.as_ref().map(|packed| packed.end),
            has_plain: self.plain.is_some(),
        }
    }

    /// Whether it has a compressed file and a plain one.
    pub(crate) fn has_both(&self) -> bool {
        self.packed.is_some() && self.plain.is_some()
    }

    fn packed_end(&self) -> u64 {
        self.packed.as_ref().map_or(0, |packed| packed.end)
    }

    /// Returns where its last whole line ends: what follows may still be written to.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn end(&self) -> Result<u64, FileError> {
        let plain = self.plain.as_ref().map_or(Ok(0), DayFile::end_of_lines)?;
        Ok(self.packed_end() + plain)
    }

    /// Returns its length in bytes, with what follows its last whole line.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn length(&self) -> Result<u64, FileError> {
        let plain = self.plain.as_ref().map_or(Ok(0), DayFile::length)?;
        Ok(self.packed_end() + plain)
    }

    /// Returns the file in which the line behind this position begins.
    pub(crate) fn at(&self, position: u64) -> Place<'_> {
        self.place(position, |packed_end| position < packed_end)
    }

    /// Returns the file in which the line before this position ends.
    pub(crate) fn before(&self, position: u64) -> Place<'_> {
        self.place(position, |packed_end| position <= packed_end)
    }

    /// Returns the compressed file if a position lies in it, by its end, and else the plain one.
    fn place(&self, position: u64, is_packed: impl Fn(u64) -> bool) -> Place<'_> {
        match (&self.packed, &self.plain) {
            (Some(packed), _) if is_packed(packed.end) => Place::Packed(&packed.file, position),
            (_, Some(plain)) => Place::Plain(plain, position - self.packed_end()),
            _ => Place::End,
        }
    }

    /// Returns where the lines of a compressed file end that has none beside it.
    pub(crate) fn packed_alone_end(&self) -> Option<u64> {
        let packed = self.packed.as_ref().filter(|_| self.plain.is_none());
        packed.map(|packed| packed.end)
    }

    /// Whether a position stands at the end of a compressed file: it is not compared, since that would unpack the whole file at each
    /// start.
    pub(crate) fn is_packed_end(&self, position: u64) -> bool {
        self.packed_end() == position
    }

    /// Returns the name of the file in which the line before this position ends.
    pub(crate) fn name_before(&self, position: u64) -> String {
        let files = [self.packed.as_ref().map(|packed| &packed.file), self.plain.as_ref()];
        match self.before(position) {
            Place::Packed(file, _) | Place::Plain(file, _) => file.name(),
            Place::End => files
                .into_iter()
                .flatten()
                .map(DayFile::name)
                .next()
                .unwrap_or_default(),
        }
    }

    /// Returns the line that ends at this position, see [`DayFile::line_before`].
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn line_before(&self, position: u64, most: usize) -> Result<Option<Vec<u8>>, FileError> {
        match self.before(position) {
            Place::Packed(file, end) | Place::Plain(file, end) => file.line_before(end, most),
            Place::End => Ok(None),
        }
    }

    /// Counts the lines behind this position.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn count_behind(&self, position: u64) -> Result<u64, FileError> {
        // Avoids opening hundreds of old files without waiting lines.
        if self.length()? <= position {
            return Ok(0);
        }
        let packed = match &self.packed {
            Some(packed) if position < packed.end => packed.file.count_lines_from(position)?,
            _ => 0,
        };
        let plain = self
            .plain
            .as_ref()
            .map(|plain| plain.count_lines_from(self.in_plain(position)));
        Ok(packed + plain.unwrap_or(Ok(0))?)
    }

    /// Returns the identities of the records of the compressed file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn packed_records(&self, reader: &mut Reader) -> Result<HashSet<u128>, FileError> {
        let mut records = HashSet::new();
        if let Some(packed) = &self.packed {
            let identify = |line: &str| records.extend(reader.identify(line).map(|record| record.identity.content));
            packed.file.lines(identify)?;
        }
        Ok(records)
    }

    fn in_plain(&self, position: u64) -> u64 {
        position.saturating_sub(self.packed_end())
    }

    /// Returns the first result of `read` for the lines behind this position.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn first_behind(
        &self,
        position: u64,
        mut read: impl FnMut(&str) -> Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, FileError> {
        if let Some(packed) = &self.packed
            && position < packed.end
            && let Some(found) = packed.file.first_behind(position, &mut read)?
        {
            return Ok(Some(found));
        }
        match &self.plain {
            Some(plain) => plain.first_behind(self.in_plain(position), read),
            None => Ok(None),
        }
    }

    /// Returns the last result of `read` for the lines before this position.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn last_before(
        &self,
        position: u64,
        mut read: impl FnMut(&str) -> Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, FileError> {
        if let Some(plain) = &self.plain
            && position > self.packed_end()
            && let Some(found) = plain.last_before(self.in_plain(position), &mut read)?
        {
            return Ok(Some(found));
        }
        match &self.packed {
            Some(packed) => packed.file.last_before(position.min(packed.end), read),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::packed::{gzip, zstandard};
    use crate::test_support::random::cases;

    const DAY: &str = "2025-06-09";

    impl Catalog {
        /// The days as a forwarder sees them.
        pub(in crate::forward) fn days(&self) -> Vec<DayLines> {
            let listed = Days::of(&self.location).list(..).unwrap();
            assert_eq!(listed.unreadable, None);
            listed.days
        }
    }

    #[test]
    fn the_plain_file_that_is_being_compressed_or_was_unpacked_beside_is_read_alone() {
        let whole = gzip(b"one\ntwo\n");
        for beside in [
            whole.clone(),
            whole[..whole.len() - 9].to_vec(),
            whole[..5].to_vec(),
            Vec::new(),
        ] {
            let catalog = Catalog::new().with(&[(DAY, "one\ntwo\n")]);
            catalog.write_packed(DAY, ".gz", beside);
            let days = catalog.days();
            assert_eq!(
                (
                    days.len(),
                    days[0].has_both(),
                    days[0].packed_alone_end(),
                    days[0].end().unwrap()
                ),
                (1, false, None, 8)
            );
        }
    }

    #[test]
    fn a_compressed_file_that_is_damaged_is_named_and_holds_up_no_other_day() {
        let catalog = Catalog::new().with(&[("2025-06-08", "one\n"), ("2025-06-10", "two\n")]);
        let whole = gzip(b"one\ntwo\n");
        catalog.write_packed(DAY, ".gz", whole[..whole.len() - 9].to_vec());
        let listed = Days::of(&catalog.location).list(..).unwrap();
        assert_eq!(listed.days.len(), 2);
        assert!(!listed.are_empty().unwrap());
        let said = listed.unreadable.unwrap().to_string();
        assert!(
            said.starts_with("nothing was sent of mail_2025-06-09.log.gz: cannot read "),
            "{said}"
        );
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn however_a_day_is_stored_a_position_stands_before_and_behind_the_same_lines(
            lines in prop::collection::vec("[a-z]{0,9}", 1..9),
            late in prop::collection::vec("[A-Z]{1,9}", 0..4),
            at in 0usize..13,
            is_gzip: bool,
        ) {
            let ended = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>();
            let (lines, late) = (ended(&lines), ended(&late));
            let all = [&lines[..], &late].concat();
            let (before, behind) = all.split_at(at.min(all.len()));
            let position = before.concat().len() as u64;
            let plain = Catalog::new().with(&[(DAY, &all.concat())]);
            let packed = if late.is_empty() { Catalog::new() } else { Catalog::new().with(&[(DAY, &late.concat())]) };
            let content = lines.concat().into_bytes();
            let (suffix, bytes) = if is_gzip { (".gz", gzip(&content)) } else { (".zst", zstandard(&content)) };
            packed.write_packed(DAY, suffix, bytes);
            for catalog in [plain, packed] {
                let day = catalog.days().remove(0);
                let last = before.last().map(|line| line.clone().into_bytes());
                prop_assert_eq!(day.line_before(position, 4096).unwrap(), last);
                prop_assert_eq!(day.count_behind(position).unwrap(), behind.len() as u64);
                prop_assert_eq!(day.end().unwrap(), all.concat().len() as u64);
                let mut first = None;
                day.first_behind(position, |line| { first.get_or_insert(format!("{line}\n")); Some(DateTime::UNIX_EPOCH) }).unwrap();
                prop_assert_eq!(first.as_ref(), behind.first());
                let mut last = None;
                day.last_before(position, |line| { last = Some(format!("{line}\n")); Some(DateTime::UNIX_EPOCH) }).unwrap();
                prop_assert_eq!(last.as_ref(), before.last());
            }
        }
    }
}
