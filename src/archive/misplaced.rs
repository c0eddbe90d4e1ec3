//! Finds records in the files of other days, where another program has left them: only for days of a takeover.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::Archive;
use super::day::Day;
use super::key::Key;
use super::takeover::{FILE, OtherDays, Takeover};
use crate::fs::FileError;

/// By how much the local time of any place is ahead of UTC at the most.
const EASTMOST: TimeDelta = TimeDelta::hours(14);

/// What a run knows of the takeover, and of the records in the files of other days.
#[derive(Default)]
pub(super) struct Misplaced {
    known: Known,
    /// By their day.
    keys: BTreeMap<NaiveDate, Vec<Key>>,
    /// From which day on `keys` has the records in the files of a day.
    read_from: HashMap<NaiveDate, NaiveDate>,
}

/// How much of the note was read.
#[derive(Default)]
enum Known {
    #[default]
    Nothing,
    /// The newest day of a file that was left; `None` if no catalog was taken over.
    LastDay(Option<NaiveDate>),
    All(Takeover),
}

impl Misplaced {
    /// Forgets the records of the days before `date`.
    pub(super) fn forget_before(&mut self, date: NaiveDate) {
        self.keys = self.keys.split_off(&date);
        self.read_from.values_mut().for_each(|from| *from = date.max(*from));
    }
}

/// Returns the newest day that a file can be named after at `now`, by whatever local time.
pub(crate) fn newest_local_day(now: DateTime<Utc>) -> NaiveDate {
    (now + EASTMOST).date_naive()
}

impl Archive {
    /// Sets what another program has left, where the note of it is not stored or not read yet.
    pub(crate) fn know_takeover(&mut self, takeover: Takeover) {
        self.misplaced.known = Known::All(takeover);
    }

    /// Returns the takeover if files that were left can hold records of `date`; no more of its note is read than needed.
    fn takeover_of(&mut self, date: NaiveDate) -> Result<Option<&mut Takeover>, FileError> {
        if let Known::Nothing = self.misplaced.known {
            self.misplaced.known = Known::LastDay(Takeover::last_day(&self.location)?);
        }
        if let Known::LastDay(Some(last)) = self.misplaced.known
            && date <= last.checked_add_days(Days::new(1)).unwrap_or(last)
        {
            let takeover = Takeover::read(&self.location)?;
            self.misplaced.known = takeover.map_or(Known::LastDay(None), Known::All);
        }
        Ok(match &mut self.misplaced.known {
            Known::All(takeover) => Some(takeover),
            Known::Nothing | Known::LastDay(_) => None,
        })
    }

    /// Returns whether another program has left a file of this day.
    pub(super) fn was_left(&mut self, date: NaiveDate) -> Result<bool, FileError> {
        Ok(self.takeover_of(date)?.is_some_and(|takeover| takeover.has(date)))
    }

    /// Adds to what the files of a day hold those of its records that stand in the files of other days.
    pub(super) fn add_misplaced(&mut self, date: NaiveDate, day: &mut Day) -> Result<(), FileError> {
        for holder in self.holders_of(date)? {
            if self.misplaced.read_from.get(&holder).is_none_or(|from| *from > date) {
                self.read_misplaced(holder, date)?;
            }
        }
        let keys = self.misplaced.keys.get(&date).map_or(&[][..], Vec::as_slice);
        day.add_misplaced(keys);
        Ok(())
    }

    /// Returns the other days whose files hold records of `date`. Those that were not read yet are, and what is found is noted.
    pub(super) fn holders_of(&mut self, date: NaiveDate) -> Result<Vec<NaiveDate>, FileError> {
        let Some(takeover) = self.takeover_of(date)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for left in takeover.unread_for(date) {
            match self.read_other_days(left) {
                Ok(other_days) => found.push((left, other_days)),
                Err(error) if self.is_poisoned() || (left - date).abs() <= TimeDelta::days(1) => return Err(error),
                Err(error) => tracing::warn!("{error}: what it holds of other days is not known"),
            }
        }
        let Known::All(takeover) = &mut self.misplaced.known else {
            return Ok(Vec::new());
        };
        let has_news = !found.is_empty();
        found
            .into_iter()
            .for_each(|(left, other_days)| takeover.note(left, other_days));
        let holders = takeover.holders(date);
        if has_news {
            self.store_takeover();
        }
        Ok(holders)
    }

    /// Counts the records of other days in the files of a day.
    fn read_other_days(&mut self, left: NaiveDate) -> Result<OtherDays, FileError> {
        let (_, others) = self.read_day(left, OtherDays::new, |others, identified| {
            let day = identified.time.date_naive();
            if day != left {
                *others.entry(day).or_default() += 1;
            }
        })?;
        Ok(others)
    }

    /// Reads the records of `from` and later days in the files of another day.
    fn read_misplaced(&mut self, holder: NaiveDate, from: NaiveDate) -> Result<(), FileError> {
        let (_, found) = self.read_day(holder, Vec::new, |found, identified| {
            let day = identified.time.date_naive();
            if day != holder && day >= from {
                found.push((day, Key::of(identified)));
            }
        })?;
        for (day, key) in found {
            self.misplaced.keys.entry(day).or_default().push(key);
        }
        self.misplaced.read_from.insert(holder, from);
        Ok(())
    }

    /// Stores what was found. It only saves reading, so a failure is only logged.
    fn store_takeover(&self) {
        let Known::All(takeover) = &self.misplaced.known else {
            return;
        };
        let Some(text) = takeover.text().filter(|_| self.appender.check_lock().is_ok()) else {
            return;
        };
        let path = self.location.state_file(FILE);
        if let Err(error) = self.appender.replace(&path, text.as_bytes()) {
            tracing::debug!("cannot store what the files of a takeover hold: {error}");
        }
    }
}
