//! The id of an archive: random, made once for a catalog and kept in its state folder. It is committed to Kafka with the cursor,
//! so that a cursor that does not agree with the day files can say whose it is.
//!
//! Imports: archive, fs.
//!
//! It is a hint: a state folder may be copied or deleted. Whether a cursor is that of these day files, the lines before its
//! positions decide.

use std::fmt;
use std::str::FromStr;

use crate::archive::{Location, StateFile};
use crate::fs::FileError;

/// What follows `<base>.` in the name of its file.
pub(crate) const FILE: &str = "archive-id";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ArchiveId(u64);

impl ArchiveId {
    /// Reads that of a catalog; `None` if it has none, or something else stands there.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn of(location: &Location) -> Result<Option<Self>, FileError> {
        Self::read(&location.state(FILE))
    }

    /// Reads that of a catalog, or makes it. The state folder must exist.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn of_or_new(location: &Location) -> Result<Self, FileError> {
        let file = location.state(FILE);
        if let Some(id) = Self::read(&file)? {
            return Ok(id);
        }
        let id = Self(fastrand::u64(..));
        file.replace(format!("{id}\n").as_bytes())?;
        Ok(id)
    }

    fn read(file: &StateFile) -> Result<Option<Self>, FileError> {
        let content = file.read()?.unwrap_or_default();
        let text = std::str::from_utf8(&content).unwrap_or_default();
        Ok(text.trim_end().parse().ok())
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text is not the id of an archive, which has 16 hexadecimal digits.
#[derive(Debug)]
pub(crate) struct ArchiveIdError;

impl FromStr for ArchiveId {
    type Err = ArchiveIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or(ArchiveIdError)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_support::Catalog;

    #[test]
    fn it_is_made_once_and_again_when_it_is_lost_or_damaged() {
        let (one, other) = (Catalog::with_state_folder(), Catalog::with_state_folder());
        assert_eq!(ArchiveId::of(&one.location).unwrap(), None);
        let id = ArchiveId::of_or_new(&one.location).unwrap();
        assert_eq!(ArchiveId::of(&one.location).unwrap(), Some(id));
        assert_eq!(ArchiveId::of_or_new(&one.location).unwrap(), id);
        assert_ne!(ArchiveId::of_or_new(&other.location).unwrap(), id);
        let path = one.location.state_file(FILE);
        for damage in [&b""[..], b"123\n", b"+23456789abcdef0", b"\xff"] {
            fs::write(&path, damage).unwrap();
            assert_eq!(ArchiveId::of(&one.location).unwrap(), None);
            assert_ne!(ArchiveId::of_or_new(&one.location).unwrap(), id);
        }
    }
}
