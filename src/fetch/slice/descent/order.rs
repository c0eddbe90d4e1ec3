//! What a slice does to find out the order of the service: an answer that shows none, or another one, is compared with a
//! smaller page, or with what is above it.

use super::expected::Expected;
use super::{Descent, Step};
use crate::fetch::answer::Answer;
use crate::fetch::learned::{Learned, Order};
use crate::record::Anchor;
use crate::source::{Page, PageRequest};
use crate::window::{TICK, Window, floor_to_millisecond};

/// How often the order is tested with answers that show nothing; two that show none are enough.
const MOST_TESTS: u32 = 3;

impl Descent {
    /// Returns the request that tests the order of the answer that is out of order: of half as many records, which are
    /// the newest if newer pages come first.
    pub(in crate::fetch::slice) fn order_request(&self, learned: &Learned) -> Option<PageRequest> {
        let page = self.untested.as_ref()?;
        Some(PageRequest {
            size: u32::try_from(page.records.len() / 2).unwrap_or(u32::MAX).max(1),
            ..self.request(learned)
        })
    }

    /// Takes the answer to the test of the order.
    pub(in crate::fetch::slice) fn take_test(&mut self, half: &Page, learned: &mut Learned) -> Step {
        let Some(page) = self.untested.take() else {
            return Step::Ask;
        };
        let request = self.request(learned);
        let (whole, half) = (Answer::of(&page, &request), Answer::of(half, &request));
        // The oldest records of a service that answers oldest first may have gone in between: then the smaller page ends above
        // the whole one, as it does where newer records have come.
        let has_moved = whole.ascends && half.newest() > whole.newest();
        let is_small = half.count == 0 || half.count >= whole.count;
        let is_inconclusive = is_small || has_moved || half.shares_little_with(&whole);
        let shown = if is_inconclusive {
            None
        } else {
            learned.note_test(&whole, &half)
        };
        match shown {
            Some(Order::OldestFirst) => return Step::Ascending,
            Some(_) => return self.take_tested(page, whole, learned),
            None => {}
        }
        // What comes in between may hide the order: the test is repeated.
        self.failed_looks += if is_inconclusive { 1 } else { MOST_TESTS.div_ceil(2) };
        if self.failed_looks > MOST_TESTS {
            return Step::Scattered;
        }
        self.ask_again_for(&whole, &half, self.failed_looks)
    }

    /// Asks again for an answer that showed no order: it has to hold a record of that, or of what it was compared with.
    fn ask_again_for(&mut self, answer: &Answer, other: &Answer, looks: u32) -> Step {
        if self.expected.is_empty() {
            self.expected = Expected::up_to(answer, self.upper.max(self.slice.to));
            self.expected.extend(other.anchors().iter().copied());
        }
        Step::AskAgain(looks)
    }

    /// Returns whether newer records than those of an answer may be behind it: nothing has shown yet that they come first.
    ///
    /// An answer that holds the newest records of the archive, or goes down to where an earlier run has read, and is not cut, is
    /// taken as it is once several runs have looked in vain: that is what each run without news gets.
    pub(super) fn has_to_look_above(&self, answer: &Answer, learned: &Learned) -> bool {
        let holds_known = !answer.may_go_on() && answer.holds_any(self.floor.anchors());
        let goes_down = || self.floor.is_open() && self.ends_where_was_read(answer, learned);
        let is_usual = learned.has_looked_above_often() && (holds_known || goes_down());
        let has_room = answer.newest().is_some_and(|newest| newest + TICK < self.upper);
        !self.above_look.is_done && has_room && !is_usual && learned.leaves_order_open(answer)
    }

    /// Returns the request that shows whether the service has newer records than the answer: its answer has to hold the
    /// newest of that, or it is for what is strictly above it.
    pub(in crate::fetch::slice) fn above_request(&self, learned: &Learned) -> Option<PageRequest> {
        let request = self.request(learned);
        let newest = floor_to_millisecond(Answer::of(self.untested.as_ref()?, &request).newest()?);
        let reach = self.above_look.reach;
        let from = if self.above_look.strict_looks > 0 {
            newest + TICK + reach.time()
        } else {
            newest - reach.max(learned.below).time()
        };
        let window = Window { from, ..request.window };
        (from < window.to).then_some(PageRequest { window, ..request })
    }

    /// Takes the answer to that request; `None` if there is no room for one.
    pub(in crate::fetch::slice) fn take_above(&mut self, above: Option<&Answer>, learned: &mut Learned) -> Step {
        let Some(page) = self.untested.take() else {
            return Step::Ask;
        };
        let answer = Answer::of(&page, &self.request(learned));
        let newest = answer.newest().map(floor_to_millisecond);
        // An answer that goes on below its newest moment has all of that, if newer records come first.
        let goes_below = answer.oldest() < newest.map(|newest| newest - learned.depth());
        let is_lacking = |anchor: &Anchor| {
            goes_below && Some(floor_to_millisecond(anchor.time)) == newest && !answer.holds_any(&[*anchor])
        };
        let is_newest = |anchor: &Anchor| answer.newest() == Some(anchor.time);
        let is_above = |anchor: &Anchor| Some(floor_to_millisecond(anchor.time)) > newest || is_lacking(anchor);
        if let Some(above) = above {
            if above.anchors().iter().any(is_above) {
                return self.refute_order(&answer, above);
            }
            if self.above_look.strict_looks == 0 && above.anchors().iter().any(is_newest) {
                // So far a request has to reach below a record that it is to bring.
                learned.below = learned.below.max(self.above_look.reach);
            }
            if self.above_look.has_to_go_on(&answer, above) {
                self.untested = Some(page);
                return Step::LookAbove;
            }
            if answer.may_go_on() {
                learned.note_newest_first();
            }
            learned.note_look_above();
        }
        self.above_look.is_done = true;
        self.take_in_order(page, answer, learned)
    }

    /// Asks again for an answer that lacks newer records; when it still does, newer ones do not come first.
    pub(super) fn refute_order(&mut self, answer: &Answer, above: &Answer) -> Step {
        let ascend = |answer: &Answer| answer.ascends || answer.is_of_one_moment() || answer.count == 1;
        match self.above_look.refute() {
            Some(times) => self.ask_again_for(answer, above, times),
            None if ascend(answer) && ascend(above) => Step::Ascending,
            None => Step::Scattered,
        }
    }
}
