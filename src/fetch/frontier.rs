//! How far a walk has come: what the next part is joined to.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::completed_range::CompletedRange;
use super::fetched_records::{FetchedRecords, Version};
use super::sightings::Sightings;
use super::{FetchError, Fetcher, LeftOver};
use crate::record::digests::Digests;
use crate::record::{Anchor, AnchorSet, Record};
use crate::window::floor_to_millisecond;

/// How many records of a part the next one has to come upon; one of them is enough.
const ANCHORS: usize = 8;

/// The newer end of what was completed.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    /// The newest records, newest first.
    pub(super) anchors: Vec<Anchor>,
    /// All records of the newest millisecond.
    newest: Arc<AnchorSet>,
    /// What the last part was given: the next one holds some of it again; and its newest time.
    seen: Sightings,
    seen_to: Option<DateTime<Utc>>,
    seen_rejected: Digests,
    /// What was handed out with the last part that had something: see [`Version`].
    handed_out: Vec<Version>,
}

impl Frontier {
    /// Completes a part, and returns what of it was not handed out before, with all that any answer gave of its time. What
    /// is later than `limit` is for the next part: filed now, it would move the watermark past a gap.
    pub(super) fn advance(
        &mut self,
        fetcher: &Fetcher,
        mut fetched: FetchedRecords,
        limit: Option<DateTime<Utc>>,
        done_to: DateTime<Utc>,
    ) -> Result<CompletedRange, FetchError> {
        let mut due = fetcher.given().take_due(&fetched, limit);
        fetched.mark_superseded(&mut due);
        fetched.add(due.into_iter().map(Ok).collect(), Vec::new());
        if fetched.is_too_large() {
            fetcher.given().take_back(LeftOver {
                records: fetched.records,
                rejected: fetched.rejected,
                originals: fetched.originals,
            });
            return Err(FetchError::Endless);
        }
        let newest = fetched.newest();
        fetched.drop_known(&self.seen, self.seen_to, &self.seen_rejected);
        fetched.mark_versions_of(&self.handed_out, self.seen_to);
        if let Some(limit) = limit {
            fetched.end_at(limit);
        }
        let records = std::mem::take(&mut fetched.records);
        self.keep_newest(&records);
        if !records.is_empty() {
            self.handed_out = records.iter().filter_map(Version::of).collect();
        }
        let rejected = std::mem::take(&mut fetched.rejected);
        let originals = std::mem::take(&mut fetched.originals);
        let (received, left_for_next_run) = (fetched.received, fetched.left_for_next_run);
        (self.seen, self.seen_rejected) = fetched.into_seen();
        self.seen_to = newest;
        Ok(CompletedRange {
            records,
            rejected,
            originals,
            received,
            left_for_next_run,
            done_to,
        })
    }

    /// Returns the records that were read of the newest millisecond.
    pub(super) fn newest(&self) -> Arc<AnchorSet> {
        Arc::clone(&self.newest)
    }

    fn keep_newest(&mut self, records: &[Record]) {
        self.keep_newest_moment(records);
        for record in records {
            let is_full = self.anchors.len() == ANCHORS;
            if is_full && self.anchors.last().is_some_and(|oldest| record.time < oldest.time) {
                continue;
            }
            let anchor = Anchor::of(record);
            // A record can be there already, of a part before.
            if let Err(place) = self.anchors.binary_search_by(|other| anchor.cmp(other)) {
                self.anchors.insert(place, anchor);
                self.anchors.truncate(ANCHORS);
            }
        }
    }

    fn keep_newest_moment(&mut self, records: &[Record]) {
        let known = self.newest.iter().map(|anchor| anchor.time);
        let newest = records
            .iter()
            .map(|record| record.time)
            .chain(known)
            .max()
            .map(floor_to_millisecond);
        // None is later than that millisecond.
        let is_newest = |anchor: &Anchor| newest.is_some_and(|newest| anchor.time >= newest);
        let moment = Arc::make_mut(&mut self.newest);
        moment.retain(is_newest);
        let of_moment = records
            .iter()
            .filter(|record| newest.is_some_and(|newest| record.time >= newest));
        moment.extend(of_moment.map(Anchor::of));
    }
}
