//! What was deleted for its age: below the newest such day nothing is asked for any more, and what comes is not kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::asked::day_span;
use super::day_counts::{Comparison, Loss};
use super::file_notices::days;
use super::standing::Standing;
use super::sum::Sum;
use crate::window::{Window, bound};

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

/// What is left of a day.
enum Left {
    All,
    /// Of two files the one that is deleted last.
    Part,
    Nothing,
}

impl Sum {
    /// Returns the expiry line: nothing before it is asked for.
    pub(crate) fn expiry_line(&self) -> Option<DateTime<Utc>> {
        self.expired_days.spans().last().map(|span| span.to)
    }

    /// Says that the expiry line lies behind `now`: a clock was ahead when days were deleted, or is behind by now.
    pub(crate) fn line_ahead(&self, now: DateTime<Utc>) -> Option<String> {
        let line = self.expiry_line().filter(|line| now < *line)?;
        let last = line.date_naive().pred_opt()?;
        Some(format!(
            "days up to {last} were deleted for their age, which is to come: this machine's clock is behind, or was ahead then. Nothing \
             before {line} is asked for; `trailkeeper expire --take-back DATE` forgets that days from DATE on were deleted",
            line = bound(line)
        ))
    }

    /// Takes back that days from this one on were deleted, and returns how many those were. They are gaps again.
    pub(crate) fn take_back(&mut self, from: NaiveDate) -> u64 {
        let back = self.expired_days.within(Window {
            from: day_span(from).from,
            to: DateTime::<Utc>::MAX_UTC,
        });
        for span in back.spans() {
            self.expired_days.remove(*span);
            self.covered.remove(*span);
            self.accepted.remove(*span);
        }
        self.expiring_days.split_off(&from);
        let days = back.spans().iter().map(|span| (span.to - span.from).num_days());
        days.sum::<i64>().unsigned_abs()
    }

    /// Returns whether the files of a day were deleted for their age, or are about to be.
    pub(crate) fn is_expired(&self, date: NaiveDate) -> bool {
        self.expired_days.holds(day_span(date))
    }

    /// Notes that the files of a day were deleted for their age.
    pub(crate) fn expire(&mut self, date: NaiveDate) {
        self.expired_days.add(day_span(date));
        self.accepted_losses.remove(&date);
        // What lies below the line is not read once more.
        let line = day_span(date).to;
        self.reconciling = self.reconciling.filter(|begun| line <= begun.from);
    }
}

impl Standing {
    /// Returns of which days nothing is kept that comes.
    pub(crate) fn expiry(&self) -> Expiry {
        let Some(line) = self.sum.expiry_line().map(|line| line.date_naive()) else {
            return Expiry::default();
        };
        let there = self.listing.dates().into_iter().take_while(|date| *date < line);
        Expiry {
            line: Some(line),
            kept: there.filter(|date| !self.sum.is_expired(*date)).collect(),
        }
    }

    /// Settles what became of the days that were about to be deleted when that was interrupted: one that is whole is a day like all
    /// others, and one that is gone is expired. So is one of which only what this program deletes last is left; it stays noted.
    ///
    /// Of a held day nothing is deleted, so one that is not whole has lost records.
    pub(super) fn settle_expiring(&mut self) {
        for date in std::mem::take(&mut self.sum.expiring_days) {
            self.sum.expired_days.remove(day_span(date));
            let is_held = self
                .holds
                .as_ref()
                .is_ok_and(|holds| holds.of(day_span(date)).is_some());
            match self.left_of(date) {
                Left::All => {}
                _ if is_held || self.holds.is_err() => {}
                Left::Part => {
                    self.sum.expire(date);
                    self.sum.expiring_days.insert(date);
                }
                Left::Nothing => {
                    self.sum.expire(date);
                    Arc::make_mut(&mut self.counts).remove(&date);
                }
            }
        }
    }

    /// Returns what is left of a day that was about to be deleted. What nobody deletes in this way is a loss, and is found as one.
    fn left_of(&mut self, date: NaiveDate) -> Left {
        let held = self.counts.get(&date).copied().unwrap_or_default();
        match self.compare(date, held) {
            Comparison::Lost(Loss::Missing) => Left::Nothing,
            // One without a whole line has lost nothing.
            Comparison::Whole(held) if held.all() == 0 && !self.listing.has(date) => Left::Nothing,
            Comparison::Lost(_) => {
                let (plain, packed) = (self.listing.days.get(date), self.listing.packed.get(&date).cloned());
                let is_first_gone = plain.is_none() && held.bytes > 0 && !self.listing.odd.contains_key(&date);
                let packed = packed.filter(|_| is_first_gone);
                let lines = packed.map(|packed| self.count_lines(&packed));
                match lines {
                    Some(Ok(lines)) if held.compressed <= lines => Left::Part,
                    _ => Left::All,
                }
            }
            Comparison::Whole(_) | Comparison::Unknown(_) => Left::All,
        }
    }

    /// Says which days are deleted for their age, and of which something is still there.
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
        let in_part = self.sum.expiring_days.iter().copied();
        remarks.extend(days(in_part).map(|days| {
            format!("deleted in part: {days}; the next `trailkeeper expire` deletes the rest, unless something is against it")
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
    fn a_line_that_is_to_come_is_told_and_what_is_taken_back_is_a_gap_again() {
        let retention = Retention {
            days: 400,
            is_documented: true,
        };
        let mut sum = sum(&[1, 2, 3]);
        sum.covered
            .add(Window::new(day_span(day(0)).from, day_span(day(9)).from));
        assert_eq!(sum.line_ahead(day_span(day(4)).from), None);
        let ahead = sum.line_ahead(day_span(day(3)).from).unwrap();
        assert!(ahead.contains("2026-01-04") && ahead.contains("--take-back"), "{ahead}");
        assert_eq!(sum.take_back(day(2)), 2);
        assert!(sum.is_expired(day(1)) && !sum.is_expired(day(2)));
        let gaps = sum.gaps_to_ask_for(retention, day_span(day(9)).from);
        let gaps: Vec<_> = gaps.iter().map(|gap| (gap.from, gap.to)).collect();
        assert_eq!(gaps, [(day_span(day(2)).from, day_span(day(4)).from)]);
        assert_eq!(sum.take_back(day(2)), 0);
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
