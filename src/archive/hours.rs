//! In which hours a stream had records: its rhythm, from which it is seen that it is quiet for longer than it ever was.
//!
//! `.trailkeeper/<base>.hours.json` has, for each UTC day with records, the hours that had some, as the bits of a number (that of
//! 00:00 is the lowest). Runs add to it what they append. It may be deleted at any time: then the rhythm is learned anew.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

use super::location::Location;
use crate::fs::FileError;

/// Name of the file, after `<base>.`.
pub(super) const FILE: &str = "hours.json";

/// Version of the file; others are ignored.
const VERSION: u32 = 1;

/// For how many days hours are kept: the same date of two years before, and some more.
const KEPT_DAYS: i64 = 800;

/// Larger files were not written by this program.
const MOST_BYTES: u64 = 256 << 10;

/// The hours of a stream that had records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hours(BTreeMap<NaiveDate, u32>);

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    days: BTreeMap<NaiveDate, u32>,
}

impl Hours {
    /// Reads those of a stream; none if the file is missing or damaged.
    pub(crate) fn read(location: &Location) -> Self {
        let text = match location.state(FILE).read_text(MOST_BYTES) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                tracing::debug!("the rhythm of the stream is not known: {error}");
                return Self::default();
            }
        };
        let stored: Option<Stored> = serde_json::from_str(&text).ok();
        Self(
            stored
                .filter(|stored| stored.version == VERSION)
                .map_or_else(BTreeMap::new, |stored| stored.days),
        )
    }

    /// Adds the hour of a record.
    pub(crate) fn add(&mut self, time: DateTime<Utc>) {
        *self.0.entry(time.date_naive()).or_default() |= 1 << time.hour();
    }

    /// Adds all hours of others; returns whether there was one more.
    pub(crate) fn add_all(&mut self, others: &Self) -> bool {
        let mut has_news = false;
        for (date, hours) in &others.0 {
            let own = self.0.entry(*date).or_default();
            has_news |= *own | hours != *own;
            *own |= hours;
        }
        has_news
    }

    /// Stores them, but for those of long ago.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn store(mut self, location: &Location) -> Result<(), FileError> {
        if let Some((newest, _)) = self.0.last_key_value() {
            self.0 = self.0.split_off(&(*newest - TimeDelta::days(KEPT_DAYS)));
        }
        let (file, stored) = (
            location.state(FILE),
            Stored {
                version: VERSION,
                days: self.0,
            },
        );
        let content =
            serde_json::to_vec(&stored).map_err(|error| FileError::io("write to", file.path(), error.into()))?;
        file.replace(&content)
    }

    /// Returns when the first hour with a record began.
    pub(crate) fn first(&self) -> Option<DateTime<Utc>> {
        let (date, hours) = self.0.iter().find(|(_, hours)| **hours != 0)?;
        Some(start(*date, hours.trailing_zeros()))
    }

    /// Returns when the last hour with a record began, of those that had begun by `time`.
    pub(crate) fn last_before(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = time.date_naive();
        let begun = |date: NaiveDate, hours: u32| {
            let until_now = if date == today {
                u32::MAX >> (31 - time.hour())
            } else {
                u32::MAX
            };
            hours & until_now
        };
        let days = self
            .0
            .range(..=today)
            .rev()
            .map(|(date, hours)| (*date, begun(*date, *hours)));
        let (date, hours) = days.into_iter().find(|(_, hours)| *hours != 0)?;
        Some(start(date, hours.ilog2()))
    }
}

fn start(date: NaiveDate, hour: u32) -> DateTime<Utc> {
    date.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(hour.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::record::time;

    #[test]
    fn what_runs_have_appended_is_known_by_the_hour() {
        let catalog = Catalog::with_state_folder();
        assert_eq!(Hours::read(&catalog.location), Hours::default());
        let mut hours = Hours::default();
        for at in ["2025-06-09T00:59:59Z", "2025-06-09T23:00:00Z", "2025-06-11T10:20:30Z"] {
            hours.add(time(at));
        }
        hours.clone().store(&catalog.location).unwrap();
        let mut read = Hours::read(&catalog.location);
        assert_eq!(read, hours);
        assert_eq!(read.first(), Some(time("2025-06-09T00:00:00Z")));
        for (at, last) in [
            ("2025-06-08T23:59:59Z", None),
            ("2025-06-09T00:00:00Z", Some("2025-06-09T00:00:00Z")),
            ("2025-06-09T22:59:59Z", Some("2025-06-09T00:00:00Z")),
            ("2025-06-09T23:30:00Z", Some("2025-06-09T23:00:00Z")),
            ("2025-06-11T09:59:59Z", Some("2025-06-09T23:00:00Z")),
            ("2025-07-01T00:00:00Z", Some("2025-06-11T10:00:00Z")),
        ] {
            assert_eq!(read.last_before(time(at)), last.map(time), "{at}");
        }
        let mut more = Hours::default();
        more.add(time("2025-06-09T23:59:00Z"));
        assert!(!read.add_all(&more));
        more.add(time("2025-06-09T12:00:00Z"));
        assert!(read.add_all(&more) && !read.add_all(&more));
    }

    #[test]
    fn hours_of_long_ago_are_forgotten_and_a_damaged_file_says_nothing() {
        let catalog = Catalog::with_state_folder();
        let mut hours = Hours::default();
        hours.add(time("2020-01-01T00:00:00Z"));
        hours.add(time("2025-06-09T00:00:00Z"));
        hours.store(&catalog.location).unwrap();
        assert_eq!(
            Hours::read(&catalog.location).first(),
            Some(time("2025-06-09T00:00:00Z"))
        );
        for damaged in [
            "",
            "{",
            "{\"version\":2,\"days\":{\"2025-06-09\":1}}",
            "{\"version\":1,\"days\":{\"x\":1}}",
        ] {
            std::fs::write(catalog.location.state_file(FILE), damaged).unwrap();
            assert_eq!(Hours::read(&catalog.location), Hours::default(), "{damaged}");
        }
    }
}
