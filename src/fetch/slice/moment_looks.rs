//! The looks at a moment that ends a feed: whether the service was seen to cut answers within it, and which looks agree on all of it.

use chrono::{DateTime, Utc};

use crate::window::{Window, floor_to_millisecond};

/// So many looks that were asked for in different ways have to bring all that is known of a moment that was cut.
const ENOUGH: usize = 2;

/// Looks at the moment that answers end with.
#[derive(Debug, Default)]
pub(super) struct MomentLooks {
    moment: Option<DateTime<Utc>>,
    /// How many records of it are known.
    known: usize,
    /// Whether an answer had fewer of them, and nothing said that there are more.
    is_cut: bool,
    /// The windows whose answers had all of them.
    whole: Vec<Window>,
}

impl MomentLooks {
    /// Takes into account that an answer for this window had so many records, all of this moment, of which now so many are known.
    pub(super) fn note(&mut self, time: DateTime<Utc>, window: Window, given: usize, known: usize) {
        let moment = Some(floor_to_millisecond(time));
        if self.moment != moment {
            *self = Self {
                moment,
                ..Self::default()
            };
        }
        // What an answer before it lacked may have come later, but no service takes a part of a moment back.
        self.is_cut |= given < known;
        if known > self.known {
            self.known = known;
            self.whole.clear();
        }
        if given >= known && !self.whole.contains(&window) {
            self.whole.push(window);
        }
    }

    /// Returns whether answers of this moment were cut, and too few looks agree that there are no more records.
    pub(super) fn is_open(&self, time: DateTime<Utc>) -> bool {
        self.moment == Some(floor_to_millisecond(time)) && self.is_cut && self.whole.len() < ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::window::TICK;

    #[test]
    fn a_moment_that_was_cut_takes_two_different_looks_that_bring_all_that_is_known() {
        let time: DateTime<Utc> = "2025-06-09T12:00:00Z".parse().unwrap();
        let window = |ticks| Window::new(time - TimeDelta::days(1) - TICK * ticks, time);
        let mut looks = MomentLooks::default();
        looks.note(time, window(0), 40, 40);
        looks.note(time, window(0), 40, 40);
        assert!(!looks.is_open(time), "nothing was cut");
        looks.note(time, window(1), 30, 40);
        assert!(looks.is_open(time), "the same question has the same answer");
        looks.note(time, window(2), 50, 55);
        looks.note(time, window(3), 55, 55);
        assert!(looks.is_open(time));
        looks.note(time, window(4), 55, 55);
        assert!(!looks.is_open(time));
        looks.note(time + TimeDelta::seconds(1), window(4), 1, 1);
        assert!(!looks.is_open(time), "it is another moment that is looked at");
    }
}
