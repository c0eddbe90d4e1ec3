//! Where in a day file its records get later: what lets the next run read only the file's end.

use chrono::{DateTime, TimeDelta, Utc};

/// The least time from one milestone to the next: a day has 8640 of them at most.
const SPACING: TimeDelta = TimeDelta::seconds(10);

/// A place in a day file: every record before it is earlier than `time`, and the record that stands there has it.
///
/// It stays true when lines are appended, late ones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Milestone {
    /// The time of the record at this place.
    pub(super) time: DateTime<Utc>,
    /// Where its line begins, in bytes.
    pub(super) offset: u64,
}

/// The milestones of a day file, and up to where they were taken.
#[derive(Debug, Default)]
pub(super) struct Outline {
    milestones: Vec<Milestone>,
    end: u64,
}

impl Outline {
    /// An outline that is taken up at a milestone of an earlier one.
    pub(super) fn from_milestone(milestone: Milestone) -> Self {
        Self {
            milestones: vec![milestone],
            end: milestone.offset,
        }
    }

    /// Takes in a record. Records must come in the order in which they stand in the file.
    pub(super) fn pass(&mut self, time: DateTime<Utc>, offset: u64) {
        if self.milestones.last().is_none_or(|last| time - last.time >= SPACING) {
            self.milestones.push(Milestone { time, offset });
        }
    }

    /// Everything before `end` was taken in.
    pub(super) fn set_end(&mut self, end: u64) {
        self.end = end;
    }

    /// Up to where the file was taken in, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The last milestone that is not later than `time`: every record from `time` on stands there or behind it.
    pub(super) fn before(&self, time: DateTime<Utc>) -> Option<Milestone> {
        let count = self.milestones.partition_point(|milestone| milestone.time <= time);
        count.checked_sub(1).map(|last| self.milestones[last])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    proptest! {
        #[test]
        fn no_record_from_a_time_on_stands_before_its_milestone(
            times in prop::collection::vec(0_i64..300, 1..80),
            asked in -10_i64..320,
            resumed_at in 0_i64..300,
        ) {
            let mut outline = Outline::default();
            for (offset, time) in times.iter().enumerate() {
                outline.pass(at(*time), offset as u64);
            }
            // Taken up again at one of its own milestones, an outline says the same of everything from there on.
            let mut outlines = vec![outline];
            if let Some(milestone) = outlines[0].before(at(resumed_at)) {
                let mut resumed = Outline::from_milestone(milestone);
                for (offset, time) in times.iter().enumerate().skip(milestone.offset as usize) {
                    resumed.pass(at(*time), offset as u64);
                }
                outlines.push(resumed);
            }
            for outline in outlines {
                let Some(milestone) = outline.before(at(asked)) else { continue };
                prop_assert!(milestone.time <= at(asked));
                prop_assert_eq!(at(times[milestone.offset as usize]), milestone.time);
                prop_assert!(times[..milestone.offset as usize].iter().all(|time| at(*time) < milestone.time));
            }
        }

        #[test]
        fn a_file_in_order_is_left_out_up_to_ten_seconds_before_the_time(count in 1_i64..200, asked in 0_i64..200) {
            let mut outline = Outline::default();
            for second in 0..count {
                outline.pass(at(second), second as u64);
            }
            let offset = outline.before(at(asked)).unwrap().offset as i64;
            prop_assert!(asked.min(count - 1) - offset < 10);
        }
    }
}
