//! What the archive asks of a disk, so that tests can put a failing one under it; and the real disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The mode of state files; day files have the mode that the archive was opened with.
pub(super) const STATE_FILE_MODE: u32 = 0o640;

/// The mode of folders that the program makes.
const FOLDER_MODE: u32 = 0o750;

/// The writing half of a disk. Reading needs no fakes: tests damage real files.
pub(super) trait Storage: Send + Sync {
    /// Opens a file for append and makes it, with `mode`, where it is missing.
    fn open(&self, path: &Path, mode: u32) -> Result<Opened, FileError>;

    /// Puts a state file with these bytes, synced, in the place of the one before. Never a day file: those only grow.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError>;

    /// Waits until the data of a file, by whomever they were written, are on disk.
    fn sync_file(&self, path: &Path) -> Result<(), FileError>;

    /// Waits until the names in a folder are on disk.
    fn sync_folder(&self, folder: &Path) -> Result<(), FileError>;
}

/// A file that is open for append.
pub(super) struct Opened {
    /// The file.
    pub(super) file: Box<dyn Appendable>,
    /// Whether it was made just now.
    pub(super) created: bool,
}

/// A file that only grows: every write goes to its end, short where the disk does no more.
pub(super) trait Appendable: Write {
    /// The last byte; `None` when the file is empty.
    fn last_byte(&mut self) -> io::Result<Option<u8>>;

    /// Where the last write ended, in bytes from the start of the file.
    fn end_of_write(&mut self) -> io::Result<u64>;

    /// Waits until everything that was written is on disk.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// What could not be done with a file or folder, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {doing} {}: {cause}{}", path.display(), advice(cause))]
    Io {
        /// What was tried, a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It is none of the program's own files.
    #[error("{} is {what}; only regular files with one name are used: move it away", path.display())]
    NotOurs {
        /// Where it stands.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
}

impl FileError {
    pub(crate) fn io(doing: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            cause,
        }
    }

    fn not_ours(path: &Path, what: &'static str) -> Self {
        Self::NotOurs {
            path: path.to_owned(),
            what,
        }
    }

    /// Whether the file or its folder is missing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}

/// What the operator can do about an error of the system, as the end of a sentence.
fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => "; check that the folder exists and its disk is mounted",
        io::ErrorKind::PermissionDenied => "; give the user that runs this program the right to do so",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room, the next run completes the archive",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable, the next run completes the archive",
        _ => "",
    }
}

/// The real disk.
pub(super) struct Disk;

impl Storage for Disk {
    fn open(&self, path: &Path, mode: u32) -> Result<Opened, FileError> {
        let (file, created) = open_or_create(OpenOptions::new().read(true).append(true), path, mode)?;
        check_single_name(&file, path)?;
        Ok(Opened {
            file: Box::new(file),
            created,
        })
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        // What a killed run left under this name is nobody's.
        match fs::remove_file(&new) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(FileError::io("remove", &new, cause)),
            _ => {}
        }
        let (mut file, _) = open_or_create(OpenOptions::new().write(true), &new, STATE_FILE_MODE)?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|cause| FileError::io("write to", &new, cause))?;
        fs::rename(&new, path).map_err(|cause| FileError::io("replace", path, cause))
    }

    fn sync_file(&self, path: &Path) -> Result<(), FileError> {
        let mut options = OpenOptions::new();
        // Windows flushes only what is open for writing.
        open_ours(options.read(true).append(cfg!(windows)), path)?
            .sync_data()
            .map_err(|cause| FileError::io("sync", path, cause))
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> Result<(), FileError> {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|cause| FileError::io("sync the folder", folder, cause))
    }

    /// NTFS journals its names, and a folder cannot be opened as a file.
    #[cfg(not(unix))]
    fn sync_folder(&self, _: &Path) -> Result<(), FileError> {
        Ok(())
    }
}

impl Appendable for File {
    fn last_byte(&mut self) -> io::Result<Option<u8>> {
        if self.metadata()?.len() == 0 {
            return Ok(None);
        }
        let mut last = [0];
        // Where the file is read does not matter to writes: they go to its end.
        self.seek(SeekFrom::End(-1))?;
        self.read_exact(&mut last)?;
        Ok(Some(last[0]))
    }

