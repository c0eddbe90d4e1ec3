//! Pieces of day files, so that several threads can read one archive.

use std::io::{self, Read};
use std::ops::ControlFlow;

use super::backward_lines::MAX_LINE;
use super::day_file::{DayFile, read_some};
use crate::fs::FileError;

/// How long a piece of a plain file is, in bytes. A compressed file is one piece.
const PIECE: u64 = 8 << 20;

/// Size of a read, in bytes.
const CHUNK: usize = 1 << 20;

/// The lines that begin in a part of a day file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) file: DayFile,
    /// In bytes of the content.
    start: u64,
    /// `None` at the end of a compressed file.
    end: Option<u64>,
}

impl Piece {
    /// Divides a file of this length, in its order; at least one piece. What begins behind that length in a file that is not
    /// compressed belongs to no piece.
    #[must_use]
    pub(crate) fn of(file: &DayFile, length: u64) -> Vec<Self> {
        Self::of_length(file, length, PIECE)
    }

    fn of_length(file: &DayFile, length: u64, piece: u64) -> Vec<Self> {
        let count = if file.is_packed() {
            1
        } else {
            length.div_ceil(piece).max(1)
        };
        let piece = |number: u64| Self {
            file: file.clone(),
            start: number * piece,
            end: (!file.is_packed()).then(|| length.min((number + 1) * piece)),
        };
        (0..count).map(piece).collect()
    }

    /// Passes its whole lines to `visit`, some at a time, with their newlines, until it says that it has enough. `buffer` is
    /// used for reading. A line longer than any record is left out, and so is a torn one at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read; [`FileError::Damaged`] if it is compressed and not whole: what stands before the damage
    /// was passed.
    pub(crate) fn read(
        &self,
        buffer: &mut Vec<u8>,
        visit: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        self.read_by(CHUNK, MAX_LINE, buffer, visit)
    }

    fn read_by(
        &self,
        chunk: usize,
        most: u64,
        buffer: &mut Vec<u8>,
        visit: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        // The byte before tells whether a line begins at the start.
        let from = self.start.saturating_sub(1);
        let source = self.file.open_at(from)?;
        let span = Span {
            is_inside: self.start > 0,
            length: self.end.map(|end| end - from),
            most,
        };
        span.read_lines(source, chunk, buffer, visit)
            .map_err(|cause| self.file.unreadable(cause))
    }
}

/// What of a source belongs to a piece: the lines that begin in its first bytes.
struct Span {
    /// Whether the first line has begun before, so that it belongs to another piece.
    is_inside: bool,
    /// `None` if all lines belong to it.
    length: Option<u64>,
    /// The longest line that is read, in bytes.
    most: u64,
}

impl Span {
    fn read_lines(
        self,
        mut source: impl Read,
        chunk: usize,
        buffer: &mut Vec<u8>,
        mut visit: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let Self { mut is_inside, .. } = self;
        buffer.clear();
        // Where the buffer begins, and how much of it holds no newline.
        let (mut offset, mut searched) = (0, 0);
        loop {
            let filled = buffer.len();
            buffer.resize(filled + chunk, 0);
            let read = read_some(&mut source, &mut buffer[filled..])?;
            buffer.truncate(filled + read);
            let last = self.last_newline(buffer, offset, searched);
            let end = last.or_else(|| memchr::memrchr(b'\n', &buffer[searched..]).map(|found| searched + found));
            if let Some(end) = end {
                let first = first_line(buffer, is_inside);
                is_inside = false;
                if visit(&buffer[first..=end]).is_break() || last.is_some() {
                    return Ok(());
                }
                buffer.drain(..=end);
                offset += end as u64 + 1;
            }
            if read == 0 {
                return Ok(());
            }
            searched = buffer.len();
            if searched as u64 > self.most {
                offset += searched as u64;
                buffer.clear();
                (is_inside, searched) = (true, 0);
            }
        }
    }

    /// Returns the newline that ends the last line of the piece, if the buffer has it: the first one from its last byte on.
    fn last_newline(&self, buffer: &[u8], offset: u64, searched: usize) -> Option<usize> {
        let last_byte = self.length?.saturating_sub(1).saturating_sub(offset);
        let from = usize::try_from(last_byte).ok()?.max(searched);
        memchr::memchr(b'\n', buffer.get(from..)?).map(|found| from + found)
    }
}

/// Returns where the first line begins that does not begin before the buffer.
fn first_line(buffer: &[u8], is_inside: bool) -> usize {
    let newline = memchr::memchr(b'\n', buffer).filter(|_| is_inside);
    newline.map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::packed::gzip;
    use crate::test_support::random::cases;

    const DAY: &str = "2025-06-09";

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn pieces_of_any_length_hold_every_whole_line_once_in_order(
            lines in prop::collection::vec("[ab]{0,30}", 0..20),
            torn in "[ab]{0,9}",
            length in 1_u64..200,
            chunk in 1_usize..100,
            most in prop_oneof![Just(1_000_u64), 20_u64..60],
            is_packed: bool,
        ) {
            let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let (catalog, content) = (Catalog::new(), format!("{whole}{torn}"));
            if is_packed {
                catalog.write_packed(DAY, ".gz", gzip(content.as_bytes()));
            } else {
                catalog.write(DAY, &content);
            }
            let listing = catalog.location.listing().unwrap();
            let file = listing.files().next().unwrap();
            let pieces = Piece::of_length(file, file.length().unwrap(), length);
            let (mut buffer, mut read) = (Vec::new(), Vec::new());
            for piece in pieces {
                let visit = |lines: &[u8]| {
                    read.extend_from_slice(lines);
                    ControlFlow::Continue(())
                };
                piece.read_by(chunk, most, &mut buffer, visit).unwrap();
            }
            // What is longer than the limit may be left out, and nothing else.
            let short = |text: &str| -> Vec<String> {
                let lines = text.split_inclusive('\n');
                lines.filter(|line| line.len() as u64 <= most).map(str::to_owned).collect()
            };
            prop_assert_eq!(short(std::str::from_utf8(&read).unwrap()), short(&whole));
        }
    }
}
