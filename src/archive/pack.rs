//! Packs day files and unpacks them. With what is deleted for its age this is all that ever removes a day file, and only when
//! another file holds each of its bytes, on disk.
//!
//! The order: write, sync, read back and compare every byte, rename, sync the names, remove the other file. Whatever ends it, all
//! bytes of the day are in the files that are read, once; the next to open the archive ends what was begun.

use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;

use super::day_file::DayFile;
use super::day_forms::{Beside, Side, is_next};
use super::durable_appender::WriteError;
use super::file_stamp::FileStamp;
use super::listing::Listing;
use super::location::Location;
use super::lock::{Lock, LockError};
use super::seekable::{SeekableWriter, Unpackable, check};
use super::storage::{Appendable, STATE_FILE_MODE, Storage};
use crate::fs::{FileError, folder_of};

/// What the name of a file ends with until it is whole.
const UNFINISHED: &str = ".unfinished";

/// Why a day was not packed or unpacked. Its files are as they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{0} ends in a part of a line: the next run of collect repairs it")]
    Torn(String),
    #[error("{0} has a line that is longer than any record")]
    TooLong(String),
    #[error("{0} is not what was written when it is read back: the disk is not to be trusted")]
    NotAsWritten(String),
    #[error("{0} was written to by another program meanwhile")]
    Changed(String),
}

/// A day that was packed or unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackedDay {
    /// How long its content is, in bytes, and how long the packed file.
    pub(crate) bytes: u64,
    pub(crate) packed_bytes: u64,
}

/// Packs and unpacks the days of a stream, under its lock.
pub(crate) struct Packer {
    lock: Arc<Lock>,
    location: Location,
    storage: Arc<dyn Storage>,
}

impl Packer {
    pub(crate) fn under(lock: impl Into<Arc<Lock>>) -> Self {
        let lock = lock.into();
        let location = lock.location().clone();
        let storage = Arc::clone(location.storage());
        Self {
            lock,
            location,
            storage,
        }
    }

    /// Packs the plain file of a day, behind what is packed of it already.
    ///
    /// # Errors
    /// If a file cannot be read or written, or the plain one cannot be packed.
    pub(crate) fn pack(&self, plain: &DayFile, before: Option<&DayFile>) -> Result<PackedDay, PackError> {
        let (packed, stamp) = (plain.packed_by_us(), plain.stamp()?);
        let catalog = self.storage.metadata(self.location.folder())?;
        self.storage
            .make_folder_like(&self.location.packed_folder(), &catalog)?;
        let staged = self.stage(&packed.path, &plain.metadata()?, |to| write_packed(to, plain, before))?;
        self.compare(&packed.at(&staged), before.into_iter().chain([plain]))?;
        check_unchanged(plain, &stamp)?;
        self.put_in_place(&staged, &packed.path)?;
        check_unchanged(plain, &stamp)?;
        self.remove(&plain.path)?;
        Ok(PackedDay {
            bytes: packed.contents()?.length(),
            packed_bytes: packed.length()?,
        })
    }

    /// Says why a day cannot be packed, as far as that can be told by reading.
    ///
    /// # Errors
    /// Those of [`Packer::pack`], but for the writing.
    pub(crate) fn check(plain: &DayFile, before: Option<&DayFile>) -> Result<(), PackError> {
        if let Some(before) = before {
            before.contents()?;
        }
        check(plain.open()?).map_err(|problem| unpackable(problem, plain))
    }

