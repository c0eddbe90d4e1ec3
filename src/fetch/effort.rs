//! How many requests a walk needs, so that one that asks for much more is ended: a service in trouble is not helped by a
//! storm of requests.

use chrono::TimeDelta;

use crate::record::digests::Digests;
use crate::record::{Record, Rejected};

/// So many requests a walk may make for each answer that it needs, which is four times what it does with a join for each: on a slow
/// machine slices are divided for their time, and read again; for each slice that the service wants as short, which is looked
/// at three times where nothing is in it; for each retry, and besides.
const FOR_AN_ANSWER: u64 = 8;
const FOR_A_SHORT_SLICE: u64 = 8;
const FOR_A_RETRY: u64 = 1;
const BESIDES: u64 = 24;

/// So many requests that are made again since their answers are doubted are not counted, for each answer that it needs and besides.
const DOUBTED_FOR_AN_ANSWER: u64 = 2;
const DOUBTED_BESIDES: u64 = 16;

/// The records of so many usual pages are remembered, to know those that are read again, and no more than so many: they would not
/// fit in a processor's cache.
const REMEMBERED_PAGES: u64 = 50;
const MOST_REMEMBERED: u64 = 10_000;

/// The least records that a page is taken to have for that.
const FEWEST_OF_PAGE: u64 = 100;

/// What answers have brought.
#[derive(Debug, Default)]
pub(super) struct Effort {
    /// How many answers brought something new, how much in all, and the most records of one, up to the usual size.
    useful: u64,
    records: u64,
    most_records: u64,
    usual_size: u64,
    /// Answers that did not come, or were too large.
    failures: u64,
    /// Answers that were doubted.
    doubted: u64,
    /// How many slices were read that are as short as they are because the service refused longer ones.
    short_slices: u64,
    /// How wide the window of the walk is, and the widest that was answered for, and not refused since.
    window: TimeDelta,
    widest: TimeDelta,
    /// How many requests and retries there were before the walk.
    requests_before: u64,
    retries_before: u64,
    /// The content hashes of the last records: what is read again brings nothing new.
    recent: Digests,
    /// What tells them apart in whatever version they come: one that differs in each answer is something new once.
    moments: Digests,
}

impl Effort {
    /// Nothing so far of a window of this width, from a service whose pages usually have so many records, after so many
    /// requests and retries.
    pub(super) fn new(window: TimeDelta, usual_size: u32, requests_before: u64, retries_before: u64) -> Self {
        Self {
            window,
            usual_size: usual_size.into(),
            requests_before,
            retries_before,
            ..Self::default()
        }
    }

    /// Counts the records of an answer that no other had of late; returns for each whether it is one.
    pub(super) fn note_answer(&mut self, records: &[Result<Record, Rejected>]) -> Vec<bool> {
        let most_recent = (REMEMBERED_PAGES * self.usual_size.max(FEWEST_OF_PAGE)).min(MOST_REMEMBERED);
        if self.recent.len() as u64 > most_recent {
            self.recent.clear();
            self.moments.clear();
        }
        let is_new = |item: &Result<Record, Rejected>| {
            self.recent.insert(match item {
                Ok(record) => record.identity.content,
                Err(rejected) => rejected.content,
            })
        };
        let are_new: Vec<bool> = records.iter().map(is_new).collect();
        let moments = records.iter().map(|item| match item {
            Ok(record) => record.moment(),
            Err(rejected) => rejected.content,
        });
        let new = moments.filter(|moment| self.moments.insert(*moment)).count();
        self.useful += u64::from(new > 0);
        self.records += new as u64;
        self.most_records = self.most_records.max(self.usual_size.min(records.len() as u64));
        are_new
    }

    /// Returns whether an answer had a record of this content of late.
    pub(super) fn has_seen(&self, content: u128) -> bool {
        self.recent.contains(&content)
    }

    /// Counts a request that was made again since its answer was doubted.
    pub(super) fn note_repeated(&mut self) {
        self.doubted += 1;
    }

    /// Counts a request that was given up.
    pub(super) fn note_failure(&mut self) {
        self.failures += 1;
    }

    /// Counts a slice that is as short as it is because the service refused a longer one.
    pub(super) fn note_short_slice(&mut self) {
        self.short_slices += 1;
    }

    /// Notes the widest span that was answered for, and not refused since.
    pub(super) fn note_widest(&mut self, width: TimeDelta) {
        self.widest = width;
    }

    /// Returns how many answers a walk needs for what was read: those that brought something new, but no more than twice
    /// as many as would be if all were as large as the largest.
    pub(super) fn needed(&self) -> u64 {
        let at_least = self.records.div_ceil(self.most_records.max(1));
        self.useful.min(2 * at_least)
    }

    /// Returns how many short slices it needs: those that were read, but no more than twice as many as would be if all were as
    /// wide as the widest that was answered for.
    fn slices_needed(&self) -> u64 {
        let widest = self.widest.num_milliseconds().max(1);
        let slices = u64::try_from(self.window.num_milliseconds() / widest + 1).unwrap_or(0);
        self.short_slices.min(2 * slices)
    }

    /// Returns how many requests the walk has made, of so many in all.
    pub(super) fn requests(&self, in_all: u64) -> u64 {
        in_all.saturating_sub(self.requests_before)
    }

    /// Returns whether one more request is within what a walk may need, after so many requests and retries in all.
    pub(super) fn allows(&self, requests: u64, retries: u64) -> bool {
        let retries = retries.saturating_sub(self.retries_before);
        let needed = FOR_AN_ANSWER * self.needed() + FOR_A_SHORT_SLICE * self.slices_needed();
        let doubted = self
            .doubted
            .min(DOUBTED_BESIDES + DOUBTED_FOR_AN_ANSWER * self.needed());
        self.requests(requests) < BESIDES + needed + FOR_A_RETRY * (retries + self.failures) + doubted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    fn record(version: u64) -> Result<Record, Rejected> {
        let tfc = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        let text =
            format!(r#"{{"id":"ae-1","timestamp":"2025-06-09T10:00:00Z","type":"Resource","version":"{version}"}}"#);
        Ok(Record::read(&text, &tfc.shape).unwrap())
    }

    #[test]
    fn a_record_that_differs_in_each_answer_is_no_reason_to_ask_without_end() {
        let mut effort = Effort::new(TimeDelta::hours(1), 100, 0, 0);
        let mut requests = 0;
        while effort.allows(requests, 0) {
            // It was given, all the same.
            assert_eq!(effort.note_answer(&[record(requests)]), [true]);
            requests += 1;
            assert!(requests < 1_000, "{effort:?}");
        }
    }
}
