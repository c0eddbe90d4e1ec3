//! The archive as its callers use it, on real files; faults and power cuts come from [`Faulty`].

mod crashes;
mod reading;
mod resuming;
mod writing;

use std::fs;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::storage::Disk;
use super::*;
use crate::record::{Record, Sameness, Shape};
use crate::test_support::Catalog;
use crate::test_support::record::{SHAPE, line, record, time};

fn now() -> DateTime<Utc> {
    time("2026-01-01T00:00:00Z")
}

impl Catalog {
    fn try_open(&self) -> Result<Archive, WriteError> {
        // What the tests look at themselves never fails: only the archive reads through the disk.
        let location = self.location.clone().on(self.disk.clone());
        let mut archive = Archive::new(location, Arc::new(self.disk.clone()), None, SHAPE, 0o640);
        archive.repair(now())?;
        Ok(archive)
    }

    fn open(&self) -> Archive {
        self.try_open().unwrap()
    }

    fn dry_run(&self) -> Archive {
        Archive::dry_run(self.location.clone(), SHAPE)
    }

    /// What was done on the disk since it was asked last, without the opening and reading of files.
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

    /// How the lines of a day file read.
    fn counts(&self, date: &str) -> day::LineCounts {
        let mut rejected = RejectedFile::of(&self.location);
        let noted = rejected.noted(&mut DurableAppender::new(Arc::new(Disk))).unwrap();
        let repaired = noted.repaired_in(&format!("mail_{date}.log"));
        let file = self.location.file_of(date.parse().unwrap()).unwrap();
        let part = day::Part::whole(&file).unwrap();
        day::read(part, &mut Reader::new(SHAPE), repaired, |_| {}).unwrap().1
    }
}

/// Sifts and appends, as a run does with a slice.
fn file(archive: &mut Archive, records: Vec<Record>) -> Kept {
    let deduplicated = archive.deduplicate_all(records).unwrap();
    archive.append_all(deduplicated.new).unwrap()
}

/// What was deduplicated of several days.
#[derive(Debug, Default, PartialEq, Eq)]
struct DedupAll {
    new: Vec<Record>,
    duplicates: u64,
    conflicts: Vec<Rejected>,
}

/// What was appended to several days, as far as it went.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    records: u64,
    bytes: u64,
    files: Vec<String>,
}

/// Where appending to several days stopped.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
struct Stopped {
    appended: Kept,
    cause: WriteError,
}

impl Archive {
    /// Sifts the records of several days, one day after the other.
    fn deduplicate_all(&mut self, records: Vec<Record>) -> Result<DedupAll, FileError> {
        let mut all = DedupAll::default();
        for batch in Batch::by_day(records) {
            let deduplicated = self.deduplicate(batch)?;
            all.new.extend_from_slice(deduplicated.new.records());
            all.duplicates += deduplicated.duplicates;
            all.conflicts.extend(deduplicated.conflicts);
        }
        Ok(all)
    }

    /// Appends the records of several days, one day after the other.
    fn append_all(&mut self, records: Vec<Record>) -> Result<Kept, Stopped> {
        let mut kept = Kept::default();
        for batch in Batch::by_day(records) {
            match self.append(&batch) {
                Ok(appended) => {
                    let appended = appended.unwrap();
                    kept.records += appended.records;
                    kept.bytes += appended.bytes;
                    kept.files.push(appended.file);
                }
                Err(cause) => return Err(Stopped { appended: kept, cause }),
            }
        }
        Ok(kept)
    }
}
