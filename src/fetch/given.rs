//! What answers gave, until a completed range has it. What is left when a run ends was given and not filed.
//!
//! Every page comes by here before anything else is made of it: whatever becomes of the answer, of the walk and of its
//! future, the service may not give the same again.

use std::mem::take;

use chrono::{DateTime, Utc};

use super::fetched_records::{FetchedRecords, MOST_BYTES};
use super::plan::WalkPlan;
use crate::record::digests::Digests;
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

/// Whether the walks of a run came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkEnd {
    Reached,
    Early,
}

/// What answers gave and no completed range has yet.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Later records are for another walk, or for the next run.
    filed_to: DateTime<Utc>,
    possible_to: Option<DateTime<Utc>>,
    pages: Vec<GivenPage>,
    rejected: Vec<Rejected>,
    originals: Vec<Rejected>,
    /// Broken records of answers that were asked for again: they may have come whole then.
    broken: Vec<Rejected>,
    /// Records of the walks before, which no range of this one completes.
    left: Vec<Record>,
    bytes: usize,
}

/// What a page gave: a range passes over those that are later as a whole.
#[derive(Debug)]
struct GivenPage {
    oldest: DateTime<Utc>,
    records: Vec<Record>,
}

impl GivenPage {
    /// Takes out the records that are not later than `limit`.
    fn take_to(&mut self, limit: Option<DateTime<Utc>>) -> Vec<Record> {
        let is_due = |record: &Record| limit.is_none_or(|limit| record.time <= limit);
        if self.records.iter().all(is_due) {
            return take(&mut self.records);
        }
        let (due, later) = take(&mut self.records).into_iter().partition(is_due);
        self.records = later;
        self.oldest = oldest(&self.records).unwrap_or(self.oldest);
        due
    }
}

fn oldest(records: &[Record]) -> Option<DateTime<Utc>> {
    records.iter().map(|record| record.time).min()
}

impl Given {
    /// Begins another walk.
    pub(super) fn begin(&mut self, plan: WalkPlan) {
        self.possible_to = Some(plan.possible_to());
        self.filed_to = plan.filed_to().unwrap_or(plan.possible_to());
        self.left.extend(self.pages.drain(..).flat_map(|page| page.records));
    }

    /// Returns the latest time that a record of the walk can have; `None` before the first walk.
    pub(super) fn possible_to(&self) -> Option<DateTime<Utc>> {
        self.possible_to
    }

