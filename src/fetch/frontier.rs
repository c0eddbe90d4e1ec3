//! How far a walk has come: what the next part is joined to.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::completed_range::CompletedRange;
use super::fetched_records::{FetchedRecords, Version};
use super::given::Given;
use super::sightings::Sightings;
use super::{FetchError, LeftOver};
use crate::record::digests::Digests;
use crate::record::{Anchor, AnchorSet, Record};
use crate::window::floor_to_millisecond;

/// How many records of a part the next one has to come upon; one of them is enough.
const ANCHORS: usize = 8;

/// The newer end of what was completed.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    /// The newest records that the answers for a part have shown, newest first.
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
        given: &mut Given,
        mut fetched: FetchedRecords,
        limit: Option<DateTime<Utc>>,
        done_to: DateTime<Utc>,
    ) -> Result<CompletedRange, FetchError> {
        // Of what other answers gave, the next part's own among them, nothing shows that this one and the next meet.
        let is_of_part = |record: &&Record| limit.is_none_or(|limit| record.time <= limit);
        self.keep_newest(fetched.records.iter().filter(is_of_part));
        let mut due = given.take_due(&fetched, limit);
        fetched.mark_superseded(&mut due);
        fetched.add(due.into_iter().map(Ok).collect(), Vec::new());
        if fetched.is_too_large() {
            given.take_back(LeftOver {
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

    fn keep_newest<'r>(&mut self, records: impl Iterator<Item = &'r Record> + Clone) {
        self.keep_newest_moment(records.clone());
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

    fn keep_newest_moment<'r>(&mut self, records: impl Iterator<Item = &'r Record> + Clone) {
        let known = self.newest.iter().map(|anchor| anchor.time);
        let newest = records
            .clone()
            .map(|record| record.time)
            .chain(known)
            .max()
            .map(floor_to_millisecond);
        // None is later than that millisecond.
        let is_newest = |anchor: &Anchor| newest.is_some_and(|newest| anchor.time >= newest);
        let moment = Arc::make_mut(&mut self.newest);
        moment.retain(is_newest);
        let of_moment = records.filter(|record| newest.is_some_and(|newest| record.time >= newest));
        moment.extend(of_moment.map(Anchor::of));
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::WalkPlan;
    use super::*;
    use crate::test_support::record::{minute as at, record_of_minute as record};
    use crate::window::Window;

    #[test]
    fn the_next_part_is_joined_to_what_answers_for_this_one_have_shown_and_not_to_what_others_gave_of_its_time() {
        let mut given = Given::default();
        given.begin(WalkPlan::of(Window::new(at(0), at(30)), at(30)));
        let others: Vec<_> = [2, 4].map(|minute| Ok(record(minute))).into();
        given.take(others.iter(), &[]);
        let mut fetched = FetchedRecords::new(at(30));
        fetched.add([1, 3, 6].map(|minute| Ok(record(minute))).into(), Vec::new());
        let mut frontier = Frontier::default();
        let range = frontier.advance(&mut given, fetched, Some(at(5)), at(5)).unwrap();
        let mut filed: Vec<_> = range.records.iter().map(|record| record.time).collect();
        filed.sort_unstable();
        assert_eq!(filed, [1, 2, 3, 4].map(at));
        assert_eq!(frontier.anchors, [3, 1].map(|minute| Anchor::of(&record(minute))));
        assert_eq!(*frontier.newest(), [Anchor::of(&record(3))].into_iter().collect());
    }
}
