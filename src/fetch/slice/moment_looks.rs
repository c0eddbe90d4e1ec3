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
    /// Returns how many an answer had that was cut, if this shows one: it had fewer than another.
    pub(super) fn note(&mut self, time: DateTime<Utc>, window: Window, given: usize, known: usize) -> Option<usize> {
        let moment = Some(floor_to_millisecond(time));
        if self.moment != moment {
            *self = Self {
                moment,
                ..Self::default()
            };
        }
        let has_grown = known > self.known;
        let cut = [
            (given < known).then_some(given),
            (has_grown && self.known > 0).then_some(self.known),
        ];
        let cut = cut.into_iter().flatten().min();
        self.is_cut |= cut.is_some();
        if has_grown {
            self.known = known;
            self.whole.clear();
        }
        if given >= known && !self.whole.contains(&window) {
            self.whole.push(window);
        }
        cut
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
        assert_eq!(looks.note(time, window(0), 40, 40), None);
        assert_eq!(looks.note(time, window(0), 40, 40), None);
        assert!(!looks.is_open(time), "nothing was cut");
        assert_eq!(looks.note(time, window(1), 30, 40), Some(30));
        assert!(looks.is_open(time), "the same question has the same answer");
        assert_eq!(looks.note(time, window(2), 55, 55), Some(40), "the first was cut, too");
        assert!(looks.is_open(time));
        assert_eq!(looks.note(time, window(4), 55, 55), None);
        assert!(!looks.is_open(time));
        assert_eq!(looks.note(time + TimeDelta::seconds(1), window(4), 1, 1), None);
        assert!(!looks.is_open(time), "it is another moment that is looked at");
    }
}
