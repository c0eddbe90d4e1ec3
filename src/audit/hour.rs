//! An hour of a stream: the unit that is drawn, asked for and compared.

use std::ops::Range;

use chrono::{DateTime, DurationRound, NaiveDate, TimeDelta, Utc};

/// How long an hour is.
pub(crate) const HOUR: TimeDelta = TimeDelta::hours(1);

/// A whole hour of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(DateTime<Utc>);

impl Hour {
    /// Returns the hour that a time is in.
    pub(crate) fn of(time: DateTime<Utc>) -> Self {
        Self(time.duration_trunc(HOUR).unwrap_or(time))
    }

    /// Returns the first hour that does not begin before a time.
    pub(crate) fn not_before(time: DateTime<Utc>) -> Self {
        let hour = Self::of(time);
        if hour.0 < time { Self(hour.0 + HOUR) } else { hour }
    }

    /// Returns the hour that is so many later.
    pub(crate) fn plus(self, hours: u64) -> Self {
        let hours = i32::try_from(hours).unwrap_or(i32::MAX);
        Self(self.0 + HOUR * hours)
    }

    /// Returns how many hours there are from another one up to this one.
    pub(crate) fn since(self, other: Self) -> u64 {
        u64::try_from((self.0 - other.0).num_hours()).unwrap_or(0)
    }

    pub(crate) fn begin(self) -> DateTime<Utc> {
        self.0
    }

    pub(crate) fn end(self) -> DateTime<Utc> {
        self.0 + HOUR
    }

    pub(crate) fn times(self) -> Range<DateTime<Utc>> {
        self.begin()..self.end()
    }

    pub(crate) fn date(self) -> NaiveDate {
        self.0.date_naive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_begin_with_their_first_moment_and_end_before_the_next() {
        let time = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
        let hour = Hour::of(time("2026-11-20T10:59:59.999999Z"));
        assert_eq!(hour.begin(), time("2026-11-20T10:00:00Z"));
        assert_eq!(Hour::not_before(hour.begin()), hour);
        assert_eq!(Hour::not_before(time("2026-11-20T09:00:00.001Z")), hour);
        assert!(hour.times().contains(&hour.begin()) && !hour.times().contains(&hour.end()));
        assert_eq!((hour.plus(30).since(hour), hour.since(hour.plus(1))), (30, 0));
    }
}
