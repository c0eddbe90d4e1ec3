//! What the archive holds already: which of the records that came are new.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::batch::Batch;
use super::day::{Day, Known};
use crate::record::{Record, Rejected};

/// Why a record with a known id is not filed.
const CONFLICT: &str = "same id as a record already kept, with different content";

/// The identities in the day files that were read, by day.
#[derive(Default)]
pub(super) struct DedupIndex {
    days: BTreeMap<NaiveDate, Day>,
}

/// The records of a day that came, sorted out.
#[derive(Debug, PartialEq, Eq)]
pub struct Dedup {
    /// Those that the archive does not hold, each once.
    pub new: Batch,
    /// How many are there already, or came more than once.
    pub duplicates: u64,
    /// Those that have the id of another record; they belong into the rejected file.
    pub(crate) conflicts: Vec<Rejected>,
}

impl DedupIndex {
    /// What was read of a day.
    pub(super) fn day(&self, date: NaiveDate) -> Option<&Day> {
        self.days.get(&date)
    }

    /// The days that were read, oldest first.
    pub(super) fn dates(&self) -> impl Iterator<Item = NaiveDate> + '_ {
        self.days.keys().copied()
    }

    pub(super) fn put(&mut self, date: NaiveDate, day: Day) {
        self.days.insert(date, day);
    }

    /// Takes in records that were appended at `offset` of the day's file; a day that was not read is left so.
    pub(super) fn learn(&mut self, date: NaiveDate, records: &[Record], offset: u64) {
        if let Some(day) = self.days.get_mut(&date) {
            day.append(records, offset);
        }
    }

    pub(super) fn forget_before(&mut self, date: NaiveDate) {
        self.days = self.days.split_off(&date);
    }
}

/// Sorts records out by what the file of their day holds, and by each other.
pub(super) fn deduplicate(batch: Batch, day: &Day) -> Dedup {
    let (mut duplicates, mut conflicts) = (0, Vec::new());
    let mut came = Day::with_room(batch.records().len());
    let new = batch.filter(|record| {
        match (day.knows(record.identity), came.knows(record.identity)) {
            (Known::Yes, _) | (_, Known::Yes) => duplicates += 1,
            (Known::Conflict, _) | (_, Known::Conflict) => conflicts.push(record.into_rejected(CONFLICT)),
            (Known::No, Known::No) => {
                came.add(record.identity);
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
