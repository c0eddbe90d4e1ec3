//! The plain day files of a listing, by day.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::day_file::DayFile;
use super::location::Location;

/// The plain day files of a listing, by day.
///
/// Of most of them no more is known than their day, from which everything else follows: so only that is kept, and a folder with
/// thousands of them is listed without a path for each.
#[derive(Clone, Debug)]
pub(crate) struct DayFiles {
    location: Location,
    /// The days that have one, oldest first.
    dates: Vec<NaiveDate>,
    /// Those of them beside which there is another file of the day.
    accompanied: BTreeMap<NaiveDate, DayFile>,
}

impl DayFiles {
    /// Creates those of these days, in whatever order they are.
    pub(super) fn new(location: Location, mut dates: Vec<NaiveDate>) -> Self {
        dates.sort_unstable();
        Self {
            location,
            dates,
            accompanied: BTreeMap::new(),
        }
    }

    /// Returns the days that have one, oldest first.
    pub(crate) fn dates(&self) -> &[NaiveDate] {
        &self.dates
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dates.is_empty()
    }

    pub(crate) fn has(&self, date: NaiveDate) -> bool {
        self.dates.binary_search(&date).is_ok()
    }

    /// Returns the file of a day, if it has one.
    pub(crate) fn get(&self, date: NaiveDate) -> Option<DayFile> {
        let file = self.accompanied.get(&date).cloned();
        file.or_else(|| Some(self.unlisted(date)?.listed_alone()))
    }

    /// Returns all of them, oldest first.
    pub(crate) fn files(&self) -> impl Iterator<Item = DayFile> {
        self.dates.iter().filter_map(|date| self.get(*date))
    }

    /// Returns the file of a day as if nothing were known of its other files.
    pub(super) fn unlisted(&self, date: NaiveDate) -> Option<DayFile> {
        self.has(date).then(|| self.location.file_of(date))?
    }

    /// Notes how the file of a day is listed, which has another file beside it.
    pub(super) fn note_accompanied(&mut self, file: DayFile) {
        self.accompanied.insert(file.date, file);
    }

    /// Notes that it is not known how the file of a day goes with what is beside it, unless that is noted.
    pub(super) fn note_unknown(&mut self, date: NaiveDate) {
        if let Some(file) = self.unlisted(date) {
            self.accompanied.entry(date).or_insert(file);
        }
    }

    /// Takes out the file of a day, which is not needed.
    pub(super) fn remove(&mut self, date: NaiveDate) {
        if let Ok(place) = self.dates.binary_search(&date) {
            self.dates.remove(place);
        }
    }
}
