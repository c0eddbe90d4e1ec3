//! The takeover of a catalog: the day files that another program had left when the first run began, and the records among theirs
//! that stand in the file of another day, since that program named its files by local time or by the date of its run.
//!
//! `.trailkeeper/<base>.takeover.jsonl` is written by the first run, before the journal begins, and only if there are day files:
//! a line for the whole, and one for each day with a file. What stood in a file is its first `bytes` bytes, if the last of these
//! are still the same. A file that was compressed can be compressed anew, or unpacked: only that there was one is noted. `other_days` is how many of its records are of which other days; `null` until a run has asked for a
//! time that it can hold. A note that is damaged is made anew, of what stands there then.
//!
//! ```json
//! {"version":1,"at":"2026-11-20T10:00:00Z","last_day":"2026-11-20","days":1}
//! {"day":"2026-11-20","plain":{"bytes":271,"end":"8a…"},"was_compressed":false,"other_days":{"2026-11-19":2}}
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::{Range, RangeInclusive};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::day_file::DayFile;
use super::file_stamp::{COMPARED, hash, hash_before};
use super::listing::Listing;
use super::location::Location;
use super::storage::StoredFile;
use crate::fs::FileError;

/// Name of the note, after `<base>.`.
pub(super) const FILE: &str = "takeover.jsonl";

/// Version of the note.
const VERSION: u32 = 1;

/// The first line of a note is shorter than this, in bytes.
const LONGEST_HEAD: u64 = 512;

/// By how many days at the most the name of a file is older than a record in it: west of Greenwich by one, and no program runs
/// before what it asks for. It can be newer by any number.
const DAYS_BEFORE: Days = Days::new(1);

/// What another program had left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Takeover {
    at: DateTime<Utc>,
    days: BTreeMap<NaiveDate, LeftDay>,
}

/// The first line of the note.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    /// When the first run began.
    at: DateTime<Utc>,
    /// The newest of the days.
    last_day: NaiveDate,
    /// Number of the lines that follow.
    days: usize,
}

/// The files of a day, and how many of their records are of other days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeftDay {
    day: NaiveDate,
    plain: Option<LeftFile>,
    /// Whether there was a compressed file.
    was_compressed: bool,
    other_days: Option<OtherDays>,
}

/// How many records of a file are of which other days.
pub(super) type OtherDays = BTreeMap<NaiveDate, u64>;

/// Returns the days whose files, or what has the name of one, can hold records of these times. Another program may have left them in the files of other days.
///
/// # Errors
/// If the note of the takeover cannot be read.
pub(crate) fn days_that_can_hold(
    location: &Location,
    listing: &Listing,
    times: &Range<DateTime<Utc>>,
) -> Result<Vec<NaiveDate>, FileError> {
    if times.is_empty() {
        return Ok(Vec::new());
    }
    let last = times
        .end
        .checked_sub_signed(TimeDelta::nanoseconds(1))
        .unwrap_or(times.end);
    let days = times.start.date_naive()..=last.date_naive();
    let left = match Takeover::read(location)? {
        // Before the first run nothing is known.
        None if !location.state_folder().exists() => Some(Takeover::of(listing, DateTime::UNIX_EPOCH)),
        left => left,
    };
    let is_sought =
        |day: &NaiveDate| days.contains(day) || left.as_ref().is_some_and(|left| left.can_hold(*day, &days));
    let mut dates = listing.dates();
    dates.extend(listing.odd.keys());
    Ok(dates.into_iter().filter(is_sought).collect())
}

/// A file as it was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeftFile {
    /// Its length.
    bytes: u64,
    /// Hash of the bytes at its end, in hexadecimal digits; `None` if they could not be read.
    end: Option<String>,
}

impl Takeover {
    /// Describes the day files that are there at `now`. Only their ends are read.
    pub(crate) fn of(listing: &Listing, now: DateTime<Utc>) -> Self {
        let days = listing.dates().into_iter().map(|day| {
            let left = LeftDay {
                day,
                plain: listing.days.get(day).as_ref().map(LeftFile::describe),
                was_compressed: listing.packed.contains_key(&day),
                other_days: None,
            };
            (day, left)
        });
        Self {
            at: now,
            days: days.collect(),
        }
    }

    /// Reads the note; `None` if there is none. A damaged one is made anew of what stands there.
    ///
    /// # Errors
    /// If it, or the folder, cannot be read.
    pub(crate) fn read(location: &Location) -> Result<Option<Self>, FileError> {
        let Some(bytes) = location.state(FILE).read()? else {
            return Ok(None);
        };
        if let Some(takeover) = str::from_utf8(&bytes).ok().and_then(Self::parse) {
            return Ok(Some(takeover));
        }
        let path = location.state_file(FILE);
        tracing::warn!(path = %path.display(), "the note of the takeover is damaged: it is made anew of the day files as they are");
        Ok(Some(Self::of(&location.listing()?, DateTime::UNIX_EPOCH)))
    }

    /// Returns the newest day that a file was left of, which costs little; `None` if there is no note.
    ///
    /// # Errors
    /// If the note cannot be read.
    pub(super) fn last_day(location: &Location) -> Result<Option<NaiveDate>, FileError> {
        let Some(text) = location.state(FILE).read_text(LONGEST_HEAD)? else {
            return Ok(None);
        };
        let head = text.split_once('\n').and_then(|(head, _)| Head::read(head));
        // Who reads all of it finds the damage.
        Ok(Some(head.map_or(NaiveDate::MAX, |head| head.last_day)))
    }

