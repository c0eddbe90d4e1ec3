//! Reading while files are compressed, packed or unpacked.

use crate::fs::FileError;

/// How often it is tried.
const TRIES: usize = 4;

/// Tries again while files are no longer where they were listed: another program compresses or unpacks them.
pub(crate) fn while_files_move<T, E>(mut read: impl FnMut() -> Result<T, E>) -> Result<T, E>
where
    for<'a> &'a E: Into<Option<&'a FileError>>,
{
    for _ in 1..TRIES {
        match read() {
            Err(error) if (&error).into().is_some_and(FileError::is_missing) => {}
            read => return read,
        }
    }
    read()
}
