//! The progress of a command that reads day files: how many bytes of all, how fast, and how long it still takes.

use indicatif::{ProgressBar, ProgressDrawTarget};

/// So many bytes are read before the line is told of them.
const PART: u64 = 256 << 10;

/// The progress line of a command that reads files; threads can share it. Dropping this removes it.
#[derive(Debug)]
pub(crate) struct ReadProgress {
    pub(super) bar: ProgressBar,
}

impl ReadProgress {
    /// Draws nothing.
    #[must_use]
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
        }
    }

    /// Begins a file of this length. What is read of one that is compressed is not of its length, so it counts at its end.
    #[must_use]
    pub(crate) fn file(&self, length: u64, is_packed: bool) -> FileProgress<'_> {
        FileProgress {
            bar: &self.bar,
            is_packed,
            left: length,
            read: 0,
        }
    }
}

impl Drop for ReadProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The progress in one file; dropping this counts what is left of it.
#[derive(Debug)]
pub(crate) struct FileProgress<'a> {
    bar: &'a ProgressBar,
    is_packed: bool,
    left: u64,
    read: u64,
}

impl FileProgress<'_> {
    /// Notes that this many bytes more were read.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.read += bytes;
        if self.read >= PART && !self.is_packed {
            // A file that grows is counted up to the length that it had.
            let counted = self.read.min(self.left);
            self.bar.inc(counted);
            (self.left, self.read) = (self.left - counted, 0);
        }
    }
}

impl Drop for FileProgress<'_> {
    fn drop(&mut self) {
        self.bar.inc(self.left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_counts_with_its_length_however_it_was_read() {
        let progress = ReadProgress::hidden();
        for (length, is_packed, read) in [
            (10, false, 10),
            (3 * PART, false, 2 * PART),
            (7, true, 9 * PART),
            (5, false, 0),
        ] {
            let before = progress.bar.position();
            let mut file = progress.file(length, is_packed);
            file.advance(read);
            let within = progress.bar.position() - before;
            assert_eq!(within, if is_packed || read < PART { 0 } else { read });
            drop(file);
            assert_eq!(progress.bar.position() - before, length);
        }
    }
}
