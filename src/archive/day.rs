//! Reads a day file: its records, and the lines that are not records.

use chrono::{DateTime, Utc};

use super::day_file::DayFile;
use super::key::{Key, Moment};
use super::lines::Lines;
use super::storage::StoredFile;
use super::time_index::{IndexEntry, TimeIndex};
use crate::fs::FileError;
use crate::record::digests::Digests;
use crate::record::{Identified, Reader, Record};

/// The identities in a day file: 16 bytes for each record.
///
/// It covers the whole file, or, if only the end of the file was read, the records from some time on.
#[derive(Default)]
pub(super) struct Day {
    /// The records from before this run, sorted.
    archived: Vec<Key>,
    /// The contents of the records that this run has appended. Nothing is a revision of them.
    appended: Digests,
    /// Records of the file before this time may be unknown.
    since: Option<DateTime<Utc>>,
    /// `None` if another program wrote to the file during this run.
    time_index: Option<TimeIndex>,
    /// Number of records that only the compressed file of the day has.
    only_compressed: u64,
    /// Whether it has the records of the day that stand in the files of other days.
    has_misplaced: bool,
}

impl Day {
    /// Returns a day without a file.
    pub(super) fn empty() -> Self {
        Self {
            time_index: Some(TimeIndex::default()),
            ..Self::default()
        }
    }

    /// Adds a record that was read.
    fn add(&mut self, identified: Identified, is_from_before: bool) {
        if is_from_before {
            self.archived.push(Key::of(identified));
        } else {
            self.appended.insert(identified.identity.content);
        }
    }

    /// Adds the records of the compressed file of the day.
    pub(super) fn absorb(&mut self, packed: Self) {
        let before = self.archived.len();
        self.archived.extend(packed.archived);
        self.archived.sort_unstable();
        self.archived.dedup();
        self.only_compressed = (self.archived.len() - before) as u64;
    }

    /// Adds the records of the day that stand in the files of other days.
    pub(super) fn add_misplaced(&mut self, keys: &[Key]) {
        self.has_misplaced = true;
        if !keys.is_empty() {
            self.archived.extend(keys);
            self.archived.sort_unstable();
            self.archived.dedup();
        }
    }

    /// Whether it has the records of the day that stand in the files of other days, if there are any.
    pub(super) fn has_misplaced(&self) -> bool {
        self.has_misplaced
    }

    /// Returns the number of records that only the compressed file of the day has.
    pub(super) fn only_compressed(&self) -> u64 {
        self.only_compressed
    }

    /// Notes that the file was read up to its end.
    fn end(&mut self, mut time_index: TimeIndex, end: u64) {
        time_index.set_end(end);
        self.time_index = Some(time_index);
        self.archived.sort_unstable();
        self.archived.dedup();
        self.archived.shrink_to_fit();
    }

    /// Adds records that were appended at `offset` of the file.
    pub(super) fn append(&mut self, records: &[Record], mut offset: u64) {
        self.appended.reserve(records.len());
        let mut time_index = self.time_index.take().filter(|time_index| time_index.end() == offset);
        for record in records {
            self.appended.insert(record.identity.content);
            if let Some(time_index) = &mut time_index {
                time_index.add(record.time, offset);
                offset += record.line.len() as u64 + 1;
                time_index.set_end(offset);
            }
        }
        self.time_index = time_index;
    }

    /// Whether the file holds this record.
    pub(super) fn holds(&self, record: &Record) -> bool {
        let key = Key::of(record.identified());
        self.archived.binary_search(&key).is_ok() || self.appended.contains(&record.identity.content)
    }

    /// Returns the records from before this run with this id and time.
    pub(super) fn archived_of(&self, moment: Moment) -> impl Iterator<Item = Key> + '_ {
        let first = self.archived.partition_point(|key| key.moment() < moment);
        let archived = self.archived[first..].iter().copied();
        archived.take_while(move |key| key.moment() == moment)
    }

    /// Whether what it says of a record of this time holds for the whole file.
    pub(super) fn can_judge(&self, time: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| time >= since)
    }

    /// Returns the time index, if it reaches to the end of the file.
    pub(super) fn time_index(&self) -> Option<&TimeIndex> {
        self.time_index.as_ref()
    }
}

/// Counts the lines of a day file by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineCounts {
    pub(super) records: u64,
    /// Torn lines that were repaired and noted.
    pub(super) repaired: u64,
    /// Other lines that are not records.
    pub(super) skipped: u64,
    /// Line number of the first of those, counted from 1 where reading began.
    pub(super) first_skipped: Option<u64>,
}

/// What to read: a day file from its start or from an index entry.
pub(super) struct Part<'a> {
    pub(super) day_file: &'a DayFile,
    pub(super) file: Box<dyn StoredFile>,
    /// Where to begin; `None` for the start.
    pub(super) from: Option<IndexEntry>,
    /// Where the lines of this run begin.
    pub(super) old_to: u64,
}

impl<'a> Part<'a> {
    pub(super) fn whole(day_file: &'a DayFile, old_to: u64) -> Result<Self, FileError> {
        Ok(Self {
            day_file,
            file: day_file.open()?,
            from: None,
            old_to,
        })
    }
}

/// Reads the records of a day file and passes each to `visit`. Memory is bounded by one line and the identities.
///
/// `is_repaired` says of the offset of a line that is no record whether a torn line is noted there. A last line without a
/// newline is read if it is a record, else ignored: another program may still be writing it.
pub(super) fn read(
    part: Part<'_>,
    reader: &mut Reader,
    mut is_repaired: impl FnMut(u64) -> Result<bool, FileError>,
    mut visit: impl FnMut(Identified),
) -> Result<(Day, LineCounts), FileError> {
    let Part { day_file, from, .. } = part;
    let path = day_file.path.as_path();
    let failed = |cause| day_file.unreadable(cause);
    let mut day = Day {
        since: from.map(|entry| entry.time),
        ..Day::default()
    };
    let mut time_index = from.map_or_else(TimeIndex::default, TimeIndex::from_entry);
    let mut counts = LineCounts::default();
    let mut lines = Lines::from_offset(part.file, time_index.end()).map_err(failed)?;
    while let Some(line) = lines.next().map_err(failed)? {
        let record = std::str::from_utf8(line.bytes)
            .ok()
            .and_then(|text| reader.identify(text).ok());
        if let Some(identified) = record {
            counts.records += 1;
            day.add(identified, line.offset < part.old_to);
            time_index.add(identified.time, line.offset);
            visit(identified);
        } else if is_repaired(line.offset)? {
            counts.repaired += 1;
        } else if line.ended {
            counts.skipped += 1;
            counts.first_skipped.get_or_insert(line.number);
        }
    }
    day.end(time_index, lines.offset());
    counts.report(path, from);
    Ok((day, counts))
}

impl LineCounts {
    fn report(self, path: &std::path::Path, from: Option<IndexEntry>) {
        let path = path.display();
        let from = from.map_or(0, |entry| entry.offset);
        tracing::debug!(%path, records = self.records, repaired_torn_lines = self.repaired, from, "read a day file");
        if let Some(first) = self.first_skipped {
            tracing::warn!(%path, lines = self.skipped, first, from, "skipped lines that are not records");
        }
    }
}
