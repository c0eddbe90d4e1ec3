//! SHA-256 of what is written, and of what was read.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;

use ring::digest::{Context, SHA256};

use crate::archive::DayFile;
use crate::fs::FileError;

/// The hash of some bytes, in hexadecimal digits.
pub(super) fn hash_of(bytes: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    digits(context)
}

/// Returns the hash of the first bytes of a day file as it is stored; `None` if it has fewer, or if it is over before.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn hash_of_stored(
    file: &DayFile,
    length: u64,
    is_over: impl Fn() -> bool,
) -> Result<Option<String>, FileError> {
    let mut context = Context::new(&SHA256);
    let read = file.read_stored(length, |bytes| {
        context.update(bytes);
        if is_over() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok((read == length).then(|| digits(context)))
}

fn digits(context: Context) -> String {
    let hash = context.finish();
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that is hashed as it is written.
pub(super) struct HashedFile {
    file: File,
    context: Context,
    bytes: u64,
}

impl HashedFile {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            context: Context::new(&SHA256),
            bytes: 0,
        }
    }

    /// Syncs the file, and returns its length and hash.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        self.file.sync_all()?;
        Ok((self.bytes, digits(self.context)))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.context.update(&bytes[..written]);
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
    fn the_hash_of_what_was_written_is_that_of_the_standards_example() {
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of(b"abc"), ABC);
        let mut file = HashedFile::new(tempfile::tempfile().unwrap());
        for part in ["a", "", "bc"] {
            file.write_all(part.as_bytes()).unwrap();
        }
        assert_eq!(file.finish().unwrap(), (3, ABC.to_owned()));
    }
}
