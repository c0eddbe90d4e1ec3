//! Reads the lines of a file from its end to its start in bounded memory. All searches for a last newline are done
//! here.

use std::io::{self, Read, Seek};

use super::storage::read_at;

/// The longest line that is read, in bytes. A longer one reads as empty and so is not a record.
///
/// An answer is at most 64 MiB, and the line form makes it at most one and a half times as long.
pub(super) const MAX_LINE: u64 = 128 << 20;

/// Size of the first read, in bytes. Each further read doubles what is buffered of a line.
const FIRST_READ: u64 = 16 << 10;

/// Reads a file backwards, line by line.
pub(super) struct BackwardLines<'a, F: ?Sized> {
    file: &'a mut F,
    first_read: u64,
    /// Offset of the first byte in `buffer`.
    start: u64,
    /// Offset of the end of what is still to be returned.
    end: u64,
    /// The bytes from `start` to `end`, or nothing while a line longer than the limit is skipped.
    buffer: Vec<u8>,
}

/// A line, or what follows the last newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BackwardLine {
    /// Offset of its first byte in the file.
    pub(super) offset: u64,
    /// Without the newline; empty if the line is too long.
    pub(super) bytes: Vec<u8>,
}

impl<'a, F: Read + Seek + ?Sized> BackwardLines<'a, F> {
    /// Reads backwards from `end`, in bytes from the start of the file.
    pub(super) fn before(file: &'a mut F, end: u64) -> Self {
        Self::with_first_read(file, end, FIRST_READ)
    }

    pub(super) fn with_first_read(file: &'a mut F, end: u64, first_read: u64) -> Self {
        Self {
            file,
            first_read,
            start: end,
            end,
            buffer: Vec::new(),
        }
    }

    /// Returns what follows the last newline: an incomplete line, or nothing.
    pub(super) fn unended(&mut self) -> io::Result<BackwardLine> {
        let offset = self.line_start()?;
        Ok(self.take_from(offset))
    }

    /// Returns the line before the one returned last; `None` at the start of the file.
    ///
    /// Call [`BackwardLines::unended`] first, unless `end` is just after a newline.
    pub(super) fn next_line(&mut self) -> io::Result<Option<BackwardLine>> {
        if self.end == 0 {
            return Ok(None);
        }
        if self.buffer.is_empty() {
            self.extend()?;
        }
        // Its newline.
        self.end -= 1;
        self.buffer.pop();
        let offset = self.line_start()?;
        Ok(Some(self.take_from(offset)))
    }

    /// Returns where the last line before `end` begins: after the previous newline, or at the start of the file.
    fn line_start(&mut self) -> io::Result<u64> {
        let mut unsearched = self.buffer.len();
        loop {
            if let Some(newline) = memchr::memrchr(b'\n', &self.buffer[..unsearched.min(self.buffer.len())]) {
                return Ok(self.start + newline as u64 + 1);
            }
            if self.start == 0 {
                return Ok(0);
            }
            unsearched = self.extend()?;
        }
    }

    /// Reads more in front of the buffer; returns how much.
    fn extend(&mut self) -> io::Result<usize> {
        if self.buffer.len() as u64 > MAX_LINE {
            self.buffer.clear();
        }
        let length = self.first_read.max(self.buffer.len() as u64).min(self.start);
        let mut bytes = vec![0; length as usize];
        self.start -= length;
        read_at(self.file, self.start, &mut bytes)?;
        bytes.append(&mut self.buffer);
        self.buffer = bytes;
        Ok(length as usize)
    }

    /// Returns the buffered bytes from an offset on and moves `end` there.
    fn take_from(&mut self, offset: u64) -> BackwardLine {
        let length = self.end - offset;
        let mut bytes = self
            .buffer
            .split_off(self.buffer.len().min((offset - self.start) as usize));
        // Only a part of a line that is too long was buffered.
        if length > MAX_LINE || bytes.len() as u64 != length {
            bytes.clear();
        }
        self.end = offset;
        BackwardLine { offset, bytes }
    }
}

/// Returns where the last whole line before `end` ends, after its newline; 0 if there is none.
pub(super) fn end_of_last_line<F: Read + Seek + ?Sized>(file: &mut F, end: u64) -> io::Result<u64> {
    Ok(BackwardLines::before(file, end).unended()?.offset)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::test_support::bound::at_most;
    use crate::test_support::random::cases;

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn from_its_end_a_file_has_the_lines_that_it_has_from_its_start(
            text in "[ab\n]{0,60}",
            end in 0_usize..61,
            first_read in 1_u64..9,
        ) {
            let end = end.min(text.len());
            let mut file = Cursor::new(text.as_bytes());
            let mut lines = BackwardLines::with_first_read(&mut file, end as u64, first_read);
            let mut expected: Vec<(u64, &str)> = Vec::new();
            let mut offset = 0;
            for line in text[..end].split('\n') {
                expected.push((offset, line));
                offset += line.len() as u64 + 1;
            }
            let mut found = vec![lines.unended().unwrap()];
            let mut round = at_most(end + 1);
            while let Some(line) = lines.next_line().unwrap() {
                round();
                found.push(line);
            }
            found.reverse();
            let found: Vec<_> =
                found.iter().map(|line| (line.offset, std::str::from_utf8(&line.bytes).unwrap())).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_line_that_no_record_can_have_is_passed_over_in_bounded_memory() {
        let mut file = tempfile::tempfile().unwrap();
        // Sparse: it takes no room on the disk.
        let length = 3 * MAX_LINE;
        std::io::Write::write_all(&mut file, b"whole\n").unwrap();
        file.set_len(length).unwrap();
        let mut lines = BackwardLines::before(&mut file, length);
        let torn = lines.unended().unwrap();
        assert_eq!((torn.offset, torn.bytes.len()), (6, 0));
        assert!(lines.buffer.capacity() as u64 <= 4 * MAX_LINE);
        let whole = BackwardLine {
            offset: 0,
            bytes: b"whole".to_vec(),
        };
        assert_eq!(lines.next_line().unwrap(), Some(whole));
        assert_eq!(lines.next_line().unwrap(), None);
    }
}
