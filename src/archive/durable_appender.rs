//! Appends whole lines and syncs them; after any error it writes nothing more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::lock::{Lock, LockError};
use super::storage::{Appendable, Opened, Storage};
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

/// A write that failed, and what came to be of it all the same.
#[derive(Debug)]
pub struct Incomplete<T> {
    pub(crate) done: T,
    pub(crate) cause: WriteError,
}

impl<T: Default> Incomplete<T> {
    /// Returns what was done, and whether that is all.
    pub(crate) fn split(result: Result<T, Self>) -> (T, Result<(), WriteError>) {
        match result {
            Ok(done) => (done, Ok(())),
            Err(Self { done, cause }) => (done, Err(cause)),
        }
    }
}

/// Nothing came to be of it.
impl<T: Default> From<WriteError> for Incomplete<T> {
    fn from(cause: WriteError) -> Self {
        let done = T::default();
        Self { done, cause }
    }
}

impl<T: Default> From<FileError> for Incomplete<T> {
    fn from(cause: FileError) -> Self {
        WriteError::from(cause).into()
    }
}

impl<T> From<Incomplete<T>> for WriteError {
    fn from(incomplete: Incomplete<T>) -> Self {
        incomplete.cause
    }
}

/// What was written to the end of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Where it begins, in bytes.
    pub(super) start: u64,
    /// Its length; after an error it can end with a torn line.
    pub(super) bytes: u64,
    /// Whether it is on disk for certain.
    pub(super) is_synced: bool,
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

    /// Appends batches of whole lines. They and the name of the file are on disk when this returns; after an error those
    /// are that came to be, if they can be synced.
    ///
    /// A missing file is created with `mode`; a torn line at the end is repaired first. What is no file of this program is
    /// an error of this file alone: nothing was written.
    pub(super) fn append<B: AsRef<[u8]>>(
        &mut self,
        path: &Path,
        mode: u32,
        batches: impl IntoIterator<Item = B>,
    ) -> Result<Written, Incomplete<Written>> {
        let Opened { mut file, created } = self.open_or_poison(path, mode)?;
        let mut written = Written::default();
        let attempted = self.attempt(path, |appender| {
            terminate(file.as_mut(), path)?;
            written.start = length(file.as_ref(), path)?;
            let lines = write(file.as_mut(), path, batches);
            written.bytes = length(file.as_ref(), path)?.saturating_sub(written.start);
            // Also after an error, so that what came to be is not lost. A failed sync is not tried again: the system may
            // believe by then that nothing is left to be synced.
            let synced = sync(file.as_mut(), path);
            let named = if created {
                appender.storage.sync_folder(folder_of(path))
            } else {
                Ok(())
            };
            written.is_synced = synced.is_ok() && named.is_ok();
            Ok(lines.and(synced).and(named)?)
        });
        match attempted {
            Ok(()) => Ok(written),
            Err(cause) => Err(Incomplete { done: written, cause }),
        }
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
        let mut opened = self.open_or_poison(path, mode)?;
        self.attempt(path, |_| Ok(terminate(opened.file.as_mut(), path)?))
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

/// Terminates a torn line at the end of an open file.
fn terminate(file: &mut dyn Appendable, path: &Path) -> Result<(), FileError> {
    let last = file.last_byte().map_err(|cause| FileError::io("read", path, cause))?;
    if last.is_none_or(|last| last == b'\n') {
        return Ok(());
    }
    file.write_all(b"\n")
        .map_err(|cause| FileError::io("write to", path, cause))?;
    sync(file, path)
}

/// Appends each batch in one write.
fn write<B: AsRef<[u8]>>(
    file: &mut dyn Appendable,
    path: &Path,
    batches: impl IntoIterator<Item = B>,
) -> Result<(), FileError> {
    for batch in batches {
        let lines = batch.as_ref();
        debug_assert!(lines.ends_with(b"\n"), "only whole lines are written");
        file.write_all(lines)
            .map_err(|cause| FileError::io("write to", path, cause))?;
    }
    Ok(())
}

fn length(file: &dyn Appendable, path: &Path) -> Result<u64, FileError> {
    file.length().map_err(|cause| FileError::io("look at", path, cause))
}

fn sync(file: &mut dyn Appendable, path: &Path) -> Result<(), FileError> {
    file.sync_data().map_err(|cause| FileError::io("sync", path, cause))
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
            appender.append(&missing, STATE_FILE_MODE, [b"a\n"]).unwrap_err().cause,
            WriteError::File(_)
        ));
        let path = folder.path().join("file");
        assert!(matches!(
            appender.append(&path, STATE_FILE_MODE, [b"a\n"]).unwrap_err().cause,
            WriteError::Poisoned { .. }
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
        assert_eq!(appender.append(&path, STATE_FILE_MODE, [b"a\n"]).unwrap().bytes, 2);
    }

    #[test]
    fn a_failed_sync_of_what_was_read_ends_all_writing_too() {
        let folder = tempfile::tempdir().unwrap();
        let (path, missing) = (folder.path().join("file"), folder.path().join("missing"));
        for sync_existing in [DurableAppender::sync_existing, DurableAppender::sync_folder] {
            let mut appender = DurableAppender::new(Arc::new(Disk));
            assert!(sync_existing(&mut appender, &missing).is_err());
            assert!(matches!(
                appender.append(&path, STATE_FILE_MODE, [b"a\n"]).unwrap_err().cause,
                WriteError::Poisoned { .. }
            ));
        }
    }
}
