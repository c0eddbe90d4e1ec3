//! The records of one fetch, each once.

use chrono::{DateTime, TimeDelta, Utc};

use crate::record::digests::Digests;
use crate::record::{Anchor, Record, Rejected};
use crate::window::bound;

/// The most bytes held for one service: one that returns records without end must not exhaust the machine's memory.
const MOST_BYTES: usize = 1 << 30;

/// Runs come at least this often. A record that is further ahead of the clocks has a wrong time.
const SOON: TimeDelta = TimeDelta::days(1);

/// The capacity at the start: as many records as a slice usually brings.
const USUALLY_HELD: usize = 1_792;

#[derive(Debug)]
pub(crate) struct FetchedRecords {
    /// Later records are newer than the run: they are left for the next one, which asks for them again. Those that no
    /// run of the next [`SOON`] would file are in the future, and rejected: else nobody would ever see them.
    possible_to: DateTime<Utc>,
    /// The content hashes of all records.
    seen: Digests,
    seen_rejected: Digests,
    /// Records that can be filed.
    pub(crate) records: Vec<Record>,
    /// Records that cannot.
    pub(crate) rejected: Vec<Rejected>,
    /// How many the service returned: one that several answers hold, because they overlap, counts once.
    pub(crate) received: u64,
    /// How many are newer than the run, each counted once.
    pub(crate) left_for_next_run: u64,
    /// The approximate size in memory.
    pub(crate) bytes: usize,
}

/// What one page added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// Records that no earlier page had.
    pub(crate) new: usize,
    /// The time of the newest of them.
    pub(crate) newest: Option<DateTime<Utc>>,
}

impl FetchedRecords {
    pub(crate) fn new(possible_to: DateTime<Utc>) -> Self {
        Self {
            possible_to,
            seen: Digests::with_capacity_and_hasher(USUALLY_HELD, Default::default()),
            seen_rejected: Digests::default(),
            records: Vec::new(),
            rejected: Vec::new(),
            received: 0,
            left_for_next_run: 0,
            bytes: 0,
        }
    }

    /// Returns whether it holds more than an honest service returns at one time.
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes > MOST_BYTES
    }

    /// Returns whether it holds one of these.
    pub(crate) fn holds_any(&self, anchors: &[Anchor]) -> bool {
        self.records.iter().any(|record| anchors.contains(&Anchor::of(record)))
    }

    /// Adds a page.
    pub(crate) fn add(&mut self, page: Vec<Result<Record, Rejected>>) -> Added {
        let mut added = Added::default();
        let left_before = self.left_for_next_run;
        for item in page {
            let (time, is_new) = match item {
                Ok(record) => (Some(record.time), self.add_record(record)),
                Err(rejected) => (None, self.add_rejected(rejected)),
            };
            if is_new {
                added.new += 1;
                added.newest = added.newest.max(time);
            }
        }
        self.received += (added.new as u64).saturating_sub(self.left_for_next_run - left_before);
        added
    }

    fn add_record(&mut self, record: Record) -> bool {
        let future = self.possible_to + SOON;
        if record.time > future {
            let reason = format!("its time is in the future, after {}", bound(future));
            return self.add_rejected(record.into_rejected(reason));
        }
        let is_new = self.seen.insert(record.identity.content);
        if is_new && record.time > self.possible_to {
            self.left_for_next_run += 1;
            self.bytes += size_of::<u128>();
        } else if is_new {
            self.bytes += record.line.len() + size_of::<u128>();
            self.records.push(record);
        }
        is_new
    }

    fn add_rejected(&mut self, rejected: Rejected) -> bool {
        let is_new = self.seen_rejected.insert(rejected.content);
        if is_new {
            self.bytes += rejected.line.len();
            self.rejected.push(rejected);
        }
        is_new
    }

    /// Takes out the records that are later than `time`: they belong to what comes next.
    pub(crate) fn split_after(&mut self, time: DateTime<Utc>) -> Vec<Record> {
        let (kept, later) = std::mem::take(&mut self.records)
            .into_iter()
            .partition(|record| record.time <= time);
        self.records = kept;
        self.received -= Vec::len(&later) as u64;
        later
    }

    /// Drops the records that `known` holds.
    pub(crate) fn drop_known(&mut self, known: &Digests) {
        let before = self.records.len();
        self.records.retain(|record| !known.contains(&record.identity.content));
        self.received -= (before - self.records.len()) as u64;
    }

    /// Returns the content hashes of all records that it was given.
    pub(crate) fn into_seen(self) -> Digests {
        self.seen
    }
}
