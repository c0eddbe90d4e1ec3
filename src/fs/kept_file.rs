//! Files that are written once, whole, and never replaced: what a folder of copies holds.

#![expect(
    clippy::disallowed_methods,
    reason = "this folder makes, replaces and removes files for all others"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::{FileError, Staged, folder_of, make_folder_with, sync_folder};

/// Copies hold personal data.
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// What the name of a temporary file begins with.
const HIDDEN: char = '.';

/// What has become of a file that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    New,
    /// There is one of this name already; it is as it was.
    Before,
}

/// Writes a new file, and the folders that it is in, below one that exists; it and its name are on disk when this returns. Nobody
/// sees a part of it.
///
/// # Errors
/// If the system refuses.
pub(crate) fn keep(below: &Path, path: &Path, bytes: &[u8]) -> Result<Kept, FileError> {
    make_folders(below, folder_of(path))?;
    if fs::symlink_metadata(path).is_ok() {
        return Ok(Kept::Before);
    }
    let staged = Staged::write(path, MODE, bytes)?;
    match fs::hard_link(&staged.beside, path) {
        Ok(()) => {
            drop(staged);
            sync_folder(folder_of(path))?;
            Ok(Kept::New)
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(Kept::Before),
        // A file system without hard links.
        Err(_) => staged.commit().map(|()| Kept::New),
    }
}

fn make_folders(below: &Path, folder: &Path) -> Result<(), FileError> {
    if folder == below || folder.is_dir() {
        return Ok(());
    }
    make_folders(below, folder_of(folder))?;
    make_folder_with(folder, FOLDER_MODE)
}

/// Returns the files below a folder by their paths in it, with `/` between the parts, and how long they are; none if it is missing.
///
/// # Errors
/// If one of the folders cannot be read.
pub(crate) fn files_below(folder: &Path) -> Result<BTreeMap<String, u64>, FileError> {
    let mut found = BTreeMap::new();
    add_files("", folder, &mut found)?;
    Ok(found)
}

fn add_files(prefix: &str, folder: &Path, found: &mut BTreeMap<String, u64>) -> Result<(), FileError> {
    let failed = |cause| FileError::io("list", folder, cause);
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let (kind, name) = (entry.file_type().map_err(failed)?, entry.file_name());
        let Some(name) = name.to_str() else { continue };
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            add_files(&format!("{path}/"), &entry.path(), found)?;
        } else if kind.is_file() && !(name.starts_with(HIDDEN) && name.ends_with(".new")) {
            found.insert(path, entry.metadata().map_err(failed)?.len());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_kept_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        assert_eq!(keep(folder.path(), &path, b"one").unwrap(), Kept::New);
        assert_eq!(keep(folder.path(), &path, b"two").unwrap(), Kept::Before);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let found = files_below(folder.path()).unwrap();
        assert_eq!(found, BTreeMap::from([("a/b/c".to_owned(), 3)]));
        assert_eq!(files_below(&folder.path().join("none")).unwrap(), BTreeMap::new());
    }
}