    /// Takes what a page has and no page before had of late.
    pub(super) fn take<'a>(&mut self, new: impl Iterator<Item = &'a Result<Record, Rejected>>, originals: &[Rejected]) {
        // It grows by what is kept, as a page can have millions of records that are not.
        let mut records: Vec<Record> = Vec::new();
        let before = (self.rejected.len(), self.originals.len());
        for item in new {
            match item {
                Ok(record) if record.time <= self.filed_to => records.push(record.clone()),
                Ok(_) => {}
                Err(rejected) => self.rejected.push(rejected.clone()),
            }
        }
        self.originals.extend_from_slice(originals);
        let lines = records.iter_mut().map(|record| &mut record.line);
        let rejected = self.rejected[before.0..].iter_mut().map(|rejected| &mut rejected.line);
        let originals = self.originals[before.1..].iter_mut().map(|original| &mut original.line);
        let mut lines: Vec<&mut Line> = lines.chain(rejected).chain(originals).collect();
        hold(&mut lines);
        self.bytes += lines.iter().map(|line| bytes_of(line)).sum::<usize>();
        if let Some(oldest) = oldest(&records) {
            self.pages.push(GivenPage { oldest, records });
        }
    }

    /// Takes broken records of an answer that is asked for again.
    pub(super) fn take_broken(&mut self, broken: impl Iterator<Item = Rejected>) {
        for mut rejected in broken {
            if self.broken.iter().all(|known| known.content != rejected.content) {
                hold(&mut [&mut rejected.line]);
                self.bytes += bytes_of(&rejected.line);
                self.broken.push(rejected);
            }
        }
    }

    /// Returns whether it holds more than an honest service gives at one time.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > MOST_HELD
    }

    /// Returns whether an answer of this walk gave a record from between these times that a reading of them lacks.
    pub(super) fn has_more_than(
        &self,
        fetched: &FetchedRecords,
        (after, before): (DateTime<Utc>, DateTime<Utc>),
    ) -> bool {
        let pages = self.pages.iter().filter(|page| page.oldest < before);
        let between = pages
            .flat_map(|page| &page.records)
            .filter(|record| after < record.time && record.time < before);
        let mut others = between.filter(|record| !fetched.has_seen(record)).peekable();
        if others.peek().is_none() {
            return false;
        }
        // It may have come in another version.
        let moments: Digests = fetched.records.iter().map(Record::moment).collect();
        others.any(|record| !moments.contains(&record.moment()))
    }

    /// Lets go of what a completed range has, and takes out what else was given of its time: what is not later than
    /// `limit`.
    pub(super) fn take_due(&mut self, fetched: &FetchedRecords, limit: Option<DateTime<Utc>>) -> Vec<Record> {
        let is_later = |time: DateTime<Utc>| limit.is_some_and(|limit| time > limit);
        let (mut due, mut freed) = (Vec::new(), 0);
        for page in self.pages.iter_mut().filter(|page| !is_later(page.oldest)) {
            for record in page.take_to(limit) {
                freed += bytes_of(&record.line);
                if !fetched.has_seen(&record) {
                    due.push(record);
                }
            }
        }
        self.pages.retain(|page| !page.records.is_empty());
        self.left
            .retain(|record| is_later(record.time) || !lets_go(&mut freed, &record.line, fetched.has_seen(record)));
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

    /// Takes out all of it. What was broken is a part of it unless the walk came to its `end`: then the record came again.
    pub(super) fn take_left_over(&mut self, end: WalkEnd) -> LeftOver {
        let mut records = take(&mut self.left);
        records.extend(self.pages.drain(..).flat_map(|page| page.records));
        self.bytes = 0;
        let (mut rejected, broken) = (take(&mut self.rejected), take(&mut self.broken));
        if end == WalkEnd::Early {
            rejected.extend(broken);
        }
        LeftOver {
            records,
            rejected,
            originals: take(&mut self.originals),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::List;
    use crate::record::{Broken, Reader};
    use crate::test_support::record::{SHAPE, minute as at, record_of_minute as record};
    use crate::window::Window;

    /// What a walk up to this minute of a run at minute 30 was given: a record of each of these minutes.
    fn given(to: u32, minutes: &[u32]) -> Given {
        let mut given = Given::default();
        given.begin(plan(to));
        let records: Vec<_> = minutes.iter().map(|minute| Ok(record(*minute))).collect();
        given.take(records.iter(), &[]);
        given
    }

    fn plan(to: u32) -> WalkPlan {
        WalkPlan::of(Window::new(at(0), at(to)), at(30))
    }

    fn fetched(minutes: &[u32]) -> FetchedRecords {
        let mut fetched = FetchedRecords::new(at(32));
        fetched.add(minutes.iter().map(|minute| Ok(record(*minute))).collect(), Vec::new());
        fetched
    }

    fn left_over(given: &mut Given) -> Vec<Record> {
        given.take_left_over(WalkEnd::Early).records
    }

    #[test]
    fn a_range_gets_what_it_lacks_of_its_time_and_the_rest_waits_for_the_next_one() {
        let mut given = given(30, &[1, 2, 3, 4]);
        assert_eq!(given.take_due(&fetched(&[1, 4]), Some(at(2))), [record(2)]);
        assert_eq!(given.take_due(&fetched(&[3]), None), [record(4)]);
        assert_eq!((left_over(&mut given), given.bytes), (vec![], 0));
    }

    #[test]
    fn what_was_broken_is_left_over_unless_the_walk_came_to_its_end() {
        let broken = || {
            let list = r#"{"list": [{"id": x}]}"#;
            let mut list = List::find(list.as_bytes(), "list");
            let listed = Reader::new(SHAPE).read_list(&mut list, Broken::SetAside).unwrap();
            listed.records.into_iter().filter_map(Result::err)
        };
        for (end, count) in [(WalkEnd::Early, 1), (WalkEnd::Reached, 0)] {
            let mut given = given(30, &[]);
            given.take_broken(broken());
            given.take_broken(broken());
            assert_eq!(given.take_left_over(end).rejected.len(), count);
        }
    }

    #[test]
    fn what_is_for_another_walk_or_the_next_run_is_not_left_over() {
        let mut of_a_part = given(20, &[10, 21]);
        assert_eq!(left_over(&mut of_a_part), [record(10)]);
        let mut of_all = given(30, &[31, 33]);
        assert_eq!(left_over(&mut of_all), [record(31)]);
    }

    #[test]
    fn what_a_walk_leaves_is_no_part_of_the_next_one_unless_that_is_given_it_again() {
        let mut given = given(30, &[1, 2]);
        given.begin(plan(30));
        assert_eq!(given.take_due(&fetched(&[2]), None), []);
        assert_eq!(left_over(&mut given), [record(1)]);
    }
}
