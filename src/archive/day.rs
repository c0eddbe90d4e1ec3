//! One day file as it is read: its records, and what is not one.

use std::collections::HashSet;
use std::path::Path;

use super::lines::Lines;
use super::storage::{FileError, open_for_reading};
use crate::record::{Identified, Identity, Reader};

/// The identities that a day file holds; 16 bytes for a record, 32 where records have ids.
///
/// It is complete for its file. Were only the end of a file read, it would be so from some time on.
#[derive(Default)]
pub(super) struct Day {
    contents: HashSet<u128>,
    keys: HashSet<u128>,
}

/// What is known of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    No,
    /// The same record is there.
    Yes,
    /// A record with the same id is there, but it says something else.
    Otherwise,
}

impl Day {
    pub(super) fn add(&mut self, identity: Identity) {
        self.contents.insert(identity.content);
        if identity.key != identity.content {
            self.keys.insert(identity.key);
        }
    }

    pub(super) fn knows(&self, identity: Identity) -> Known {
        if self.contents.contains(&identity.content) {
            Known::Yes
        } else if self.keys.contains(&identity.key) {
            Known::Otherwise
        } else {
            Known::No
        }
    }
}

/// What the lines of a day file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Lines that are records.
    pub(super) records: u64,
    /// Half lines that were sealed and noted.
    pub(super) sealed: u64,
    /// Other lines that are not records.
    pub(super) skipped: u64,
    /// The number, from 1, of the first of those.
    pub(super) first_skipped: Option<u64>,
}

/// Reads the records of a day file from its start, in memory that one line bounds.
///
/// `sealed` holds the offsets of half lines that are noted already. A last line without a newline is read if it is a
/// record; else somebody may still be writing it, and it counts as nothing.
pub(super) fn read(
    path: &Path,
    reader: &mut Reader,
    sealed: Option<&HashSet<u64>>,
    mut visit: impl FnMut(Identified),
) -> Result<Tally, FileError> {
    let mut tally = Tally::default();
    let mut lines = Lines::of(open_for_reading(path)?);
    while let Some(line) = lines.next().map_err(|cause| FileError::io("read", path, cause))? {
        let record = std::str::from_utf8(line.bytes)
            .ok()
            .and_then(|text| reader.identify(text).ok());
        if let Some(identified) = record {
            tally.records += 1;
            visit(identified);
        } else if sealed.is_some_and(|offsets| offsets.contains(&line.offset)) {
            tally.sealed += 1;
        } else if line.ended {
            tally.skipped += 1;
            tally.first_skipped.get_or_insert(line.number);
        }
    }
    tally.report(path);
    Ok(tally)
}

impl Tally {
    fn report(self, path: &Path) {
        let path = path.display();
        tracing::debug!(%path, records = self.records, sealed_half_lines = self.sealed, "read a day file");
        if let Some(first) = self.first_skipped {
            tracing::warn!(%path, lines = self.skipped, first, "skipped lines that are not records");
        }
    }
}
