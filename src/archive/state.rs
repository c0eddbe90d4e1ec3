//! State files that other modules keep beside the day files: whole lines, appended under the lock of their stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::durable_appender::{DurableAppender, WriteError};
use super::location::Location;
use super::lock::Lock;
use super::storage::{Disk, FileError, STATE_FILE_MODE, open_for_reading};

/// How much is read from the end of a file first, in bytes; more each time no line in it will do.
pub(super) const FIRST_READ: u64 = 16 << 10;

impl Lock {
    /// Appends a line, given without its newline, to the state file `<base>.<what>`; it is on disk when this returns.
    /// A torn line that a crash left at the end of the file is repaired first.
    ///
    /// # Errors
    /// If the file cannot be opened, written or synced.
    pub fn append_line(&self, what: &str, line: &str) -> Result<(), WriteError> {
        debug_assert!(!line.contains('\n'), "a line is one line");
        // An appender of its own: an error with the day files must not keep what is said about it from being noted.
        let mut appender = DurableAppender::new(Box::new(Disk));
        appender.append(
            &self.location().state_file(what),
            STATE_FILE_MODE,
            [format!("{line}\n")],
        )?;
        Ok(())
    }
}

impl Location {
    /// The newest line of the state file `<base>.<what>` that `read` makes something of. Only as much of the file is
    /// read as that takes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn newest_state_line<T>(
        &self,
        what: &str,
        read: impl FnMut(&str) -> Option<T>,
    ) -> Result<Option<T>, FileError> {
        let path = self.state_file(what);
        let Some(mut file) = open_existing(&path)? else {
            return Ok(None);
        };
        let newest = file
            .seek(SeekFrom::End(0))
            .and_then(|end| newest_line(&mut file, end, FIRST_READ, read));
        newest.map_err(|cause| FileError::io("read", &path, cause))
    }
}

fn open_existing(path: &Path) -> Result<Option<File>, FileError> {
    match open_for_reading(path) {
        Err(error) if error.is_missing() => Ok(None),
        opened => opened.map(Some),
    }
}

/// The newest of the lines before `end` that `read` makes something of; `first_read` bytes are read first.
pub(super) fn newest_line<T>(
    file: &mut (impl Read + Seek),
    end: u64,
    first_read: u64,
    mut read: impl FnMut(&str) -> Option<T>,
) -> io::Result<Option<T>> {
    let mut wanted = first_read;
    loop {
        let start = end.saturating_sub(wanted);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(end - start).read_to_end(&mut bytes)?;
        let found = whole_lines(&bytes, start == 0)
            .rev()
            .find_map(|line| read(str::from_utf8(line).ok()?));
        if found.is_some() || start == 0 {
            return Ok(found);
        }
        wanted *= 4;
    }
}

/// The lines between newlines; the first one is whole where the bytes begin with the file.
fn whole_lines(bytes: &[u8], from_start: bool) -> impl DoubleEndedIterator<Item = &[u8]> {
    let end = memchr::memrchr(b'\n', bytes).unwrap_or(0);
    let start = match from_start {
        true => 0,
        false => memchr::memchr(b'\n', bytes).map_or(end, |newline| newline + 1),
    };
    bytes.get(start..end).unwrap_or_default().split(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn locked(folder: &Path) -> Lock {
        let location = Location::new(folder, "mail", "log").unwrap();
        Lock::acquire(&location, DateTime::UNIX_EPOCH).unwrap()
    }

    fn all(lock: &Lock) -> Vec<String> {
        let mut lines = Vec::new();
        let note = |line: &str| {
            lines.insert(0, line.to_owned());
            None::<()>
        };
        lock.location().newest_state_line("notes.jsonl", note).unwrap();
        lines
    }

    #[test]
    fn lines_are_appended_and_read_from_both_ends() {
        let folder = tempfile::tempdir().unwrap();
        let lock = locked(folder.path());
        assert_eq!(all(&lock), Vec::<String>::new());
        for line in ["one", "two", "three"] {
            lock.append_line("notes.jsonl", line).unwrap();
        }
        assert_eq!(all(&lock), ["one", "two", "three"]);
        let newest = |start| {
            let read = |line: &str| line.starts_with(start).then(|| line.to_owned());
            lock.location().newest_state_line("notes.jsonl", read).unwrap()
        };
        assert_eq!(newest("t").as_deref(), Some("three"));
        assert_eq!(newest("o").as_deref(), Some("one"));
        assert_eq!(newest("x"), None);
    }

    #[test]
    fn half_a_line_counts_for_nothing_and_is_terminated_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let lock = locked(folder.path());
        let path = folder.path().join(".trailkeeper/mail.notes.jsonl");
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(all(&lock), ["one"]);
        lock.append_line("notes.jsonl", "three").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\nthree\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let lock = locked(folder.path());
        let target = folder.path().join("target");
        fs::write(&target, "secret\n").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(".trailkeeper/mail.notes.jsonl")).unwrap();
        assert!(lock.append_line("notes.jsonl", "x").is_err());
        assert!(
            lock.location()
                .newest_state_line("notes.jsonl", |_| None::<()>)
                .is_err()
        );
        assert_eq!(fs::read_to_string(target).unwrap(), "secret\n");
    }

    proptest! {
        #[test]
        fn from_its_end_a_file_has_the_lines_that_it_has_from_its_start(text in "[ab\n]{0,60}", first_read in 1_u64..9) {
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let expected = text.contains('\n').then(|| whole.split('\n').rev().map(str::to_owned).collect::<Vec<_>>());
            let mut seen = Vec::new();
            let mut file = Cursor::new(text.as_bytes());
            let found = newest_line(&mut file, text.len() as u64, first_read, |line| {
                seen.push(line.to_owned());
                None::<()>
            });
            prop_assert!(found.unwrap().is_none());
            // Reading more begins again at the end, so what counts is the last time round.
            let expected = expected.unwrap_or_default();
            prop_assert!(seen.ends_with(&expected), "{:?} {:?}", seen, expected);
        }
    }
}
