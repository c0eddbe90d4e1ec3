//! Pieces of day files, so that several threads can read one archive.

use std::io;
use std::ops::ControlFlow;

use super::backward_lines::MAX_LINE;
use super::day_file::{DayFile, read_some};
use super::day_forms::open_day_at;
use super::file_stamp::{FileStamp, SHORTER};
use super::moves::while_files_move;
use super::storage::StoredFile;
use crate::fs::FileError;

/// How long a piece of a plain file is, in bytes. A compressed file is one piece.
const PIECE: u64 = 8 << 20;

/// Size of a read, in bytes.
const CHUNK: usize = 1 << 20;

/// The lines that begin in a part of a day file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) file: DayFile,
    /// That of the file when it was divided.
    stamp: FileStamp,
    /// In bytes of the content.
    start: u64,
    /// `None` at the end of a compressed file.
    end: Option<u64>,
}

/// What a piece holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PieceLines<'a> {
    /// Lines with their newlines, one behind the other. Only the last one of a file can lack it.
    Lines {
        /// Where the first begins, in bytes of the content of the file.
        offset: u64,
        bytes: &'a [u8],
    },
    /// A line longer than any record begins here.
    TooLong { offset: u64 },
}

impl Piece {
    /// Divides a file of this length, in its order; at least one piece. What begins behind that length in a file that is not
    /// compressed belongs to no piece.
    #[must_use]
    pub(crate) fn of(file: &DayFile, stamp: FileStamp, length: u64) -> Vec<Self> {
        Self::of_length(file, stamp, length, PIECE)
    }

    pub(super) fn of_length(file: &DayFile, stamp: FileStamp, length: u64, piece: u64) -> Vec<Self> {
        let count = if file.is_packed() {
            1
        } else {
            length.div_ceil(piece).max(1)
        };
        let piece = |number: u64| Self {
            file: file.clone(),
            stamp,
            start: number * piece,
            end: if file.is_packed() {
                file.goes_on_at()
            } else {
                Some(length.min((number + 1) * piece))
            },
        };
        (0..count).map(piece).collect()
    }

