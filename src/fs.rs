//! A file that others read at any time, replaced whole: they see the old one or the new one, never half of either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

/// Puts these bytes into a file, which is made with `mode` (cut by nobody's umask) or replaced.
///
/// They are written beside it, synced, and renamed over it. Agents must not tail such a file; day files are never
/// written like this.
///
/// # Errors
/// Those of the system; the old file is then still there.
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path)?;
    let written = write(&beside, mode, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed either says nothing new.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A hidden name in the same folder, which no other process uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let name = format!(".{}.{}.new", name.to_string_lossy(), process::id());
    Ok(path.with_file_name(name))
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    // One that a killed process left behind; `create_new` below follows no link that somebody put there.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    set_mode(&file, mode)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.prom");
        for text in ["first and longer\n", "second\n"] {
            replace(&path, 0o644, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_reader_that_has_it_open_keeps_the_old_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        replace(&path, 0o640, b"old").unwrap();
        let mut reader = File::open(&path).unwrap();
        replace(&path, 0o640, b"new and longer").unwrap();
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "old");
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_the_attempt_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, 0o640, b"x").is_err());
        assert!(replace(&folder.path().join("gone/file"), 0o640, b"x").is_err());
        assert!(replace(Path::new("/"), 0o640, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_is_the_one_asked_for_and_a_link_left_beside_it_is_not_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("metrics.prom"), folder.path().join("target"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, beside(&path).unwrap()).unwrap();
        replace(&path, 0o644, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read(&target).unwrap(), b"kept");
    }
}
