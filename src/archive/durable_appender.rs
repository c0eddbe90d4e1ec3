//! The one hand that writes: whole lines at the end of a file, on disk before it goes on, and never again after an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::storage::{Opened, Storage};
use crate::fs::{FileError, folder_of};

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file could not be opened, written or synced.
    #[error(transparent)]
    File(#[from] FileError),
    /// An earlier write failed, so nobody knows what is on disk.
    #[error("nothing more is written in {} after an earlier error: run again, which checks the files first", folder.display())]
    Poisoned {
        /// The folder of the file that was not written to.
        folder: PathBuf,
    },
    /// A record's day has no file name; sources reject such times before.
    #[error("a record's time, {time}, is outside the years 2000 to 9999")]
    NoDay {
        /// The time.
        time: DateTime<Utc>,
    },
}

/// Writes to the files of a stream through a [`Storage`].
///
/// After any error it refuses to go on: a failed sync may have marked lost data as clean, and a failed write may have
/// left a torn line. Opening the archive anew finds out what is there.
pub(super) struct DurableAppender {
    storage: Arc<dyn Storage>,
    poisoned: bool,
}

impl DurableAppender {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            poisoned: false,
        }
    }

    /// Appends batches of whole lines; they, and the name of the file, are on disk when this returns. Tells where they
    /// end, in bytes from the start of the file.
    ///
    /// A file that is missing is made with `mode`; a torn line at the end is repaired first.
    pub(super) fn append<B: AsRef<[u8]>>(
        &mut self,
        path: &Path,
        mode: u32,
        batches: impl IntoIterator<Item = B>,
    ) -> Result<u64, WriteError> {
        self.attempt(path, |storage| {
            let opened = storage.open(path, mode)?;
            let created = opened.created;
            let end = write(opened, path, batches)?;
            if created {
                storage.sync_folder(folder_of(path))?;
            }
            Ok(end)
        })
    }

    /// Completes or terminates a torn line at the end of a file that exists, by one newline in a write of its own.
    pub(super) fn terminate(&mut self, path: &Path, mode: u32) -> Result<(), WriteError> {
        self.attempt(path, |storage| write(storage.open(path, mode)?, path, [[]; 0]))?;
        Ok(())
    }

    /// Puts a state file with these bytes in the place of the one before, at once or not at all.
    ///
    /// A failure says nothing about the day files, so writing them goes on.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.storage.replace(path, bytes)
    }

    /// Waits until a file that was read is on disk, before anything is built upon its lines.
    ///
    /// A killed run may have left lines that no sync has reached. Were they taken for kept, and newer ones synced to
    /// another file, a power cut would leave a hole behind the newest record.
    pub(super) fn sync_existing(&mut self, path: &Path) -> Result<(), FileError> {
        let settled = self.storage.sync_file(path);
        self.poisoned |= settled.is_err();
        settled
    }

    /// Waits until the names in a folder are on disk, for the same reason.
    pub(super) fn sync_folder(&mut self, folder: &Path) -> Result<(), FileError> {
        let settled = self.storage.sync_folder(folder);
        self.poisoned |= settled.is_err();
        settled
    }

    fn attempt<T>(
        &mut self,
        path: &Path,
        act: impl FnOnce(&dyn Storage) -> Result<T, FileError>,
    ) -> Result<T, WriteError> {
        if self.poisoned {
            return Err(WriteError::Poisoned {
                folder: folder_of(path).to_owned(),
            });
        }
        let done = act(self.storage.as_ref());
        self.poisoned = done.is_err();
        Ok(done?)
    }
}

/// Seals what is at the end of an open file, then appends each batch in one write; `write_all` goes on after short ones.
/// Tells where the file was read or written last.
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
    fn half_a_line_is_terminated_before_a_line_is_added() {
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
    fn after_one_error_nothing_more_is_written_anywhere() {
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
