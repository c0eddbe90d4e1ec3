//! Which records are new, by what the day files hold.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::batch::Batch;
use super::day::Day;
use super::key::Key;
use crate::record::digests::Digests;
use crate::record::{Record, Rejected};

/// Why a record is in the revised file.
const REVISED: &str = "same id and time as an archived record, with other fields";

/// By how much, at the most, the records of a completed range are older than the newest of those before.
const RANGE_OVERLAP: TimeDelta = TimeDelta::hours(1);

/// The identities in the day files that were read, by day.
#[derive(Default)]
pub(super) struct DedupIndex {
    days: BTreeMap<NaiveDate, Day>,
    /// The newest archived records that the service returned in this run. A later range does not hold them again, and
    /// nothing in it is a revision of them.
    given: Vec<Given>,
    /// Where the lines of this run begin in a day file.
    first_appended: HashMap<NaiveDate, u64>,
}

/// An archived record that the service returned.
struct Given {
    time: DateTime<Utc>,
    archived: Key,
    /// The content of the revision as which it was returned.
    revision: Option<u128>,
}

/// The records of a day, deduplicated.
#[derive(Debug, PartialEq, Eq)]
pub struct Dedup {
    /// Records that the archive does not hold, each once.
    pub new: Batch,
    /// Number of records that are archived already, or came more than once.
    pub duplicates: u64,
    /// Archived records with other fields, each once; they go to the revised file.
    pub(crate) revisions: Vec<Rejected>,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    /// It is archived.
    Archived,
    /// It came before in the same batch.
    Repeated,
    Revision,
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

    /// Takes what was read of a day, if the records in the files of other days are still to be added.
    pub(super) fn take_incomplete(&mut self, date: NaiveDate) -> Option<Day> {
        let is_complete = self.days.get(&date).is_none_or(Day::has_misplaced);
        if is_complete { None } else { self.days.remove(&date) }
    }

    pub(super) fn put(&mut self, date: NaiveDate, day: Day) {
        self.days.insert(date, day);
    }

    /// Adds records that were appended at `offset` of the day's file, if that day was read. The offset is `None` in a dry
    /// run, which has no end of a file.
    pub(super) fn learn(&mut self, date: NaiveDate, records: &[Record], offset: Option<u64>) {
        if let Some(offset) = offset {
            self.first_appended.entry(date).or_insert(offset);
        }
        if let Some(day) = self.days.get_mut(&date) {
            day.append(records, offset.unwrap_or_default());
        }
    }

    /// Returns up to where the day's file is older than this run.
    pub(super) fn end_before_this_run(&self, date: NaiveDate) -> u64 {
        self.first_appended.get(&date).copied().unwrap_or(u64::MAX)
    }

    /// Notes which archived records a batch holds, or revisions of which.
    pub(super) fn note_given(&mut self, batch: &Batch, verdicts: &[Verdict], revised: Vec<(Key, usize)>) {
        let Some(newest) = batch.records().last().map(|record| record.time) else {
            return;
        };
        let oldest = newest - RANGE_OVERLAP;
        self.given.retain(|given| given.time >= oldest);
        let records = batch.records().iter().zip(verdicts);
        let archived = records.filter(|(record, verdict)| **verdict == Verdict::Archived && record.time >= oldest);
        self.given.extend(archived.map(|(record, _)| Given {
            time: record.time,
            archived: Key::of(record.identified()),
            revision: None,
        }));
        self.given.extend(revised.into_iter().map(|(archived, place)| Given {
            time: batch.records()[place].time,
            archived,
            revision: Some(batch.records()[place].identity.content),
        }));
    }

    /// Returns the archived records that the service returned in this run, the newest of them.
    pub(super) fn given(&self) -> impl Iterator<Item = Key> + '_ {
        self.given.iter().map(|given| given.archived)
    }

    /// Returns the contents of the revisions that this run has found, the newest of them.
    pub(super) fn revisions(&self) -> Digests {
        self.given.iter().filter_map(|given| given.revision).collect()
    }

    pub(super) fn forget_before(&mut self, date: NaiveDate) {
        self.days = self.days.split_off(&date);
    }
}

/// Compares records by content with the file of their day, with the revisions that this run has found, and with each other.
pub(super) fn by_content(batch: &Batch, day: &Day, revisions: &Digests) -> Vec<Verdict> {
    let mut seen = Digests::with_capacity_and_hasher(batch.records().len(), Default::default());
    let verdict = |record: &Record| {
        let content = record.identity.content;
        if day.holds(record) {
            Verdict::Archived
        } else if !seen.insert(content) {
            Verdict::Repeated
        } else if revisions.contains(&content) || record.is_superseded {
            Verdict::Revision
        } else {
            Verdict::New
        }
    };
    batch.records().iter().map(verdict).collect()
}

/// Splits the records by what they are.
pub(super) fn split(batch: Batch, verdicts: &[Verdict]) -> Dedup {
    let (mut duplicates, mut revisions) = (0, Vec::new());
    let mut verdicts = verdicts.iter();
    let new = batch.filter(|record| {
        match verdicts.next() {
            Some(Verdict::Archived | Verdict::Repeated) => duplicates += 1,
            Some(Verdict::Revision) => revisions.push(record.into_rejected(REVISED)),
            Some(Verdict::New) | None => return Some(record),
        }
        None
    });
    Dedup {
        new,
        duplicates,
        revisions,
    }
}
