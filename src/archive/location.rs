//! Where the files of one stream are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;

use super::day_file::{DayFile, PACKED_FOLDER};
use super::day_name;
use super::packed::Packing;
use super::storage::{Disk, FolderEntry, Storage};
use crate::fs::FileError;

/// The folder inside a catalog for everything but the day files: locks, rejected records, cursors.
pub const STATE_FOLDER: &str = ".trailkeeper";

/// The names of the sinks that a stream can be forwarded to. `<base>.<sink>.lock` is the lock of a cursor.
pub(crate) const SINKS: [&str; 3] = ["kafka", "http", "stdout"];

/// `<base>.holds.lock` is the lock of the holds.
pub(super) const HOLDS_GUARD: &str = "holds";

/// Where the files of one stream are, `<folder>/<base>_<YYYY-MM-DD>.<extension>`, and the storage that holds them.
#[derive(Clone, Debug)]
pub struct Location {
    pub(super) folder: PathBuf,
    pub(super) base: String,
    pub(super) extension: String,
    pub(super) storage: Arc<dyn Storage>,
}

impl PartialEq for Location {
    /// Locations differ by their names alone; outside tests there is one disk.
    fn eq(&self, other: &Self) -> bool {
        (&self.folder, &self.base, &self.extension) == (&other.folder, &other.base, &other.extension)
    }
}

impl Eq for Location {}

/// A base name or extension that cannot be part of a file name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be part of a file name: it must not be empty nor hold /, \\ or control characters")]
pub struct NameError(pub(crate) String);

impl Location {
    /// Creates the location of day files in `folder`; `base` and `extension` (without its dot) are taken literally.
    ///
    /// # Errors
    /// If either of them could lead out of the folder.
    pub fn new(folder: impl Into<PathBuf>, base: &str, extension: &str) -> Result<Self, NameError> {
        let bad = |part: &&str| part.is_empty() || part.contains(|c: char| c == '/' || c == '\\' || c.is_control());
        if let Some(part) = [base, extension].into_iter().find(bad) {
            return Err(NameError(part.to_owned()));
        }
        Ok(Self {
            folder: folder.into(),
            base: base.to_owned(),
            extension: extension.to_owned(),
            storage: Arc::new(Disk),
        })
    }

    /// Returns the location on another storage.
    #[cfg(test)]
    pub(crate) fn on(mut self, storage: impl Storage + 'static) -> Self {
        self.storage = Arc::new(storage);
        self
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Returns the catalog, the folder of the day files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the part of the file name before the date.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Returns the extension, without its dot.
    pub(crate) fn extension(&self) -> &str {
        &self.extension
    }

    /// Returns the name of the day file of `date`; `None` outside the years 2000 to 9999.
    pub(crate) fn day_name(&self, date: NaiveDate) -> Option<String> {
        day_name::name(&self.base, date, &self.extension)
    }

    /// Returns the day of a file with this name; `None` if it is not that of a day file.
    pub(crate) fn day_of(&self, name: &str) -> Option<NaiveDate> {
        day_name::date(name, &self.base, &self.extension)
    }

    /// Returns the location in a folder where a file with this name is a day file; `None` if it is not the name of one.
    pub(crate) fn of_day_file(folder: &Path, name: &str) -> Option<Self> {
        let (base, extension) = day_name::parts(name)?;
        Self::new(folder, base, extension).ok()
    }

    /// Returns a location in a folder whose state files are found by their whole names: no day file has its names.
    pub(crate) fn of_state(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            base: String::new(),
            extension: String::new(),
            storage: Arc::new(Disk),
        }
    }

    /// Returns whether a path is that of a day file, which need not be there.
    pub(crate) fn is_day_file(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_day = name.is_some_and(|name| day_name::date(name, &self.base, &self.extension).is_some());
        let folder = path
            .parent()
            .filter(|folder| *folder != Path::new(""))
            .unwrap_or(Path::new("."));
        let is_here =
            || matches!((folder.canonicalize(), self.folder.canonicalize()), (Ok(one), Ok(other)) if one == other);
        is_day && is_here()
    }

    /// Returns the state folder of the catalog, [`STATE_FOLDER`].
    pub(crate) fn state_folder(&self) -> PathBuf {
        self.folder.join(STATE_FOLDER)
    }

    /// Returns the path of the state file `<base>.<what>`, such as `mail.rejected.jsonl`.
    pub(crate) fn state_file(&self, what: &str) -> PathBuf {
        self.state_folder().join(self.state_name(what))
    }

    /// Returns the name of that file.
    pub(crate) fn state_name(&self, what: &str) -> String {
        format!("{}.{what}", self.base)
    }

    /// Returns the locations of other base names that have a state file `<base>.<what>` in the same catalog.
    ///
    /// # Errors
    /// If the state folder cannot be read.
    pub(super) fn with_state_file(&self, what: &str) -> Result<Vec<Self>, FileError> {
        let listed = match self.storage.list(&self.state_folder()) {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            listed => listed?,
        };
        let base = |entry: &FolderEntry| {
            let base = entry.name.to_str()?.strip_suffix(what)?.strip_suffix('.')?;
            (!base.is_empty() && base != self.base).then(|| base.to_owned())
        };
        let mut bases: Vec<_> = listed.iter().filter_map(base).collect();
        bases.sort_unstable();
        Ok(bases.into_iter().map(|base| Self { base, ..self.clone() }).collect())
    }

