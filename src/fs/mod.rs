//! Opens, creates and replaces files: never through a link, with the given mode, and replaced atomically.
//!
//! Imports: nothing.

#![expect(
    clippy::disallowed_methods,
    reason = "this file makes, replaces and removes files for all others"
)]

mod advice;
mod kept_file;
mod look_into;
mod new_folder;
mod private_file;
mod sha256;

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Once;

use advice::advice;
pub(crate) use kept_file::{Kept, files_below, keep};
pub(crate) use look_into::look_into;
pub(crate) use new_folder::NewFolder;
pub(crate) use private_file::{Private, create_private, read_private};
pub(crate) use sha256::{Hash, Sha256, sha256};

/// Mode of the folders that the program creates.
const FOLDER_MODE: u32 = 0o750;

/// Mode of folders that everybody can read.
const PUBLIC_FOLDER_MODE: u32 = 0o755;

/// An operation on a file or folder that failed, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system returned an error.
    #[error("cannot {doing} {}: {cause}{}", path.display(), advice(doing, cause))]
    Io {
        /// What was tried, a verb.
        doing: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// It is not a file of this program.
    #[error("{} is {what}; only regular files with one name are used: move it away", path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Something else is in the place of a folder.
    #[error("{} is not a folder, and has to be one: move it away", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A symbolic link is in the place of a folder.
    #[error("{} is a symbolic link, which is not followed here: name the folder that it leads to, or move it away", path.display())]
    Link {
        /// The path.
        path: PathBuf,
    },
    /// A folder is to be filled with new files, and has some already.
    #[error("{} is not empty, it holds {found}: name a new or an empty folder", path.display())]
    NotEmpty {
        /// The path.
        path: PathBuf,
        /// The name of something that is in it.
        found: Box<str>,
    },
    /// It could be changed through another name, from outside its folder.
    #[error(
        "{} is a file with several names (hard links), through which it can be changed, and is not written to: remove the \
         other names, which `find -samefile` finds, or put a copy of it in its place",
        path.display()
    )]
    SeveralNames {
        /// The path.
        path: PathBuf,
    },
    /// It is to be replaced, and is not of the kind that is written there.
    #[error("{} holds something else than what is to be written there, so it is not replaced: name another file, or remove it", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// Another program has compressed it, and what it holds cannot be read.
    #[error("cannot read {}: the compressed file is damaged or cut off; restore it from a copy", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
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

    pub(crate) fn not_ours(path: &Path, what: &'static str) -> Self {
        Self::NotOurs {
            path: path.to_owned(),
            what,
        }
    }

    pub(crate) fn not_a_folder(path: &Path) -> Self {
        let path = path.to_owned();
        Self::NotAFolder { path }
    }

    /// Whether the file is to blame and not its disk: others beside it can be written.
    pub(crate) fn is_of_this_file(&self) -> bool {
        match self {
            Self::Io { cause, .. } => cause.kind() == io::ErrorKind::PermissionDenied,
            Self::NotOurs { .. }
            | Self::Foreign { .. }
            | Self::NotAFolder { .. }
            | Self::Link { .. }
            | Self::NotEmpty { .. }
            | Self::SeveralNames { .. }
            | Self::Damaged { .. } => true,
        }
    }

    /// Whether it is a compressed file that is damaged or cut off: no later try can read it.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether something is there already.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::AlreadyExists)
    }

    /// Whether the file or its folder is missing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a regular file for reading; links are not followed and a FIFO does not block.
pub(crate) fn open_for_reading(path: &Path) -> Result<File, FileError> {
    open_guarded(OpenOptions::new().read(true), path)
}

/// Opens a regular file, or creates one with exactly `mode`, whatever the umask is. Returns whether it was created.
pub(crate) fn open_or_create(options: &mut OpenOptions, path: &Path, mode: u32) -> Result<(File, bool), FileError> {
    match open_guarded(options, path) {
        Err(error) if error.is_missing() => {}
        opened => return opened.map(|file| (file, false)),
    }
    let file = open_guarded(with_mode(options, mode).create_new(true), path)?;
    set_mode(&file, path, mode);
    Ok((file, true))
}

