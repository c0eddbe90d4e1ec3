//! How a stream stands: what its journal says, compared with its files.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::day_counts::{Counts, Loss, is_back, losses};
use super::entry::Entry;
use super::journal::{Journal, Past};
use super::scope::Wanted;
use super::sum::Sum;
use crate::archive::{Listing, Location};
use crate::fs::FileError;

/// How a stream stands.
#[derive(Debug)]
pub(crate) struct Standing {
    /// What its runs have come to; days whose files have lost records are not covered.
    pub(crate) sum: Sum,
    /// What the day files held when they were written to.
    pub(crate) counts: Counts,
    /// The newest line of the journal in this scope.
    pub(crate) newest: Option<Entry>,
    /// Why less is known than there might be.
    pub(crate) doubt: Option<String>,
    /// The time of the archive's last record, by the journal.
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// The day files.
    pub(crate) listing: Listing,
    /// How many lines of the journal have not all counts, since the last that has.
    pub(crate) lines_without_counts: usize,
}

impl Standing {
    /// Reads how a stream stands at `now`. A day file older than `keep` may be missing.
    ///
    /// # Errors
    /// If the journal or the folder cannot be read.
    pub(crate) fn read(
        location: &Location,
        wanted: Wanted<'_>,
        keep: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Self, FileError> {
        let listing = location.listing()?;
        let past = Journal::of(location).past(wanted)?;
        Ok(Self::of(past, listing, keep, now))
    }

    fn of(past: Past, listing: Listing, keep: Option<TimeDelta>, now: DateTime<Utc>) -> Self {
        let first_day = listing.dates().first().copied();
        let mut sum = past.sum(first_day);
        let mut counts = past.counts.clone();
        sum.lost.retain(|date, lost| !is_back(*date, lost, &listing));
        let lost = losses(&counts, &listing, keep, now);
        for date in lost.keys() {
            // What is left is counted when it is written to.
            counts.remove(date);
        }
        sum.lose(lost);
        Self {
            doubt: past.doubt(first_day),
            last_record: past.last_record,
            lines_without_counts: past.lines_without_counts,
            newest: past.newest,
            sum,
            counts,
            listing,
        }
    }

    /// Forgets what earlier runs have covered and counted.
    pub(crate) fn start_over(self) -> Self {
        let first_day = self.listing.dates().first().copied();
        Self {
            sum: Past::default().sum(first_day),
            counts: Counts::new(),
            doubt: first_day.map(|first| format!("begun anew: everything since {first} is asked for again")),
            last_record: None,
            lines_without_counts: usize::MAX,
            ..self
        }
    }

    /// Returns the time of the last record that the journal knows of an archive without any day file.
    pub(crate) fn last_record_of_no_file(&self) -> Option<DateTime<Utc>> {
        self.last_record.filter(|_| self.listing.dates().is_empty())
    }

    /// Returns what is wrong with day files at `now`, by day: those that have lost records, what is in the place of one, and
    /// files that are dated in the future.
    pub(crate) fn wrong_days(&self, now: DateTime<Utc>) -> BTreeMap<NaiveDate, WrongDay> {
        let Listing { days, packed, odd } = &self.listing;
        let files = days.keys().chain(packed.keys());
        let future = files.filter(|date| **date > now.date_naive());
        let odd = odd.keys().map(|date| (*date, WrongDay::Lost(Loss::NotAFile)));
        let lost = self
            .sum
            .lost
            .iter()
            .map(|(date, lost)| (*date, WrongDay::Lost(lost.loss)));
        odd.chain(lost)
            .chain(future.map(|date| (*date, WrongDay::Future)))
            .collect()
    }

    /// Says what is to be known of the day files, and is no fault.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let dates = self.listing.dates();
        let not_counted: Vec<_> = dates.iter().filter(|date| !self.counts.contains_key(date)).collect();
        let packed: Vec<_> = self.listing.packed.keys().collect();
        let mut remarks = Vec::new();
        if let (Some(first), Some(last)) = (not_counted.first(), not_counted.last()) {
            let count = not_counted.len();
            remarks.push(format!(
                "not counted: {count} of the day files, {first} to {last}, written before the journal; whether they have lost \
                 lines since is not known"
            ));
        }
        if let (Some(first), Some(last)) = (packed.first(), packed.last()) {
            let count = packed.len();
            remarks.push(format!(
                "{count} of the day files, {first} to {last}, compressed by another program: they are read, and not written to"
            ));
        }
        remarks
    }
}

/// What is wrong with a day file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrongDay {
    /// It has lost records, or is no file.
    Lost(Loss),
    /// It is dated in the future.
    Future,
}

impl WrongDay {
    /// Returns its name for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lost(Loss::Missing) => "missing",
            Self::Lost(Loss::Shorter) => "shorter",
            Self::Lost(Loss::NotAFile) => "not-a-file",
            Self::Future => "future",
        }
    }
}

impl fmt::Display for WrongDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(loss) => write!(f, "{loss}"),
            Self::Future => f.write_str("the day file is dated in the future, and is not read by a run"),
        }
    }
}
