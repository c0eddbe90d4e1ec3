//! Files that only their owner may read: keys.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use super::{FileError, folder_of, open_for_reading, open_guarded, sync_folder, with_mode};

/// The mode of such a file.
const MODE: u32 = 0o600;

/// Who may have no rights to such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Private {
    /// All but its owner.
    FromGroup,
    /// All but its owner and its group: systemd lets a service read its credentials by a list of rights, which its mode shows as
    /// those of the group.
    FromOthers,
}

/// Reads at most `limit` bytes of a file; also returns whether these have no rights to it.
///
/// # Errors
/// If it cannot be read, or is not a regular file.
pub(crate) fn read_private(path: &Path, limit: u64, from: Private) -> Result<(Vec<u8>, bool), FileError> {
    let failed = |cause| FileError::io("read", path, cause);
    let file = open_for_reading(path)?;
    let is_private = is_private(&file, from).map_err(failed)?;
    let mut content = Vec::with_capacity(limit as usize);
    file.take(limit).read_to_end(&mut content).map_err(failed)?;
    Ok((content, is_private))
}

/// Writes a new file that only its owner may read; it and its name are on disk when this returns.
///
/// # Errors
/// If something is there already, or the system refuses.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    let mut file = open_guarded(with_mode(options.write(true), MODE).create_new(true), path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|cause| FileError::io("write to", path, cause))?;
    sync_folder(folder_of(path))
}

#[cfg(unix)]
fn is_private(file: &File, from: Private) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let rights = match from {
        Private::FromGroup => 0o077,
        Private::FromOthers => 0o007,
    };
    Ok(file.metadata()?.mode() & rights == 0)
}

/// Elsewhere rights are not told by a mode.
#[cfg(not(unix))]
fn is_private(_: &File, _: Private) -> std::io::Result<bool> {
    Ok(true)
}
