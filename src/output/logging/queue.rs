//! The queue before the log file: a logged line is queued, and a separate thread writes it.
//!
//! tracing-appender has the queue and the thread. This adds what it lacks: lost lines are counted and reported, and the
//! end waits for queued lines. tracing-appender's own guard waits a tenth of a second for room in the queue, and then
//! prints to stdout.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

use super::counts::{Counts, LostLines};
use super::file::{LogFile, Place};
use super::notices::Notices;

/// The most lines that wait for the log disk: minutes of a run that reads 40 pages a second and logs a line for each. A
/// full queue takes 2 MiB, with lines of 230 bytes; an empty one 256 KiB, which each start pays for.
pub(super) const LONGEST_QUEUE: usize = 8_192;

/// How long the start waits for the log file to open, and the end for the queued lines. A healthy disk takes
/// milliseconds, and service managers wait longer than this for a process to end.
pub(super) const DISK_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes lines without ever waiting.
#[derive(Debug)]
pub(super) struct Queue {
    lines: NonBlocking,
    counts: Arc<Counts>,
    notices: Notices,
}

/// Opens the log file, and the queue before it.
///
/// # Errors
/// The file cannot be opened. If opening takes too long, the thread keeps waiting for it.
pub(super) fn open(path: &Path, notices: Notices) -> io::Result<(Queue, QueueGuard)> {
    let counts = Arc::new(Counts::default());
    let (opened, outcome) = mpsc::sync_channel(1);
    let place = Arc::new(Place::new(path.to_owned()));
    let file = LogFile::new(Arc::clone(&place), opened, Arc::clone(&counts), notices.clone());
    let builder = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LONGEST_QUEUE);
    let (lines, worker) = builder.thread_name("log-file").finish(file);
    counts.watch(lines.error_counter());
    let queue = Queue {
        lines,
        counts: Arc::clone(&counts),
        notices: notices.clone(),
    };
    let guard = QueueGuard {
        worker: Some(worker),
        lines: queue.lines.clone(),
        place,
        counts,
        notices,
    };
    // The thread opens the file when it gets this, because its disk may hang.
    let _ = queue.lines.clone().write(b"");
    match outcome.recv_timeout(DISK_TIMEOUT) {
        Ok(outcome) => outcome?,
        Err(_) => guard.notices.error(&format!(
            "opening the log file `{}` takes longer than {} s: continuing without it; check its disk",
            path.display(),
            DISK_TIMEOUT.as_secs()
        )),
    }
    Ok((queue, guard))
}

impl Queue {
    fn offer(&self, line: &[u8]) {
        if !self.counts.log() {
            return;
        }
        // A lossy queue: a line that finds no room is counted, and is not an error.
        let _ = self.lines.clone().write(line);
        if self.counts.begins_to_drop() {
            self.notices
                .error("log lines are dropped: the disk of the log file does not keep up; check it");
        }
    }
}

impl<'writer> MakeWriter<'writer> for Queue {
    type Writer = &'writer Queue;

    fn make_writer(&'writer self) -> &'writer Queue {
        self
    }
}

/// Each `write` is one whole line.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.offer(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for the queued lines when it is dropped.
#[derive(Debug)]
pub(super) struct QueueGuard {
    worker: Option<WorkerGuard>,
    lines: NonBlocking,
    place: Arc<Place>,
    counts: Arc<Counts>,
    notices: Notices,
}

impl QueueGuard {
    /// Waits until every line is written; lines that a hung disk does not take count as lost.
    pub(super) fn drain(&self) -> bool {
        self.counts.drain(DISK_TIMEOUT)
    }

    pub(super) fn lost_lines(&self) -> LostLines {
        LostLines::of(&self.counts)
    }

    /// Goes on in another file.
    pub(super) fn move_to(&self, path: &Path) -> io::Result<()> {
        let (taken, outcome) = mpsc::sync_channel(1);
        self.place.want(path, taken);
        // Wakes the thread.
        let _ = self.lines.clone().write(b"");
        match outcome.recv_timeout(DISK_TIMEOUT) {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::other("opening it takes too long; check its disk")),
        }
    }

