//! How the plain file of a day and the one that this program has packed go together.

use std::io::{self, Read};
use std::ops::Range;

use super::day_file::DayFile;
use super::seekable::hash_of;
use super::storage::StoredFile;
use crate::fs::FileError;

/// Size of a read, in bytes.
const CHUNK: usize = 256 << 10;

/// What the plain file of a day is to the packed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// It begins with all that is packed: the packed one is not needed.
    Original,
    /// It is what was packed last: it is not needed.
    Leftover,
    /// It holds what the packed one begins with, at least a line of it, as where somebody has begun to unpack it: it is not needed.
    /// What comes late begins with no line that the day has.
    Beginning,
    /// It holds what came later; its first byte stands behind the last one that is packed.
    Continuation,
}

impl Beside {
    /// Compares the two. No more is read than the first part of both, unless they are alike.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(super) fn of(plain: &DayFile, packed: &DayFile) -> Result<Self, FileError> {
        let (length, contents) = (plain.length()?, packed.contents()?);
        if length >= contents.length() && begin_alike(packed, plain, u64::MAX)? {
            return Ok(Self::Original);
        }
        if let Some(last) = contents.parts.last().filter(|last| last.bytes == length) {
            let hash = hash_of(plain.open()?.as_mut()).map_err(|cause| plain.unreadable(cause))?;
            if hash.digits() == last.sha256 {
                return Ok(Self::Leftover);
            }
        }
        let has_line = || Ok::<_, FileError>(plain.first_line()?.is_some());
        if length < contents.length() && begin_alike(plain, packed, u64::MAX)? && has_line()? {
            return Ok(Self::Beginning);
        }
        Ok(Self::Continuation)
    }
}

/// Opens the day of a file, in whatever form it is now, at an offset of the content of the day, in bytes. Also returns the file that
/// holds it.
///
/// # Errors
/// If it has no file of this program, or that cannot be read; as if it were missing, if it is packed or unpacked at this moment.
pub(super) fn open_day_at(file: &DayFile, offset: u64) -> Result<(DayFile, Box<dyn StoredFile>), FileError> {
    let plain = file.plain();
    let (file, offset) = match plain.packed_by_us().listed_packed() {
        Err(_) => (plain.listed_alone(), offset),
        Ok(packed) => {
            let length = packed.contents()?.length();
            let beside = match plain.length() {
                Err(error) if error.is_missing() => None,
                Err(error) => return Err(error),
                Ok(_) => Some(Beside::of(&plain, &packed)?),
            };
            match beside {
                Some(Beside::Original) => (plain.listed_beside(&packed, 0)?, offset),
                Some(Beside::Continuation) if length <= offset => {
                    (plain.listed_beside(&packed, length)?, offset - length)
                }
                _ => (packed, offset),
            }
        }
    };
    let opened = file.open_at(offset)?;
    Ok((file, opened))
}

/// Which bytes of the content of its day a file holds, by their offsets.
///
/// # Errors
/// If what this program has packed of the day cannot be read.
pub(super) fn bytes_of_day(file: &DayFile) -> Result<Range<u64>, FileError> {
    if file.is_packed_by_us() {
        return Ok(0..file.contents()?.length());
    }
    let packed = file.packed_by_us();
    if file.is_packed() || packed.metadata().is_err_and(|error| error.is_missing()) {
        return Ok(0..u64::MAX);
    }
    Ok(match Beside::of(file, &packed)? {
        Beside::Continuation => packed.contents()?.length()..u64::MAX,
        Beside::Original | Beside::Leftover | Beside::Beginning => 0..u64::MAX,
    })
}

/// Returns whether the second file begins with all of the first one, or with its first `length` bytes.
///
/// # Errors
/// If one cannot be read.
pub(super) fn begin_alike(one: &DayFile, other: &DayFile, length: u64) -> Result<bool, FileError> {
    let (mut of_one, mut of_other) = (one.open()?.take(length), other.open()?);
    is_next(&mut of_one, &mut of_other).map_err(|error| match error {
        Side::Other(cause) => one.unreadable(cause),
        Side::One(cause) => other.unreadable(cause),
    })
}

/// Which of two files cannot be read.
pub(super) enum Side {
    Other(io::Error),
    One(io::Error),
}

/// Reads a file to its end, and returns whether the other one goes on with just these bytes.
pub(super) fn is_next(all: &mut dyn Read, of: &mut dyn Read) -> Result<bool, Side> {
    let (mut read, mut found) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    loop {
        read.clear();
        let length = all.take(CHUNK as u64).read_to_end(&mut read).map_err(Side::Other)?;
        if length == 0 {
            return Ok(true);
        }
        found.clear();
        of.take(length as u64).read_to_end(&mut found).map_err(Side::One)?;
        if found != read {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Catalog;

    const DAY: &str = "2025-06-09";

    #[test]
    fn a_plain_file_is_the_original_a_leftover_or_what_came_later() {
        for (parts, plain, expected) in [
            (&["one\n"][..], "one\n", Beside::Original),
            (&["one\n"], "one\ntwo\n", Beside::Original),
            (&["one\n", "two\n"], "one\ntwo\n", Beside::Original),
            (&["one\n", "two\n"], "two\n", Beside::Leftover),
            (&["one\n", "two\n"], "one\n", Beside::Beginning),
            (&["one\n", "two\n"], "one\ntw", Beside::Beginning),
            (&["one\n", "two\n"], "one\nsix\n", Beside::Continuation),
            (&["one\n", "two\n"], "on", Beside::Continuation),
            (&["one\n", "two\n"], "two\nthree\n", Beside::Continuation),
            (&["one\n"], "two\n", Beside::Continuation),
            (&["one\n"], "six\nseven\n", Beside::Continuation),
            (&["one\n"], "", Beside::Continuation),
        ] {
            let catalog = Catalog::new();
            catalog.write_packed_by_us(DAY, parts);
            catalog.write(DAY, plain);
            let file = catalog.location.file_of(DAY.parse().unwrap()).unwrap();
            let found = Beside::of(&file, &file.packed_by_us()).unwrap();
            assert_eq!(found, expected, "{parts:?} {plain:?}");
            let listing = catalog.location.listing().unwrap();
            let expected = match expected {
                Beside::Original => (1, 0),
                Beside::Leftover | Beside::Beginning => (0, 1),
                Beside::Continuation => (1, 1),
            };
            assert_eq!(
                (listing.days.dates().len(), listing.packed.len()),
                expected,
                "{parts:?} {plain:?}"
            );
        }
    }

    #[test]
    fn a_packed_file_that_is_damaged_is_told_and_the_plain_one_read() {
        let catalog = Catalog::new();
        catalog.write_packed_by_us(DAY, &["one\n"]);
        catalog.write(DAY, "one\n");
        let path = catalog.folder().join("packed/mail_2025-06-09.log.zst");
        std::fs::write(&path, &std::fs::read(&path).unwrap()[1..]).unwrap();
        let listing = catalog.location.listing().unwrap();
        let mut counter = super::super::LineCounter::of(&catalog.location);
        let parts = listing.parts_of(DAY.parse().unwrap(), &mut counter).unwrap();
        assert!(parts.packed.is_none() && parts.plain.is_some());
        assert!(parts.unreadable.unwrap().1.is_damaged());
    }
}