    /// Returns whether a stream with this base name, in the same folder, would have state files of the same name: that of
    /// `mail.http` has the lock `mail.http.lock`, as has the cursor of `mail`.
    pub(crate) fn shares_state_with(&self, base: &str) -> bool {
        let is_of_sink = |longer: &str, shorter: &str| {
            let rest = longer.strip_prefix(shorter).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| rest == HOLDS_GUARD || SINKS.contains(&rest))
        };
        is_of_sink(&self.base, base) || is_of_sink(base, &self.base)
    }

    /// Returns the folder of the day files that this program has packed.
    pub(super) fn packed_folder(&self) -> PathBuf {
        self.folder.join(PACKED_FOLDER)
    }

    /// Returns the files that were to be packed or unpacked ones, and whose names end with this since they did not become whole.
    pub(super) fn unfinished(&self, suffix: &str) -> Result<Vec<PathBuf>, FileError> {
        let folder = self.packed_folder();
        let listed = match self.storage.list(&folder) {
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            listed => listed?,
        };
        let is_ours = |entry: &&FolderEntry| {
            let name = entry.name.to_str().and_then(|name| name.strip_suffix(suffix));
            let name = name.map(|name| name.strip_suffix(Packing::Seekable.suffix()).unwrap_or(name));
            entry.is_file && name.is_some_and(|name| self.day_of(name).is_some())
        };
        let ours = listed.iter().filter(is_ours);
        Ok(ours.map(|entry| folder.join(&entry.name)).collect())
    }

    /// Returns the other base names and extensions that day files in the folder have: those of this base name first.
    ///
    /// # Errors
    /// If the folder is missing or cannot be read.
    pub(crate) fn files_of_other_names(&self) -> Result<Vec<OtherName>, FileError> {
        let mut examples = BTreeMap::new();
        for entry in self.storage.list(&self.folder)? {
            let name = entry.name.to_str().map(|name| Packing::of(name).0);
            if let Some(name) = name.filter(|_| entry.is_file)
                && let Some((base, extension)) = day_name::parts(name)
            {
                let place = (base != self.base, base.to_owned(), extension.to_owned());
                examples.insert(place, name.to_owned());
            }
        }
        let others = examples.into_iter().map(|((_, base, extension), example)| OtherName {
            location: Self {
                base,
                extension,
                ..self.clone()
            },
            example,
        });
        Ok(others.filter(|other| other.location != *self).collect())
    }

    /// Returns the compressed day file of a date, if there is one.
    pub(super) fn packed_file_of(&self, date: NaiveDate) -> Option<DayFile> {
        self.file_of(date)?.in_other_form()
    }

    /// Returns the day file of a date, whether it exists or not; `None` outside the years 2000 to 9999.
    pub(super) fn file_of(&self, date: NaiveDate) -> Option<DayFile> {
        let path = self.folder.join(self.day_name(date)?);
        Some(DayFile::new(date, path, Arc::clone(&self.storage)))
    }
}

/// Day files in the same folder with another base name or extension.
#[derive(Debug)]
pub(crate) struct OtherName {
    pub(crate) location: Location,
    /// The name of one of them, without what says that it is compressed.
    pub(crate) example: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused() {
        for bad in ["", "../mail", "a/b", "a\\b", "a\0b", "a\nb"] {
            assert_eq!(Location::new("/tmp", bad, "log"), Err(NameError(bad.to_owned())));
            assert_eq!(Location::new("/tmp", "mail", bad), Err(NameError(bad.to_owned())));
        }
        assert!(Location::new("/tmp", "a [b].c d", "json.log").is_ok());
    }

    #[test]
    fn a_base_name_that_ends_with_a_sink_shares_state_files() {
        let location = |base| Location::new("/tmp", base, "log").unwrap();
        for (one, other, expected) in [
            ("mail", "mail.http", true),
            ("mail.kafka", "mail", true),
            ("mail.stdout", "mail", true),
            ("mail", "mail.holds", true),
            ("mail", "mail", false),
            ("mail", "mail.audit", false),
            ("mail", "mail.http.audit", false),
            ("mail", "mailhttp", false),
            ("http", "mail.http", false),
        ] {
            assert_eq!(location(one).shares_state_with(other), expected, "{one} {other}");
        }
    }

    #[test]
    fn day_files_are_listed_oldest_first_and_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        for name in ["mail_2025-06-10.log", "mail_2024-12-31.log", "mail_2025-06-09.log"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        for name in [
            "mail_2025-06-11.log.gz",
            "mail_2025-06-12.log.bak",
            "disk_2025-06-13.log",
            "mail_2025-02-30.log",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("mail_2025-06-14.log")).unwrap();
        fs::create_dir(folder.path().join("old")).unwrap();
        fs::write(folder.path().join("old/mail_2025-06-15.log"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("mail_2025-06-10.log", folder.path().join("mail_2025-06-16.log")).unwrap();
        let dates: Vec<String> = location
            .day_files()
            .unwrap()
            .iter()
            .map(|file| file.date.to_string())
            .collect();
        assert_eq!(dates, ["2024-12-31", "2025-06-09", "2025-06-10"]);
    }

    #[test]
    fn a_vanished_folder_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let error = Location::new(&gone, "mail", "log")
            .unwrap()
            .day_files()
            .unwrap_err()
            .to_string();
        assert!(error.contains(gone.to_str().unwrap()), "{error}");
        assert!(error.contains("check that the folder exists"), "{error}");
    }
}
