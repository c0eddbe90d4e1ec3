//! A folder of new files that get their names when all of them are whole.

#![expect(
    clippy::disallowed_methods,
    reason = "this folder makes, replaces and removes files for all others"
)]

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use super::{FileError, guarded, make_folder_with, set_mode, sync_folder, with_mode};

/// Nobody but its owner can look into it. One that was there keeps its mode.
const MODE: u32 = 0o700;

/// What the name of a file ends with until all are whole.
const UNFINISHED: &str = ".unfinished";

/// A folder that was new or empty. Dropping this before the end removes what was made.
#[derive(Debug)]
pub(crate) struct NewFolder {
    path: PathBuf,
    is_new: bool,
    names: Vec<String>,
    is_whole: bool,
}

impl NewFolder {
    /// Makes the folder, unless there is an empty one. Its parent must exist.
    ///
    /// # Errors
    /// If something is in it, or it cannot be made.
    pub(crate) fn make(path: &Path) -> Result<Self, FileError> {
        let is_new = fs::symlink_metadata(path).is_err();
        make_folder_with(path, MODE)?;
        let folder = Self {
            path: path.to_owned(),
            is_new,
            names: Vec::new(),
            is_whole: false,
        };
        let failed = |cause| FileError::io("read the folder", path, cause);
        match fs::read_dir(path).map_err(failed)?.next() {
            None => Ok(folder),
            Some(entry) => Err(FileError::NotEmpty {
                path: path.to_owned(),
                found: entry.map_err(failed)?.file_name().to_string_lossy().into(),
            }),
        }
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file that gets this name at the end: in the order in which they were made.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn create(&mut self, name: &str, mode: u32) -> Result<File, FileError> {
        let path = self.unfinished(name);
        let file = guarded(with_mode(OpenOptions::new().write(true), mode).create_new(true))
            .open(&path)
            .map_err(|cause| FileError::io("create", &path, cause))?;
        self.names.push(name.to_owned());
        set_mode(&file, &path, mode);
        Ok(file)
    }

    /// Gives the files their names; each has to be synced. The last one that was made is there only if all others are.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn finish(mut self) -> Result<(), FileError> {
        sync_folder(&self.path)?;
        for name in &self.names {
            let to = self.path.join(name);
            fs::rename(self.unfinished(name), &to).map_err(|cause| FileError::io("name", &to, cause))?;
        }
        self.is_whole = true;
        sync_folder(&self.path)
    }

    fn unfinished(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{UNFINISHED}"))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        // An error here adds nothing to the one before; what has its name already goes as well.
        for name in self.names.iter().rev() {
            let _ = fs::remove_file(self.path.join(name));
            let _ = fs::remove_file(self.unfinished(name));
        }
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_have_their_names_when_all_are_whole_and_are_gone_if_they_never_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        for is_finished in [false, true] {
            let mut made = NewFolder::make(&path).unwrap();
            for name in ["a", "b"] {
                made.create(name, 0o640).unwrap().write_all(b"x").unwrap();
            }
            assert_eq!(names(&path), ["a.unfinished", "b.unfinished"]);
            if is_finished {
                made.finish().unwrap();
                assert_eq!(names(&path), ["a", "b"]);
            } else {
                drop(made);
                assert!(!path.exists());
            }
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "kept").unwrap();
        let error = NewFolder::make(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("holds a") && error.contains("an empty folder"),
            "{error}"
        );
        assert_eq!(names(folder.path()), ["a"]);
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        drop(NewFolder::make(&empty).unwrap());
        assert!(empty.exists(), "it was there before");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let error = NewFolder::make(&link).unwrap_err().to_string();
        assert!(error.contains("link is a symbolic link"), "{error}");
    }
}
