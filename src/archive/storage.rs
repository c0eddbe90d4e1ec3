//! The file operations of the archive, so that tests can make them fail; and the real disk.

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use crate::fs::{FileError, check_single_name, folder_of, open_for_reading, open_or_create};

/// Mode of state files; day files get the mode that the archive was opened with.
pub(crate) const STATE_FILE_MODE: u32 = 0o640;

/// The file operations of the archive.
pub(crate) trait Storage: Debug + Send + Sync {
    /// Opens a file for append and creates it with `mode` if it is missing.
    fn open(&self, path: &Path, mode: u32) -> Result<Opened, FileError>;

    /// Opens a file for reading; links are not followed.
    fn read(&self, path: &Path) -> Result<Box<dyn StoredFile>, FileError>;

    /// Returns the metadata of a file without opening it.
    fn metadata(&self, path: &Path) -> Result<Metadata, FileError>;

    /// Shows what is in a folder, in no order: each name, and whether it is a regular file, not a link.
    fn look_into(&self, folder: &Path, show: &mut dyn FnMut(&OsStr, bool)) -> Result<(), FileError>;

    /// Lists a folder, in no order.
    fn list(&self, folder: &Path) -> Result<Vec<FolderEntry>, FileError> {
        let mut entries = Vec::new();
        self.look_into(folder, &mut |name, is_file| {
            let name = name.to_owned();
            entries.push(FolderEntry { name, is_file });
        })?;
        Ok(entries)
    }

    /// Replaces a state file and syncs it. Never a day file: those only grow.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError>;

    /// Removes a state file, if it is there; a day file only where its content stands in another one, on disk.
    fn remove(&self, path: &Path) -> Result<(), FileError>;

    /// Gives a file another name, in place of what has it; the name is on disk once the folder is synced.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;

    /// Makes a folder with the mode and the owner of another one, if it is missing, and syncs its name.
    fn make_folder_like(&self, path: &Path, like: &Metadata) -> Result<(), FileError>;

    /// Gives a file that was just made to the owner of another one.
    fn give_to_owner_of(&self, path: &Path, like: &Metadata);

    /// Replaces a state file and keeps the old one as `previous`: after a crash at least one of the two is there, whole.
    fn replace_keeping(&self, path: &Path, previous: &Path, bytes: &[u8]) -> Result<(), FileError>;

    /// Syncs the data of a file, whoever wrote it.
    fn sync_file(&self, path: &Path) -> Result<(), FileError>;

    /// Syncs the names in a folder.
    fn sync_folder(&self, folder: &Path) -> Result<(), FileError>;

    /// Syncs the data of a file and its name, whoever wrote it: a killed process may have left that undone.
    fn sync_with_name(&self, path: &Path) -> Result<(), FileError> {
        self.sync_file(path)?;
        self.sync_folder(folder_of(path))
    }
}

/// A file that is open for append.
pub(crate) struct Opened {
    pub(crate) file: Box<dyn Appendable>,
    /// Whether it was just created.
    pub(crate) created: bool,
}

/// An entry of a folder.
pub(crate) struct FolderEntry {
    pub(crate) name: OsString,
    /// Whether it is a regular file, not a link.
    pub(crate) is_file: bool,
}

/// A file that is open for reading.
pub(crate) trait StoredFile: Read + Seek + Send {
    /// Returns its current metadata.
    fn metadata(&self) -> io::Result<Metadata>;

    /// Syncs its data, whoever wrote it.
    fn sync_data(&self) -> io::Result<()>;
}

/// A file that only grows: every write goes to its end. A write may be short.
pub(crate) trait Appendable: Write {
    /// Returns the last byte; `None` if the file is empty.
    fn last_byte(&mut self) -> io::Result<Option<u8>>;

    /// Returns its length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Syncs everything that was written.
    fn sync_data(&mut self) -> io::Result<()>;
}

#[derive(Debug)]
pub(crate) struct Disk;

impl Storage for Disk {
    fn open(&self, path: &Path, mode: u32) -> Result<Opened, FileError> {
        let (file, created) = open_or_create(OpenOptions::new().read(true).append(true), path, mode)?;
        check_single_name(&file, path)?;
        Ok(Opened {
            file: Box::new(file),
            created,
        })
    }

    fn read(&self, path: &Path) -> Result<Box<dyn StoredFile>, FileError> {
        Ok(Box::new(open_for_reading(path)?))
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        fs::metadata(path).map_err(|cause| FileError::io("read", path, cause))
    }

    fn look_into(&self, folder: &Path, show: &mut dyn FnMut(&OsStr, bool)) -> Result<(), FileError> {
        crate::fs::look_into(folder, show).map_err(|cause| FileError::io("list", folder, cause))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        crate::fs::replace(path, STATE_FILE_MODE, bytes)
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        crate::fs::remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        fs::rename(from, to).map_err(|cause| FileError::io("rename", from, cause))
    }

    fn make_folder_like(&self, path: &Path, like: &Metadata) -> Result<(), FileError> {
        crate::fs::make_folder_like(path, like)
    }

