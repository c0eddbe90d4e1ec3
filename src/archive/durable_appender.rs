//! Appends whole lines and syncs them; after any error it writes nothing more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::lock::{Lock, LockError};
use super::storage::{Opened, Storage};
use crate::fs::{FileError, folder_of};

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file could not be opened, written or synced.
    #[error(transparent)]
    File(#[from] FileError),
    /// The lock under which is written is not held any more.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An earlier write failed, so it is unknown what is on disk.
    #[error("nothing more is written in {} after an earlier error: run again to check the files and go on", folder.display())]
    Poisoned {
        /// The folder of the file.
        folder: PathBuf,
    },
    /// A record's day has no file name; sources reject such times earlier.
    #[error("a record's time, {time}, is outside the years 2000 to 9999")]
    NoDay {
        /// The time.
        time: DateTime<Utc>,
    },
}

impl WriteError {
    /// Returns the error of a file, if that is the reason.
    pub(crate) fn of_file(&self) -> Option<&FileError> {
        match self {
            Self::File(error) => Some(error),
            Self::Lock(error) => error.of_file(),
            Self::Poisoned { .. } | Self::NoDay { .. } => None,
        }
    }

    /// Whether this file is to blame, and others beside it can be written.
    fn is_of_this_file(&self) -> bool {
        matches!(self, Self::File(error) if error.is_of_this_file())
    }
}

/// Writes to the files of a stream through a [`Storage`].
///
/// After any error it refuses to go on: a failed sync may have marked lost data as clean, and a failed write may have
/// left a torn line. Opening the archive again finds out what is on disk.
pub(super) struct DurableAppender {
    storage: Arc<dyn Storage>,
    /// Checked before each write.
    lock: Option<Arc<Lock>>,
    poisoned: bool,
}

impl DurableAppender {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            lock: None,
            poisoned: false,
        }
    }

    /// Creates one that writes only as long as this lock is held.
    pub(super) fn under(lock: Option<Arc<Lock>>, storage: Arc<dyn Storage>) -> Self {
        Self {
            lock,
            ..Self::new(storage)
        }
    }

    /// Checks that the lock is still held.
    pub(super) fn check_lock(&self) -> Result<(), LockError> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.check())
    }

    /// Appends batches of whole lines and returns where they end, in bytes. The lines and the name of the file are on
    /// disk when this returns.
    ///
    /// A missing file is created with `mode`; a torn line at the end is repaired first. What is no file of this program is
    /// an error of this file alone: nothing was written.
    pub(super) fn append<B: AsRef<[u8]>>(
        &mut self,
        path: &Path,
        mode: u32,
        batches: impl IntoIterator<Item = B>,
    ) -> Result<u64, WriteError> {
        let opened = self.open_or_poison(path, mode)?;
        self.attempt(path, |appender| {
            let created = opened.created;
            let end = write(opened, path, batches)?;
            if created {
                appender.storage.sync_folder(folder_of(path))?;
            }
            Ok(end)
        })
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Opens a file. An error is one of this file alone, or ends all writing.
    fn open_or_poison(&mut self, path: &Path, mode: u32) -> Result<Opened, WriteError> {
        self.check(path)?;
        let opened = self.open(path, mode);
        self.poisoned = opened.as_ref().is_err_and(|error| !error.is_of_this_file());
        opened
    }

    /// Opens a file. The lock is checked before, so that none is made in another folder, and after: then the file is in
    /// the folder that is locked, whatever takes its place from now on.
    fn open(&self, path: &Path, mode: u32) -> Result<Opened, WriteError> {
        self.check_lock()?;
        let opened = self.storage.open(path, mode)?;
        self.check_lock()?;
        Ok(opened)
    }

    /// Adds the missing newline at the end of an existing file, in a write of its own.
    pub(super) fn terminate(&mut self, path: &Path, mode: u32) -> Result<(), WriteError> {
        let opened = self.open_or_poison(path, mode)?;
        self.attempt(path, |_| Ok(write(opened, path, [[]; 0])?))?;
        Ok(())
    }

    /// Replaces a state file atomically.
    ///
    /// A failure does not concern the day files, so it does not stop writing them.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.storage.replace(path, bytes)
    }

    /// Syncs a file that was read, before its lines are relied on.
    ///
    /// A killed run may have left lines that were never synced. If they counted as archived and newer lines were synced
    /// to another file, a power cut would leave a hole before the newest record.
    pub(super) fn sync_existing(&mut self, path: &Path) -> Result<(), FileError> {
        let synced = self.storage.sync_file(path);
        self.poisoned |= synced.is_err();
        synced
    }

    /// Syncs the names in a folder, for the same reason.
    pub(super) fn sync_folder(&mut self, folder: &Path) -> Result<(), FileError> {
        let synced = self.storage.sync_folder(folder);
        self.poisoned |= synced.is_err();
        synced
    }

    fn attempt<T>(&mut self, path: &Path, write: impl FnOnce(&Self) -> Result<T, WriteError>) -> Result<T, WriteError> {
        self.check(path)?;
        let result = write(self);
        self.poisoned = result.is_err();
        result
    }

    fn check(&self, path: &Path) -> Result<(), WriteError> {
        if self.poisoned {
            return Err(WriteError::Poisoned {
                folder: folder_of(path).to_owned(),
            });
        }
        Ok(())
    }
}

