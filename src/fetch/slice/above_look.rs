//! Looks whether a service has newer records than an answer that shows no order: then newer ones do not come first.

use crate::fetch::answer::Answer;
use crate::fetch::learned::Reach;
use crate::window::floor_to_millisecond;

/// How often it is looked strictly above the answer.
const STRICT_LOOKS: u32 = 3;

/// How often an answer may lack newer records that another one has: they may have come in between, or a replica lags.
const MOST_REFUTED: u32 = 2;

/// What is asked for above an answer.
#[derive(Debug, Default)]
pub(super) struct AboveLook {
    /// How far the request reaches below the newest record of the answer; or, if it is for what is strictly above that,
    /// how far above it begins.
    pub(super) reach: Reach,
    /// How often it was asked for what is strictly above the newest record.
    pub(super) strict_looks: u32,
    /// Answers in a row that lacked the newest record.
    pub(super) failed: u32,
    /// How often something was above it.
    refuted: u32,
    /// Whether nothing is.
    pub(super) is_done: bool,
}

impl AboveLook {
    /// Takes into account that something is above the answer; returns how often so far, as long as it may be by chance.
    pub(super) fn refute(&mut self) -> Option<u32> {
        self.refuted += 1;
        self.strict_looks = self.strict_looks.min(1);
        (self.refuted <= MOST_REFUTED).then_some(self.refuted)
    }

    /// Takes an answer without newer records; returns whether it has to be looked once more.
    pub(super) fn has_to_go_on(&mut self, answer: &Answer, above: &Answer) -> bool {
        let newest = answer.newest().map(floor_to_millisecond);
        let is_newest = |time| Some(floor_to_millisecond(time)) == newest;
        let mut known = answer.anchors().iter().filter(|anchor| is_newest(anchor.time));
        if self.strict_looks > 0 {
            self.look_strictly_again(above)
        } else if !known.any(|anchor| above.holds_any(&[*anchor])) {
            self.look_again()
        } else {
            // It may be full of that moment; of one record it can be full too, if the next one is too large for the rest of
            // it. Then one look shows whether there is a next one.
            let may_be_full = above.may_go_on() || above.count > 1 || answer.count == 1;
            self.look_strictly();
            if !may_be_full {
                self.strict_looks = STRICT_LOOKS;
            }
            true
        }
    }

    fn look_again(&mut self) -> bool {
        self.failed += 1;
        if self.failed % 2 == 1 {
            match self.reach.longer() {
                Some(longer) => self.reach = longer,
                None => self.look_strictly(),
            }
        }
        true
    }

    fn look_strictly(&mut self) {
        self.strict_looks = 1;
        self.reach = Reach::default();
    }

    fn look_strictly_again(&mut self, above: &Answer) -> bool {
        if above.count > 0 {
            // Its lower bound was cut, so that it may be full of what is known, whatever makes it full.
            let longer = self.reach.longer();
            self.reach = longer.unwrap_or(self.reach);
            return longer.is_some();
        }
        self.strict_looks += 1;
        self.strict_looks <= STRICT_LOOKS
    }
}