/// Creates the folder `path` with mode 0750, whatever the umask is, if it is missing. Its parent must exist.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    make_folder_with(path, FOLDER_MODE)
}

/// Creates a folder like [`make_folder`], which everybody can read.
pub(crate) fn make_public_folder(path: &Path) -> Result<(), FileError> {
    make_folder_with(path, PUBLIC_FOLDER_MODE)
}

fn make_folder_with(path: &Path, mode: u32) -> Result<(), FileError> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return check_folder(path),
        Err(cause) => return Err(FileError::io("create the folder", path, cause)),
    }
    if let Ok(folder) = File::open(path) {
        set_mode(&folder, path, mode);
    }
    sync_folder(folder_of(path))
}

/// Creates the folder `path` with the mode and the owner of another one, if it is missing.
pub(crate) fn make_folder_like(path: &Path, like: &Metadata) -> Result<(), FileError> {
    let is_new = fs::symlink_metadata(path).is_err();
    make_folder_with(path, mode_of(like))?;
    if is_new {
        give_to_owner_of(path, like);
    }
    Ok(())
}

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;

    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode_of(_: &Metadata) -> u32 {
    FOLDER_MODE
}

/// Gives a file or folder that was just made to the user and the group of another one. Who may not do that is mostly one of the group:
/// that is a warning, not a failure.
#[cfg(unix)]
pub(crate) fn give_to_owner_of(path: &Path, like: &Metadata) {
    use std::os::unix::fs::{MetadataExt, lchown};

    let Ok(own) = fs::symlink_metadata(path) else { return };
    if (own.uid(), own.gid()) == (like.uid(), like.gid()) {
        return;
    }
    let given = lchown(path, Some(like.uid()), Some(like.gid()));
    if let Err(error) = given.or_else(|_| lchown(path, None, Some(like.gid()))) {
        tracing::warn!(path = %path.display(), %error, "cannot give it to the owner of what it stands for");
    }
}

#[cfg(not(unix))]
pub(crate) fn give_to_owner_of(_: &Path, _: &Metadata) {}

fn check_folder(path: &Path) -> Result<(), FileError> {
    let metadata = fs::symlink_metadata(path).map_err(|cause| FileError::io("look at", path, cause))?;
    if metadata.is_dir() {
        Ok(())
    } else if metadata.is_symlink() {
        let path = path.to_owned();
        Err(FileError::Link { path })
    } else {
        Err(FileError::not_a_folder(path))
    }
}

pub(crate) fn open_guarded(options: &mut OpenOptions, path: &Path) -> Result<File, FileError> {
    let file = guarded(options)
        .open(path)
        .map_err(|cause| match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => FileError::not_ours(path, "a symbolic link"),
            Ok(metadata) if !metadata.is_file() => FileError::not_ours(path, "not a regular file"),
            _ => match in_place_of_a_folder(path, &cause) {
                Some(other) => FileError::not_a_folder(other),
                None => FileError::io("open", path, cause),
            },
        })?;
    let metadata = file.metadata().map_err(|cause| FileError::io("look at", path, cause))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(FileError::not_ours(path, "not a regular file"))
    }
}

/// Returns what is in the place of a folder of this path and is none, if that can be why it cannot be opened: only Windows says of such
/// a path that it is not found.
fn in_place_of_a_folder<'a>(path: &'a Path, cause: &io::Error) -> Option<&'a Path> {
    if cfg!(unix) && cause.kind() == io::ErrorKind::NotFound {
        return None;
    }
    let is_other = |folder: &&Path| fs::metadata(folder).is_ok_and(|found| !found.is_dir());
    path.ancestors().skip(1).find(is_other)
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

