//! A log file that is rotated when it has grown large, keeping some older ones beside it.
//!
//! Written here because file-rotate 0.8 panics when two programs rotate the same file, as two runs for different
//! streams do, and either splits lines or lets the file grow past its limit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::form::JSON_BEGINNING;

/// A file is rotated before a line would make it larger than this.
pub(super) const LARGEST: u64 = 1 << 20;
/// How many older files are kept, `.1` (the newest) to `.5`.
pub(super) const BACKUPS: u32 = 5;

/// The file; each `write` is one whole line.
#[derive(Debug)]
pub(super) struct RotatingFile {
    /// As it was named.
    name: PathBuf,
    /// Where that leads to.
    path: PathBuf,
    file: File,
    rotation: io::Result<()>,
}

impl RotatingFile {
    /// Opens the file to append to it; creates it (mode 0640) if it does not exist. Behind a link, the file that it leads to is
    /// the one that is rotated; what is no regular file, such as `/dev/null`, is not.
    ///
    /// # Errors
    /// If it holds something else than a log, such as a day file, or the system refuses.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        check(path)?;
        let name = path.to_owned();
        let path = fs::canonicalize(path).unwrap_or_else(|_| name.clone());
        Ok(Self {
            file: open(&path)?,
            name,
            path,
            rotation: Ok(()),
        })
    }

    /// Returns the error that kept the file from being rotated before the last line; such a file keeps growing.
    pub(super) fn rotation(&self) -> Result<(), &io::Error> {
        self.rotation.as_ref().copied()
    }

    /// Checks the file system each time, since another program may have written to the file or rotated it, as logrotate does.
    fn make_room(&mut self, more: usize) -> io::Result<()> {
        let mut found = self.file.metadata()?;
        if !found.is_file() {
            return Ok(());
        }
        if !self.is_in_place(&found)? {
            *self = Self::open(&self.name)?;
            found = self.file.metadata()?;
        }
        let size = found.len();
        if size > 0 && size.saturating_add(more as u64) > LARGEST {
            self.shift()?;
            self.file = open(&self.path)?;
        }
        Ok(())
    }

    /// Returns whether our file, of which this was found, still has its name.
    fn is_in_place(&self, ours: &fs::Metadata) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(same_file(&found, ours)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives each file the next number; the last one is removed. If one of them is no log, it belongs to somebody else, and all
    /// stay.
    fn shift(&self) -> io::Result<()> {
        for number in 1..=BACKUPS {
            check(&self.backup(number))?;
        }
        for number in (1..BACKUPS).rev() {
            rename(&self.backup(number), &self.backup(number + 1))?;
        }
        rename(&self.path, &self.backup(1))
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // If it cannot be rotated, the file grows; losing the line would be worse.
        self.rotation = self.make_room(line.len());
        self.file.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Errors if there is a regular file that does not begin like a log: with a digit, that of the year, a blank line, or as a
/// line of JSON does.
fn check(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() > 0 && !is_log(path)? => {
            let path = path.display();
            let problem = format!("`{path}` holds something else than a log; name another file");
            Err(io::Error::other(problem))
        }
        _ => Ok(()),
    }
}

fn is_log(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    let longest = JSON_BEGINNING.len() as u64;
    File::open(path)?.take(longest).read_to_end(&mut beginning)?;
    let is_text = |first: &u8| first.is_ascii_digit() || first.is_ascii_whitespace();
    Ok(beginning.first().is_none_or(is_text) || beginning == JSON_BEGINNING.as_bytes())
}

#[expect(clippy::disallowed_methods, reason = "the log file")]
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

/// Renames a file if it exists.
#[expect(clippy::disallowed_methods, reason = "the log file")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(unix)]
fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: usize = 1024;

    fn line(number: usize) -> Vec<u8> {
        let mut line = format!("{number:<width$}", width = LINE - 1).into_bytes();
        line.push(b'\n');
        line
    }

    /// Returns the numbers of the first and the last line of a file, and how many there are.
    fn content(path: &Path) -> (usize, usize, usize) {
        let text = fs::read_to_string(path).unwrap();
        let numbers: Vec<usize> = text.lines().map(|line| line.trim_end().parse().unwrap()).collect();
        (numbers[0], numbers[numbers.len() - 1], numbers.len())
    }

    #[test]
    fn the_file_and_its_backups_hold_whole_lines_in_order_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut file = RotatingFile::open(&path).unwrap();
        for number in 0..8_000 {
            file.write_all(&line(number)).unwrap();
        }
        let backup = |number| folder.path().join(format!("app.log.{number}"));
        assert_eq!(content(&path), (7_168, 7_999, 832));
        for number in 1..=5 {
            let last = 7_168 - 1_024 * (number - 1) - 1;
            assert_eq!(content(&backup(number)), (last - 1_023, last, 1_024));
            assert_eq!(fs::metadata(backup(number)).unwrap().len(), LARGEST);
        }
        assert!(!backup(6).exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
    }

    #[test]
    fn a_file_that_is_there_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        for number in 0..3 {
            RotatingFile::open(&path).unwrap().write_all(&line(number)).unwrap();
        }
        assert_eq!(content(&path), (0, 2, 3));
    }

    #[test]
    fn a_line_larger_than_the_limit_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut file = RotatingFile::open(&path).unwrap();
        let large = vec![b'x'; usize::try_from(LARGEST).unwrap() + 5];
        file.write_all(&large).unwrap();
        file.write_all(b"next\n").unwrap();
        assert_eq!(fs::read(folder.path().join("app.log.1")).unwrap(), large);
        assert_eq!(fs::read(&path).unwrap(), b"next\n");
    }

    #[test]
    fn two_programs_can_write_and_rotate_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut files = [RotatingFile::open(&path).unwrap(), RotatingFile::open(&path).unwrap()];
        let total = 4_000;
        for number in 0..total {
            files[number % 2].write_all(&line(number)).unwrap();
        }
        let mut kept: Vec<usize> = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            kept.extend(text.lines().map(|line| line.trim_end().parse::<usize>().unwrap()));
        }
        kept.sort_unstable();
        assert_eq!(kept, (0..total).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_was_renamed_is_begun_anew_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut file = RotatingFile::open(&path).unwrap();
        file.write_all(&line(0)).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        file.write_all(&line(1)).unwrap();
        file.write_all(&line(2)).unwrap();
        assert_eq!(content(&folder.path().join("moved")), (0, 0, 1));
        assert_eq!(content(&path), (1, 2, 2));
    }

    #[test]
    fn a_log_of_either_form_is_gone_on_with_and_a_day_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        for (beginning, is_log) in [
            ("2023-10-01 12:00:00.123 INFO:\tbegun\n", true),
            (r#"{"logger":"trailkeeper","time":"2023-10-01T12:00:00.123Z"}"#, true),
            (r#"{"logger":"another"}"#, false),
            (r#"{"id":"1","time":"2023-10-01T12:00:00.123Z"}"#, false),
            ("{", false),
        ] {
            fs::write(&path, beginning).unwrap();
            assert_eq!(RotatingFile::open(&path).is_ok(), is_log, "{beginning}");
            assert!(fs::read_to_string(&path).unwrap() == beginning);
        }
    }

    #[test]
    fn a_file_that_cannot_be_rotated_goes_on_growing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut file = RotatingFile::open(&path).unwrap();
        // A folder in the place of a backup cannot be replaced by a file.
        fs::write(folder.path().join("app.log.4"), "old").unwrap();
        fs::create_dir_all(folder.path().join("app.log.5/full")).unwrap();
        for number in 0..1_100 {
            file.write_all(&line(number)).unwrap();
        }
        assert_eq!(content(&path), (0, 1_099, 1_100));
    }

    #[cfg(unix)]
    #[test]
    fn others_cannot_read_the_file_nor_its_backups() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut file = RotatingFile::open(&path).unwrap();
        for number in 0..1_025 {
            file.write_all(&line(number)).unwrap();
        }
        for name in ["app.log", "app.log.1"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o137, 0, "{mode:o}");
        }
    }
}