    /// Unpacks a day to its plain file, in front of what came later.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub(crate) fn unpack(&self, packed: &DayFile, later: Option<&DayFile>) -> Result<PackedDay, PackError> {
        let (plain, packed_bytes) = (packed.plain(), packed.length()?);
        let stamp = later.map(DayFile::stamp).transpose()?;
        let files = || [packed].into_iter().chain(later);
        // Not beside the day files: agents may look at whatever is there.
        let staged = self.stage(&packed.path.with_extension(""), &packed.metadata()?, |to| {
            files().try_for_each(|file| copy(file, to))
        })?;
        self.compare(&plain.at(&staged), files())?;
        if let (Some(later), Some(stamp)) = (later, &stamp) {
            check_unchanged(later, stamp)?;
        }
        let bytes = plain.at(&staged).length()?;
        self.put_in_place(&staged, &plain.path)?;
        self.remove(&packed.path)?;
        Ok(PackedDay { bytes, packed_bytes })
    }

    /// Ends what an interrupted packing or unpacking has left, before a run writes: what is left would be taken for what came later
    /// if something was added to it.
    ///
    /// # Errors
    /// Those of [`Packer::finish`].
    pub(super) fn finish_before_run(&self, listing: &Listing) -> Result<(), WriteError> {
        self.finish(listing).map_err(|error| match error {
            PackError::File(error) => error.into(),
            PackError::Lock(error) => error.into(),
            error => FileError::io("end the packing in", self.location.folder(), io::Error::other(error)).into(),
        })
    }

    /// Ends what an interrupted packing or unpacking has left: of two files with the same bytes one is removed, when the other is on
    /// disk.
    ///
    /// # Errors
    /// If a file cannot be read, synced or removed.
    pub(crate) fn finish(&self, listing: &Listing) -> Result<(), PackError> {
        for path in self.location.unfinished(UNFINISHED)? {
            self.remove(&path)?;
        }
        for file in listing.left_over.values() {
            let (plain, packed) = (file.plain(), file.plain().packed_by_us());
            // Nobody else writes here now, and what was listed may be of before.
            let is_needed = match Beside::of(&plain, &packed)? {
                Beside::Original => !file.is_packed(),
                Beside::Leftover => file.is_packed() || !self.stands_at_the_end(&plain, &packed)?,
                Beside::Beginning => file.is_packed(),
                Beside::Continuation => true,
            };
            if !is_needed {
                // It may have got its name just before it was ended: a power cut would take it when the other one is gone.
                let kept = if file.is_packed() { plain } else { packed };
                kept.sync()?;
                self.remove(&file.path)?;
                tracing::info!(path = %file.path.display(), "removed what an interrupted packing had left");
            }
        }
        Ok(())
    }

    /// Returns whether a plain file is what the packed one ends with, byte for byte.
    fn stands_at_the_end(&self, plain: &DayFile, packed: &DayFile) -> Result<bool, FileError> {
        let start = packed.contents()?.length().saturating_sub(plain.length()?);
        let (mut all, mut end) = (plain.open()?, packed.open_at(start)?);
        is_next(all.as_mut(), end.as_mut()).map_err(|side| of_side(side, plain, packed))
    }

    /// Writes and syncs a file that gets its name later; returns its path.
    fn stage(
        &self,
        path: &Path,
        like: &Metadata,
        write: impl FnOnce(&mut dyn Write) -> Result<(), PackError>,
    ) -> Result<PathBuf, PackError> {
        let mut staged = path.to_owned().into_os_string();
        staged.push(UNFINISHED);
        let staged = PathBuf::from(staged);
        self.lock.check()?;
        self.storage.remove(&staged)?;
        let opened = self.storage.open(&staged, mode_of(like))?;
        self.storage.give_to_owner_of(&staged, like);
        let mut target = Target {
            file: opened.file,
            failed: None,
        };
        let written = write(&mut target).and_then(|()| {
            let synced = target.file.sync_data();
            synced.map_err(|cause| FileError::io("sync", &staged, cause).into())
        });
        // Whoever copies cannot tell the two sides apart.
        let written = match target.failed.take() {
            Some(cause) => Err(FileError::io("write to", &staged, cause).into()),
            None => written,
        };
        drop(target);
        match written {
            Ok(()) => Ok(staged),
            Err(error) => {
                let _ = self.storage.remove(&staged);
                Err(error)
            }
        }
    }

    /// Reads a file back, and compares each of its bytes with what these hold.
    fn compare<'a>(&self, written: &DayFile, files: impl Iterator<Item = &'a DayFile>) -> Result<(), PackError> {
        let compared = is_all_of(written, files);
        if !matches!(compared, Ok(true)) {
            let _ = self.storage.remove(&written.path);
        }
        if compared? {
            Ok(())
        } else {
            Err(PackError::NotAsWritten(written.path.display().to_string()))
        }
    }

    fn put_in_place(&self, staged: &Path, path: &Path) -> Result<(), PackError> {
        self.lock.check()?;
        self.storage.rename(staged, path)?;
        Ok(self.storage.sync_folder(folder_of(path))?)
    }

    fn remove(&self, path: &Path) -> Result<(), PackError> {
        self.lock.check()?;
        self.storage.remove(path)?;
        Ok(self.storage.sync_folder(folder_of(path))?)
    }
}