    fn end_of_write(&mut self) -> io::Result<u64> {
        self.stream_position()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// No disk at all: a dry run goes through every step, and nothing is written.
pub(super) struct Nowhere;

impl Storage for Nowhere {
    fn open(&self, _: &Path, _: u32) -> Result<Opened, FileError> {
        Ok(Opened {
            file: Box::new(Void),
            created: false,
        })
    }

    fn replace(&self, _: &Path, _: &[u8]) -> Result<(), FileError> {
        Ok(())
    }

    fn sync_file(&self, _: &Path) -> Result<(), FileError> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> Result<(), FileError> {
        Ok(())
    }
}

/// A file that takes everything and keeps nothing.
struct Void;

impl Write for Void {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Appendable for Void {
    fn last_byte(&mut self) -> io::Result<Option<u8>> {
        Ok(None)
    }

    fn end_of_write(&mut self) -> io::Result<u64> {
        Ok(0)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a regular file for reading; links are not followed and a FIFO does not block.
pub(super) fn open_for_reading(path: &Path) -> Result<File, FileError> {
    open_ours(OpenOptions::new().read(true), path)
}

/// Opens a regular file, or makes one that has exactly `mode` whatever the umask says; tells whether it made it.
pub(super) fn open_or_create(options: &mut OpenOptions, path: &Path, mode: u32) -> Result<(File, bool), FileError> {
    match open_ours(options, path) {
        Err(error) if error.is_missing() => {}
        opened => return opened.map(|file| (file, false)),
    }
    let file = open_ours(with_mode(options, mode).create_new(true), path)?;
    set_mode(&file, path, mode);
    Ok((file, true))
}

/// Makes the folder `path`, with mode 0750 whatever the umask says, where it is missing; its parent must exist.
pub(super) fn make_folder(path: &Path) -> Result<(), FileError> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return check_folder(path),
        Err(cause) => return Err(FileError::io("make the folder", path, cause)),
    }
    if let Ok(folder) = File::open(path) {
        set_mode(&folder, path, FOLDER_MODE);
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    Disk.sync_folder(parent)
}

fn check_folder(path: &Path) -> Result<(), FileError> {
    let metadata = fs::symlink_metadata(path).map_err(|cause| FileError::io("look at", path, cause))?;
    if metadata.is_dir() {
        Ok(())
    } else {
        Err(FileError::not_ours(path, "not a folder"))
    }
}

fn open_ours(options: &mut OpenOptions, path: &Path) -> Result<File, FileError> {
    let file = guarded(options)
        .open(path)
        .map_err(|cause| match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => FileError::not_ours(path, "a symbolic link"),
            Ok(metadata) if !metadata.is_file() => FileError::not_ours(path, "not a regular file"),
            _ => FileError::io("open", path, cause),
        })?;
    let metadata = file.metadata().map_err(|cause| FileError::io("look at", path, cause))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(FileError::not_ours(path, "not a regular file"))
    }
}

/// A naive open would write through a symbolic link and hang on a FIFO.
#[cfg(unix)]
fn guarded(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed())
}

#[cfg(not(unix))]
fn guarded(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn with_mode(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    options.mode(mode)
}

#[cfg(not(unix))]
fn with_mode(options: &mut OpenOptions, _: u32) -> &mut OpenOptions {
    options
}

/// Gives a file or folder that was made just now the mode that a umask may have narrowed.
///
/// Some file systems have no modes: that is worth a warning and not a failed stream.
#[cfg(unix)]
fn set_mode(file: &File, path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;

    if let Err(error) = file.set_permissions(fs::Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), %error, "cannot set the mode {mode:04o}");
    }
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: &Path, _: u32) {}

/// A second name would let something outside the catalog change what is written here, or the other way round.
#[cfg(unix)]
fn check_single_name(file: &File, path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;

    let links = file
        .metadata()
        .map_err(|cause| FileError::io("look at", path, cause))?
        .nlink();
    if links == 1 {
        Ok(())
    } else {
        Err(FileError::not_ours(path, "a file with several names (hard links)"))
    }
}

#[cfg(not(unix))]
fn check_single_name(_: &File, _: &Path) -> Result<(), FileError> {
    Ok(())
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
    fn a_new_folder_has_mode_0750_and_an_old_one_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        make_folder(&path).unwrap();
        assert_eq!(mode(&path), FOLDER_MODE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        make_folder(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_link_or_file_in_the_place_of_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        symlink("/tmp", &link).unwrap();
        fs::write(&file, "").unwrap();
        for path in [link, file] {
            assert!(make_folder(&path).unwrap_err().to_string().contains("not a folder"));
        }
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

    #[test]
    fn errors_name_the_path_and_say_what_to_do() {
        let error = |kind| FileError::io("write to", Path::new("/srv/mail.log"), io::Error::from(kind)).to_string();
        assert!(error(io::ErrorKind::StorageFull).starts_with("cannot write to /srv/mail.log: "));
        assert!(error(io::ErrorKind::StorageFull).ends_with("make room, the next run completes the archive"));
        assert!(error(io::ErrorKind::ReadOnlyFilesystem).contains("mount it writable"));
        assert!(error(io::ErrorKind::PermissionDenied).contains("the user that runs this program"));
    }
}
