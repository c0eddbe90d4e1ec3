//! Where the files of one stream are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;

use super::day_file::{DayFile, PACKED_FOLDER};
use super::day_files::DayFiles;
use super::day_forms::Beside;
use super::day_name::{self, PlainNames};
use super::moves::while_files_move;
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
    folder: PathBuf,
    base: String,
    extension: String,
    storage: Arc<dyn Storage>,
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

    /// Lists the day files that exist, oldest first.
    ///
    /// A match that is not a regular file is left out with a warning; writing to that day is refused.
    ///
    /// # Errors
    /// If the folder is missing or cannot be read.
    pub(crate) fn day_files(&self) -> Result<Vec<DayFile>, FileError> {
        let listing = self.listing()?;
        listing.warn_of_odd_ones();
        Ok(listing.days.files().collect())
    }

    /// Lists what there is of day files: those that this program writes, those that another one has compressed, and what
    /// has the name of one and is no file. A file of it is opened only as long as its day has the form that it has here.
    ///
    /// # Errors
    /// If the folder is missing or cannot be read.
    pub(crate) fn listing(&self) -> Result<Listing, FileError> {
        while_files_move(|| self.list())
    }

    fn list(&self) -> Result<Listing, FileError> {
        let mut listing = Listing::of(self.clone());
        // A day that is packed or unpacked meanwhile is in one of the three lists at least.
        let mut packed = self.packed_names(&mut listing)?;
        let (mut plain, names) = (Vec::new(), PlainNames::of(&self.base, &self.extension));
        let is_plain = Packing::of(&format!(".{}", self.extension)).1.is_none();
        self.storage.look_into(&self.folder, &mut |name, is_file| {
            let date = name
                .to_str()
                .and_then(|name| names.date(name))
                .filter(|_| is_file && is_plain);
            match date {
                Some(date) => plain.push(date),
                None => self.add(name, is_file, &mut listing, &mut plain),
            }
        })?;
        listing.days = DayFiles::new(self.clone(), plain);
        packed.extend(self.packed_names(&mut listing)?);
        let folder = self.packed_folder();
        // Its days are not to be taken for lost.
        if self.storage.metadata(&folder).is_ok_and(|found| !found.is_dir()) {
            return Err(FileError::not_a_folder(&folder));
        }
        for date in &packed {
            if let Some(file) = self.file_of(*date).map(|plain| plain.packed_by_us()) {
                listing.add_packed_by_us(file.listed_packed()?)?;
            }
        }
        listing.note_those_not_alone(&packed);
        Ok(listing)
    }

    /// Returns the days that this program has packed; what has the name of such a file and is none is odd.
    fn packed_names(&self, listing: &mut Listing) -> Result<BTreeSet<NaiveDate>, FileError> {
        let listed = match self.storage.list(&self.packed_folder()) {
            Err(FileError::Io { cause, .. })
                if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(BTreeSet::new());
            }
            listed => listed?,
        };
        let day = |entry: &FolderEntry| {
            let plain = entry.name.to_str()?.strip_suffix(Packing::Seekable.suffix())?;
            self.day_of(plain)
        };
        let mut packed = BTreeSet::new();
        for (entry, date) in listed.iter().filter_map(|entry| Some((entry, day(entry)?))) {
            if entry.is_file {
                packed.insert(date);
            } else {
                listing.odd.insert(date, self.packed_folder().join(&entry.name));
            }
        }
        Ok(packed)
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

    /// Adds what has the name of a day file; the days of plain ones are gathered apart.
    fn add(&self, name: &OsStr, is_file: bool, listing: &mut Listing, days: &mut Vec<NaiveDate>) {
        let Some(name) = name.to_str() else { return };
        let (plain, packing) = Packing::of(name);
        let Some(date) = day_name::date(plain, &self.base, &self.extension) else {
            return;
        };
        if is_file && packing.is_none() {
            days.push(date);
            return;
        }
        let file = DayFile::new(date, self.folder.join(plain), Arc::clone(&self.storage));
        match (is_file, packing) {
            (true, None) => {}
            (true, Some(packing)) => {
                let packed = file.packed(packing);
                // Of two forms the same one as everywhere, whatever the order of the folder.
                let unread = if packing == Packing::ALL[0] || !listing.packed.contains_key(&date) {
                    listing.packed.insert(date, packed)
                } else {
                    Some(packed)
                };
                listing.unread.extend(unread.map(|unread| (date, unread)));
            }
            (false, None) => {
                listing.odd.insert(date, file.path);
            }
            (false, Some(packing)) => {
                listing.odd.entry(date).or_insert_with(|| file.packed(packing).path);
            }
        }
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

/// What there is of day files, by day.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) days: DayFiles,
    /// Those that are compressed, by this program or another one.
    pub(crate) packed: BTreeMap<NaiveDate, DayFile>,
    /// What an interrupted packing or unpacking has left, and is not read: its content stands in the other file of the day.
    pub(super) left_over: BTreeMap<NaiveDate, DayFile>,
    /// Compressed files that are not read, since the day has one that is.
    pub(crate) unread: BTreeMap<NaiveDate, DayFile>,
    /// What has the name of a day file, compressed or not, and is a link, a folder or another thing.
    pub(crate) odd: BTreeMap<NaiveDate, PathBuf>,
}

