//! Reads the whole lines of a compressed day file piece by piece: what is compressed is read in one go.

use std::io::{self, Cursor, Read};

use super::day_file::{DayFile, ReadRange, read_lines};
use super::storage::StoredFile;
use crate::fs::FileError;

/// A compressed day file that is read from an offset of its content to its end.
pub(crate) struct PackedLines {
    file: DayFile,
    content: Box<dyn StoredFile>,
    /// What was read behind the lines that were returned.
    ahead: Vec<u8>,
    offset: u64,
}

impl PackedLines {
    /// Reads a file from this offset of its content, in bytes, where a line must begin.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn of(file: &DayFile, offset: u64) -> Result<Self, FileError> {
        Ok(Self {
            content: file.open_at(offset)?,
            file: file.clone(),
            ahead: Vec::new(),
            offset,
        })
    }

    /// Whether it goes on here.
    pub(crate) fn is_at(&self, file: &DayFile, offset: u64) -> bool {
        self.offset == offset && self.file.is_same_as(file)
    }

    /// Appends the next whole lines to `text`, as [`DayFile::read_whole_lines`] does.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn next(&mut self, room: usize, text: &mut Vec<u8>) -> Result<ReadRange, FileError> {
        let before = text.len();
        let read = self.read(room, text).map_err(|cause| self.file.unreadable(cause))?;
        self.offset += match read {
            ReadRange::Whole => (text.len() - before) as u64,
            ReadRange::TooLong(bytes) => bytes,
        };
        Ok(read)
    }

    fn read(&mut self, room: usize, text: &mut Vec<u8>) -> io::Result<ReadRange> {
        let mut source = Cursor::new(std::mem::take(&mut self.ahead)).chain(self.content.as_mut());
        let (read, mut rest) = read_lines(&mut source, text, room)?;
        let (mut unread, _) = source.into_inner();
        unread.read_to_end(&mut rest)?;
        self.ahead = rest;
        Ok(read)
    }
}

impl std::fmt::Debug for PackedLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} from {}", self.file, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::packed::gzip;
    use crate::test_support::random::cases;

    impl Catalog {
        /// Writes a compressed day file.
        fn packed(&self, content: &[u8]) -> DayFile {
            self.write_packed("2025-06-09", ".gz", gzip(content));
            self.location.listing().unwrap().packed.into_values().next().unwrap()
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn pieces_of_any_size_hold_the_whole_lines_from_any_line_on(
            lines in prop::collection::vec("[ab]{0,40}", 0..12),
            torn in "[ab]{0,9}",
            first in 0usize..12,
            room in 1usize..90,
        ) {
            let catalog = Catalog::new();
            let lines: Vec<_> = lines.iter().map(|line| format!("{line}\n")).collect();
            let (before, behind) = lines.split_at(first.min(lines.len()));
            let file = catalog.packed((lines.concat() + &torn).as_bytes());
            let start = before.concat().len() as u64;
            let mut packed = PackedLines::of(&file, start).unwrap();
            let (mut text, mut length) = (Vec::new(), None);
            while length != Some(text.len()) {
                length = Some(text.len());
                prop_assert!(packed.is_at(&file, start + text.len() as u64));
                prop_assert_eq!(packed.next(room, &mut text).unwrap(), ReadRange::Whole);
            }
            prop_assert_eq!(String::from_utf8(text).unwrap(), behind.concat());
        }
    }
}