/// Terminates a torn line at the end of an open file, then appends each batch in one write. Returns where the last read
/// or write ended.
fn write<B: AsRef<[u8]>>(opened: Opened, path: &Path, batches: impl IntoIterator<Item = B>) -> Result<u64, FileError> {
    let writing = |cause| FileError::io("write to", path, cause);
    let syncing = |cause| FileError::io("sync", path, cause);
    let mut file = opened.file;
    if file
        .last_byte()
        .map_err(|cause| FileError::io("read", path, cause))?
        .is_some_and(|last| last != b'\n')
    {
        file.write_all(b"\n").map_err(writing)?;
        file.sync_data().map_err(syncing)?;
    }
    let mut has_written = false;
    for batch in batches {
        let lines = batch.as_ref();
        debug_assert!(lines.ends_with(b"\n"), "only whole lines are written");
        file.write_all(lines).map_err(writing)?;
        has_written = true;
    }
    if has_written {
        file.sync_data().map_err(syncing)?;
    }
    file.end_of_write().map_err(writing)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::storage::{Disk, STATE_FILE_MODE};
    use super::*;

    #[test]
    fn a_torn_line_is_terminated_before_a_line_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "whole\nha").unwrap();
        DurableAppender::new(Arc::new(Disk))
            .append(&path, STATE_FILE_MODE, [b"next\n"])
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nha\nnext\n");
    }

    #[test]
    fn terminating_adds_nothing_to_a_file_of_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        for (before, after) in [("", ""), ("a\n", "a\n"), ("a\nb", "a\nb\n"), ("\n\n", "\n\n")] {
            let path = folder.path().join("file");
            fs::write(&path, before).unwrap();
            DurableAppender::new(Arc::new(Disk))
                .terminate(&path, STATE_FILE_MODE)
                .unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn after_an_error_nothing_more_is_written_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let mut appender = DurableAppender::new(Arc::new(Disk));
        let missing = folder.path().join("missing").join("file");
        assert!(matches!(
            appender.append(&missing, STATE_FILE_MODE, [b"a\n"]),
            Err(WriteError::File(_))
        ));
        let path = folder.path().join("file");
        assert!(matches!(
            appender.append(&path, STATE_FILE_MODE, [b"a\n"]),
            Err(WriteError::Poisoned { .. })
        ));
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_file_of_this_program_stops_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut appender = DurableAppender::new(Arc::new(Disk));
        let odd = folder.path().join("odd");
        std::fs::create_dir(&odd).unwrap();
        assert!(appender.append(&odd, STATE_FILE_MODE, [b"a\n"]).is_err());
        let path = folder.path().join("file");
        assert_eq!(appender.append(&path, STATE_FILE_MODE, [b"a\n"]).unwrap(), 2);
    }

    #[test]
    fn a_failed_sync_of_what_was_read_ends_all_writing_too() {
        let folder = tempfile::tempdir().unwrap();
        let (path, missing) = (folder.path().join("file"), folder.path().join("missing"));
        for sync_existing in [DurableAppender::sync_existing, DurableAppender::sync_folder] {
            let mut appender = DurableAppender::new(Arc::new(Disk));
            assert!(sync_existing(&mut appender, &missing).is_err());
            assert!(matches!(
                appender.append(&path, STATE_FILE_MODE, [b"a\n"]),
                Err(WriteError::Poisoned { .. })
            ));
        }
    }
}
