//! Which records are new, by what the day files hold.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::batch::Batch;
use super::day::{Day, Known};
use crate::record::{Record, Rejected};

/// Why a record with a known id is rejected.
const CONFLICT: &str = "same id as an archived record, with different content";

/// The identities in the day files that were read, by day.
#[derive(Default)]
pub(super) struct DedupIndex {
    days: BTreeMap<NaiveDate, Day>,
}

/// The records of a day, deduplicated.
#[derive(Debug, PartialEq, Eq)]
pub struct Dedup {
    /// Records that the archive does not hold, each once.
    pub new: Batch,
    /// Number of records that are archived already, or came more than once.
    pub duplicates: u64,
    /// Records with the id of another record and different content; they go to the rejected file.
    pub(crate) conflicts: Vec<Rejected>,
}

impl DedupIndex {
    /// Returns what was read of a day.
    pub(super) fn day(&self, date: NaiveDate) -> Option<&Day> {
        self.days.get(&date)
    }

    /// Returns the days that were read, oldest first.
    pub(super) fn dates(&self) -> impl Iterator<Item = NaiveDate> + '_ {
        self.days.keys().copied()
    }

    pub(super) fn put(&mut self, date: NaiveDate, day: Day) {
        self.days.insert(date, day);
    }

    /// Adds records that were appended at `offset` of the day's file, if that day was read.
    pub(super) fn learn(&mut self, date: NaiveDate, records: &[Record], offset: u64) {
        if let Some(day) = self.days.get_mut(&date) {
            day.append(records, offset);
        }
    }

    pub(super) fn forget_before(&mut self, date: NaiveDate) {
        self.days = self.days.split_off(&date);
    }
}

/// Compares records with the file of their day and with each other.
pub(super) fn deduplicate(batch: Batch, day: &Day) -> Dedup {
    let (mut duplicates, mut conflicts) = (0, Vec::new());
    let mut seen = Day::with_room(batch.records().len());
    let new = batch.filter(|record| {
        match (day.knows(record.identity), seen.knows(record.identity)) {
            (Known::Yes, _) | (_, Known::Yes) => duplicates += 1,
            (Known::Conflict, _) | (_, Known::Conflict) => conflicts.push(record.into_rejected(CONFLICT)),
            (Known::No, Known::No) => {
                seen.add(record.identity);
                return Some(record);
            }
        }
        None
    });
    Dedup {
        new,
        duplicates,
        conflicts,
    }
}