impl Listing {
    /// Returns one without a file.
    fn of(location: Location) -> Self {
        Self {
            days: DayFiles::new(location, Vec::new()),
            packed: BTreeMap::new(),
            left_over: BTreeMap::new(),
            unread: BTreeMap::new(),
            odd: BTreeMap::new(),
        }
    }

    /// Adds a file that this program has packed; of it and the plain one beside it only what is needed is read. If they cannot be
    /// compared, that is told where they are read.
    ///
    /// # Errors
    /// If one of the two is gone: the day is packed or unpacked at this moment.
    fn add_packed_by_us(&mut self, mut file: DayFile) -> Result<(), FileError> {
        let date = file.date;
        if let Some(plain) = self.days.unlisted(date) {
            match Beside::of(&plain, &file) {
                Ok(Beside::Original) => {
                    self.days.note_accompanied(plain.listed_beside(&file, 0)?);
                    self.left_over.insert(date, file);
                    return Ok(());
                }
                Ok(Beside::Leftover | Beside::Beginning) => {
                    self.days.remove(date);
                    self.left_over.insert(date, plain);
                }
                Ok(Beside::Continuation) => {
                    let base = file.contents()?.length();
                    self.days.note_accompanied(plain.listed_beside(&file, base)?);
                    file = file.gone_on_at(base);
                }
                Err(error) if error.is_missing() => return Err(error),
                Err(_) => {}
            }
        }
        let other = self.packed.insert(date, file);
        self.unread.extend(other.map(|other| (date, other)));
        Ok(())
    }

    /// Notes of which plain files it is not known that the day has none that this program has packed.
    fn note_those_not_alone(&mut self, packed: &BTreeSet<NaiveDate>) {
        for date in packed.iter().chain(self.odd.keys()) {
            self.days.note_unknown(*date);
        }
    }

    pub(crate) fn warn_of_odd_ones(&self) {
        for path in self.odd.values() {
            tracing::warn!(path = %path.display(), "skipped a day file that is not a regular file");
        }
    }

    /// Returns all files, compressed or not.
    pub(crate) fn files(&self) -> impl Iterator<Item = DayFile> {
        self.days.files().chain(self.packed.values().cloned())
    }

    /// Returns the files of a day that are read: the plain one, and the compressed one.
    pub(crate) fn files_of(&self, date: NaiveDate) -> impl Iterator<Item = DayFile> {
        self.days.get(date).into_iter().chain(self.packed.get(&date).cloned())
    }

    /// Returns whether a day has a file, compressed or not.
    pub(crate) fn has(&self, date: NaiveDate) -> bool {
        self.days.has(date) || self.packed.contains_key(&date)
    }

    /// Returns whether no day has a file.
    pub(crate) fn is_empty(&self) -> bool {
        self.days.is_empty() && self.packed.is_empty()
    }

    /// Returns the oldest day that has a file.
    pub(crate) fn first_date(&self) -> Option<NaiveDate> {
        let packed = self.packed.keys().next();
        self.days.dates().first().into_iter().chain(packed).min().copied()
    }

    /// Returns those of these days that have no file, compressed or not. They come oldest first.
    pub(crate) fn lacks(&self, dates: impl Iterator<Item = NaiveDate>) -> impl Iterator<Item = NaiveDate> {
        let mut plain = self.days.dates().iter().copied().peekable();
        dates.filter(move |date| {
            while plain.next_if(|other| other < date).is_some() {}
            plain.peek() != Some(date) && !self.packed.contains_key(date)
        })
    }

    /// Returns the newest day before this one that has a file; the newest of all without one.
    pub(crate) fn date_before(&self, date: Option<NaiveDate>) -> Option<NaiveDate> {
        let dates = self.days.dates();
        let end = date.map_or(dates.len(), |date| dates.partition_point(|other| *other < date));
        let packed = match date {
            Some(date) => self.packed.range(..date).next_back(),
            None => self.packed.last_key_value(),
        };
        let packed = packed.map(|(date, _)| date);
        dates[..end].last().into_iter().chain(packed).max().copied()
    }

    /// Returns the days after this one that have a file, compressed or not.
    pub(crate) fn dates_after(&self, date: NaiveDate) -> BTreeSet<NaiveDate> {
        let dates = self.days.dates();
        let plain = &dates[dates.partition_point(|other| *other <= date)..];
        let packed = self.packed.range((Bound::Excluded(date), Bound::Unbounded));
        plain.iter().chain(packed.map(|(date, _)| date)).copied().collect()
    }

    /// Returns whether a file of a day is no longer there as it was when it was listed.
    pub(crate) fn has_moved(&self, date: NaiveDate) -> bool {
        self.files_of(date).any(|file| file.has_moved())
    }

    /// Returns the days that have a file, compressed or not.
    pub(crate) fn dates(&self) -> BTreeSet<NaiveDate> {
        self.days.dates().iter().chain(self.packed.keys()).copied().collect()
    }
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
