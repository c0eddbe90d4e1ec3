//! Reads the whole lines after a position in every day, oldest day first.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Range;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::batch::{Batch, Line};
use super::cursor::CursorError;
use super::day_lines::{DayLines, Days, Form, ListedDays, Place, UnreadableDays};
use super::position::{Position, Positions};
use crate::archive::{Location, PackedLines, ReadRange, while_files_move};
use crate::fs::FileError;
use crate::json::push_strict;
use crate::record::{Reader, Shape};

/// Size of a batch, in bytes; only a longer line makes it larger.
const BATCH: usize = 1 << 20;

/// Reads the lines of a stream after a cursor, in passes over its day files.
#[derive(Debug)]
pub(crate) struct LineReader {
    days: Days,
    record_reader: Reader,
    /// How far it has read, which may be ahead of the acknowledgements.
    ahead: Positions,
    /// How far each plain file was synced by this reader.
    synced: BTreeMap<NaiveDate, u64>,
    /// The days that agree with the cursor, and which files they had: each is compared before it is read first.
    compared: BTreeMap<NaiveDate, Form>,
    /// The compressed file that is being read.
    unpacked: Option<PackedLines>,
    /// The records of the compressed file beside the plain one that is being read.
    packed_records: Option<(NaiveDate, HashSet<u128>)>,
    /// What could not be read in the last pass.
    unreadable: Option<UnreadableDays>,
    /// Whose cursor it is.
    sink: &'static str,
    /// Read only records of this time.
    only: Option<Range<DateTime<Utc>>>,
    /// The days left in this pass; `None` between passes.
    pass: Option<VecDeque<DayLines>>,
    /// Make strict copies of the lines that need one.
    strict_json: bool,
    /// Batches to reuse: the system takes its time to hand out memory.
    spare: Vec<Batch>,
    batch_bytes: usize,
}

impl LineReader {
    /// Creates a reader of the lines after `from`.
    pub(crate) fn new(location: &Location, shape: Shape, from: Positions) -> Self {
        Self {
            days: Days::of(location),
            record_reader: Reader::new(shape),
            ahead: from,
            synced: BTreeMap::new(),
            compared: BTreeMap::new(),
            unpacked: None,
            packed_records: None,
            unreadable: None,
            sink: "a sink",
            only: None,
            pass: None,
            strict_json: false,
            spare: Vec::new(),
            batch_bytes: BATCH,
        }
    }

    /// Creates a reader of the lines with records of this time, from the start of their files.
    pub(crate) fn between(location: &Location, shape: Shape, times: Range<DateTime<Utc>>) -> Self {
        let mut reader = Self::new(location, shape, Positions::default());
        reader.only = Some(times);
        reader
    }

    /// Makes strict copies of the lines that need one, or does not.
    #[must_use]
    pub(crate) fn with_strict_json(mut self, strict_json: bool) -> Self {
        self.strict_json = strict_json;
        self
    }

    /// Names the sink whose cursor it reads from.
    #[must_use]
    pub(crate) fn for_sink(mut self, sink: &'static str) -> Self {
        self.sink = sink;
        self
    }

    #[cfg(test)]
    pub(super) fn with_batches_of(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Moves to a cursor.
    pub(crate) fn seek(&mut self, positions: Positions) {
        self.ahead = positions;
        self.compared.clear();
        self.pass = None;
    }

    /// Returns the next lines; `None` at the end of a pass over all files. The next call begins another pass.
    ///
    /// The lines are on disk. A torn line at the end of a file is left for later.
    ///
    /// # Errors
    /// If a file cannot be read, or one that came since does not agree with the cursor.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Batch>, CursorError> {
        let ahead = self.ahead.clone();
        while_files_move(|| {
            let read = self.read_batch();
            if read.is_err() {
                self.ahead.clone_from(&ahead);
                self.pass = None;
            }
            read
        })
    }

