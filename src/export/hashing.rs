//! SHA-256 of what is written, and of what was read.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::archive::{DayFile, FileStamp};
use crate::fs::{FileError, Hash, Sha256};

/// Returns the hash of the first bytes of a day file as it is stored; `None` if it is over before.
///
/// # Errors
/// If the file cannot be read, or is not that of the stamp, grown or not.
pub(super) fn hash_of_stored(
    file: &DayFile,
    stamp: &FileStamp,
    length: u64,
    is_over: impl Fn() -> bool,
) -> Result<Option<Hash>, FileError> {
    let mut hasher = Sha256::new();
    file.read_stored(stamp, length, |bytes| {
        hasher.update(bytes);
        if is_over() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok((!is_over()).then(|| hasher.finish()))
}

/// A file that is hashed as it is written.
pub(super) struct HashedFile {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl HashedFile {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    /// Syncs the file, and returns its length and hash.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        self.file.sync_all()?;
        Ok((self.bytes, self.hasher.finish().digits()))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_what_was_written() {
        let mut file = HashedFile::new(tempfile::tempfile().unwrap());
        for part in ["a", "", "bc"] {
            file.write_all(part.as_bytes()).unwrap();
        }
        assert_eq!(file.finish().unwrap(), (3, crate::fs::sha256(b"abc").digits()));
    }
}
