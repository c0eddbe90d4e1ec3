//! The records of one fetch, each once, and which of them may be filed.

use chrono::{DateTime, Utc};

use crate::record::digests::Digests;
use crate::record::{Line, Record, Rejected, hold};
use crate::window::{Window, bound};

/// After this many pages in a row without a new record, the service is going in a circle.
pub(crate) const MOST_IDLE_PAGES: u32 = 1_000;

/// The most bytes held for one service: one that returns records without end must not exhaust the machine's memory.
const MOST_BYTES: usize = 128 << 20;

/// What a set takes for a hash, up to twice its size.
const HASH_BYTES: usize = 2 * size_of::<u128>();

/// Which records a fetch may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimits {
    /// Later records belong to a part of the window that was not fetched yet: filing them would move the watermark past
    /// a gap.
    pub(crate) filed_to: DateTime<Utc>,
    /// Later records are in the future, and rejected.
    pub(crate) possible_to: DateTime<Utc>,
}

/// The capacity at the start: as many records as a slice usually brings.
const USUALLY_HELD: usize = 1_792;

#[derive(Debug)]
pub(crate) struct FetchedRecords {
    time_limits: TimeLimits,
    /// The content hashes of all records; their keys are in them.
    seen: Digests,
    seen_rejected: Digests,
    seen_originals: Digests,
    /// Records that can be filed.
    pub(crate) records: Vec<Record>,
    /// Records that cannot.
    pub(crate) rejected: Vec<Rejected>,
    /// Records that were repaired, as they came.
    pub(crate) originals: Vec<Rejected>,
    /// How many the service returned, including repeated ones, without those of a later part of the window.
    pub(crate) received: u64,
    /// What all of that takes in memory, with the buffers that the lines are in.
    pub(crate) bytes: usize,
}

/// What one page added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// Records that no earlier page had.
    pub(crate) new: usize,
    pub(crate) times: Option<Times>,
}

/// The times of the records of a page that are in the requested window: a stray record elsewhere says nothing about how
/// far the page reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) oldest: DateTime<Utc>,
    /// Half of the records are not newer than this.
    pub(crate) median: DateTime<Utc>,
    pub(crate) newest: DateTime<Utc>,
    /// Whether they come newest first.
    pub(crate) in_order: bool,
}

impl FetchedRecords {
    pub(crate) fn new(time_limits: TimeLimits) -> Self {
        Self {
            time_limits,
            seen: Digests::with_capacity_and_hasher(USUALLY_HELD, Default::default()),
            seen_rejected: Digests::default(),
            seen_originals: Digests::default(),
            records: Vec::new(),
            rejected: Vec::new(),
            originals: Vec::new(),
            received: 0,
            bytes: 0,
        }
    }

    /// Returns whether it holds more than an honest service returns at one time.
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes > MOST_BYTES
    }

    /// Adds the records of a page of the request for `window`, and the originals of those that were repaired.
    pub(crate) fn add(
        &mut self,
        window: Window,
        records: Vec<Result<Record, Rejected>>,
        originals: Vec<Rejected>,
    ) -> Added {
        let before = (self.records.len(), self.rejected.len(), self.originals.len());
        let mut times = Vec::with_capacity(records.len());
        let mut new = 0;
        for item in records {
            let is_new = match item {
                Ok(record) => {
                    if window.contains(record.time) {
                        times.push(record.time);
                    }
                    self.add_record(record)
                }
                Err(rejected) => self.add_rejected(rejected),
            };
            new += usize::from(is_new);
        }
        originals.into_iter().for_each(|original| self.add_original(original));
        self.bytes += self.hold_lines(before);
        Added {
            new,
            times: Times::of(times),
        }
    }

    fn add_record(&mut self, record: Record) -> bool {
        if record.time > self.time_limits.possible_to {
            let possible_to = bound(self.time_limits.possible_to);
            return self.add_rejected(record.into_rejected(format!("its time is in the future, after {possible_to}")));
        }
        let is_new = self.seen.insert(record.identity.content);
        self.bytes += if is_new { HASH_BYTES } else { 0 };
        if record.time <= self.time_limits.filed_to {
            self.received += 1;
            if is_new {
                self.bytes += size_of::<Record>();
                self.records.push(record);
            }
        }
        is_new
    }

    fn add_rejected(&mut self, rejected: Rejected) -> bool {
        self.received += 1;
        let is_new = self.seen_rejected.insert(rejected.content);
        if is_new {
            self.bytes += HASH_BYTES + size_of::<Rejected>() + rejected.reason.len();
            self.rejected.push(rejected);
        }
        is_new
    }

    fn add_original(&mut self, original: Rejected) {
        if self.seen_originals.insert(original.content) {
            self.bytes += HASH_BYTES + size_of::<Rejected>() + original.reason.len();
            self.originals.push(original);
        }
    }

    /// Lets go of the rest of a page, whose lines come after so many others; returns how many bytes its lines hold.
    fn hold_lines(&mut self, (records, rejected, originals): (usize, usize, usize)) -> usize {
        let records = self.records[records..].iter_mut().map(|record| &mut record.line);
        let rejected = self.rejected[rejected..].iter_mut().map(|rejected| &mut rejected.line);
        let originals = self.originals[originals..]
            .iter_mut()
            .map(|original| &mut original.line);
        let mut lines: Vec<&mut Line> = records.chain(rejected).chain(originals).collect();
        hold(&mut lines)
    }
}

impl Times {
    fn of(mut times: Vec<DateTime<Utc>>) -> Option<Self> {
        let in_order = times.is_sorted_by(|earlier, later| earlier >= later);
        let (oldest, newest) = (*times.iter().min()?, *times.iter().max()?);
        let half = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(half);
        Some(Self {
            oldest,
            median: *median,
            newest,
            in_order,
        })
    }

    /// Returns whether all of them are within one millisecond, the finest bound that every service supports.
    pub(crate) fn share_a_millisecond(&self) -> bool {
        self.oldest.timestamp_millis() == self.newest.timestamp_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::List;
    use crate::record::Reader;
    use crate::test_support::record::{SHAPE, line};

    fn add(fetched: &mut FetchedRecords, records: &[String]) {
        let body = format!("{{\"list\":[{}]}}", records.join(","));
        let listed = Reader::new(SHAPE).read_list(&mut List::find(body.as_bytes(), "list"));
        let listed = listed.unwrap();
        let window = Window::new(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
        fetched.add(window, listed.records, listed.originals);
    }

    #[test]
    fn what_is_kept_of_a_page_is_counted_with_its_buffer_and_does_not_hold_the_rest() {
        let limit = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut fetched = FetchedRecords::new(TimeLimits {
            filed_to: limit,
            possible_to: limit,
        });
        let record = |id: &str| line(id, "2025-06-09T10:00:00Z");
        let large = record(&"x".repeat(100_000));
        add(&mut fetched, &[large.clone(), record("a"), "[1]".into()]);
        let all = fetched.bytes;
        assert!((100_000..150_000).contains(&all), "{all}");
        for n in 0..10 {
            add(
                &mut fetched,
                &[large.clone(), record(&n.to_string()), format!("[\"{n}\"]")],
            );
        }
        let more = fetched.bytes - all;
        assert_eq!(
            (fetched.records.len(), fetched.rejected.len(), fetched.received),
            (12, 11, 33)
        );
        assert!((1_000..10_000).contains(&more), "{more}");
        assert!(fetched.records.iter().all(|record| record.line.contains("10:00:00")));
    }
}
