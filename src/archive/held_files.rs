//! All files of a stream as they are stored, for whoever copies them: day files in the form that they have, and state files.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;

use super::backward_lines::end_of_last_line;
use super::day_file::DayFile;
use super::file_stamp::FileStamp;
use super::listing::Listing;
use super::location::{Location, STATE_FOLDER};
use super::storage::{Storage, StoredFile};
use super::{EXPIRED, HOLDS, REJECTED, REVISED, hours, takeover};
use crate::fs::FileError;

/// State files of this module that nothing can make again, each as what follows `<base>.`.
const OWN: [&str; 6] = [REJECTED, REVISED, HOLDS, EXPIRED, takeover::FILE, hours::FILE];

/// A file of a stream, as it was when it was listed.
#[derive(Clone)]
pub(crate) struct HeldFile {
    /// Its path in the catalog, with `/` between the parts.
    pub(crate) name: String,
    path: PathBuf,
    /// The day, if it is a day file.
    pub(crate) date: Option<NaiveDate>,
    /// That by which the content of a compressed day file is read.
    compressed: Option<DayFile>,
    /// Whether it is only appended to, so that a part of a line can be at its end.
    pub(crate) grows: bool,
    stamp: FileStamp,
    /// Its mode; `None` where there are none.
    pub(crate) mode: Option<u32>,
    storage: Arc<dyn Storage>,
}

impl Location {
    /// Lists the day files of the stream, but for what an interrupted packing has left.
    ///
    /// # Errors
    /// If the folder cannot be read; as if one were missing, if its day is packed or unpacked at this moment.
    pub(crate) fn held_days(&self) -> Result<Vec<HeldFile>, FileError> {
        let listing = self.listing()?;
        let Listing {
            days, packed, unread, ..
        } = &listing;
        let files = days.files().chain(packed.values().chain(unread.values()).cloned());
        let mut held = files.map(|file| self.held_day(&file)).collect::<Result<Vec<_>, _>>()?;
        held.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(held)
    }

    fn held_day(&self, file: &DayFile) -> Result<HeldFile, FileError> {
        let metadata = file.metadata()?;
        Ok(HeldFile {
            name: file.name(),
            path: file.path.clone(),
            date: Some(file.date),
            compressed: file.is_packed().then(|| file.clone()),
            grows: !file.is_packed(),
            stamp: FileStamp::of(&metadata),
            mode: mode_of(&metadata),
            storage: Arc::clone(self.storage()),
        })
    }

    /// Returns the state file `<base>.<what>`; `None` if it is missing.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub(crate) fn held_state(&self, what: &str, grows: bool) -> Result<Option<HeldFile>, FileError> {
        let path = self.state_file(what);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{STATE_FOLDER}/{file}");
        self.held_at(name, path, grows)
    }

    /// Returns the file at a path in the folder, with `/` between its parts; `None` if it is missing.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub(crate) fn held_named(&self, name: &str, grows: bool) -> Result<Option<HeldFile>, FileError> {
        self.held_at(name.to_owned(), self.folder().join(name), grows)
    }

    fn held_at(&self, name: String, path: PathBuf, grows: bool) -> Result<Option<HeldFile>, FileError> {
        let metadata = match self.storage().metadata(&path) {
            Err(error) if error.is_missing() => return Ok(None),
            found => found?,
        };
        Ok(Some(HeldFile {
            name,
            path,
            date: None,
            compressed: None,
            grows,
            stamp: FileStamp::of(&metadata),
            mode: mode_of(&metadata),
            storage: Arc::clone(self.storage()),
        }))
    }

    /// Returns the state files of the day files that nothing can make again, and whether each only grows.
    pub(crate) fn own_state_files() -> impl Iterator<Item = (&'static str, bool)> {
        OWN.into_iter()
            .map(|what| (what, [REJECTED, REVISED, EXPIRED].contains(&what)))
    }

    /// Returns the names of the files in a folder that is in that of the stream; none if it is missing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn names_in(&self, folder: &str) -> Result<BTreeSet<String>, FileError> {
        let listed = match self.storage().list(&self.folder().join(folder)) {
            Err(error) if error.is_missing() => return Ok(BTreeSet::new()),
            listed => listed?,
        };
        let files = listed.into_iter().filter(|entry| entry.is_file);
        Ok(files.filter_map(|entry| entry.name.into_string().ok()).collect())
    }
}

impl HeldFile {
    /// Whether nothing was written to it between the two listings.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.name == other.name && self.stamp == other.stamp
    }

    /// Whether it is compressed.
    pub(crate) fn is_compressed(&self) -> bool {
        self.compressed.is_some()
    }

    /// How long it was when it was listed, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.stamp.length
    }

    /// Opens it as it is stored.
    ///
    /// # Errors
    /// If it cannot be read or is shorter than it was; as if it were missing, if another file has taken its place.
    pub(crate) fn open(&self) -> Result<Box<dyn StoredFile>, FileError> {
        let file = self.storage.read(&self.path)?;
        let metadata = file.metadata().map_err(|cause| self.unreadable(cause))?;
        match self.stamp.loss_until(&FileStamp::of(&metadata)) {
            None => Ok(file),
            Some(_) => {
                let moved = io::Error::new(io::ErrorKind::NotFound, "another file has taken its place meanwhile");
                Err(self.unreadable(moved))
            }
        }
    }

    /// Syncs what was written to it, and its name: see [`Storage::sync_with_name`].
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.storage.sync_with_name(&self.path)
    }

    /// Returns where its last whole line ends, as far as it was listed; its length if it is one that is replaced as a whole.
    ///
    /// # Errors
    /// Those of [`HeldFile::open`].
    pub(crate) fn end(&self) -> Result<u64, FileError> {
        if !self.grows {
            return Ok(self.length());
        }
        let mut file = self.open()?;
        end_of_last_line(file.as_mut(), self.length()).map_err(|cause| self.unreadable(cause))
    }

    /// Opens the content of a day file, unpacked, from where it stands in its own file.
    ///
    /// # Errors
    /// If it cannot be read; [`FileError::Damaged`] if it is compressed and not whole.
    pub(crate) fn content(&self) -> Result<Box<dyn StoredFile>, FileError> {
        match &self.compressed {
            Some(file) => file.open(),
            None => self.open(),
        }
    }

    /// Returns all of it.
    ///
    /// # Errors
    /// Those of [`HeldFile::open`].
    pub(crate) fn read(&self) -> Result<Vec<u8>, FileError> {
        let (mut content, end) = (Vec::new(), self.end()?);
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.take(end).read_to_end(&mut content))
            .map_err(|cause| self.unreadable(cause))?;
        Ok(content)
    }

    /// Returns the error of a read of it.
    pub(crate) fn unreadable(&self, cause: io::Error) -> FileError {
        match &self.compressed {
            Some(file) => file.unreadable(cause),
            None => FileError::io("read", &self.path, cause),
        }
    }
}

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    Some(metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode_of(_: &Metadata) -> Option<u32> {
    None
}
