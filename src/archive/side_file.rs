//! State files beside the day files, as forwarders keep them: replaced whole or appended to, and on disk when it is said.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::durable_appender::{DurableAppender, WriteError};
use super::storage::{Disk, FileError, STATE_FILE_MODE, Storage, make_folder, open_for_reading, open_or_create};

/// The content of a state file; `None` where it is missing.
///
/// # Errors
/// It cannot be read, or is no regular file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut file = match open_for_reading(path) {
        Err(error) if error.is_missing() => return Ok(None),
        opened => opened?,
    };
    let mut content = Vec::new();
    file.read_to_end(&mut content)
        .map_err(|cause| FileError::io("read", path, cause))?;
    Ok(Some(content))
}

/// Puts `content` in the place of a state file: temporary file, sync, rename, sync of the folder.
///
/// What stood there is kept under `previous`; a crash leaves at least one of the two, whole.
///
/// # Errors
/// It cannot be written; then the file, or the one under `previous`, is as it was.
pub(crate) fn replace(path: &Path, previous: &Path, content: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(path);
    make_folder(folder)?;
    let new = with_suffix(path, ".new");
    let options = &mut OpenOptions::new();
    let (mut file, _) = open_or_create(options.write(true), &new, STATE_FILE_MODE)?;
    let written = file.set_len(0).and_then(|()| file.write_all(content));
    written.map_err(|cause| FileError::io("write to", &new, cause))?;
    file.sync_all().map_err(|cause| FileError::io("sync", &new, cause))?;
    match rename(path, previous) {
        Err(error) if !error.is_missing() => return Err(error),
        _ => {}
    }
    rename(&new, path)?;
    Disk.sync_folder(folder)
}

/// Appends a line to a state file, which is made where it is missing.
///
/// # Errors
/// It cannot be written.
pub(crate) fn append_line(path: &Path, mut line: String) -> Result<(), WriteError> {
    make_folder(path.parent().unwrap_or(path))?;
    line.push('\n');
    DurableAppender::new(Box::new(Disk))
        .append(path, STATE_FILE_MODE, [line])
        .map(drop)
}

fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|cause: io::Error| FileError::io("rename", from, cause))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_leaves_its_last_content_under_the_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, previous) = (folder.path().join("state/a"), folder.path().join("state/a.previous"));
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, &previous, b"a longer one").unwrap();
        assert_eq!(read(&previous).unwrap(), None);
        replace(&path, &previous, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(read(&previous).unwrap().unwrap(), b"a longer one");
        assert_eq!(fs::read_dir(folder.path().join("state")).unwrap().count(), 2);
    }

    #[test]
    fn what_an_interrupted_replacement_left_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, previous) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(folder.path().join("a.new"), "half a content that is longer").unwrap();
        replace(&path, &previous, b"x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn lines_are_appended_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        append_line(&path, "{}".to_owned()).unwrap();
        append_line(&path, "[]".to_owned()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n[]\n");
    }
}
