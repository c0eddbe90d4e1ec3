//! State files, in `.trailkeeper/`: replaced whole or appended to, always synced.

use std::borrow::Cow;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backward_lines::BackwardLines;
use super::durable_appender::{DurableAppender, WriteError};
use super::file_stamp::FileStamp;
use super::location::Location;
use super::storage::{STATE_FILE_MODE, Storage, StoredFile};
use crate::fs::{FileError, make_folder};

/// Most of them that are read whole are no longer than this, in bytes, and are read at once.
const USUAL_LENGTH: usize = 8 << 10;

/// The state file `<base>.<what>` of a stream.
#[derive(Clone)]
pub(crate) struct StateFile {
    path: PathBuf,
    storage: Arc<dyn Storage>,
}

impl Location {
    /// Returns the state file `<base>.<what>` of the stream.
    pub(crate) fn state(&self, what: &str) -> StateFile {
        self.state_at(self.state_file(what))
    }

    /// Returns the state file with this whole name, which leads nowhere else.
    pub(crate) fn state_named(&self, name: &str) -> StateFile {
        self.state_at(self.state_folder().join(name))
    }

    fn state_at(&self, path: PathBuf) -> StateFile {
        let storage = Arc::clone(self.storage());
        StateFile { path, storage }
    }
}

