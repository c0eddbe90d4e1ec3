//! Shows what is in a folder, without a copy of each name: an archive can have thousands of day files, and each run lists them.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// How much of a folder is read at once, in bytes: some thousand names.
#[cfg(target_os = "linux")]
const CHUNK: usize = 128 << 10;

/// Shows what is in a folder, in no order: each name, and whether it is a regular file, not a link.
///
/// # Errors
/// If the folder is missing, is none, or cannot be read.
#[cfg(target_os = "linux")]
pub(crate) fn look_into(folder: &Path, show: &mut dyn FnMut(&OsStr, bool)) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;

    use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, folder, flags, Mode::empty())?;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut entries = RawDir::new(&opened, chunk.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let file_type = match entry.file_type() {
            // Not every file system says it here.
            FileType::Unknown => match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode),
                // It is gone by now.
                Err(error) if error == rustix::io::Errno::NOENT => continue,
                Err(error) => return Err(error.into()),
            },
            known => known,
        };
        show(OsStr::from_bytes(name.to_bytes()), file_type == FileType::RegularFile);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn look_into(folder: &Path, show: &mut dyn FnMut(&OsStr, bool)) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        show(&entry.file_name(), entry.file_type()?.is_file());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    #[test]
    fn each_name_is_shown_once_whatever_it_is_of() {
        let folder = tempfile::tempdir().unwrap();
        let mut there = BTreeMap::new();
        // More than is read at once.
        for number in 0..5_000 {
            let name = format!("a rather long name of a file, with the number {number}");
            fs::write(folder.path().join(&name), "").unwrap();
            there.insert(name, true);
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        there.insert("folder".to_owned(), false);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("folder", folder.path().join("link")).unwrap();
            there.insert("link".to_owned(), false);
        }
        let (mut shown, mut count) = (BTreeMap::new(), 0);
        let mut show = |name: &OsStr, is_file| {
            shown.insert(name.to_str().unwrap().to_owned(), is_file);
            count += 1;
        };
        look_into(folder.path(), &mut show).unwrap();
        assert_eq!((shown, count), (there.clone(), there.len()));
        for wrong in ["gone", "a rather long name of a file, with the number 1"] {
            assert!(
                look_into(&folder.path().join(wrong), &mut |_, _| {}).is_err(),
                "{wrong}"
            );
        }
    }
}