    fn give_to_owner_of(&self, path: &Path, like: &Metadata) {
        crate::fs::give_to_owner_of(path, like);
    }

    fn replace_keeping(&self, path: &Path, previous: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let staged = crate::fs::Staged::write(path, STATE_FILE_MODE, bytes)?;
        match fs::rename(path, previous) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::io("rename", path, cause));
            }
            _ => {}
        }
        staged.commit()
    }

    fn sync_file(&self, path: &Path) -> Result<(), FileError> {
        crate::fs::sync_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), FileError> {
        crate::fs::sync_folder(folder)
    }
}

impl StoredFile for File {
    fn metadata(&self) -> io::Result<Metadata> {
        File::metadata(self)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

impl Appendable for File {
    fn last_byte(&mut self) -> io::Result<Option<u8>> {
        if self.length()? == 0 {
            return Ok(None);
        }
        let mut last = [0];
        // Seeking does not affect writes: they go to the end.
        self.seek(SeekFrom::End(-1))?;
        self.read_exact(&mut last)?;
        Ok(Some(last[0]))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(File::metadata(self)?.len())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// The storage of a dry run: it reads, takes every step of writing, and writes nothing.
#[derive(Debug)]
pub(super) struct DryRun(pub(super) Arc<dyn Storage>);

impl Storage for DryRun {
    fn open(&self, _: &Path, _: u32) -> Result<Opened, FileError> {
        Ok(Opened {
            file: Box::new(NullFile),
            created: false,
        })
    }

    fn read(&self, path: &Path) -> Result<Box<dyn StoredFile>, FileError> {
        self.0.read(path)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.0.metadata(path)
    }

    fn look_into(&self, folder: &Path, show: &mut dyn FnMut(&OsStr, bool)) -> Result<(), FileError> {
        self.0.look_into(folder, show)
    }

    fn replace(&self, _: &Path, _: &[u8]) -> Result<(), FileError> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> Result<(), FileError> {
        Ok(())
    }

    fn rename(&self, _: &Path, _: &Path) -> Result<(), FileError> {
        Ok(())
    }

    fn make_folder_like(&self, _: &Path, _: &Metadata) -> Result<(), FileError> {
        Ok(())
    }

    fn give_to_owner_of(&self, _: &Path, _: &Metadata) {}

    fn replace_keeping(&self, _: &Path, _: &Path, _: &[u8]) -> Result<(), FileError> {
        Ok(())
    }

    fn sync_file(&self, _: &Path) -> Result<(), FileError> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> Result<(), FileError> {
        Ok(())
    }
}

/// A file that discards everything.
struct NullFile;

impl Write for NullFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Appendable for NullFile {
    fn last_byte(&mut self) -> io::Result<Option<u8>> {
        Ok(None)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads exactly `bytes` at an offset of the file.
pub(super) fn read_at(file: &mut (impl Read + Seek + ?Sized), offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn refusal(path: &Path) -> String {
        Disk.open(path, 0o640).err().unwrap().to_string()
    }

    #[test]
    fn a_new_file_has_exactly_the_mode_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for asked in [0o666, 0o640, 0o600, 0o777] {
            let path = folder.path().join(format!("{asked:o}"));
            assert!(Disk.open(&path, asked).unwrap().created);
            assert_eq!(mode(&path), asked);
        }
    }

    #[test]
    fn the_mode_of_a_file_that_was_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(!Disk.open(&path, 0o640).unwrap().created);
        assert_eq!(mode(&path), 0o604);
    }

    #[test]
    fn links_pipes_folders_and_devices_are_refused_without_a_hang() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("target"), "kept").unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::hard_link(at("target"), at("twin")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(refusal(&at("link")).contains("a symbolic link"));
        assert!(refusal(&at("dangling")).contains("a symbolic link"));
        assert!(refusal(&at("twin")).contains("several names"));
        assert!(refusal(&at("folder")).contains("not a regular file"));
        assert!(refusal(&at("pipe")).contains("not a regular file"));
        assert!(refusal(Path::new("/dev/null")).contains("not a regular file"));
        assert!(
            open_for_reading(&at("pipe"))
                .unwrap_err()
                .to_string()
                .contains("not a regular file")
        );
        assert!(
            open_for_reading(&at("link"))
                .unwrap_err()
                .to_string()
                .contains("a symbolic link")
        );
        assert_eq!(fs::read(at("target")).unwrap(), b"kept");
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn every_write_goes_to_the_end_also_after_the_last_byte_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut opened = Disk.open(&path, 0o640).unwrap();
        assert_eq!(opened.file.last_byte().unwrap(), None);
        opened.file.write_all(b"ab\n").unwrap();
        assert_eq!(opened.file.last_byte().unwrap(), Some(b'\n'));
        opened.file.write_all(b"c").unwrap();
        assert_eq!(opened.file.last_byte().unwrap(), Some(b'c'));
        assert_eq!(fs::read(&path).unwrap(), b"ab\nc");
    }
}
