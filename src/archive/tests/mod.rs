//! The archive as its callers use it, on real files. Faults and power cuts come from [`Faulty`].

mod crashes;
mod growth;
mod packing;
mod reading;
mod resuming;
mod revisions;
mod writing;

use std::fs;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::storage::Disk;
use super::*;
use crate::record::Record;
use crate::test_support::Catalog;
use crate::test_support::record::{SHAPE, line, record, time};

fn now() -> DateTime<Utc> {
    time("2026-01-01T00:00:00Z")
}

impl Catalog {
    fn try_open(&self) -> Result<Archive, WriteError> {
        // What the tests read themselves never fails: only the archive goes through the faulty storage.
        let location = self.location.clone().on(self.disk.clone());
        let mut archive = Archive::new(location, Arc::new(self.disk.clone()), None, SHAPE, 0o640);
        let listing = Arc::new(archive.location.listing()?);
        archive.repair(now(), Turn::All, &listing)?;
        archive.listing = Some(listing);
        Ok(archive)
    }

    fn open(&self) -> Archive {
        self.try_open().unwrap()
    }

    fn dry_run(&self) -> Archive {
        Archive::dry_run(self.location.clone(), SHAPE)
    }

    /// Returns the operations since the last call, without opening and reading files.
    fn log(&self) -> Vec<String> {
        let folder = self.folder().file_name().unwrap().to_string_lossy();
        let log = self
            .disk
            .log()
            .into_iter()
            .map(|entry| entry.replace(&*folder, "catalog"));
        log.filter(|entry| !["open", "look", "read", "list"].contains(&entry.split(' ').next().unwrap()))
            .collect()
    }

    /// Counts the lines of a day file.
    fn counts(&self, date: &str) -> day::LineCounts {
        let mut rejected = NotesFile::rejected(&self.location);
        let noted = rejected.noted(&mut DurableAppender::new(Arc::new(Disk))).unwrap();
        let file = self.location.file_of(date.parse().unwrap()).unwrap();
        let repaired = noted.repaired_in(&file).unwrap();
        let part = day::Part::whole(&file, u64::MAX).unwrap();
        let is_repaired = |offset| Ok(repaired.contains(&offset));
        day::read(part, &mut Reader::new(SHAPE), is_repaired, |_| {}).unwrap().1
    }
}

/// Deduplicates and appends, as a run does with a slice.
fn file(archive: &mut Archive, records: Vec<Record>) -> AppendedAll {
    let deduplicated = archive.deduplicate_all(records).unwrap();
    archive.append_all(deduplicated.new).unwrap()
}

/// The deduplicated records of several days.
#[derive(Debug, Default, PartialEq, Eq)]
struct DedupAll {
    new: Vec<Record>,
    duplicates: u64,
    revisions: Vec<Rejected>,
}

/// What was appended to several days, up to an error.
#[derive(Debug, Default, PartialEq, Eq)]
struct AppendedAll {
    records: u64,
    /// How many of them are not on disk for certain.
    unsynced: u64,
    bytes: u64,
    files: Vec<String>,
}

impl AppendedAll {
    fn add(&mut self, appended: Appended) {
        self.records += appended.records;
        self.unsynced += if appended.is_synced { 0 } else { appended.records };
        self.bytes += appended.bytes;
        self.files.push(appended.file);
    }
}

/// An error while appending to several days.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
struct Stopped {
    appended: AppendedAll,
    cause: WriteError,
}

impl Archive {
    /// Deduplicates the records of several days, one day after the other.
    fn deduplicate_all(&mut self, records: Vec<Record>) -> Result<DedupAll, FileError> {
        let mut all = DedupAll::default();
        for batch in Batch::by_day(records) {
            let deduplicated = self.deduplicate(batch)?;
            all.new.extend_from_slice(deduplicated.new.records());
            all.duplicates += deduplicated.duplicates;
            all.revisions.extend(deduplicated.revisions);
        }
        Ok(all)
    }

    /// Appends the records of several days, one day after the other.
    fn append_all(&mut self, records: Vec<Record>) -> Result<AppendedAll, Stopped> {
        let mut all = AppendedAll::default();
        for batch in Batch::by_day(records) {
            match self.append(&batch) {
                Ok(appended) => all.add(appended.unwrap()),
                Err(Incomplete { done, cause }) => {
                    done.into_iter().for_each(|appended| all.add(appended));
                    return Err(Stopped { appended: all, cause });
                }
            }
        }
        Ok(all)
    }
}