    /// Passes its lines to `visit`, some at a time, until it says that it has enough. `buffer` is used for reading.
    ///
    /// If the day was packed, unpacked or compressed since the file was divided, it is read in its present form.
    ///
    /// # Errors
    /// If the file cannot be read, or has lost bytes or been replaced since it was divided; [`FileError::Damaged`] if it is compressed and
    /// not whole. What could be read was passed.
    pub(crate) fn read(
        &self,
        buffer: &mut Vec<u8>,
        visit: impl FnMut(PieceLines<'_>) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        self.read_by(CHUNK, MAX_LINE, buffer, visit)
    }

    fn read_by(
        &self,
        chunk: usize,
        most: u64,
        buffer: &mut Vec<u8>,
        visit: impl FnMut(PieceLines<'_>) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        // The byte before tells whether a line begins at the start.
        let from = self.start.saturating_sub(1);
        let (file, mut source, is_same) = while_files_move(|| self.open_at(from))?;
        let span = Span {
            from,
            is_inside: self.start > 0,
            end: self.end,
            most,
            has_last: self.end.is_some() || file.is_packed(),
        };
        let read = span.read_lines(source.as_mut(), chunk, buffer, visit);
        let checked = read.and_then(|()| self.check(source.as_ref(), is_same));
        checked.map_err(|cause| file.unreadable(cause))
    }

    /// Opens the file, or what has taken its place, at an offset of its content; says whether it is the same one.
    fn open_at(&self, offset: u64) -> Result<(DayFile, Box<dyn StoredFile>, bool), FileError> {
        let error = match self.file.open_at(offset) {
            Ok(source) => return Ok((self.file.clone(), source, true)),
            Err(error) if error.is_missing() => error,
            Err(error) => return Err(error),
        };
        let opened = match open_day_at(&self.file, self.file.base() + offset) {
            // Another program may have compressed it.
            Err(missing) if missing.is_missing() => match self.file.in_other_form() {
                Some(other) => other.open_at(offset).map(|source| (other, source)),
                None => return Err(error),
            },
            opened => opened,
        };
        opened.map(|(file, source)| (file, source, false))
    }

    /// Errors if what was read is not the file that was divided, grown or not; one that has taken its place has all of it.
    fn check(&self, source: &dyn StoredFile, is_same: bool) -> io::Result<()> {
        let now = FileStamp::of(&source.metadata()?);
        let loss = self.stamp.loss_until(&now).filter(|_| is_same);
        loss.map_or(Ok(()), |loss| Err(io::Error::other(loss)))
    }
}

/// What of a source belongs to a piece.
struct Span {
    /// Where the source is read from, in bytes of the content of the file.
    from: u64,
    /// Whether the first line has begun before, so that it belongs to another piece.
    is_inside: bool,
    /// The lines that begin before belong to it; `None` if all do.
    end: Option<u64>,
    /// The longest line that is read, in bytes.
    most: u64,
    /// Whether a last line without a newline belongs to it: nobody is writing it.
    has_last: bool,
}

impl Span {
    fn read_lines(
        self,
        source: &mut dyn StoredFile,
        chunk: usize,
        buffer: &mut Vec<u8>,
        mut visit: impl FnMut(PieceLines<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let Self { mut is_inside, .. } = self;
        buffer.clear();
        // Where the buffer begins, and how much of it holds no newline.
        let (mut offset, mut searched) = (self.from, 0);
        loop {
            let filled = buffer.len();
            buffer.resize(filled + chunk, 0);
            let read = read_some(source, &mut buffer[filled..])?;
            buffer.truncate(filled + read);
            let last = self.last_newline(buffer, offset, searched);
            let end = last.or_else(|| memchr::memrchr(b'\n', &buffer[searched..]).map(|found| searched + found));
            if let Some(end) = end {
                let first = first_line(buffer, is_inside);
                is_inside = false;
                let bytes = &buffer[first..=end];
                let begin = offset + first as u64;
                if visit(lines(begin, bytes)).is_break() || last.is_some() {
                    return Ok(());
                }
                buffer.drain(..=end);
                offset += end as u64 + 1;
            }
            if read == 0 {
                return self.end_of_source(offset, is_inside, buffer, visit);
            }
            searched = buffer.len();
            if searched as u64 > self.most {
                if !is_inside && visit(PieceLines::TooLong { offset }).is_break() {
                    return Ok(());
                }
                offset += searched as u64;
                buffer.clear();
                (is_inside, searched) = (true, 0);
            }
        }
    }

    /// Passes a last line without a newline.
    fn end_of_source(
        &self,
        offset: u64,
        is_inside: bool,
        rest: &[u8],
        mut visit: impl FnMut(PieceLines<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        if self.end.is_some_and(|end| offset + (rest.len() as u64) < end) {
            return Err(io::Error::other(SHORTER));
        }
        let is_ours = !is_inside && self.end.is_none_or(|end| offset < end);
        if self.has_last && is_ours && !rest.is_empty() {
            let _ = visit(lines(offset, rest));
        }
        Ok(())
    }

    /// Returns the newline that ends the last line of the piece, if the buffer has it: the first one from its last byte on.
    fn last_newline(&self, buffer: &[u8], offset: u64, searched: usize) -> Option<usize> {
        let last_byte = self.end?.saturating_sub(1).saturating_sub(offset);
        let from = usize::try_from(last_byte).ok()?.max(searched);
        memchr::memchr(b'\n', buffer.get(from..)?).map(|found| from + found)
    }
}

fn lines(offset: u64, bytes: &[u8]) -> PieceLines<'_> {
    PieceLines::Lines { offset, bytes }
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
    use crate::test_support::packed::{gzip, zstandard};
    use crate::test_support::random::cases;

    const DAY: &str = "2025-06-09";

    /// Reads all pieces, and asserts that each offset is right.
    fn read_all(pieces: &[Piece], content: &[u8], chunk: usize, most: u64) -> Result<(Vec<u8>, Vec<u64>), FileError> {
        let (mut buffer, mut read, mut too_long) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            let visit = |lines: PieceLines<'_>| {
                match lines {
                    PieceLines::Lines { offset, bytes } => {
                        assert!(content[offset as usize..].starts_with(bytes));
                        read.extend_from_slice(bytes);
                    }
                    PieceLines::TooLong { offset } => too_long.push(offset),
                }
                ControlFlow::Continue(())
            };
            piece.read_by(chunk, most, &mut buffer, visit)?;
        }
        Ok((read, too_long))
    }

    fn only_file(catalog: &Catalog) -> DayFile {
        catalog.location.listing().unwrap().files().next().unwrap()
    }

    proptest! {
        #![proptest_config(cases(512))]

        #[test]
        fn pieces_of_any_length_hold_every_line_once_in_order_or_say_that_it_is_too_long(
            lines in prop::collection::vec("[ab]{0,30}", 0..20),
            last in "[ab]{0,9}",
            is_last_whole: bool,
            length in 1_u64..200,
            chunk in 1_usize..100,
            most in prop_oneof![Just(1_000_u64), 20_u64..60],
            is_packed: bool,
        ) {
            let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let (catalog, content) = (Catalog::new(), format!("{whole}{last}"));
            if is_packed {
                catalog.write_packed(DAY, ".gz", gzip(content.as_bytes()));
            } else {
                catalog.write(DAY, &content);
            }
            let file = only_file(&catalog);
            let (stamp, all) = file.extent(|_| is_last_whole).unwrap();
            let pieces = Piece::of_length(&file, stamp, all, length);
            let (read, too_long) = read_all(&pieces, content.as_bytes(), chunk, most).unwrap();
            let read = String::from_utf8(read).unwrap();
            let expected = if is_packed || is_last_whole { content } else { whole };
            // What is longer than the limit may be left out, and then that is said.
            let (mut rest, mut offset, mut said) = (&*read, 0, Vec::new());
            for line in expected.split_inclusive('\n') {
                match rest.strip_prefix(line) {
                    Some(behind) => rest = behind,
                    None => {
                        prop_assert!(line.len() as u64 > most);
                        said.push(offset);
                    }
                }
                offset += line.len() as u64;
            }
            prop_assert_eq!((rest, said), ("", too_long));
        }
    }

    #[test]
    fn a_file_that_lost_bytes_or_was_replaced_since_it_was_divided_is_an_error_and_one_that_grew_is_none() {
        let (catalog, content) = (Catalog::new(), "one\ntwo\nthree\nfour\n");
        catalog.write(DAY, content);
        let path = catalog.path(DAY);
        let file = only_file(&catalog);
        let (stamp, length) = file.extent(|_| false).unwrap();
        let pieces = Piece::of_length(&file, stamp, length, 9);
        let read = |what: &str| read_all(&pieces, what.as_bytes(), 4, 100);
        let error = |read: Result<_, FileError>| read.unwrap_err().to_string();
        std::fs::write(&path, format!("{content}five\nsi")).unwrap();
        assert_eq!(read(&format!("{content}five\nsi")).unwrap().0, content.as_bytes());
        // Every piece has its bytes still, but for the last.
        for cut in [&content[..content.len() - 1], "one\ntwo\n", ""] {
            std::fs::write(&path, cut).unwrap();
            assert!(error(read(content)).contains("has become shorter"), "{cut:?}");
        }
        std::fs::write(path.with_extension("new"), content).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        assert!(error(read(content)).contains("another file has taken its place"));
        std::fs::remove_file(&path).unwrap();
        assert!(read(content).unwrap_err().is_missing());
    }

    #[test]
    fn a_file_that_was_compressed_or_unpacked_since_it_was_divided_is_read_in_its_other_form() {
        for (form, is_unpacked) in [(".gz", false), (".zst", false), (".gz", true)] {
            let (catalog, content) = (Catalog::new(), "one\ntwo\nthree\n");
            let pack = if form == ".gz" { gzip } else { zstandard };
            catalog.write(DAY, content);
            catalog.write_packed(DAY, form, pack(content.as_bytes()));
            let plain = catalog.path(DAY);
            let packed = plain.with_extension(format!("log{form}"));
            let (old, new) = if is_unpacked { (packed, plain) } else { (plain, packed) };
            let aside = new.with_extension("aside");
            std::fs::rename(&new, &aside).unwrap();
            let file = only_file(&catalog);
            let (stamp, length) = file.extent(|_| false).unwrap();
            let pieces = Piece::of_length(&file, stamp, length, 5);
            std::fs::rename(aside, &new).unwrap();
            std::fs::remove_file(old).unwrap();
            assert_eq!(
                read_all(&pieces, content.as_bytes(), 4, 100).unwrap().0,
                content.as_bytes()
            );
            if !is_unpacked {
                std::fs::write(&new, pack(b"one\n")).unwrap();
                let error = read_all(&pieces, content.as_bytes(), 4, 100).unwrap_err().to_string();
                assert!(error.contains("has become shorter"), "{error}");
            }
        }
    }
}
