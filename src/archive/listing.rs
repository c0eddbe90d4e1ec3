//! What there is of day files in a folder, in whatever form, by day.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;

use super::day_file::DayFile;
use super::day_files::DayFiles;
use super::day_forms::Beside;
use super::day_name::{self, PlainNames};
use super::location::Location;
use super::moves::while_files_move;
use super::packed::Packing;
use super::storage::FolderEntry;
use crate::fs::FileError;

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
            tracing::warn!(
                path = %path.display(),
                "skipped a day file that is not a regular file, so nothing is read or written of its day: put the file \
                 back, or move this away"
            );
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

impl Location {
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
}
