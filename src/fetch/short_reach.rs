//! Short reach: answers that end some time below their upper bound, whatever is below that, and do not say so.
//!
//! One cut answer may be cut by anything: a number of records, or of bytes. Where several that hold different numbers of records
//! all end within a span, and what they lack is always further below, it is the span that cuts them.

use chrono::TimeDelta;

/// So many answers have to be cut.
const FEWEST: u32 = 3;

/// What the answers have in common that were cut although nothing said so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShortReach {
    answers: u32,
    /// How many records the first of them held, and whether others held other numbers.
    count: usize,
    counts_differ: bool,
    /// How far one reached, at most, and how far away what one lacked was, at least.
    reached: Option<TimeDelta>,
    missed: Option<TimeDelta>,
    /// What earlier runs have found, as long as no answer reaches further.
    known: Option<TimeDelta>,
}

impl ShortReach {
    /// Begins with what earlier runs have found.
    pub(super) fn known(known: Option<TimeDelta>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// Takes into account that an answer reached so far below its upper bound.
    pub(super) fn note_reached(&mut self, reached: TimeDelta) {
        self.known = self.known.filter(|known| reached <= *known);
    }

    /// Takes into account an answer of so many records that reached so far below its upper bound, and lacked one so far below it.
    pub(super) fn note(&mut self, count: usize, reached: TimeDelta, missed: TimeDelta) {
        if self.answers == 0 {
            self.count = count;
        }
        self.counts_differ |= count != self.count;
        self.answers = self.answers.saturating_add(1);
        self.reached = self.reached.into_iter().chain([reached]).max();
        self.missed = self.missed.into_iter().chain([missed]).min();
    }

    /// Returns how far below their upper bound answers reach, if there is such a span.
    pub(super) fn found(&self) -> Option<TimeDelta> {
        let is_told = self.answers >= FEWEST && self.counts_differ;
        let found = self.reached.filter(|reached| is_told && Some(*reached) < self.missed);
        found.max(self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answers: &[(usize, i64, i64)]) -> Option<i64> {
        let mut short_reach = ShortReach::default();
        for (count, reached, missed) in answers {
            short_reach.note(*count, TimeDelta::minutes(*reached), TimeDelta::minutes(*missed));
        }
        short_reach.found().map(|reach| reach.num_minutes())
    }

    #[test]
    fn answers_that_all_end_within_a_span_and_lack_only_what_is_below_it_are_cut_by_it() {
        assert_eq!(found(&[(3, 50, 61), (40, 59, 60), (7, 12, 300)]), Some(59));
        assert_eq!(found(&[(3, 50, 61), (40, 59, 60)]), None, "two are few");
        assert_eq!(
            found(&[(9, 50, 61), (9, 59, 60), (9, 12, 300)]),
            None,
            "they are cut by their number"
        );
        assert_eq!(found(&[(3, 50, 61), (40, 90, 91), (7, 12, 13)]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn what_earlier_runs_have_found_holds_until_an_answer_reaches_further() {
        let mut short_reach = ShortReach::known(Some(TimeDelta::minutes(50)));
        short_reach.note_reached(TimeDelta::minutes(50));
        assert_eq!(short_reach.found(), Some(TimeDelta::minutes(50)));
        short_reach.note_reached(TimeDelta::minutes(51));
        assert_eq!(short_reach.found(), None);
    }
}
