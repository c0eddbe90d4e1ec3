//! How far a walk has come: what the next part is joined to, and what is kept for it.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use super::FetchError;
use super::completed_range::CompletedRange;
use super::fetched_records::FetchedRecords;
use crate::record::digests::Digests;
use crate::record::{Anchor, Record};

/// How many records of a part the next one has to come upon; one of them is enough.
const ANCHORS: usize = 8;

/// The newer end of what was completed.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    /// The newest records, newest first.
    pub(super) anchors: Vec<Anchor>,
    /// The content hashes of what was handed out of the last part: the next one holds some of it again.
    seen: Digests,
    seen_rejected: Digests,
    /// Records that were given and belong to a part that is still to be read, newest first.
    later: Vec<Record>,
}

impl Frontier {
    /// Completes a part, and returns what of it was not handed out before. What is later than `limit` is kept for the
    /// next part: filed now, it would move the watermark past a gap.
    pub(super) fn advance(
        &mut self,
        mut fetched: FetchedRecords,
        limit: Option<DateTime<Utc>>,
        done_to: DateTime<Utc>,
    ) -> Result<CompletedRange, FetchError> {
        fetched.add(self.take_due(limit).into_iter().map(Ok).collect(), Vec::new());
        if fetched.is_too_large() {
            return Err(FetchError::Endless);
        }
        fetched.drop_known(&self.seen, &self.seen_rejected);
        let later = limit.map_or_else(Vec::new, |limit| fetched.split_after(limit));
        let records = std::mem::take(&mut fetched.records);
        self.keep_newest(&records);
        let rejected = std::mem::take(&mut fetched.rejected);
        let originals = std::mem::take(&mut fetched.originals);
        let (received, left_for_next_run) = (fetched.received, fetched.left_for_next_run);
        (self.seen, self.seen_rejected) = fetched.into_seen();
        for record in &later {
            self.seen.remove(&record.identity.content);
        }
        self.keep(later);
        Ok(CompletedRange {
            records,
            rejected,
            originals,
            received,
            left_for_next_run,
            done_to,
        })
    }

    /// Returns that of a walk that begins again: nothing is completed, and what was given is kept.
    pub(super) fn begun_again(self) -> Self {
        Self {
            later: self.later,
            ..Self::default()
        }
    }

    /// Keeps records that were given and belong to what is still to be read.
    pub(super) fn keep(&mut self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        self.later.extend(records);
        self.later.sort_by_key(|record| Reverse(record.time));
    }

    /// Takes out the records that belong to a part up to this time.
    fn take_due(&mut self, limit: Option<DateTime<Utc>>) -> Vec<Record> {
        let is_later = |record: &Record| limit.is_some_and(|limit| record.time > limit);
        let due = self.later.partition_point(is_later);
        self.later.split_off(due)
    }

    fn keep_newest(&mut self, records: &[Record]) {
        self.anchors.extend(records.iter().map(Anchor::of));
        self.anchors.sort_unstable_by(|one, other| other.cmp(one));
        self.anchors.dedup();
        self.anchors.truncate(ANCHORS);
    }
}
