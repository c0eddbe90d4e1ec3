//! Reads the lines of a file in bounded memory, and the torn line at its end.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::backward_lines::{BackwardLine, BackwardLines, MAX_LINE};
use super::storage::StoredFile;

/// Size of a read, in bytes.
const CHUNK: usize = 256 << 10;

/// A line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Line number, from 1.
    pub(super) number: u64,
    /// Offset of its first byte.
    pub(super) offset: u64,
    /// The bytes without the newline.
    pub(super) bytes: &'a [u8],
    /// Whether it ends with a newline; only the last line of a file can lack it.
    pub(super) ended: bool,
}

/// Reads lines; a line is valid until the next call.
pub(super) struct Lines<R> {
    source: R,
    longest: u64,
    /// How many bytes of the source's buffer the last line was, if it was lent from there.
    lent: usize,
    /// A line that does not lie in the source's buffer as a whole.
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
}

impl<F: Read> Lines<BufReader<F>> {
    /// Reads the lines of a file from where it stands.
    pub(super) fn of(file: F) -> Self {
        Self::new(BufReader::with_capacity(CHUNK, file), MAX_LINE)
    }
}

impl Lines<BufReader<Box<dyn StoredFile>>> {
    /// Reads the lines from an offset, where a line must begin; line numbers count from there.
    pub(super) fn from_offset(mut file: Box<dyn StoredFile>, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        let mut lines = Self::of(file);
        lines.offset = offset;
        Ok(lines)
    }
}

impl<R: BufRead> Lines<R> {
    fn new(source: R, longest: u64) -> Self {
        Self {
            source,
            longest,
            lent: 0,
            buffer: Vec::new(),
            number: 0,
            offset: 0,
        }
    }

    /// Returns the next line; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.source.consume(std::mem::take(&mut self.lent));
        let offset = self.offset;
        if let Some(length) = self.length_in_buffer()? {
            self.lent = length + 1;
            self.offset += self.lent as u64;
            self.number += 1;
            return Ok(Some(Line {
                number: self.number,
                offset,
                // It holds the line already, and is not filled again.
                bytes: &self.source.fill_buf()?[..length],
                ended: true,
            }));
        }
        self.buffer.clear();
        self.offset += (&mut self.source)
            .take(self.longest + 1)
            .read_until(b'\n', &mut self.buffer)? as u64;
        if self.offset == offset {
            return Ok(None);
        }
        self.number += 1;
        let mut ended = self.buffer.pop_if(|last| *last == b'\n').is_some();
        if self.buffer.len() as u64 > self.longest {
            self.buffer.clear();
            ended = self.skip_rest()?;
        }
        Ok(Some(Line {
            number: self.number,
            offset,
            bytes: &self.buffer,
            ended,
        }))
    }

    /// Returns how long the next line is, if it lies in the source's buffer with its newline.
    fn length_in_buffer(&mut self) -> io::Result<Option<usize>> {
        let available = match self.source.fill_buf() {
            // What copies the line tries again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            available => available?,
        };
        let length = memchr::memchr(b'\n', available);
        Ok(length.filter(|length| *length as u64 <= self.longest))
    }

    /// Returns how far the file was read, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Skips the rest of a line; returns whether it had a newline.
    fn skip_rest(&mut self) -> io::Result<bool> {
        loop {
            let available = match self.source.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let newline = memchr::memchr(b'\n', available);
            let length = newline.map_or(available.len(), |at| at + 1);
            self.source.consume(length);
            self.offset += length as u64;
            if newline.is_some() || length == 0 {
                return Ok(newline.is_some());
            }
        }
    }
}

/// A last line without a newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TornLine {
    /// Offset of its first byte.
    pub(super) offset: u64,
    /// Its bytes; empty if it is longer than any record.
    pub(super) bytes: Vec<u8>,
}

/// Returns the torn line at the end of a file; `None` if the file is empty or ends with a newline.
pub(super) fn torn_line(file: &mut (impl Read + Seek + ?Sized)) -> io::Result<Option<TornLine>> {
    let mut last = [0];
    // Mostly its last byte is enough.
    let read = file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last));
    if read.is_ok() && last == *b"\n" {
        return Ok(None);
    }
    let length = file.seek(SeekFrom::End(0))?;
    let BackwardLine { offset, bytes } = BackwardLines::before(file, length).unended()?;
    Ok((offset < length).then_some(TornLine { offset, bytes }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::test_support::bound::at_most;
    use crate::test_support::random::cases;

    fn all(bytes: &[u8], capacity: usize, longest: u64) -> Vec<(u64, u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, bytes), longest);
        let mut found = Vec::new();
        let mut round = at_most(bytes.len() + 1);
        while let Some(line) = lines.next().unwrap() {
            round();
            found.push((line.number, line.offset, line.bytes.to_vec(), line.ended));
        }
        found
    }

    fn torn(bytes: &[u8]) -> Option<TornLine> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        torn_line(&mut file).unwrap()
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_counted() {
        for capacity in 1..12 {
            let lines = all(b"ab\n12345\n\n1234\n123456789", capacity, 4);
            let expected: [(u64, u64, &[u8], bool); 5] = [
                (1, 0, b"ab", true),
                (2, 3, b"", true),
                (3, 9, b"", true),
                (4, 10, b"1234", true),
                (5, 15, b"", false),
            ];
            assert_eq!(
                lines,
                expected.map(|(number, offset, bytes, ended)| (number, offset, bytes.to_vec(), ended))
            );
        }
    }

    #[test]
    fn a_torn_line_is_found_however_far_back_it_begins() {
        assert_eq!(torn(b""), None);
        assert_eq!(torn(b"\n"), None);
        assert_eq!(torn(b"a\n"), None);
        assert_eq!(
            torn(b"a"),
            Some(TornLine {
                offset: 0,
                bytes: b"a".to_vec()
            })
        );
        for length in [1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let bytes = vec![b'x'; length];
            assert_eq!(
                torn(&[b"one\n\ntwo\n", &*bytes].concat()),
                Some(TornLine {
                    offset: 9,
                    bytes: bytes.clone()
                })
            );
            assert_eq!(torn(&bytes), Some(TornLine { offset: 0, bytes }));
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn lines_say_where_they_stand(bytes in "[ab\n]{0,40}", capacity in 1usize..9) {
            let bytes = bytes.as_bytes();
            let lines = all(bytes, capacity, 100);
            let mut again = Vec::new();
            for (index, (number, offset, line, ended)) in lines.iter().enumerate() {
                prop_assert_eq!((*number, *offset), (index as u64 + 1, again.len() as u64));
                prop_assert!(*ended || index + 1 == lines.len());
                again.extend_from_slice(line);
                again.extend(ended.then_some(b'\n'));
            }
            prop_assert_eq!(again, bytes);
            let last = lines.last().filter(|(_, _, _, ended)| !ended);
            prop_assert_eq!(torn(bytes), last.map(|(_, offset, line, _)| TornLine { offset: *offset, bytes: line.clone() }));
        }
    }
}
