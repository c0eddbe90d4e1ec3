//! Deletes the files of a day for its age: the only thing that ever deletes a day. Whoever calls it has written down before, synced,
//! what is deleted and why.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;

use super::count::LineCounter;
use super::day_file::DayFile;
use super::day_times::DayTimes;
use super::listing::Listing;
use super::location::Location;
use super::lock::{Lock, LockError};
use crate::fs::{FileError, Sha256, folder_of};

/// What the files of a day hold, all of them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DayContent {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// In hexadecimal digits, as `sha256sum` prints it.
    pub(crate) sha256: String,
}

/// Why a day was not deleted. The newest of its files may be gone already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExpireError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{file} was written to since it was read, and stays")]
    Changed { file: String },
}

impl Listing {
    /// Reads what the files of a day hold, each of its lines once.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn day_content(&self, location: &Location, date: NaiveDate) -> Result<DayContent, FileError> {
        let parts = self.parts_of(date, &mut LineCounter::of(location))?;
        if let Some((_, error)) = parts.unreadable {
            return Err(error);
        }
        let mut counting = Counting::new();
        for file in parts.packed.into_iter().chain(parts.plain) {
            let copied = io::copy(&mut file.open()?, &mut counting);
            copied.map_err(|cause| file.unreadable(cause))?;
        }
        Ok(counting.finish())
    }
}

/// Deletes days of a stream, under its lock.
pub(crate) struct Expirer<'a> {
    lock: &'a Arc<Lock>,
}

impl<'a> Expirer<'a> {
    pub(crate) fn under(lock: &'a Arc<Lock>) -> Self {
        Self { lock }
    }

    /// Deletes the files of a day: first what stands behind the other, so that what is left after a kill begins where the day does. Each
    /// has to be what it was when its times were read.
    ///
    /// # Errors
    /// If one cannot be deleted, or was written to since.
    pub(crate) fn delete(&self, listing: &Listing, date: NaiveDate, read: &DayTimes) -> Result<(), ExpireError> {
        let files: Vec<_> = listing.files_of(date).collect();
        for (place, file) in files.iter().enumerate() {
            if read.stamps.get(place) != Some(&file.stamp()?) {
                return Err(ExpireError::Changed { file: file.name() });
            }
        }
        files.iter().try_for_each(|file| self.remove(file))
    }

    fn remove(&self, file: &DayFile) -> Result<(), ExpireError> {
        let path: &Path = &file.path;
        self.lock.check()?;
        let storage = self.lock.location().storage();
        storage.remove(path)?;
        Ok(storage.sync_folder(folder_of(path))?)
    }
}

/// Counts and hashes what is written to it.
struct Counting {
    lines: u64,
    bytes: u64,
    hash: Sha256,
}

impl Counting {
    fn new() -> Self {
        Self {
            lines: 0,
            bytes: 0,
            hash: Sha256::new(),
        }
    }

    fn finish(self) -> DayContent {
        DayContent {
            lines: self.lines,
            bytes: self.bytes,
            sha256: self.hash.finish().digits(),
        }
    }
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::sha256;
    use crate::test_support::Catalog;
    use crate::test_support::record::SHAPE;

    #[test]
    fn a_day_is_counted_over_all_of_its_files_and_they_are_all_deleted() {
        let catalog = Catalog::with_state_folder();
        let date = "2025-06-09".parse().unwrap();
        catalog.write_packed_by_us("2025-06-09", &["one\n", "two\n"]);
        catalog.write("2025-06-09", "three\n");
        catalog.write("2025-06-10", "four\n");
        let listing = catalog.location.listing().unwrap();
        let content = listing.day_content(&catalog.location, date).unwrap();
        let sha256 = sha256(b"one\ntwo\nthree\n").digits();
        assert_eq!((content.lines, content.bytes, content.sha256), (3, 14, sha256));
        let lock = Lock::acquire(&catalog.location, "2026-11-20T10:00:00Z".parse().unwrap()).unwrap();
        let (lock, read) = (Arc::new(lock), || {
            listing.day_times(&catalog.location, SHAPE, date).unwrap()
        });
        let before = read();
        catalog.append("2025-06-09", "four\n");
        let changed = Expirer::under(&lock).delete(&listing, date, &before).unwrap_err();
        assert!(matches!(changed, ExpireError::Changed { .. }), "{changed}");
        assert!(
            catalog.location.listing().unwrap().files_of(date).count() == 2,
            "both are there"
        );
        Expirer::under(&lock).delete(&listing, date, &read()).unwrap();
        let left = catalog.location.listing().unwrap().dates();
        assert_eq!(left.into_iter().collect::<Vec<_>>(), ["2025-06-10".parse().unwrap()]);
    }
}
