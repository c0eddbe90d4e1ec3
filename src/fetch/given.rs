//! What answers gave, until a completed range has it.
//!
//! Every page comes by here before anything else is made of it: whatever becomes of the answer, of the walk and of its
//! future, the service may not give the same again.

use std::mem::take;

use chrono::{DateTime, Utc};

use super::fetched_records::{FetchedRecords, MOST_BYTES, not_in_the_future};
use super::plan::WalkPlan;
use crate::record::{Line, Record, Rejected, hold};

/// The most bytes held: the records of a walk's slices, and of those that it reads again in shorter ones.
const MOST_HELD: usize = 3 * MOST_BYTES;

/// Records that the service gave and that no completed range has.
#[derive(Debug, Default)]
pub(crate) struct LeftOver {
    pub(crate) records: Vec<Record>,
    pub(crate) rejected: Vec<Rejected>,
    /// Records that were repaired, as they came.
    pub(crate) originals: Vec<Rejected>,
}

/// What answers gave and no completed range has yet.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Later records are for another walk, or for the next run.
    filed_to: DateTime<Utc>,
    possible_to: DateTime<Utc>,
    records: Vec<Record>,
    rejected: Vec<Rejected>,
    originals: Vec<Rejected>,
    /// Records of the walks before, which no range of this one completes.
    left: Vec<Record>,
    bytes: usize,
}

impl Given {
    /// Begins another walk.
    pub(super) fn begin(&mut self, plan: WalkPlan) {
        self.possible_to = plan.possible_to();
        self.filed_to = plan.filed_to().unwrap_or(self.possible_to);
        self.left.append(&mut self.records);
    }

    /// Takes what a page has and no page before had of late.
    pub(super) fn take(&mut self, new: Vec<Result<Record, Rejected>>, originals: &[Rejected]) {
        let before = (self.records.len(), self.rejected.len(), self.originals.len());
        for item in new {
            match item.and_then(|record| not_in_the_future(record, self.possible_to)) {
                Ok(record) if record.time <= self.filed_to => self.records.push(record),
                Ok(_) => {}
                Err(rejected) => self.rejected.push(rejected),
            }
        }
        self.originals.extend_from_slice(originals);
        let records = self.records[before.0..].iter_mut().map(|record| &mut record.line);
        let rejected = self.rejected[before.1..].iter_mut().map(|rejected| &mut rejected.line);
        let originals = self.originals[before.2..].iter_mut().map(|original| &mut original.line);
        let mut lines: Vec<&mut Line> = records.chain(rejected).chain(originals).collect();
        hold(&mut lines);
        self.bytes += lines.iter().map(|line| bytes_of(line)).sum::<usize>();
    }

    /// Returns whether it holds more than an honest service gives at one time.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > MOST_HELD
    }

    /// Lets go of what a completed range has, and takes out what else was given of its time: what is not later than
    /// `limit`.
    pub(super) fn take_due(&mut self, fetched: &FetchedRecords, limit: Option<DateTime<Utc>>) -> Vec<Record> {
        let is_later = |record: &Record| limit.is_some_and(|limit| record.time > limit);
        let (mut due, mut later) = (Vec::new(), Vec::new());
        let mut freed = 0;
        for record in take(&mut self.records) {
            if is_later(&record) {
                later.push(record);
                continue;
            }
            freed += bytes_of(&record.line);
            if !fetched.has_seen(&record) {
                due.push(record);
            }
        }
        self.records = later;
        self.left
            .retain(|record| is_later(record) || !lets_go(&mut freed, &record.line, fetched.has_seen(record)));
        for rejected in [&mut self.rejected, &mut self.originals] {
            rejected.retain(|rejected| !lets_go(&mut freed, &rejected.line, fetched.has_seen_rejected(rejected)));
        }
        self.bytes = self.bytes.saturating_sub(freed);
        due
    }

    /// Takes back what no completed range has after all.
    pub(super) fn take_back(&mut self, back: LeftOver) {
        self.left.extend(back.records);
        self.rejected.extend(back.rejected);
        self.originals.extend(back.originals);
    }
}

/// Counts the bytes of a line that is handed out, if it is.
fn lets_go(freed: &mut usize, line: &Line, is_handed_out: bool) -> bool {
    *freed += if is_handed_out { bytes_of(line) } else { 0 };
    is_handed_out
}

/// Returns what a record takes, by its line.
fn bytes_of(line: &Line) -> usize {
    size_of::<Record>() + line.len()
}
