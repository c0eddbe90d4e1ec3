//! A catalog that is restored from a copy: a file says so until all of it is there, and as long nobody gets a lock. Another one says
//! from which copy it was, until it is said that the archive which was copied is not forwarded any more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::location::{Location, STATE_FOLDER};
use super::lock::{Lock, LockError, RESTORING};
use super::seekable::hash_of;
use super::storage::{Appendable, STATE_FILE_MODE, Storage};
use crate::fs::{FileError, folder_of, make_folder};

/// What follows `<base>.` in the name of the file that says from which copy a catalog was restored.
const RESTORED: &str = "restored";

/// Returns from which copy a catalog was restored, if the one that was copied may still be forwarded.
///
/// # Errors
/// If that cannot be read.
pub(crate) fn restored_from(location: &Location) -> Result<Option<String>, FileError> {
    let text = location.state(RESTORED).read()?;
    Ok(text.map(|text| String::from_utf8_lossy(&text).trim_end().to_owned()))
}

/// Says that a restoring was begun here and not finished, as who wants the lock is told; `None` if none was.
///
/// # Errors
/// If that cannot be read.
pub(crate) fn unfinished_restoring(location: &Location) -> Result<Option<String>, FileError> {
    let path = location.state_file(RESTORING);
    let is_begun = Restoring::is_begun(location)?;
    Ok(is_begun.then(|| LockError::Restoring { path }.to_string()))
}

/// Forgets that a catalog was restored: it goes on in the place of the one that was copied.
///
/// # Errors
/// If the system refuses.
pub(crate) fn go_on_as_restored(location: &Location) -> Result<(), FileError> {
    location.state(RESTORED).remove()
}

/// A catalog that is being restored, under its lock.
pub(crate) struct Restoring {
    lock: Lock,
    location: Location,
    storage: Arc<dyn Storage>,
}

/// A file that is being restored.
pub(crate) struct RestoredFile {
    path: PathBuf,
    file: Box<dyn Appendable>,
}

impl Restoring {
    /// Returns what an unfinished restoring has noted in the folder of a location, be it of that stream or another one there.
    ///
    /// # Errors
    /// If something else is in the folder, or it cannot be read.
    pub(crate) fn unfinished(location: &Location) -> Result<Option<Vec<u8>>, FileError> {
        let listed = match location.storage().list(location.folder()) {
            Err(error) if error.is_missing() => return Ok(None),
            listed => listed?,
        };
        let Some(found) = listed.first() else { return Ok(None) };
        let state = location.names_in(STATE_FOLDER)?;
        if let Some(mark) = state.iter().find(|name| name.ends_with(RESTORING)) {
            return location.state_named(mark).read();
        }
        // A restoring that was killed before it could say so has left no more than its lock.
        let is_of_lock = |name: &String| name.ends_with(".lock") || name.ends_with(".new");
        if listed.len() == 1 && found.name == *STATE_FOLDER && state.iter().all(is_of_lock) {
            return Ok(None);
        }
        Err(FileError::NotEmpty {
            path: location.folder().to_owned(),
            found: found.name.to_string_lossy().into(),
        })
    }

    /// Begins to restore, or goes on. Until [`Restoring::finish`] nobody gets a lock there.
    ///
    /// # Errors
    /// If another process is at work there, or the system refuses.
    pub(crate) fn begin(location: &Location, note: &[u8], now: DateTime<Utc>) -> Result<Self, LockError> {
        make_folder(location.folder())?;
        let lock = Lock::acquire_to_restore(location, now)?;
        location.state(RESTORING).replace(note)?;
        Ok(Self {
            lock,
            location: location.clone(),
            storage: Arc::clone(location.storage()),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.location.folder().join(name)
    }

    /// Returns whether a file is there with just these bytes, by reading all of them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn has(&self, name: &str, bytes: u64, hash: &str) -> Result<bool, FileError> {
        let path = self.path(name);
        match self.storage.metadata(&path) {
            Err(error) if error.is_missing() => return Ok(false),
            Ok(found) if found.len() != bytes => return Ok(false),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let read = hash_of(self.storage.read(&path)?.as_mut());
        let read = read.map_err(|cause| FileError::io("read", &path, cause))?;
        Ok(read.digits() == hash)
    }

    /// Makes a file anew, and the folder that it is in.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn create(&self, name: &str, mode: Option<u32>) -> Result<RestoredFile, LockError> {
        self.lock.check()?;
        let path = self.path(name);
        let catalog = self.storage.metadata(self.location.folder())?;
        let folder = folder_of(&path);
        if folder != self.location.folder() {
            self.storage.make_folder_like(folder, &catalog)?;
        }
        self.storage.remove(&path)?;
        let opened = self.storage.open(&path, mode.unwrap_or(STATE_FILE_MODE))?;
        self.storage.give_to_owner_of(&path, &catalog);
        let file = opened.file;
        Ok(RestoredFile { path, file })
    }

    /// Returns whether a restoring of this location was begun and not finished.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(crate) fn is_begun(location: &Location) -> Result<bool, FileError> {
        Ok(location.state(RESTORING).read()?.is_some())
    }

    /// Notes something else, once all files are there, and their names are on disk.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn settle(&self, names: &BTreeSet<&str>, note: &[u8]) -> Result<(), LockError> {
        let folders: BTreeSet<PathBuf> = names
            .iter()
            .map(|name| folder_of(&self.path(name)).to_owned())
            .collect();
        for folder in &folders {
            self.storage.sync_folder(folder)?;
        }
        self.lock.check()?;
        Ok(self.location.state(RESTORING).replace(note)?)
    }

    /// Notes from which copy the catalog is, for whoever is about to forward it.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn note_copy(&self, copy: &str) -> Result<(), LockError> {
        self.lock.check()?;
        let text = format!("{copy}\n");
        Ok(self.location.state(RESTORED).replace(text.as_bytes())?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn finish(self) -> Result<(), LockError> {
        self.lock.check()?;
        let mark = self.location.state(RESTORING);
        mark.remove()?;
        Ok(self.storage.sync_folder(folder_of(mark.path()))?)
    }
}

impl RestoredFile {
    /// Adds bytes.
    ///
    /// # Errors
    /// If the system refuses, as when the disk is full.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let written = self.file.write_all(bytes);
        written.map_err(|cause| FileError::io("write to", &self.path, cause))
    }

    /// Syncs it.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn finish(mut self) -> Result<(), FileError> {
        let synced = self.file.sync_data();
        synced.map_err(|cause| FileError::io("sync", &self.path, cause))
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