impl StateFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its length in bytes.
    ///
    /// # Errors
    /// If it is missing, or its folder cannot be read.
    pub(crate) fn length(&self) -> Result<u64, FileError> {
        Ok(self.storage.metadata(&self.path)?.len())
    }

    /// Syncs what was written to it, and its name: see [`Storage::sync_with_name`].
    ///
    /// # Errors
    /// If it cannot be synced.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.storage.sync_with_name(&self.path)
    }

    /// Returns its content; `None` if it is missing.
    ///
    /// # Errors
    /// If it cannot be read, or is not a regular file.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>, FileError> {
        let Some(mut file) = self.open()? else { return Ok(None) };
        let mut content = Vec::with_capacity(USUAL_LENGTH);
        let read = file.read_to_end(&mut content);
        read.map_err(|cause| FileError::io("read", &self.path, cause))?;
        Ok(Some(content))
    }

    /// Returns at most `limit` bytes of it as text; an empty text if they are not UTF-8.
    ///
    /// # Errors
    /// Those of [`StateFile::read`].
    pub(super) fn read_text(&self, limit: u64) -> Result<Option<String>, FileError> {
        let Some(file) = self.open()? else { return Ok(None) };
        let mut content = Vec::with_capacity(USUAL_LENGTH);
        let read = file.take(limit).read_to_end(&mut content);
        read.map_err(|cause| FileError::io("read", &self.path, cause))?;
        Ok(Some(String::from_utf8(content).unwrap_or_default()))
    }

    /// Returns what tells whether it was written to since; `None` if it is missing.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub(crate) fn stamp(&self) -> Result<Option<FileStamp>, FileError> {
        match self.storage.metadata(&self.path) {
            Err(error) if error.is_missing() => Ok(None),
            found => Ok(Some(FileStamp::of(&found?))),
        }
    }

    /// Opens it for reading; `None` if it is missing.
    ///
    /// # Errors
    /// If it cannot be read, or is not a regular file.
    pub(crate) fn open(&self) -> Result<Option<Box<dyn StoredFile>>, FileError> {
        match self.storage.read(&self.path) {
            Err(error) if error.is_missing() => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Replaces the content. The state folder must exist: a command that only reads creates none.
    ///
    /// # Errors
    /// If it cannot be written. The old content is then still there.
    pub(crate) fn replace(&self, content: &[u8]) -> Result<(), FileError> {
        self.storage.replace(&self.path, content)
    }

    /// Removes it, if it is there.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        self.storage.remove(&self.path)
    }

    /// Replaces the content and keeps the old file as `previous`: after a crash at least one of the two is there,
    /// whole. The state folder is created if it is missing.
    ///
    /// # Errors
    /// If it cannot be written. The old content is then under this name or `previous`.
    pub(crate) fn replace_keeping(&self, previous: &Self, content: &[u8]) -> Result<(), FileError> {
        self.make_folder()?;
        self.storage.replace_keeping(&self.path, &previous.path, content)
    }

    /// Appends a line, given without its newline, and syncs it. A torn line at the end of the file is terminated first.
    ///
    /// # Errors
    /// If the file cannot be opened, written or synced.
    pub(crate) fn append_line(&self, line: &str) -> Result<(), WriteError> {
        self.append_lines(&[line.to_owned()])
    }

    /// The same with several lines, which are synced together.
    ///
    /// # Errors
    /// If the file cannot be opened, written or synced.
    pub(crate) fn append_lines(&self, lines: &[String]) -> Result<(), WriteError> {
        debug_assert!(!lines.iter().any(|line| line.contains('\n')), "a line is one line");
        self.make_folder()?;
        // A separate appender: after an error with the day files these lines must still be written.
        let mut appender = DurableAppender::new(Arc::clone(&self.storage));
        let lines = lines.iter().map(|line| format!("{line}\n"));
        appender.append(&self.path, STATE_FILE_MODE, lines)?;
        Ok(())
    }

    /// Returns the result of `read` for the newest whole line for which it has one. No more of the file is read than
    /// needed. Bytes that are not UTF-8 are passed as U+FFFD.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn newest_line<T>(&self, mut read: impl FnMut(&str) -> Option<T>) -> Result<Option<T>, FileError> {
        let failed = |cause| FileError::io("read", &self.path, cause);
        let Some(mut file) = self.open()? else { return Ok(None) };
        let end = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut lines = BackwardLines::before(file.as_mut(), end);
        lines.unended().map_err(failed)?;
        while let Some(line) = lines.next_line().map_err(failed)? {
            // Mostly it is ASCII, which is seen at once.
            let text = std::str::from_utf8(&line.bytes);
            let text = text.map_or_else(|_| String::from_utf8_lossy(&line.bytes), Cow::Borrowed);
            if let Some(found) = read(&text) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn make_folder(&self) -> Result<(), FileError> {
        make_folder(crate::fs::folder_of(&self.path))
    }
}

impl fmt::Debug for StateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateFile").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn location(folder: &Path) -> Location {
        Location::new(folder, "mail", "log").unwrap()
    }

    fn all(file: &StateFile) -> Vec<String> {
        let mut lines = Vec::new();
        let note = |line: &str| {
            lines.insert(0, line.to_owned());
            None::<()>
        };
        file.newest_line(note).unwrap();
        lines
    }

    #[test]
    fn lines_are_appended_and_read_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = location(folder.path()).state("notes.jsonl");
        assert_eq!(all(&file), Vec::<String>::new());
        for line in ["one", "two", "three"] {
            file.append_line(line).unwrap();
        }
        assert_eq!(all(&file), ["one", "two", "three"]);
        let newest = |start: &str| file.newest_line(|line| line.starts_with(start).then(|| line.to_owned()));
        assert_eq!(newest("t").unwrap().as_deref(), Some("three"));
        assert_eq!(newest("o").unwrap().as_deref(), Some("one"));
        assert_eq!(newest("x").unwrap(), None);
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_torn_line_counts_for_nothing_and_is_terminated_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = location(folder.path()).state("notes.jsonl");
        file.append_line("one").unwrap();
        fs::write(file.path(), "one\ntw").unwrap();
        assert_eq!(all(&file), ["one"]);
        file.append_line("three").unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "one\ntw\nthree\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = location(folder.path()).state("notes.jsonl");
        let target = folder.path().join("target");
        fs::write(&target, "secret\n").unwrap();
        fs::create_dir(folder.path().join(".trailkeeper")).unwrap();
        std::os::unix::fs::symlink(&target, file.path()).unwrap();
        assert!(file.append_line("x").is_err());
        assert!(file.newest_line(|_| None::<()>).is_err());
        assert!(file.read().is_err());
        assert_eq!(fs::read_to_string(target).unwrap(), "secret\n");
    }

    #[test]
    fn a_replaced_file_leaves_its_last_content_under_the_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let location = location(folder.path());
        let (file, previous) = (location.state("a"), location.state("a.previous"));
        assert_eq!(file.read().unwrap(), None);
        file.replace_keeping(&previous, b"a longer one").unwrap();
        assert_eq!(previous.read().unwrap(), None);
        file.replace_keeping(&previous, b"two").unwrap();
        assert_eq!(file.read().unwrap().unwrap(), b"two");
        assert_eq!(previous.read().unwrap().unwrap(), b"a longer one");
        assert_eq!(fs::read_dir(location.state_folder()).unwrap().count(), 2);
    }
}
