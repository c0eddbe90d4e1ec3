//! The log file behind the queue: opened and written by the queue's thread; its errors stop nothing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::counts::{Counts, Lost};
use super::notices::Notices;
use super::rotate::RotatingFile;

/// How long the thread lets lines gather once the queue is empty: waking it for each line costs more than everything
/// else.
const REST: Duration = Duration::from_millis(10);

/// Where the log file is; the settings may move it.
#[derive(Debug)]
pub(super) struct Place(Mutex<Whereabouts>);

#[derive(Debug)]
struct Whereabouts {
    path: PathBuf,
    wanted: Option<Wanted>,
}

/// Another file that is to be taken, and who is told what came of it.
#[derive(Debug)]
struct Wanted {
    path: PathBuf,
    taken: SyncSender<io::Result<()>>,
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Mutex::new(Whereabouts { path, wanted: None }))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.lock().path.clone()
    }

    /// Wishes that the thread of the file takes another one, and tells what came of it.
    pub(super) fn want(&self, path: &Path, taken: SyncSender<io::Result<()>>) {
        self.lock().wanted = Some(Wanted {
            path: path.to_owned(),
            taken,
        });
    }

    /// Opens the file that is wanted, if there is one; one that cannot be opened changes nothing.
    fn take_wanted(&self) -> Option<RotatingFile> {
        let Wanted { path, taken } = self.lock().wanted.take()?;
        let opened = RotatingFile::open(&path);
        if opened.is_ok() {
            self.lock().path = path;
        }
        let (file, outcome) = match opened {
            Ok(file) => (Some(file), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // Who asked may have given up waiting.
        let _ = taken.send(outcome);
        file
    }

    fn lock(&self) -> MutexGuard<'_, Whereabouts> {
        // A panic while it was held cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes each line, or counts it as lost. It reports its own errors, because tracing-appender drops them.
#[derive(Debug)]
pub(super) struct LogFile {
    place: Arc<Place>,
    file: Option<RotatingFile>,
    /// Tells the start that the file was opened.
    opened: Option<SyncSender<io::Result<()>>>,
    counts: Arc<Counts>,
    notices: Notices,
    /// The lost lines that the log mentions already.
    noted: Lost,
    trouble: Trouble,
    rotation: Trouble,
}

/// Whether an error that continues was reported.
#[derive(Debug, Default)]
struct Trouble {
    is_told: bool,
}

impl LogFile {
    pub(super) fn new(
        place: Arc<Place>,
        opened: SyncSender<io::Result<()>>,
        counts: Arc<Counts>,
        notices: Notices,
    ) -> Self {
        Self {
            place,
            file: None,
            opened: Some(opened),
            counts,
            notices,
            noted: Lost::default(),
            trouble: Trouble::default(),
            rotation: Trouble::default(),
        }
    }

    /// Opens the file, or another one that is wanted, and tells the start, which may have gone on without it: then the next
    /// line meets the same error.
    fn open(&mut self) {
        if let Some(file) = self.place.take_wanted() {
            self.file = Some(file);
        }
        let outcome = file(&mut self.file, &self.place.path()).map(drop);
        if let Some(opened) = self.opened.take() {
            let _ = opened.send(outcome);
        }
    }

    /// Writes a line; reports an error of writing or rotating once, when it begins.
    fn put(&mut self, line: &[u8]) -> bool {
        let path = self.place.path();
        let outcome = file(&mut self.file, &path).and_then(|file| {
            file.write_all(line)?;
            Ok(file.rotation())
        });
        let path = path.display();
        match &outcome {
            Ok(Ok(())) => self.rotation.ends(),
            Ok(Err(error)) if self.rotation.begins() => self.notices.error(&format!(
                "cannot rotate the log file `{path}`, so it keeps growing: {error}; check its folder"
            )),
            Err(error) if self.trouble.begins() => self.notices.error(&format!(
                "cannot write the log file `{path}`: {error}; its lines are lost until it can be written to"
            )),
            _ => {}
        }
        outcome.is_ok()
    }

    /// Notes in the log which lines are missing there.
    fn note_lost(&mut self) {
        let lost = Lost {
            abandoned: 0,
            ..self.counts.lost()
        };
        if lost == self.noted {
            return;
        }
        let since = lost.since(self.noted);
        let line = self.notices.line(&format!("log lines missing here: {since}"));
        if self.put(line.as_bytes()) {
            self.noted = lost;
            self.counts.noted(lost.dropped);
            self.trouble.ends();
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.is_empty() {
            self.open();
        } else {
            let is_written = self.put(line);
            self.counts.take(is_written);
        }
        Ok(line.len())
    }

    /// The default skips empty writes, but an empty line asks for the file to be opened.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.write(line).map(drop)
    }

    /// Called when the queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        self.note_lost();
        self.counts.empty(REST);
        Ok(())
    }
}

impl Trouble {
    /// Returns whether the error is new and should be reported.
    fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    fn ends(&mut self) {
        self.is_told = false;
    }
}

/// Returns the file; opens it if necessary.
fn file<'a>(file: &'a mut Option<RotatingFile>, path: &Path) -> io::Result<&'a mut RotatingFile> {
    match file {
        Some(file) => Ok(file),
        none => Ok(none.insert(RotatingFile::open(path)?)),
    }
}
