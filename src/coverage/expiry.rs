//! What was deleted for its age: below the newest such day nothing is asked for any more, and what comes is not kept.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

use super::asked::day_span;
use super::file_notices::days;
use super::standing::Standing;
use super::sum::Sum;
use crate::archive::Listing;

/// Of which days nothing is kept that comes: those below the expiry line, but for those that still have a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiry {
    line: Option<NaiveDate>,
    kept: BTreeSet<NaiveDate>,
}

impl Expiry {
    /// Returns whether a record of this day is not kept.
    pub(crate) fn has(&self, date: NaiveDate) -> bool {
        self.line.is_some_and(|line| date < line) && !self.kept.contains(&date)
    }
}

impl Sum {
    /// Returns the expiry line: nothing before it is asked for.
    pub(crate) fn expiry_line(&self) -> Option<DateTime<Utc>> {
        self.expired_days.spans().last().map(|span| span.to)
    }

    /// Returns whether the files of a day were deleted for their age, or are about to be.
    pub(crate) fn is_expired(&self, date: NaiveDate) -> bool {
        self.expired_days.holds(day_span(date))
    }

    /// Notes that the files of a day are about to be deleted for their age.
    pub(crate) fn expire(&mut self, date: NaiveDate) {
        self.expired_days.add(day_span(date));
        self.accepted_losses.remove(&date);
        // What lies below the line is not read once more.
        let line = day_span(date).to;
        self.reconciling = self.reconciling.filter(|begun| line <= begun.from);
    }

    /// Returns the days of which files are there although they are expired: their deletion was interrupted.
    pub(crate) fn expired_and_there(&self, listing: &Listing) -> Vec<NaiveDate> {
        let there = listing.dates().into_iter();
        there.filter(|date| self.is_expired(*date)).collect()
    }
}

impl Standing {
    /// Returns of which days nothing is kept that comes.
    pub(crate) fn expiry(&self) -> Expiry {
        let there = self.listing.dates().into_iter();
        Expiry {
            line: self.sum.expiry_line().map(|line| line.date_naive()),
            kept: there.filter(|date| !self.sum.is_expired(*date)).collect(),
        }
    }

    /// Says which days are deleted for their age, and which of them are still there.
    pub(super) fn expiry_remarks(&self) -> Vec<String> {
        let spans = self.sum.expired_days.spans().iter().map(|span| {
            let (first, to) = (span.from.date_naive(), span.to.date_naive());
            let last = to.pred_opt().unwrap_or(to);
            let count = (to - first).num_days();
            match count {
                1 => format!("expired: {first} was deleted for its age, on purpose"),
                _ => format!("expired: {count} days from {first} to {last} were deleted for their age, on purpose"),
            }
        });
        let mut remarks: Vec<String> = spans.collect();
        let there = self.sum.expired_and_there(&self.listing);
        remarks.extend(days(there).map(|days| {
            format!("still there: {days}, whose deletion was interrupted; the next `trailkeeper expire` ends it")
        }));
        remarks
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::reconciling::Reconciling;
    use super::*;
    use crate::coverage::{Asked, Purpose};
    use crate::source::Retention;
    use crate::window::Window;

    fn day(number: u64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + chrono::Days::new(number)
    }

    fn sum(expired: &[u64]) -> Sum {
        let mut sum = Sum {
            asked_from: Some(day_span(day(0)).from),
            ..Sum::default()
        };
        expired.iter().for_each(|number| sum.expire(day(*number)));
        sum
    }

    #[test]
    fn below_the_line_nothing_is_a_gap_and_a_day_between_two_expired_ones_is_not_expired() {
        let retention = Retention {
            days: 400,
            is_documented: true,
        };
        let (now, sum) = (day_span(day(9)).from, sum(&[1, 3]));
        assert!(sum.is_expired(day(1)) && !sum.is_expired(day(2)) && sum.is_expired(day(3)));
        for gaps in [sum.gaps(retention, now), sum.gaps_to_ask_for(retention, now)] {
            let from: Vec<_> = gaps.iter().map(|gap| gap.from).collect();
            assert_eq!(from, [day_span(day(4)).from]);
        }
        assert!(!sum.awaits(day_span(day(3)).from, retention, now));
    }

    #[test]
    fn a_reconciling_that_reaches_below_the_line_ends_there() {
        let mut sum = sum(&[]);
        let span = Window::new(day_span(day(1)).from, day_span(day(8)).from);
        let at = day_span(day(9)).from;
        sum.reconciling = Some(Reconciling::new(&Asked::new(span, Purpose::Reconcile), at));
        sum.expire(day(0));
        assert!(sum.reconciling.is_some());
        sum.expire(day(1));
        assert_eq!(sum.reconciling, None);
        // One that asks for all above the line is done.
        let mut asked = Asked::new(Window::new(day_span(day(2)).from, at), Purpose::Reconcile);
        (asked.covered_to, asked.is_done) = (Some(at), true);
        sum.note_reconciled(&[asked], at, TimeDelta::days(9));
        assert_eq!(sum.last_reconciled, Some(at));
    }

    #[test]
    fn a_day_that_is_kept_below_the_line_takes_what_comes_late() {
        let expiry = Expiry {
            line: Some(day(5)),
            kept: [day(2)].into(),
        };
        assert_eq!((0..7).filter(|n| expiry.has(day(*n))).collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert!(!Expiry::default().has(day(0)));
    }
}
