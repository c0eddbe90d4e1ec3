//! What was read of slices that held too much, and of those that were under way behind them: the walk comes to it later, and
//! then it need not be read again.

use chrono::{DateTime, Utc};

use super::fetched_records::FetchedRecords;
use super::reading::Reading;

/// How many bytes of records are kept; what is furthest away is let go, and read again.
const MOST_BYTES: usize = 16 << 20;

/// Readings that end where a slice begins that is not read yet.
#[derive(Default)]
pub(super) struct Kept {
    /// The nearest last.
    readings: Vec<Reading>,
}

impl Kept {
    /// Keeps a reading, which went as far down as its slice.
    pub(super) fn add(&mut self, reading: Reading) {
        let from = reading.slice().from;
        let place = self.readings.partition_point(|other| other.slice().from > from);
        self.readings.insert(place, reading);
        while self.bytes() > MOST_BYTES {
            self.readings.remove(0);
        }
    }

    /// Returns where the nearest one begins.
    pub(super) fn nearest(&self) -> Option<DateTime<Utc>> {
        self.readings.last().map(|reading| reading.slice().from)
    }

    /// Takes the one out that begins where the walk has come to; what lies before that is of no use any more.
    pub(super) fn take_at(&mut self, time: DateTime<Utc>) -> Option<Reading> {
        while self.readings.pop_if(|reading| reading.slice().from < time).is_some() {}
        self.readings.pop_if(|reading| reading.slice().from == time)
    }

    pub(super) fn clear(&mut self) {
        self.readings.clear();
    }

    fn bytes(&self) -> usize {
        let fetched = self.readings.iter().map(Reading::fetched);
        fetched.map(|FetchedRecords { bytes, .. }| bytes).sum()
    }
}
