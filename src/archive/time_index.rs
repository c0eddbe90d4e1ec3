//! Where the records of a day file get later, so that the next run need read only the end of the file.

use chrono::{DateTime, TimeDelta, Utc};

/// The least time between entries: a day has 8640 of them at most.
const SPACING: TimeDelta = TimeDelta::seconds(10);

/// An offset in a day file: every record before it is earlier than `time`, and the record there has that time.
///
/// This stays true when lines are appended, late records included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// Time of the record at the offset.
    pub(super) time: DateTime<Utc>,
    /// Where its line begins, in bytes.
    pub(super) offset: u64,
}

/// The entries of a day file, and up to where the file was read.
#[derive(Debug, Default)]
pub(super) struct TimeIndex {
    entries: Vec<IndexEntry>,
    end: u64,
}

impl TimeIndex {
    /// Creates a time index that continues from an entry of an earlier one.
    pub(super) fn from_entry(entry: IndexEntry) -> Self {
        Self {
            entries: vec![entry],
            end: entry.offset,
        }
    }

    /// Adds a record. Records must come in the order of the file.
    pub(super) fn add(&mut self, time: DateTime<Utc>, offset: u64) {
        if self.entries.last().is_none_or(|last| time - last.time >= SPACING) {
            self.entries.push(IndexEntry { time, offset });
        }
    }

    /// Notes that everything before `end` was added.
    pub(super) fn set_end(&mut self, end: u64) {
        self.end = end;
    }

    /// Returns up to where the file was added, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Returns where it begins, in bytes.
    pub(super) fn start(&self) -> u64 {
        self.entries.first().map_or(0, |first| first.offset)
    }

    /// Returns the last entry at `offset` or before it.
    pub(super) fn at_most(&self, offset: u64) -> Option<IndexEntry> {
        let count = self.entries.partition_point(|entry| entry.offset <= offset);
        count.checked_sub(1).map(|last| self.entries[last])
    }

    /// Returns the last entry not later than `time`: every record from `time` on is there or after it.
    pub(super) fn before(&self, time: DateTime<Utc>) -> Option<IndexEntry> {
        let count = self.entries.partition_point(|entry| entry.time <= time);
        count.checked_sub(1).map(|last| self.entries[last])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn no_record_from_a_time_on_stands_before_its_entry(
            times in prop::collection::vec(0_i64..300, 1..80),
            asked in -10_i64..320,
            resumed_at in 0_i64..300,
        ) {
            let mut time_index = TimeIndex::default();
            for (offset, time) in times.iter().enumerate() {
                time_index.add(at(*time), offset as u64);
            }
            // Taken up again at one of its own entries, a time index says the same of everything from there on.
            let mut outlines = vec![time_index];
            if let Some(entry) = outlines[0].before(at(resumed_at)) {
                let mut resumed = TimeIndex::from_entry(entry);
                for (offset, time) in times.iter().enumerate().skip(entry.offset as usize) {
                    resumed.add(at(*time), offset as u64);
                }
                outlines.push(resumed);
            }
            for time_index in outlines {
                let Some(entry) = time_index.before(at(asked)) else { continue };
                prop_assert!(entry.time <= at(asked));
                prop_assert_eq!(at(times[entry.offset as usize]), entry.time);
                prop_assert!(times[..entry.offset as usize].iter().all(|time| at(*time) < entry.time));
            }
        }

        #[test]
        fn a_file_in_order_is_left_out_up_to_ten_seconds_before_the_time(count in 1_i64..200, asked in 0_i64..200) {
            let mut time_index = TimeIndex::default();
            for second in 0..count {
                time_index.add(at(second), second as u64);
            }
            let offset = time_index.before(at(asked)).unwrap().offset as i64;
            prop_assert!(asked.min(count - 1) - offset < 10);
        }
    }
}
