//! What tells that a file of a folder of settings is another one than it was, without its being read.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::env_dir::{COMMON, settings_of};

/// The time of a change is known only so well, on some disks.
const GRAIN: TimeDelta = TimeDelta::seconds(2);

/// The files of a folder as they were at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    at: DateTime<Utc>,
    /// By the name without `.env`.
    files: BTreeMap<String, Stamp>,
}

/// The size of a file, its times and its number; nothing else is known of one that cannot be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<DateTime<Utc>>,
    inode: Option<(u64, u64, i64, i64)>,
}

impl Stamps {
    /// Looks at the settings files of a folder, that of all organizations among them.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn of(folder: &Path, now: DateTime<Utc>) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some(name) = settings_of(&path) {
                let metadata = fs::metadata(&path);
                files.insert(name, metadata.map(|metadata| Stamp::of(&metadata)).unwrap_or_default());
            }
        }
        Ok(Self { at: now, files })
    }

    /// Returns whether nothing has changed since an older look.
    pub(crate) fn are_same_as(&self, older: &Self) -> bool {
        self.files.len() == older.files.len() && self.files.keys().all(|name| self.has_same(older, name))
    }

    /// Returns whether the file of an organization is as it was.
    pub(crate) fn has_same(&self, older: &Self, name: &str) -> bool {
        match (self.files.get(name), older.files.get(name)) {
            (Some(now), Some(before)) => now == before && before.is_settled(older.at),
            _ => false,
        }
    }

    /// Returns whether what all organizations have is as it was.
    pub(crate) fn have_same_common(&self, older: &Self) -> bool {
        let is_there = self.files.contains_key(COMMON) || older.files.contains_key(COMMON);
        !is_there || self.has_same(older, COMMON)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok().map(DateTime::from),
            inode: inode(metadata),
        }
    }

    /// Returns whether a change after `at` would show: not if the last one was just before.
    fn is_settled(&self, at: DateTime<Utc>) -> bool {
        self.modified
            .is_none_or(|modified| modified + GRAIN < at || modified > at)
    }
}

/// Returns what tells one file from another in its place: the device, the number, when either of its name, owner or mode was changed.
fn inode(metadata: &Metadata) -> Option<(u64, u64, i64, i64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_in_a_folder_is_seen_without_reading_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let later = || Utc::now() + TimeDelta::minutes(1);
        let look = || Stamps::of(folder.path(), later()).unwrap();
        write("acme.env", "A=1\n");
        write("zeta.env", "A=1\n");
        write("notes.txt", "A=1\n");
        let first = look();
        write("notes.txt", "B=1\n");
        assert!(look().are_same_as(&first) && look().have_same_common(&first));
        write("acme.env", "A=12\n");
        let second = look();
        assert!(!second.are_same_as(&first));
        assert!(!second.has_same(&first, "acme") && second.has_same(&first, "zeta"));
        write("common.env", "A=1\n");
        let third = look();
        assert!(!third.are_same_as(&second) && !third.have_same_common(&second));
        fs::remove_file(folder.path().join("zeta.env")).unwrap();
        assert!(!look().are_same_as(&third));
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(Stamps::of(folder.path(), later()).is_err());
    }

    #[test]
    fn a_file_that_was_changed_just_before_a_look_is_read_at_the_next_one_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("acme.env"), "A=1\n").unwrap();
        let look = |now| Stamps::of(folder.path(), now).unwrap();
        let (at_once, later) = (look(Utc::now()), look(Utc::now() + TimeDelta::minutes(1)));
        assert!(!later.are_same_as(&at_once));
        assert!(look(Utc::now() + TimeDelta::minutes(2)).are_same_as(&later));
    }
}
