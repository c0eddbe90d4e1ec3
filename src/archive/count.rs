//! Counts the lines of the day files without reading again what was counted before.
//!
//! The counts are stored in `.trailkeeper/<base>.lines.json`. They only save work. Day files only grow, so a count
//! holds for the part of a file that was counted; a file that was changed otherwise is counted again. So is a compressed
//! one that is another than before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read, SeekFrom};
use std::path::PathBuf;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::day_file::{DayFile, read_some};
use super::day_forms::begin_alike;
use super::file_stamp::{FileStamp, hash_before};
use super::listing::Listing;
use super::location::Location;
use super::notes::Noted;
use super::storage::StoredFile;
use crate::fs::FileError;

/// Name of the counts file, after `<base>.`.
const FILE: &str = "lines.json";

/// Version of the counts file.
const VERSION: u32 = 2;

/// Size of a read, in bytes.
const CHUNK: usize = 256 << 10;

/// The size of a day file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayCount {
    /// The UTC day of its records.
    pub(crate) date: NaiveDate,
    pub(crate) bytes: u64,
    /// Number of lines that end with a newline, but for torn lines that a run has ended with one: they hold no record.
    pub(crate) lines: u64,
}

/// The stored counts, by the name of the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    version: u32,
    files: BTreeMap<String, Counted>,
}

/// A day file when it was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    stamp: FileStamp,
    /// Length up to the end of the last whole line.
    bytes: u64,
    /// Hash of the bytes just before that offset.
    before: String,
    lines: u64,
}

/// Counts the lines of the day files of a location. What was counted before, and which torn lines were repaired, is read when
/// the first is counted.
#[derive(Debug)]
pub(crate) struct LineCounter {
    location: Location,
    counts: Option<Counts>,
    noted: Option<Noted>,
    has_news: bool,
    /// Which pairs of files were compared, and whether one is what the other begins with.
    compared: HashMap<PathBuf, ([FileStamp; 2], bool)>,
}

impl LineCounter {
    pub(crate) fn of(location: &Location) -> Self {
        Self {
            location: location.clone(),
            counts: None,
            noted: None,
            has_news: false,
            compared: HashMap::new(),
        }
    }

    /// Returns where the files are that it counts.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the size of a day file. Of one that is compressed, the lines are those of its content.
    ///
    /// # Errors
    /// If it cannot be read; [`FileError::Damaged`] if it is compressed and not whole.
    pub(crate) fn count(&mut self, file: &DayFile) -> Result<DayCount, FileError> {
        let counted = self.counted(file)?;
        let repaired = self.repaired_in(file)?;
        Ok(DayCount {
            date: file.date,
            bytes: counted.stamp.length,
            lines: counted.lines.saturating_sub(repaired),
        })
    }

    /// Returns where the last whole line of a day file ends, in bytes of its content.
    ///
    /// # Errors
    /// Those of [`LineCounter::count`].
    pub(crate) fn end_of_lines(&mut self, file: &DayFile) -> Result<u64, FileError> {
        Ok(self.counted(file)?.bytes)
    }

    /// Returns whether the lines of one file of a day are what the other one begins with, so that it has nothing of its own. The two
    /// are read for that, up to where they differ, unless they are as they were.
    ///
    /// # Errors
    /// Those of [`LineCounter::count`], with the file that cannot be read.
    pub(crate) fn is_copy(&mut self, packed: &DayFile, plain: &DayFile) -> Result<bool, FileError> {
        let stamps = [packed, plain].map(|file| file.metadata().map(|metadata| FileStamp::of(&metadata)));
        let [of_packed, of_plain] = stamps;
        let stamps = [of_packed?, of_plain?];
        if let Some((_, is_copy)) = self.compared.get(&packed.path).filter(|(known, _)| *known == stamps) {
            return Ok(*is_copy);
        }
        let length = self.end_of_lines(packed)?.min(plain.end_of_lines()?);
        let is_copy = begin_alike(packed, plain, length)?;
        self.compared.insert(packed.path.clone(), (stamps, is_copy));
        Ok(is_copy)
    }

    fn counted(&mut self, file: &DayFile) -> Result<Counted, FileError> {
        let counts = self.counts.get_or_insert_with(|| read(&self.location));
        let name = file.name();
        let before = counts.files.get(&name).cloned().unwrap_or_default();
        let counted = count(file, before.clone())?;
        if counted != before {
            self.has_news = true;
            counts.files.insert(name, counted.clone());
        }
        Ok(counted)
    }

    /// Returns how many torn lines were repaired in a day file, before it was compressed if it is.
    fn repaired_in(&mut self, file: &DayFile) -> Result<u64, FileError> {
        let noted = match self.noted.take() {
            Some(noted) => noted,
            None => Noted::rejected(&self.location)?,
        };
        let repaired = noted.repaired_in(file);
        self.noted = Some(noted);
        Ok(repaired?.len() as u64)
    }

    /// Stores new counts if the state folder can be written, and those of the files that are still there.
    pub(crate) fn store(&mut self, listing: &Listing) {
        let Some(counts) = self.counts.as_mut().filter(|_| self.has_news) else {
            return;
        };
        let names: HashSet<String> = listing.files().map(|file| file.name()).collect();
        counts.files.retain(|name, _| names.contains(name));
        counts.version = VERSION;
        if let Err(error) = write(&self.location, counts) {
            tracing::debug!("cannot store the line counts: {error}");
        }
        self.has_news = false;
    }
}