    /// Stores the note; none where nothing was left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn store(&self, location: &Location) -> Result<(), FileError> {
        let text = self.text();
        text.map_or(Ok(()), |text| location.state(FILE).replace(text.as_bytes()))
    }

    /// Returns the text of the note; `None` if nothing was left.
    pub(super) fn text(&self) -> Option<String> {
        let head = Head {
            version: VERSION,
            at: self.at,
            last_day: *self.days.last_key_value()?.0,
            days: self.days.len(),
        };
        let head = serde_json::to_string(&head);
        let days = self.days.values().map(serde_json::to_string);
        let lines: Result<Vec<String>, _> = std::iter::once(head).chain(days).collect();
        Some(lines.ok()?.join("\n") + "\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let head = Head::read(lines.next()?)?;
        let days: Option<BTreeMap<_, _>> = lines
            .map(|line| serde_json::from_str::<LeftDay>(line).ok().map(|left| (left.day, left)))
            .collect();
        let days = days.filter(|days| days.len() == head.days)?;
        Some(Self { at: head.at, days })
    }

    /// Returns whether a file of this day was left.
    pub(crate) fn has(&self, day: NaiveDate) -> bool {
        self.days.contains_key(&day)
    }

    /// Returns the days whose files can hold records of `day` and were not read yet.
    pub(super) fn unread_for(&self, day: NaiveDate) -> Vec<NaiveDate> {
        let first = day.checked_sub_days(DAYS_BEFORE).unwrap_or(day);
        let unread = self.days.range(first..).filter(|(_, left)| left.other_days.is_none());
        unread.map(|(day, _)| *day).collect()
    }

    /// Returns whether the file of a day is known to hold a record of one of these days, or may hold one.
    fn can_hold(&self, file: NaiveDate, days: &RangeInclusive<NaiveDate>) -> bool {
        let first = days.start().checked_sub_days(DAYS_BEFORE).unwrap_or(*days.start());
        self.days.get(&file).is_some_and(|left| match &left.other_days {
            Some(others) => others.range(days.clone()).next().is_some(),
            None => file >= first,
        })
    }

    /// Notes what the files of a day hold of other days.
    pub(super) fn note(&mut self, day: NaiveDate, other_days: OtherDays) {
        if let Some(left) = self.days.get_mut(&day) {
            left.other_days = Some(other_days);
        }
    }

    /// Returns the other days whose files are known to hold records of `day`.
    pub(super) fn holders(&self, day: NaiveDate) -> Vec<NaiveDate> {
        let holds = |left: &LeftDay| left.other_days.as_ref().is_some_and(|others| others.contains_key(&day));
        let holders = self.days.values().filter(|left| holds(left));
        holders.map(|left| left.day).collect()
    }

    /// Returns the misplaced records as far as files were read for them: the day of the file, their own, and how many.
    pub(crate) fn misplaced(&self) -> impl Iterator<Item = (NaiveDate, NaiveDate, u64)> {
        let others = |left: &LeftDay| left.other_days.clone().unwrap_or_default();
        let days = self.days.values();
        days.flat_map(move |left| others(left).into_iter().map(|(day, records)| (left.day, day, records)))
    }

    /// Returns how many bytes of the content of one of the `files` of a day stood there, as they stand there now. Of a compressed
    /// file where one was left, all: this program writes none. So too of a file that is no longer compressed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn extent(&self, file: &DayFile, files: &[DayFile]) -> Result<u64, FileError> {
        let Some(left) = self.days.get(&file.date) else {
            return Ok(0);
        };
        if let Some(found) = &left.plain
            && found.begins(file)?
        {
            return Ok(found.bytes);
        }
        let is_unpacked = left.plain.is_none() && !files.iter().any(DayFile::is_packed);
        let is_whole = left.was_compressed && (file.is_packed() || is_unpacked);
        Ok(if is_whole { u64::MAX } else { 0 })
    }
}

impl Head {
    fn read(line: &str) -> Option<Self> {
        let head = serde_json::from_str(line).ok();
        head.filter(|head: &Self| head.version == VERSION)
    }
}

impl LeftFile {
    fn describe(file: &DayFile) -> Self {
        let bytes = file.length().unwrap_or_default();
        let end = file.stored().and_then(|mut stored| {
            let hashed = hash_before(stored.as_mut(), &[bytes]);
            hashed.map_err(|cause| file.unreadable(cause))
        });
        Self { bytes, end: end.ok() }
    }

    /// Whether the content of a file begins with what a day file held that was left, which can be compressed by now.
    fn begins(&self, file: &DayFile) -> Result<bool, FileError> {
        match self.hash_in(file.open()?.as_mut(), file.is_packed()) {
            Ok(hashed) => Ok(self.end == Some(hashed)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => match file.unreadable(error) {
                error if error.is_damaged() => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Hashes the bytes of a file's content that stand where the end was. One that is compressed is read up to there.
    fn hash_in(&self, content: &mut dyn StoredFile, is_packed: bool) -> io::Result<String> {
        if !is_packed {
            return hash_before(content, &[self.bytes]);
        }
        let length = self.bytes.min(COMPARED);
        let start = self.bytes - length;
        if io::copy(&mut Read::take(&mut *content, start), &mut io::sink())? < start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length as usize];
        content.read_exact(&mut bytes)?;
        Ok(hash(&bytes))
    }
}