/// Sets the mode of a new file or folder, which the umask may have narrowed.
///
/// Some file systems have no modes; that is a warning, not a failure.
#[cfg(unix)]
fn set_mode(file: &File, path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;

    if let Err(error) = file.set_permissions(fs::Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), %error, "cannot set the mode {mode:04o}");
    }
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: &Path, _: u32) {}

/// Errors if the file has a second name, through which it could be changed from outside the catalog, or none any more.
pub(crate) fn check_single_name(file: &File, path: &Path) -> Result<(), FileError> {
    let metadata = file.metadata().map_err(|cause| FileError::io("look at", path, cause))?;
    match count_names(&metadata) {
        None | Some(1) => Ok(()),
        Some(0) => Err(FileError::not_ours(path, "a file that was removed")),
        Some(_) => Err(FileError::SeveralNames { path: path.to_owned() }),
    }
}

/// Returns how many names a file has; `None` where the system does not say.
#[cfg(unix)]
pub(crate) fn count_names(metadata: &Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;

    Some(metadata.nlink())
}

#[cfg(not(unix))]
pub(crate) fn count_names(_: &Metadata) -> Option<u64> {
    None
}

/// Syncs the names in a folder, where the file system can: elsewhere, as on some network shares, that is a warning, once.
///
/// # Errors
/// If the system refuses.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    static IS_TOLD: Once = Once::new();

    if !can_sync_folder(folder)? {
        IS_TOLD.call_once(|| {
            tracing::warn!(
                folder = %folder.display(),
                "the file system cannot sync the names of new files: after a power cut a new file may be missing, and its day is \
                 asked for again"
            );
        });
    }
    Ok(())
}

/// Syncs the names in a folder; returns whether the file system can do that.
///
/// # Errors
/// If the system refuses.
#[cfg(unix)]
pub(crate) fn can_sync_folder(folder: &Path) -> Result<bool, FileError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        Ok(()) => Ok(true),
        Err(cause) if is_unsupported(&cause) => Ok(false),
        Err(cause) => Err(FileError::io("sync the folder", folder, cause)),
    }
}

/// Whether an error says that the file system does not know the operation: old CIFS mounts and some FUSE ones answer `EINVAL`.
#[cfg(unix)]
fn is_unsupported(cause: &io::Error) -> bool {
    use rustix::io::Errno;

    let unsupported = [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
    let errno = Errno::from_io_error(cause);
    errno.is_some_and(|errno| unsupported.contains(&errno))
}

/// NTFS journals its names, and a folder cannot be opened as a file.
#[cfg(not(unix))]
pub(crate) fn can_sync_folder(_: &Path) -> Result<bool, FileError> {
    Ok(true)
}

/// Errors if the user that runs this program may not make files in a folder. Asking the system leaves no trace in one that
/// agents watch, as a test file would.
#[cfg(unix)]
pub(crate) fn check_writable(folder: &Path) -> Result<(), FileError> {
    let needed = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(folder, needed).map_err(|cause| FileError::io("write to", folder, cause.into()))
}

#[cfg(not(unix))]
pub(crate) fn check_writable(folder: &Path) -> Result<(), FileError> {
    folder
        .metadata()
        .map(drop)
        .map_err(|cause| FileError::io("look at", folder, cause))
}

/// Makes a scratch file, appends a line to it, syncs it, and removes it.
///
/// # Errors
/// If the system refuses one of these.
pub(crate) fn try_to_append(path: &Path, mode: u32) -> Result<(), FileError> {
    // A killed process may have left one.
    let _ = fs::remove_file(path);
    let (mut file, _) = open_or_create(OpenOptions::new().append(true), path, mode)?;
    let appended = file.write_all(b"\n").and_then(|()| file.sync_data());
    let removed = fs::remove_file(path);
    let appended = appended.map_err(|cause| FileError::io("write to", path, cause));
    appended.and(removed.map_err(|cause| FileError::io("remove", path, cause)))
}

/// Removes a folder that was made for scratch files, if nothing else is in it by now.
pub(crate) fn remove_scratch_folder(path: &Path) {
    // A run may have made files there.
    let _ = fs::remove_dir(path);
}

/// Removes a scratch file, if it is there.
pub(crate) fn remove_scratch(path: &Path) {
    // What is left of it is made again.
    let _ = fs::remove_file(path);
}

/// Reads a text that somebody gave; bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// If it cannot be read, or is not a regular file.
pub(crate) fn read_to_string(path: &Path) -> Result<String, FileError> {
    let mut content = Vec::new();
    let read = open_for_reading(path)?.read_to_end(&mut content);
    read.map_err(|cause| FileError::io("read", path, cause))?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// Returns the names of what is in a folder, in no order.
///
/// # Errors
/// If it is missing or cannot be read.
pub(crate) fn list(folder: &Path) -> Result<Vec<OsString>, FileError> {
    let names = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    names.map_err(|cause| FileError::io("list", folder, cause))
}

/// Renames a file or folder within its folder; the new name is on disk when this returns.
///
/// # Errors
/// If the system refuses.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|cause| FileError::io("rename", from, cause))?;
    sync_folder(folder_of(to))
}

/// Removes a file, if it is there.
///
/// # Errors
/// If the system refuses.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(FileError::io("remove", path, cause)),
        _ => Ok(()),
    }
}