/// Counts the lines of a file, from where the previous count ended.
fn count(file: &DayFile, before: Counted) -> Result<Counted, FileError> {
    let stamp = FileStamp::of(&file.metadata()?);
    if stamp == before.stamp {
        return Ok(before);
    }
    let mut open = file.open()?;
    let counted = if file.is_packed() {
        count_packed(open.as_mut(), stamp)
    } else {
        count_open(open.as_mut(), stamp, before)
    };
    counted.map_err(|cause| file.unreadable(cause))
}

/// Counts all lines of a compressed file: it does not grow, and is read from its start to its end.
fn count_packed(file: &mut dyn StoredFile, stamp: FileStamp) -> io::Result<Counted> {
    let mut counted = Counted {
        stamp,
        ..Counted::default()
    };
    count_on(file, &mut counted)?;
    Ok(counted)
}

fn count_open(file: &mut dyn StoredFile, stamp: FileStamp, before: Counted) -> io::Result<Counted> {
    let has_grown = before.stamp.can_have_grown_to(&stamp) && hash_before(file, &[before.bytes])? == before.before;
    let mut counted = if has_grown { before } else { Counted::default() };
    file.seek(SeekFrom::Start(counted.bytes))?;
    count_on(&mut file.take(stamp.length - counted.bytes), &mut counted)?;
    Ok(Counted {
        stamp,
        before: hash_before(file, &[counted.bytes])?,
        ..counted
    })
}

fn count_on(source: &mut (impl Read + ?Sized), counted: &mut Counted) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = counted.bytes;
    loop {
        let length = read_some(source, &mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        let read = &chunk[..length];
        counted.lines += memchr::memchr_iter(b'\n', read).count() as u64;
        if let Some(newline) = memchr::memrchr(b'\n', read) {
            counted.bytes = at + newline as u64 + 1;
        }
        at += length as u64;
    }
}

/// Returns the stored counts; empty if they are missing or damaged.
fn read(location: &Location) -> Counts {
    let content = location.state(FILE).read().ok().flatten().unwrap_or_default();
    let counts: Option<Counts> = serde_json::from_slice(&content).ok();
    counts.filter(|counts| counts.version == VERSION).unwrap_or_default()
}

fn write(location: &Location, counts: &Counts) -> Result<(), FileError> {
    let file = location.state(FILE);
    let content = serde_json::to_vec(counts).map_err(|error| FileError::io("write to", file.path(), error.into()))?;
    file.replace(&content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::random::cases;

    const DAY: &str = "2025-06-09";

    impl Catalog {
        fn count(&self) -> (u64, u64) {
            let listing = self.location.listing().unwrap();
            let mut counter = LineCounter::of(&self.location);
            let day = counter.count(&listing.files().next().unwrap()).unwrap();
            counter.store(&listing);
            (day.bytes, day.lines)
        }

        fn counted(&self) -> Counted {
            read(&self.location).files["mail_2025-06-09.log"].clone()
        }
    }

    #[test]
    fn a_file_that_grew_is_counted_from_where_its_last_line_ended() {
        let catalog = Catalog::with_state_folder();
        catalog.write(DAY, "one\ntwo\nha");
        assert_eq!(catalog.count(), (10, 2));
        assert_eq!(catalog.counted().bytes, 8);
        let path = catalog.location.state_file(FILE);
        let text = fs::read_to_string(&path).unwrap().replace("\"lines\":2", "\"lines\":7");
        fs::write(&path, text).unwrap();
        catalog.write(DAY, "one\ntwo\nhalf\nthree\n");
        assert_eq!(catalog.count(), (19, 9), "what was counted was believed");
        assert_eq!(catalog.counted().bytes, 19);
        catalog.write(DAY, "one\nand\nhalf\nthree\nfour\n");
        assert_eq!(catalog.count(), (24, 5), "it is not the file that was counted");
    }

    #[test]
    fn a_file_that_is_not_the_one_that_was_counted_is_counted_again() {
        let catalog = Catalog::with_state_folder();
        catalog.write(DAY, "a\nb\nc\nd\n");
        assert_eq!(catalog.count(), (8, 4));
        for (text, expected) in [("a\n", (2, 1)), ("longer than before", (18, 0)), ("", (0, 0))] {
            catalog.write(DAY, text);
            assert_eq!(catalog.count(), expected);
        }
    }

    #[test]
    fn what_was_counted_is_not_read_again() {
        let catalog = Catalog::with_state_folder();
        catalog.write(DAY, "a\nb\n");
        catalog.count();
        let path = catalog.location.state_file(FILE);
        let text = fs::read_to_string(&path).unwrap().replace("\"lines\":2", "\"lines\":7");
        fs::write(&path, text).unwrap();
        assert_eq!(catalog.count(), (4, 7));
    }

    #[test]
    fn damaged_counts_and_a_missing_state_folder_only_cost_a_new_count() {
        let catalog = Catalog::with_state_folder();
        catalog.write(DAY, "a\nb\n");
        for text in ["", "{", "[]", r#"{"version":1,"files":{}}"#, "\0\0"] {
            fs::write(catalog.location.state_file(FILE), text).unwrap();
            assert_eq!(catalog.count(), (4, 2));
        }
        fs::remove_dir_all(catalog.location.state_folder()).unwrap();
        assert_eq!(catalog.count(), (4, 2));
        assert!(!catalog.location.state_folder().exists());
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn a_file_that_grows_by_any_pieces_is_counted_right(pieces in prop::collection::vec("[ab\n]{0,6}", 1..6)) {
            let catalog = Catalog::with_state_folder();
            let mut text = String::new();
            for piece in pieces {
                text.push_str(&piece);
                catalog.write(DAY, &text);
                prop_assert_eq!(catalog.count(), (text.len() as u64, text.matches('\n').count() as u64));
            }
        }
    }
}
