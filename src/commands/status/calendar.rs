//! How many records the files of a stream hold, by day, compressed ones included.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use serde::Serialize;

use crate::archive::{DayFile, Location, Noted, Takeover};
use crate::coverage::Standing;

/// How often a day is listed anew whose files have moved.
const LISTINGS: usize = 3;

/// How many days a bar shows.
const DAYS_SHOWN: u64 = 30;

/// Why a day is not known that has both files, and was never counted by a run.
const IN_BOTH: &str =
    "there is a day file and a compressed one, and what both hold is counted twice; verify counts it once";

/// A number for the current UTC day, and for all days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Amount {
    pub(super) today: u64,
    pub(super) all: u64,
}

/// The records of the day files, by day.
#[derive(Default)]
pub(super) struct Calendar {
    days: BTreeMap<NaiveDate, Day>,
    /// Torn lines that were repaired.
    pub(super) repaired: u64,
    /// The days of which not all records are known, and why.
    pub(super) unknown: BTreeMap<NaiveDate, String>,
}

#[derive(Clone, Copy, Default)]
struct Day {
    records: u64,
    bytes: u64,
    /// How many of its file's records are of other days.
    moved: u64,
}

/// The records of a day; `None` if not all of them are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct DayRecords {
    pub(super) date: NaiveDate,
    pub(super) records: Option<u64>,
}

impl Calendar {
    /// Counts lines; each is a record.
    pub(super) fn new(location: &Location, standing: &mut Standing, noted: &Noted) -> Self {
        let mut calendar = Self::default();
        for date in standing.listing.dates() {
            let day = calendar.count(date, standing);
            let name = location.day_name(date).unwrap_or_default();
            let repaired = noted.repaired_on_day(&name);
            calendar.repaired += repaired;
            calendar.days.insert(date, day);
        }
        calendar
    }

    /// Counts the records that stand in the files of other days for their own, as far as the takeover knows them.
    pub(super) fn with_misplaced(mut self, takeover: Option<&Takeover>) -> Self {
        for (file, day, records) in takeover.into_iter().flat_map(Takeover::misplaced) {
            if let Some(of_file) = self.days.get_mut(&file) {
                let moved = records.min(of_file.records);
                of_file.records -= moved;
                of_file.moved += moved;
                self.days.entry(day).or_default().records += moved;
            }
        }
        self
    }

    /// Counts a day, and anew if it was packed or unpacked since it was listed.
    fn count(&mut self, date: NaiveDate, standing: &mut Standing) -> Day {
        let mut day = self.count_listed(date, standing);
        for _ in 0..LISTINGS {
            if !self.unknown.contains_key(&date) || !standing.list_what_has_moved(date).unwrap_or(false) {
                break;
            }
            self.unknown.remove(&date);
            day = self.count_listed(date, standing);
        }
        day
    }

    fn count_listed(&mut self, date: NaiveDate, standing: &mut Standing) -> Day {
        let plain = standing.listing.days.get(date);
        let packed = standing.listing.packed.get(&date).cloned();
        let files = plain.iter().chain(&packed);
        let bytes = files.filter_map(|file| file.length().ok()).sum();
        let counted = standing.counts.get(&date).copied();
        // What a compressed file holds beside it is known from when the day file was written to.
        let only_compressed = counted.filter(|_| plain.is_some()).map(|counted| counted.compressed);
        let is_of_others = packed.as_ref().is_some_and(|packed| !packed.is_packed_by_us());
        let is_in_both = plain.is_some() && is_of_others && only_compressed.is_none();
        let mut records = plain.map_or(0, |plain| self.lines(&plain, standing));
        if let Some(packed) = packed.filter(|_| only_compressed != Some(0)) {
            let lines = self.lines(&packed, standing);
            records += only_compressed.unwrap_or(lines).min(lines);
        }
        if is_in_both {
            self.unknown.entry(date).or_insert_with(|| IN_BOTH.to_owned());
        }
        Day {
            records,
            bytes,
            moved: 0,
        }
    }

    /// Returns how many lines a file has, as far as that is known.
    fn lines(&mut self, file: &DayFile, standing: &mut Standing) -> u64 {
        match standing.count_lines(file) {
            Ok(lines) => lines,
            Err(error) => {
                self.unknown.insert(file.date, error.to_string());
                0
            }
        }
    }

    pub(super) fn first(&self) -> Option<NaiveDate> {
        self.days.first_key_value().map(|(date, _)| *date)
    }

    pub(super) fn last(&self) -> Option<NaiveDate> {
        self.days.last_key_value().map(|(date, _)| *date)
    }

    /// Returns how many records are known of.
    pub(super) fn records(&self, today: NaiveDate) -> Amount {
        self.amount(today, |day| day.records)
    }

    pub(super) fn bytes(&self, today: NaiveDate) -> Amount {
        self.amount(today, |day| day.bytes)
    }

    fn amount(&self, today: NaiveDate, of: fn(&Day) -> u64) -> Amount {
        Amount {
            today: self.days.get(&today).map_or(0, of),
            all: self.days.values().map(of).sum(),
        }
    }

    fn records_of(&self, date: NaiveDate) -> Option<u64> {
        let day = self.days.get(&date);
        (!self.unknown.contains_key(&date)).then(|| day.map_or(0, |day| day.records))
    }

    /// Returns the days from the first file to the last that are known to have no records. This one is not over.
    pub(super) fn without_records(&self, today: NaiveDate) -> Vec<NaiveDate> {
        let (Some(first), Some(last)) = (self.first(), self.last()) else {
            return Vec::new();
        };
        let range = first.iter_days().take_while(|date| *date <= last && *date < today);
        // The archive begins with its first record, which may stand in the file of an earlier day.
        let is_before = |day: &Day| day.records == 0 && day.moved > 0;
        let range = range.skip_while(|date| self.days.get(date).is_some_and(is_before));
        range.filter(|date| self.records_of(*date) == Some(0)).collect()
    }

    /// Returns the last days up to this one.
    pub(super) fn until(&self, today: NaiveDate) -> Vec<DayRecords> {
        let dates = (0..DAYS_SHOWN)
            .rev()
            .filter_map(|ago| today.checked_sub_days(Days::new(ago)));
        let records = dates.map(|date| DayRecords {
            date,
            records: self.records_of(date),
        });
        records.collect()
    }
}
