//! One day file as it is read: its records, and what is not one.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::day_file::DayFile;
use super::lines::Lines;
use super::storage::StoredFile;
use super::time_index::{IndexEntry, TimeIndex};
use crate::fs::FileError;
use crate::record::digests::Digests;
use crate::record::{Identity, Reader, Record};

/// The identities that a day file holds; 16 bytes for a record, 32 where records have ids.
///
/// It is complete for its file, or, where only the end of the file was read, from some time on.
#[derive(Default)]
pub(super) struct Day {
    contents: Digests,
    keys: Digests,
    /// Earlier records of the file may not be known.
    since: Option<DateTime<Utc>>,
    /// `None` after somebody else wrote to the file between this run's looks at it.
    time_index: Option<TimeIndex>,
}

/// What is known of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    No,
    /// The same record is there.
    Yes,
    /// A record with the same id is there, but it says something else.
    Conflict,
}

impl Day {
    /// A day without a file.
    pub(super) fn empty() -> Self {
        Self {
            time_index: Some(TimeIndex::default()),
            ..Self::default()
        }
    }

    /// No records yet, and room for so many.
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

    /// Takes in records that were appended at `offset` of the file.
    pub(super) fn append(&mut self, records: &[Record], mut offset: u64) {
        self.contents.reserve(records.len());
        let mut time_index = self.time_index.take().filter(|time_index| time_index.end() == offset);
        for record in records {
            self.add(record.identity);
            if let Some(time_index) = &mut time_index {
                time_index.pass(record.time, offset);
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

    /// Whether what [`Day::knows`] says of a record is true of the whole file: the same record has the same time, but
    /// another one with its id can have any.
    pub(super) fn can_judge(&self, record: &Record) -> bool {
        let Some(since) = self.since else { return true };
        let Identity { key, content } = record.identity;
        record.time >= since && (key == content || self.contents.contains(&content))
    }

    /// The index entries of its file, where they are known to its end.
    pub(super) fn time_index(&self) -> Option<&TimeIndex> {
        self.time_index.as_ref()
    }
}

/// What the lines of a day file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineCounts {
    /// Lines that are records.
    pub(super) records: u64,
    /// Torn lines that were repaired and noted.
    pub(super) repaired: u64,
    /// Other lines that are not records.
    pub(super) skipped: u64,
    /// The number, from 1 where reading began, of the first of those.
    pub(super) first_skipped: Option<u64>,
}

/// What is to be read: a day file from its start, or from an entry on.
pub(super) struct Part<'a> {
    /// The day file.
    pub(super) day_file: &'a DayFile,
    /// The same, open.
    pub(super) file: Box<dyn StoredFile>,
    /// Where to begin, if not at its start.
    pub(super) from: Option<IndexEntry>,
}

impl<'a> Part<'a> {
    /// All of a file.
    pub(super) fn whole(day_file: &'a DayFile) -> Result<Self, FileError> {
        Ok(Self {
            day_file,
            file: day_file.open()?,
            from: None,
        })
    }
}

/// Reads the records of a day file, in memory that one line and the identities bound; `visit` is told the times.
///
/// `repaired` holds the offsets of torn lines that are noted already. A last line without a newline is read if it is a
/// record; else somebody may still be writing it, and it counts as nothing.
pub(super) fn read(
    part: Part<'_>,
    reader: &mut Reader,
    repaired: Option<&HashSet<u64>>,
    mut visit: impl FnMut(DateTime<Utc>),
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
            time_index.pass(identified.time, line.offset);
            visit(identified.time);
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