/// Syncs the data of a file, whoever wrote it.
///
/// # Errors
/// If the file cannot be opened or synced.
pub(crate) fn sync_file(path: &Path) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    // Windows flushes only what is open for writing.
    open_guarded(options.read(true).append(cfg!(windows)), path)?
        .sync_data()
        .map_err(|cause| FileError::io("sync", path, cause))
}

/// Creates a file with exactly `mode`, or replaces it: a reader sees the old file or the new one, whole. The bytes and
/// the name are on disk when this returns.
///
/// Such a file must not be tailed; day files are never written like this.
///
/// # Errors
/// If the system refuses; the old file is then still there.
pub(crate) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), FileError> {
    Staged::write(path, mode, bytes)?.commit()
}

/// Replaces a file like [`replace`], but only one that begins like this, or is empty: what a mistyped path names is not ours to
/// replace, nor a device, nor what a link leads to.
///
/// # Errors
/// If it is something else, or the system refuses.
pub(crate) fn replace_own(path: &Path, mode: u32, bytes: &[u8], beginning: &str) -> Result<(), FileError> {
    check_own(path, beginning)?;
    replace(path, mode, bytes)
}

/// Finds out whether [`replace_own`] would be refused, before a long work for what it is to write. Nothing changes.
///
/// # Errors
/// As of [`replace_own`].
pub(crate) fn can_replace_own(path: &Path, mode: u32, beginning: &str) -> Result<(), FileError> {
    check_own(path, beginning)?;
    Staged::write(path, mode, &[]).map(drop)
}

fn check_own(path: &Path, beginning: &str) -> Result<(), FileError> {
    let mut found = Vec::new();
    match open_for_reading(path) {
        Ok(file) => {
            let read = file.take(beginning.len() as u64).read_to_end(&mut found);
            read.map_err(|cause| FileError::io("read", path, cause))?;
        }
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error),
    }
    if found.is_empty() || found == beginning.as_bytes() {
        return Ok(());
    }
    Err(FileError::Foreign { path: path.to_owned() })
}

/// New content for a file, written and synced to a temporary file. Dropping it removes the temporary file.
pub(crate) struct Staged<'a> {
    path: &'a Path,
    beside: PathBuf,
}