/// A file that is written, and the error of the last write.
struct Target {
    file: Box<dyn Appendable>,
    failed: Option<io::Error>,
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.failed = match &written {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Some(same_as(error)),
            _ => None,
        };
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn same_as(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Copies all of a day to a writer: of the files of its `listing` those that are read.
///
/// # Errors
/// If a file cannot be read, or the writer not be written to.
pub(crate) fn content_of(listing: &Listing, date: NaiveDate, to: &mut dyn Write) -> Result<(), PackError> {
    let files = [listing.packed.get(&date).cloned(), listing.days.get(date)];
    files.iter().flatten().try_for_each(|file| copy(file, to))
}

fn copy(file: &DayFile, to: &mut dyn Write) -> Result<(), PackError> {
    let copied = io::copy(&mut file.open()?, to);
    copied.map_err(|cause| file.unreadable(cause))?;
    Ok(())
}

fn write_packed(to: &mut dyn Write, plain: &DayFile, before: Option<&DayFile>) -> Result<(), PackError> {
    let failed = |cause| PackError::from(plain.unreadable(cause));
    let mut writer = SeekableWriter::new(to).map_err(failed)?;
    if let Some(before) = before {
        let copied = writer.copy(before.stored()?.as_mut());
        copied.map_err(|cause| before.unreadable(cause))?;
    }
    writer
        .add(plain.open()?)
        .map_err(|problem| unpackable(problem, plain))?;
    writer.finish().map(drop).map_err(failed)
}

fn unpackable(problem: Unpackable, plain: &DayFile) -> PackError {
    match problem {
        Unpackable::Io(cause) => plain.unreadable(cause).into(),
        Unpackable::Torn => PackError::Torn(plain.name()),
        Unpackable::TooLong => PackError::TooLong(plain.name()),
    }
}

/// Returns whether a file holds just what these hold, one behind the other.
fn is_all_of<'a>(written: &DayFile, files: impl Iterator<Item = &'a DayFile>) -> Result<bool, FileError> {
    let mut found = written.open()?;
    for file in files {
        let mut all = file.open()?;
        if !is_next(all.as_mut(), found.as_mut()).map_err(|side| of_side(side, file, written))? {
            return Ok(false);
        }
    }
    let rest = found.read(&mut [0]).map_err(|cause| written.unreadable(cause))?;
    Ok(rest == 0)
}

fn of_side(side: Side, all: &DayFile, of: &DayFile) -> FileError {
    match side {
        Side::Other(cause) => all.unreadable(cause),
        Side::One(cause) => of.unreadable(cause),
    }
}

fn check_unchanged(file: &DayFile, stamp: &FileStamp) -> Result<(), PackError> {
    if file.stamp()? == *stamp {
        Ok(())
    } else {
        Err(PackError::Changed(file.name()))
    }
}

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;

    (metadata.permissions().mode() & 0o777) | (STATE_FILE_MODE & 0o600)
}

#[cfg(not(unix))]
fn mode_of(_: &Metadata) -> u32 {
    STATE_FILE_MODE
}
