//! The newest records of a day file: the time of the last one, and some from before the overlap of the next run.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use crate::record::{Anchor, Identified};

/// How many records from before the overlap are remembered.
const MOST_BELOW: usize = 8;

/// Collects the newest records while a file is read; memory is bounded by what the overlap holds.
#[derive(Debug)]
pub(super) struct NewestRecords {
    /// Later records do not count.
    now: DateTime<Utc>,
    overlap: TimeDelta,
    last: Option<DateTime<Utc>>,
    /// In the order of the file.
    within: VecDeque<Anchor>,
    /// The newest from before the overlap.
    below: Vec<Anchor>,
}

impl NewestRecords {
    /// Nothing so far of a file; `last` is the time of the last record of newer files.
    pub(super) fn new(now: DateTime<Utc>, overlap: TimeDelta, last: Option<DateTime<Utc>>) -> Self {
        Self {
            now,
            overlap,
            last,
            within: VecDeque::new(),
            below: Vec::new(),
        }
    }

    /// Adds the next record of the file.
    pub(super) fn add(&mut self, identified: Identified) {
        if identified.time > self.now {
            return;
        }
        self.last = self.last.max(Some(identified.time));
        self.within.push_back(identified.into());
        while let Some(anchor) = self.within.pop_front() {
            if !self.is_below(anchor) {
                self.within.push_front(anchor);
                return;
            }
            self.keep(anchor);
        }
    }

    /// Returns the time of the last record.
    pub(super) fn last(&self) -> Option<DateTime<Utc>> {
        self.last
    }

    /// Returns the newest records from before the overlap.
    pub(super) fn into_below(mut self) -> Vec<Anchor> {
        while let Some(anchor) = self.within.pop_front() {
            if self.is_below(anchor) {
                self.keep(anchor);
            }
        }
        self.below
    }

    fn is_below(&self, anchor: Anchor) -> bool {
        self.last.is_some_and(|last| anchor.time < last - self.overlap)
    }

    fn keep(&mut self, anchor: Anchor) {
        self.below.push(anchor);
        if self.below.len() > 2 * MOST_BELOW {
            self.below.sort_unstable_by(|one, other| other.cmp(one));
            self.below.truncate(MOST_BELOW);
        }
    }
}
