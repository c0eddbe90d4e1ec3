//! How late records were that an ordinary run would have missed, and which overlap would have caught them.
//!
//! When a service first shows a record is unknown, except for the runs that looked and did not see it. So each late
//! record has two bounds, both counted from the archive's last record back to the record's own time, as
//! `OVERLAP_MINUTES` is:
//!
//! - *surely*: with this overlap, an ordinary run in place of this one would have brought it. This run proves it.
//! - *at least*: the last run that covered its time did not see it, so the run after that one was the first chance, and
//!   would have needed this overlap. Whether the record was there by then is unknown. Zero if no run is known that
//!   covered its time.
//!
//! The more often one reconciles, the closer the two bounds are.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::coverage::CompletedRuns;

/// The upper bounds of the histogram of overlaps, in minutes; a last class has no end.
const CLASSES: [i64; 13] = [2, 5, 10, 20, 30, 60, 120, 180, 360, 720, 1440, 2160, 10_080];

/// What the lateness of a run's records is measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatenessBaseline {
    /// The archive's last record before the run; without one, nothing is late.
    pub(crate) last: Option<DateTime<Utc>>,
    /// How long before it an ordinary run asks.
    pub(crate) overlap: TimeDelta,
}

/// The overlap that one late record, or a percentage of them, would have needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needed {
    /// Less would not have brought them.
    pub(crate) at_least: TimeDelta,
    /// This would have.
    pub(crate) surely: TimeDelta,
}

/// The late records of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lateness {
    at_least: Vec<TimeDelta>,
    surely: Vec<TimeDelta>,
}

/// How many late records needed an overlap of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Class {
    /// The longest overlap of the class, in minutes; `None` for the last one, which has no end.
    pub(crate) up_to_minutes: Option<i64>,
    /// How many have their lower bound in this class.
    pub(crate) at_least: u64,
    /// How many have their upper bound in this class.
    pub(crate) surely: u64,
}

impl LatenessBaseline {
    /// Returns whether an ordinary run would not have asked for a record of this time.
    pub(crate) fn is_late(&self, time: DateTime<Utc>) -> bool {
        self.last.is_some_and(|last| last - time > self.overlap)
    }

    /// Returns the overlap that a record of this time needed, given the runs before; `None` if it is not late.
    pub(crate) fn needed(&self, time: DateTime<Utc>, runs: &CompletedRuns) -> Option<Needed> {
        let last = self.last.filter(|_| self.is_late(time))?;
        let surely = last - time;
        Some(Needed {
            at_least: runs.least_overlap(time, last).unwrap_or_default().min(surely),
            surely,
        })
    }
}

impl Lateness {
    pub(crate) fn add(&mut self, needed: Needed) {
        self.at_least.push(needed.at_least);
        self.surely.push(needed.surely);
    }

    pub(crate) fn records(&self) -> u64 {
        self.surely.len() as u64
    }

    /// Returns the overlap that would have brought this many percent of them, rounded up to a whole record; `None` if
    /// there are none.
    pub(crate) fn overlap_for(&self, percent: usize) -> Option<Needed> {
        Some(Needed {
            at_least: percentile(&self.at_least, percent)?,
            surely: percentile(&self.surely, percent)?,
        })
    }

    /// Returns the histogram, from the first class that is not empty to the last.
    pub(crate) fn histogram(&self) -> Vec<Class> {
        let count =
            |delays: &[TimeDelta], class| delays.iter().filter(|delay| class_of(**delay) == class).count() as u64;
        let classes = (0..=CLASSES.len()).map(|class| Class {
            up_to_minutes: CLASSES.get(class).copied(),
            at_least: count(&self.at_least, class),
            surely: count(&self.surely, class),
        });
        let classes: Vec<_> = classes.collect();
        let is_used = |class: &Class| class.at_least + class.surely > 0;
        let first = classes.iter().position(is_used).unwrap_or(classes.len());
        let end = classes.iter().rposition(is_used).map_or(first, |last| last + 1);
        classes[first..end].to_vec()
    }
}

/// Rounds up to whole minutes, the unit of `OVERLAP_MINUTES`.
pub(crate) fn minutes(overlap: TimeDelta) -> i64 {
    let minutes = overlap.num_minutes();
    minutes + i64::from(overlap > TimeDelta::minutes(minutes))
}

fn class_of(overlap: TimeDelta) -> usize {
    CLASSES.partition_point(|most| TimeDelta::minutes(*most) < overlap)
}

fn percentile(overlaps: &[TimeDelta], percent: usize) -> Option<TimeDelta> {
    let mut sorted = overlaps.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::CompletedRun;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn needed(at_least: i64, surely: i64) -> Needed {
        Needed {
            at_least: TimeDelta::minutes(at_least),
            surely: TimeDelta::minutes(surely),
        }
    }

    #[test]
    fn a_record_is_late_when_it_lies_behind_the_window_of_an_ordinary_run() {
        let runs = CompletedRuns::from_newest([(60, 58), (55, 54), (50, 49)].map(|(began, last)| {
            let (at, last) = (at(began), at(last));
            let from = last - TimeDelta::minutes(2);
            CompletedRun { at, from, last }
        }));
        let baseline = LatenessBaseline {
            last: Some(at(100)),
            overlap: TimeDelta::minutes(2),
        };
        assert_eq!(baseline.needed(at(100), &runs), None);
        assert_eq!(baseline.needed(at(98), &runs), None);
        assert_eq!(
            baseline.needed(at(97), &runs),
            Some(needed(0, 3)),
            "no run covered that time before"
        );
        assert_eq!(
            baseline.needed(at(57), &runs),
            Some(needed(43, 43)),
            "this run is the next one"
        );
        assert_eq!(
            baseline.needed(at(53), &runs),
            Some(needed(5, 47)),
            "the run at 60 was the next one"
        );
        let empty = LatenessBaseline { last: None, ..baseline };
        assert_eq!(empty.needed(at(0), &runs), None);
    }

    #[test]
    fn the_overlap_for_a_share_is_that_of_the_record_that_completes_it() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.overlap_for(99), None);
        (1..=200).rev().for_each(|late| lateness.add(needed(late / 2, late)));
        assert_eq!(lateness.overlap_for(99), Some(needed(99, 198)));
        assert_eq!(lateness.overlap_for(100), Some(needed(100, 200)));
        let mut one = Lateness::default();
        one.add(needed(3, 7));
        assert_eq!(one.overlap_for(99), Some(needed(3, 7)));
    }

    #[test]
    fn the_histogram_counts_every_record_once_in_each_column_and_leaves_empty_ends_out() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.histogram(), []);
        for (at_least, surely) in [(6, 10), (10, 25), (0, 11_000)] {
            lateness.add(needed(at_least, surely));
        }
        let classes = lateness.histogram();
        assert_eq!(classes.first().unwrap().up_to_minutes, Some(2));
        assert_eq!(classes.last().unwrap().up_to_minutes, None);
        let ten = classes.iter().find(|class| class.up_to_minutes == Some(10)).unwrap();
        assert_eq!((ten.at_least, ten.surely), (2, 1));
        assert_eq!(classes.iter().map(|class| class.at_least).sum::<u64>(), 3);
        assert_eq!(classes.iter().map(|class| class.surely).sum::<u64>(), 3);
    }

    #[test]
    fn minutes_are_rounded_up() {
        let seconds = [0, 1, 59, 60, 61].map(|seconds| minutes(TimeDelta::seconds(seconds)));
        assert_eq!(seconds, [0, 1, 1, 1, 2]);
    }
}