impl<'a> Staged<'a> {
    /// Writes `bytes` to a temporary file beside `path`.
    ///
    /// # Errors
    /// If the system refuses; nothing has changed then.
    pub(crate) fn write(path: &'a Path, mode: u32, bytes: &[u8]) -> Result<Self, FileError> {
        let beside = beside(path)?;
        // A killed process may have left one; `create_new` follows no link put there since.
        let _ = fs::remove_file(&beside);
        let failed = |cause| FileError::io("replace", path, cause);
        let mut file = guarded(with_mode(OpenOptions::new().write(true), mode).create_new(true))
            .open(&beside)
            .map_err(failed)?;
        let staged = Self { path, beside };
        set_mode(&file, &staged.beside, mode);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(staged)
    }

    /// Renames the temporary file to `path` and syncs the folder.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn commit(self) -> Result<(), FileError> {
        fs::rename(&self.beside, self.path).map_err(|cause| FileError::io("replace", self.path, cause))?;
        sync_folder(folder_of(self.path))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // Gone if it was renamed. An error here adds nothing to the one before.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Returns a hidden name in the same folder that no other process uses.
fn beside(path: &Path) -> Result<PathBuf, FileError> {
    let Some(name) = path.file_name() else {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
        return Err(FileError::io("replace", path, cause));
    };
    let name = format!(".{}.{}.new", name.to_string_lossy(), process::id());
    Ok(path.with_file_name(name))
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_that_does_not_know_an_operation_is_told_from_one_that_fails() {
        for (errno, expected) in [
            (rustix::io::Errno::INVAL, true),
            (rustix::io::Errno::OPNOTSUPP, true),
            (rustix::io::Errno::IO, false),
            (rustix::io::Errno::NOSPC, false),
        ] {
            assert_eq!(is_unsupported(&errno.into()), expected, "{errno}");
        }
        assert!(!is_unsupported(&io::Error::other("no number")));
        assert!(can_sync_folder(tempfile::tempdir().unwrap().path()).unwrap());
    }

    #[test]
    fn a_scratch_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        try_to_append(&folder.path().join("scratch"), 0o640).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let error = try_to_append(&folder.path().join("absent/scratch"), 0o640).unwrap_err();
        assert!(error.is_missing(), "{error}");
    }

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.prom");
        for text in ["first and longer\n", "second\n"] {
            replace(&path, 0o644, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_reader_that_has_it_open_keeps_the_old_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        replace(&path, 0o640, b"old").unwrap();
        let mut reader = File::open(&path).unwrap();
        replace(&path, 0o640, b"new and longer").unwrap();
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "old");
    }

    #[test]
    fn a_failed_replace_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, 0o640, b"x").is_err());
        assert!(replace(&folder.path().join("gone/file"), 0o640, b"x").is_err());
        assert!(replace(Path::new("/"), 0o640, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_is_the_one_asked_for_and_a_link_left_beside_it_is_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("metrics.prom"), folder.path().join("target"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, beside(&path).unwrap()).unwrap();
        replace(&path, 0o644, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read(&target).unwrap(), b"kept");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_folder_has_mode_0750_and_an_old_one_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        make_folder(&path).unwrap();
        assert_eq!(mode(&path), FOLDER_MODE);
        set_mode(&File::open(&path).unwrap(), &path, 0o700);
        make_folder(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_or_file_in_the_place_of_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        fs::write(&file, "").unwrap();
        for (path, word) in [(link, "is a symbolic link"), (file, "not a folder")] {
            assert!(make_folder(&path).unwrap_err().to_string().contains(word));
        }
    }

    #[test]
    fn errors_name_the_path_and_say_what_to_do() {
        let error = |kind| FileError::io("write to", Path::new("/srv/mail.log"), io::Error::from(kind)).to_string();
        assert!(error(io::ErrorKind::StorageFull).starts_with("cannot write to /srv/mail.log: "));
        assert!(error(io::ErrorKind::StorageFull).contains("; free some space"));
        assert!(error(io::ErrorKind::ReadOnlyFilesystem).contains("mount it writable"));
        assert!(error(io::ErrorKind::PermissionDenied).contains("the user that runs this program"));
    }
}
