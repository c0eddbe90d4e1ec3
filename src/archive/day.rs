//! Reads a day file: its records, and the lines that are not records.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::day_file::DayFile;
use super::lines::Lines;
use super::storage::StoredFile;
use super::time_index::{IndexEntry, TimeIndex};
use crate::fs::FileError;
use crate::record::digests::Digests;
use crate::record::{Identified, Identity, Reader, Record};

/// The identities in a day file: 16 bytes for each record, 32 where records have ids.
///
/// It covers the whole file, or, if only the end of the file was read, the records from some time on.
#[derive(Default)]
pub(super) struct Day {
    contents: Digests,
    keys: Digests,
    /// Records of the file before this time may be unknown.
    since: Option<DateTime<Utc>>,
    /// `None` if another program wrote to the file during this run.
    time_index: Option<TimeIndex>,
}

/// Whether the day file holds an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It does not.
    No,
    /// It holds the same record.
    Yes,
    /// It holds a record with the same id and different content.
    Conflict,
}

impl Day {
    /// Returns a day without a file.
    pub(super) fn empty() -> Self {
        Self {
            time_index: Some(TimeIndex::default()),
            ..Self::default()
        }
    }

    /// Returns an empty day with room for this many records.
    pub(super) fn with_room(records: usize) -> Self {
        Self {
            contents: Digests::with_capacity_and_hasher(records, Default::default()),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, identity: Identity) {
        self.contents.insert(identity.content);
        if identity.key != identity.content {
            self.keys.insert(identity.key);
        }
    }

    /// Adds records that were appended at `offset` of the file.
    pub(super) fn append(&mut self, records: &[Record], mut offset: u64) {
        self.contents.reserve(records.len());
        let mut time_index = self.time_index.take().filter(|time_index| time_index.end() == offset);
        for record in records {
            self.add(record.identity);
            if let Some(time_index) = &mut time_index {
                time_index.add(record.time, offset);
                offset += record.line.len() as u64 + 1;
                time_index.set_end(offset);
            }
        }
        self.time_index = time_index;
    }

    pub(super) fn knows(&self, identity: Identity) -> Known {
        if self.contents.contains(&identity.content) {
            Known::Yes
        } else if self.keys.contains(&identity.key) {
            Known::Conflict
        } else {
            Known::No
        }
    }

    /// Whether the answer of [`Day::knows`] holds for the whole file: the same record has the same time, but another
    /// record with its id can have any.
    pub(super) fn can_judge(&self, record: &Record) -> bool {
        let Some(since) = self.since else { return true };
        let Identity { key, content, .. } = record.identity;
        record.time >= since && (key == content || self.contents.contains(&content))
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
}

impl<'a> Part<'a> {
    pub(super) fn whole(day_file: &'a DayFile) -> Result<Self, FileError> {
        Ok(Self {
            day_file,
            file: day_file.open()?,
            from: None,
        })
    }
}

/// Reads the records of a day file and passes each to `visit`. Memory is bounded by one line and the identities.
///
/// `repaired` holds the offsets of torn lines that are noted already. A last line without a newline is read if it is a
/// record, else ignored: another program may still be writing it.
pub(super) fn read(
    part: Part<'_>,
    reader: &mut Reader,
    repaired: Option<&HashSet<u64>>,
    mut visit: impl FnMut(Identified),
) -> Result<(Day, LineCounts), FileError> {
    let Part { day_file, file, from } = part;
    let path = day_file.path.as_path();
    let failed = |cause| FileError::io("read", path, cause);
    let mut day = Day {
        since: from.map(|entry| entry.time),
        ..Day::default()
    };
    let mut time_index = from.map_or_else(TimeIndex::default, TimeIndex::from_entry);
    let mut counts = LineCounts::default();
    let mut lines = Lines::from_offset(file, time_index.end()).map_err(failed)?;
    while let Some(line) = lines.next().map_err(failed)? {
        let record = std::str::from_utf8(line.bytes)
            .ok()
            .and_then(|text| reader.identify(text).ok());
        if let Some(identified) = record {
            counts.records += 1;
            day.add(identified.identity);
            time_index.add(identified.time, line.offset);
            visit(identified);
        } else if repaired.is_some_and(|offsets| offsets.contains(&line.offset)) {
            counts.repaired += 1;
        } else if line.ended {
            counts.skipped += 1;
            counts.first_skipped.get_or_insert(line.number);
        }
    }
    time_index.set_end(lines.offset());
    day.time_index = Some(time_index);
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