    /// Returns whether the last line could not be written.
    pub(super) fn is_refused(&self) -> bool {
        self.counts.is_refused()
    }
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        self.counts.close();
        if !self.drain() {
            // Dropping it would wait once more, and print to stdout.
            std::mem::forget(self.worker.take());
        }
        let lost = self.counts.lost();
        if lost.total() > 0 {
            self.notices.error(&format!(
                "log lines missing in `{}`: {lost}; check its disk",
                self.place.path().display()
            ));
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::Mutex;
    use std::time::Instant;

    use chrono::DateTime;
    use tempfile::TempDir;

    use super::*;
    use crate::output::logging::form::Form;

    /// More than a test waits for anything but a queue that is given up.
    const SOON: Duration = Duration::from_secs(2);

    /// Fills the pipe of a hung disk; in no line.
    const FILLING: u8 = b'~';

    /// Captured stderr.
    #[derive(Clone, Default)]
    struct Stderr(Arc<Mutex<String>>);

    impl Stderr {
        fn notices(&self) -> Notices {
            let stderr = self.clone();
            let form = Form::default();
            Notices::new(
                move || stderr.clone(),
                form,
                form,
                || DateTime::from_timestamp_millis(0).unwrap(),
            )
        }

        /// Returns the messages since the last call.
        fn take(&self) -> Vec<String> {
            let text = std::mem::take(&mut *self.0.lock().unwrap());
            let messages = text
                .lines()
                .map(|line| line.split_once("ERROR:\t").unwrap().1.to_owned());
            messages.collect()
        }
    }

    impl Write for Stderr {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log file whose disk hangs: a pipe that is full.
    struct HungDisk {
        path: PathBuf,
        pipe: File,
        _folder: TempDir,
    }

    impl HungDisk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("app.log");
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            let non_blocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            let mut options = OpenOptions::new();
            let mut pipe = options
                .read(true)
                .write(true)
                .custom_flags(non_blocking)
                .open(&path)
                .unwrap();
            while pipe.write(&[FILLING; 4096]).is_ok() {}
            Self {
                path,
                pipe,
                _folder: folder,
            }
        }

        /// Lets the disk work again, and reads lines until the last one.
        fn lines_until(&mut self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
            let (started, mut read) = (Instant::now(), Vec::new());
            loop {
                let mut buffer = [0; 65_536];
                match self.pipe.read(&mut buffer) {
                    Ok(length) => read.extend(buffer[..length].iter().filter(|byte| **byte != FILLING)),
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
                if read.ends_with(b"\n") {
                    let lines: Vec<_> = str::from_utf8(&read).unwrap().lines().map(str::to_owned).collect();
                    if lines.last().is_some_and(|line| is_last(line)) {
                        return lines;
                    }
                }
                assert!(started.elapsed() < 10 * SOON);
            }
        }
    }

    fn log(mut queue: &Queue, lines: impl IntoIterator<Item = usize>) {
        for line in lines {
            queue.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_log_disk_that_hangs_holds_up_nobody_and_what_it_does_not_take_is_counted_and_told() {
        let (stderr, mut disk) = (Stderr::default(), HungDisk::new());
        let (queue, guard) = open(&disk.path, stderr.notices()).unwrap();
        let started = Instant::now();
        log(&queue, 0..2 * LONGEST_QUEUE);
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        let dropped = guard.counts.lost().dropped;
        // The thread may hold one more.
        assert!(
            [LONGEST_QUEUE, LONGEST_QUEUE - 1].contains(&(dropped as usize)),
            "{dropped}"
        );
        assert_eq!(stderr.take().len(), 1, "it is told once");

        let mut lines = disk.lines_until(|line| line.contains("missing"));
        let note = lines.pop().unwrap();
        let kept: Vec<usize> = lines.iter().map(|line| line.parse().unwrap()).collect();
        assert_eq!(kept.len(), 2 * LONGEST_QUEUE - dropped as usize);
        assert!(
            kept[..LONGEST_QUEUE].iter().copied().eq(0..LONGEST_QUEUE),
            "the first are kept"
        );
        // The place of the line that the thread took is free for a later one.
        assert!(kept.is_sorted_by(|one, next| one < next), "in their order");
        let expected = "1970-01-01 00:00:00.000 ERROR:\tlog lines missing here: ";
        let why = "dropped because the log disk did not keep up";
        assert_eq!(note, format!("{expected}{dropped} {why}"));

        log(&queue, [7]);
        assert_eq!(disk.lines_until(|_| true), ["7"]);
        assert!(guard.drain());
        assert_eq!(guard.lost_lines().total(), dropped);
        drop(guard);
        let end = stderr.take();
        assert_eq!(end.len(), 1, "{end:?}");
        assert!(end[0].contains(&format!("`: {dropped} {why}; check")), "{end:?}");
    }

    #[test]
    fn lines_that_are_dropped_again_are_told_again() {
        let (stderr, mut disk) = (Stderr::default(), HungDisk::new());
        let (queue, guard) = open(&disk.path, stderr.notices()).unwrap();
        for _ in 0..2 {
            log(&queue, 0..2 * LONGEST_QUEUE);
            assert_eq!(stderr.take().len(), 1);
            disk.lines_until(|line| line.contains("missing"));
            assert!(guard.drain());
            while disk.pipe.write(&[FILLING; 4096]).is_ok() {}
        }
    }

    #[test]
    fn a_log_disk_that_hangs_to_the_end_is_given_up_once_and_its_lines_are_counted() {
        let (stderr, disk) = (Stderr::default(), HungDisk::new());
        let (queue, guard) = open(&disk.path, stderr.notices()).unwrap();
        log(&queue, 0..3);
        let started = Instant::now();
        assert!(!guard.drain());
        assert_eq!(guard.lost_lines().total(), 3);
        assert!(!guard.drain(), "this one does not wait");
        drop(guard);
        assert!(
            (DISK_TIMEOUT..DISK_TIMEOUT + SOON).contains(&started.elapsed()),
            "{:?}",
            started.elapsed()
        );
        let path = disk.path.display();
        let expected = format!("log lines missing in `{path}`: 3 still queued at the end; check its disk");
        assert_eq!(stderr.take(), [expected]);
        log(&queue, 0..2 * LONGEST_QUEUE);
        assert!(stderr.take().is_empty(), "nobody is told of lines after the end");
    }

    #[test]
    fn a_log_file_that_takes_long_to_open_is_gone_on_without() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        // Nobody reads the pipe, so opening it blocks.
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let stderr = Stderr::default();
        let (queue, guard) = open(&path, stderr.notices()).unwrap();
        let told = stderr.take();
        assert!(told.len() == 1 && told[0].contains("takes longer than 5 s"), "{told:?}");
        log(&queue, 0..3);
        let reading = std::thread::spawn(move || fs::read_to_string(path).unwrap());
        drop(guard);
        assert_eq!(reading.join().unwrap(), "0\n1\n2\n");
        assert!(stderr.take().is_empty());
    }

    #[test]
    fn a_full_disk_is_told_once_and_its_lines_are_counted() {
        let stderr = Stderr::default();
        let (queue, guard) = open(Path::new("/dev/full"), stderr.notices()).unwrap();
        log(&queue, 0..100);
        assert!(guard.drain());
        assert_eq!(guard.lost_lines().total(), 100);
        drop(guard);
        let told = stderr.take();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("cannot write the log file `/dev/full`: No space left"));
        assert!(told[1].contains(": 100 that could not be written; "), "{told:?}");
    }

    #[test]
    fn a_file_that_cannot_be_rotated_is_told_once_and_has_every_line() {
        let (folder, stderr) = (tempfile::tempdir().unwrap(), Stderr::default());
        let path = folder.path().join("app.log");
        fs::write(&path, vec![b'\n'; 1 << 20]).unwrap();
        fs::write(folder.path().join("app.log.4"), "old").unwrap();
        fs::create_dir_all(folder.path().join("app.log.5/full")).unwrap();
        let (queue, guard) = open(&path, stderr.notices()).unwrap();
        log(&queue, 0..3);
        assert_eq!(guard.lost_lines().total(), 0);
        drop(guard);
        assert!(fs::read_to_string(&path).unwrap().ends_with("\n0\n1\n2\n"));
        let told = stderr.take();
        assert!(
            told.len() == 1 && told[0].starts_with("cannot rotate the log file `"),
            "{told:?}"
        );
    }
}