    fn read_batch(&mut self) -> Result<Option<Batch>, CursorError> {
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => self.compared_days()?,
        };
        let mut batch = self.spare.pop().unwrap_or_default();
        while let Some(day) = pass.front() {
            let room = self.batch_bytes.saturating_sub(batch.text.len());
            if room == 0 {
                break;
            }
            let from = self.ahead.of(day.date);
            let to = self.read(day, from, room, &mut batch)?;
            if to.offset > from {
                self.ahead.set(day.date, to);
                batch.end.set(day.date, to);
            } else {
                pass.pop_front();
            }
        }
        if batch.end.is_empty() {
            self.recycle(batch);
            return Ok(None);
        }
        self.pass = Some(pass);
        Ok(Some(batch))
    }

    /// Takes back a batch for reuse.
    pub(crate) fn recycle(&mut self, mut batch: Batch) {
        // A batch that held a very long line is dropped.
        if batch.text.capacity().max(batch.copies.capacity()) <= 2 * BATCH {
            batch.clear();
            self.spare.push(batch);
        }
    }

    /// Returns the next batch that has a line.
    ///
    /// # Errors
    /// Those of [`LineReader::next_batch`].
    pub(crate) fn next_batch_with_lines(&mut self) -> Result<Option<Batch>, CursorError> {
        loop {
            match self.next_batch()? {
                Some(batch) if batch.lines.is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    /// Counts the whole lines after `from`, records or not.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn count_behind(&mut self, from: &Positions) -> Result<u64, FileError> {
        let days = self.list()?.days.into_iter();
        days.map(|day| day.count_behind(from.of(day.date))).sum()
    }

    /// Returns what could not be read in the last pass.
    #[must_use]
    pub(crate) fn unreadable(&self) -> Option<&UnreadableDays> {
        self.unreadable.as_ref()
    }

    fn list(&mut self) -> Result<ListedDays, FileError> {
        let Some(times) = &self.only else {
            return self.days.list(..);
        };
        let last = times.end.checked_sub_signed(TimeDelta::nanoseconds(1));
        self.days
            .list(times.start.date_naive()..=last.unwrap_or(times.end).date_naive())
    }

    /// Returns the days of a pass. Those that had not the same files before are compared with the cursor.
    fn compared_days(&mut self) -> Result<VecDeque<DayLines>, CursorError> {
        let mut listed = self.list()?;
        let is_new = |day: &DayLines| self.compared.get(&day.date) != Some(&day.form());
        let mismatches = self.ahead.compare_listed(&mut listed, is_new)?;
        if let Some(error) = CursorError::of_mismatches(self.sink, &mismatches) {
            return Err(error);
        }
        for day in &listed.days {
            if self.compared.insert(day.date, day.form()) != Some(day.form()) {
                self.synced.remove(&day.date);
            }
        }
        self.unreadable = listed.unreadable;
        Ok(listed.days.into())
    }

    /// Reads whole lines of a day into the batch; returns the position after them.
    fn read(&mut self, day: &DayLines, from: u64, room: usize, batch: &mut Batch) -> Result<Position, FileError> {
        let start = batch.text.len();
        let read = match day.at(from) {
            Place::Packed(file, offset) => {
                let reading = self.unpacked.take().filter(|reading| reading.is_at(file, offset));
                let mut reading = reading.map_or_else(|| PackedLines::of(file, offset), Ok)?;
                let read = reading.next(room, &mut batch.text)?;
                self.unpacked = Some(reading);
                read
            }
            Place::Plain(file, offset) => {
                // A cursor must not pass lines that a power cut can still take back.
                let synced = self.synced.get(&day.date).copied().unwrap_or(0);
                let (read, synced) = file.read_whole_lines(offset, room, synced, &mut batch.text)?;
                self.synced.insert(day.date, synced);
                read
            }
            Place::End => ReadRange::Whole,
        };
        match read {
            ReadRange::Whole => {
                let before = batch.lines.len();
                self.split_into_lines(day.date, from, start, batch);
                if day.has_both() && matches!(day.at(from), Place::Plain(..)) {
                    self.drop_packed_records(day, before, batch)?;
                }
                let text = &batch.text[start..];
                Ok(Position::after(text, from + text.len() as u64))
            }
            ReadRange::TooLong(bytes) => {
                batch.skipped += 1;
                Ok((from + bytes).into())
            }
        }
    }

    /// Drops lines whose records the compressed file has too, as when a run has filed them again while that was damaged: each counts
    /// once.
    fn drop_packed_records(&mut self, day: &DayLines, from: usize, batch: &mut Batch) -> Result<(), FileError> {
        let known = self.packed_records.take().filter(|(date, _)| *date == day.date);
        let (date, records) = match known {
            Some(known) => known,
            None => (day.date, day.packed_records(&mut self.record_reader)?),
        };
        let read = batch.lines.split_off(from);
        let new = read
            .into_iter()
            .filter(|line| !records.contains(&line.identity.content));
        batch.lines.extend(new);
        self.packed_records = Some((date, records));
        Ok(())
    }

    fn split_into_lines(&mut self, day: NaiveDate, from: u64, start: usize, batch: &mut Batch) {
        let mut begin = start;
        for newline in memchr::memchr_iter(b'\n', &batch.text[start..]) {
            let range = begin..start + newline;
            begin = range.end + 1;
            let text = std::str::from_utf8(&batch.text[range.clone()]).ok();
            let Some((record, id)) = text.and_then(|text| self.record_reader.identify_with_id(text).ok()) else {
                batch.skipped += 1;
                continue;
            };
            if self.only.as_ref().is_none_or(|times| times.contains(&record.time)) {
                let copy = text.filter(|_| self.strict_json);
                batch.lines.push(Line {
                    offset: from + (range.start - start) as u64,
                    range,
                    copy: copy.and_then(|text| strict_copy(text, &mut batch.copies)),
                    day,
                    time: record.time,
                    identity: record.identity,
                    id,
                });
            }
        }
    }
}

/// Appends the strict copy of a line, and its newline, and returns where it is; `None` if the line needs none.
fn strict_copy(line: &str, copies: &mut String) -> Option<Range<usize>> {
    let start = copies.len();
    push_strict(line, copies).then(|| {
        copies.push('\n');
        start..copies.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::{Lock, Packer};
    use crate::test_support::Catalog;
    use crate::test_support::bound::at_most;
    use crate::test_support::random::cases;
    use crate::test_support::record::{SHAPE, line_of_day as record};

    impl Catalog {
        fn reader(&self) -> LineReader {
            LineReader::new(&self.location, SHAPE, Positions::default())
        }
    }

    /// Returns the ids of one pass, batch by batch, and the number of skipped lines.
    fn pass(reader: &mut LineReader) -> (Vec<Vec<String>>, u64) {
        let (mut batches, mut skipped) = (Vec::new(), 0);
        let mut round = at_most(1_000);
        while let Some(batch) = reader.next_batch().unwrap() {
            round();
            skipped += batch.skipped;
            batches.push(batch.lines.iter().map(|line| line.id.clone().unwrap()).collect());
        }
        (batches, skipped)
    }

    #[test]
    fn lines_come_in_the_order_of_the_files_and_later_ones_in_the_next_pass() {
        let catalog = Catalog::new();
        catalog.append("2025-06-10", &(record("2025-06-10", "c") + &record("2025-06-10", "d")));
        catalog.append("2025-06-09", &record("2025-06-09", "a"));
        let mut reader = catalog.reader();
        assert_eq!(pass(&mut reader).0.concat(), ["a", "c", "d"]);
        assert_eq!(pass(&mut reader).0.concat(), Vec::<String>::new());
        catalog.append("2025-06-11", &record("2025-06-11", "e"));
        catalog.append("2025-06-09", &record("2025-06-09", "b"));
        assert_eq!(pass(&mut reader).0.concat(), ["b", "e"]);
    }

    #[test]
    fn a_torn_line_waits_and_what_is_not_a_record_is_skipped_and_counted() {
        let catalog = Catalog::new();
        let whole = record("2025-06-09", "a");
        catalog.append("2025-06-09", &format!("{}\n\nnull\n{whole}", &whole[..9]));
        catalog.append("2025-06-09", &whole[..9]);
        let mut reader = catalog.reader();
        assert_eq!(pass(&mut reader), (vec![vec!["a".to_owned()]], 3));
        assert_eq!(pass(&mut reader), (vec![], 0));
        catalog.append("2025-06-09", &whole[9..]);
        assert_eq!(pass(&mut reader), (vec![vec!["a".to_owned()]], 0));
    }

    #[test]
    fn a_line_knows_where_it_begins_and_ends() {
        let catalog = Catalog::new();
        let (one, two) = (record("2025-06-09", "a"), record("2025-06-09", "bb"));
        catalog.append("2025-06-09", &format!("junk\n{one}{two}"));
        let batch = catalog.reader().next_batch().unwrap().unwrap();
        let [first, second] = &batch.lines[..] else { panic!() };
        assert_eq!((first.offset, first.end()), (5, 5 + one.len() as u64));
        assert_eq!(second.offset, first.end());
        assert_eq!(batch.bytes(second), two.trim_end().as_bytes());
        assert_eq!(batch.end_of(1).of(first.day), first.end());
        assert_eq!(batch.end_of(0), Positions::default());
        assert_eq!(batch.end_of(2), batch.end);
    }

    #[test]
    fn a_time_range_is_read_from_its_own_files_only() {
        let catalog = Catalog::new();
        for day in ["2025-06-08", "2025-06-09", "2025-06-10", "2025-06-11"] {
            catalog.append(day, &record(day, &day[8..]));
        }
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let times = at("2025-06-09T10:00:00Z")..at("2025-06-11T10:00:00Z");
        let mut reader = LineReader::between(&catalog.location, SHAPE, times);
        assert_eq!(pass(&mut reader).0.concat(), ["09", "10"]);
    }

    #[test]
    fn lines_after_a_cursor_are_counted() {
        let catalog = Catalog::new();
        let one = record("2025-06-09", "a");
        catalog.append("2025-06-09", &format!("{one}{one}half"));
        catalog.append("2025-06-10", &one);
        let from = [("2025-06-09".parse().unwrap(), one.len() as u64)]
            .into_iter()
            .collect();
        assert_eq!(catalog.reader().count_behind(&from).unwrap(), 2);
    }

    /// Packs or unpacks a day, if there is something to do.
    fn pack_or_unpack(catalog: &Catalog, day: &str, packs: bool) {
        let now = "2026-11-20T10:00:00Z".parse().unwrap();
        let packer = Packer::under(Lock::acquire(&catalog.location, now).unwrap());
        let (listing, date) = (catalog.location.listing().unwrap(), day.parse().unwrap());
        let (plain, packed) = (listing.days.get(date), listing.packed.get(&date));
        match (&plain, packed) {
            (Some(plain), _) if packs => drop(packer.pack(plain, packed).unwrap()),
            (_, Some(packed)) if !packs => drop(packer.unpack(packed, plain.as_ref()).unwrap()),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(cases(128))]

        #[test]
        fn a_pass_goes_on_at_the_next_line_whatever_form_its_days_take(
            steps in prop::collection::vec((0usize..5, 0usize..2), 1..40),
            batch_bytes in 1usize..300,
        ) {
            let catalog = Catalog::with_state_folder();
            let days = ["2025-06-09", "2025-06-10"];
            let mut expected = [const { Vec::new() }; 2];
            let mut read = Vec::new();
            let mut reader = catalog.reader().with_batches_of(batch_bytes);
            let mut read_on = |reader: &mut LineReader| {
                let batch = reader.next_batch().unwrap();
                let ids = batch.iter().flat_map(|batch| &batch.lines).map(|line| line.id.clone().unwrap());
                read.extend(ids);
                batch.is_some()
            };
            for (number, (step, day)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        catalog.append(days[day], &record(days[day], &format!("{day}-{number}")));
                        expected[day].push(format!("{day}-{number}"));
                    }
                    2 => pack_or_unpack(&catalog, days[day], true),
                    3 => pack_or_unpack(&catalog, days[day], false),
                    _ => drop(read_on(&mut reader)),
                }
            }
            let mut round = at_most(1_000);
            // A pass that had begun, and one of all that is left.
            for _ in 0..2 {
                while read_on(&mut reader) {
                    round();
                }
            }
            let of_day = |day: usize| read.iter().filter(|id| id.starts_with(&format!("{day}-"))).cloned().collect::<Vec<_>>();
            prop_assert_eq!([of_day(0), of_day(1)], expected);
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn batches_of_any_size_hold_every_line_once_in_order(
            lengths in prop::collection::vec((0usize..3, 0usize..90), 0..30),
            batch_bytes in 1usize..300,
        ) {
            let catalog = Catalog::new();
            let days = ["2025-06-09", "2025-06-10", "2025-06-11"];
            let mut expected = [const { Vec::new() }; 3];
            for (number, (day, length)) in lengths.iter().enumerate() {
                let id = format!("{number}{}", "x".repeat(*length));
                catalog.append(days[*day], &record(days[*day], &id));
                expected[*day].push(id);
            }
            let mut reader = catalog.reader().with_batches_of(batch_bytes);
            prop_assert_eq!(pass(&mut reader).0.concat(), expected.concat());
        }
    }
}
