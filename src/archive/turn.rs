//! Which day files a run looks at, so that what it costs does not grow with their number: the newest, and of all others some
//! in turn.
//!
//! Imports: nothing.

use chrono::{DateTime, Utc};

/// How many of the newest day files each run looks at.
const NEWEST: usize = 8;

/// How many of the others.
const OTHERS: usize = 8;

/// Multiples of it are spread over 64 bits where the steps between them are the usual ones between runs, from a second to a week: of
/// some hundred random numbers the one with which the last of 100 to 4 000 files has its turn soonest. With 2⁶⁴ divided by the golden
/// ratio that took seven times as long, since a day later was nearly the same place.
const SPREAD: u64 = 0x2f4e_f196_6bfb_7957;

/// Which day files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    All,
    /// Those whose turn it is in a run that began then.
    Of(DateTime<Utc>),
}

impl Turn {
    /// Returns those whose turn it is, of day files that are sorted from the oldest to the newest.
    pub(crate) fn pick<T>(self, mut sorted: Vec<T>) -> Vec<T> {
        let Self::Of(began) = self else { return sorted };
        if sorted.len() <= NEWEST + OTHERS {
            return sorted;
        }
        let mut picked = sorted.split_off(sorted.len() - NEWEST);
        let spread = (began.timestamp() as u64).wrapping_mul(SPREAD);
        let start = ((u128::from(spread) * sorted.len() as u128) >> 64) as usize;
        sorted.rotate_left(start);
        sorted.truncate(OTHERS);
        picked.append(&mut sorted);
        picked
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_run_looks_at_the_newest_and_as_many_others_however_many_there_are() {
        let began = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        for count in [0, 1, 16, 17, 400, 4_000] {
            let all: Vec<usize> = (0..count).collect();
            assert_eq!(Turn::All.pick(all.clone()), all);
            let picked = Turn::Of(began).pick(all);
            assert_eq!(picked.len(), count.min(NEWEST + OTHERS));
            let newest = (count.saturating_sub(NEWEST)..count).collect::<BTreeSet<_>>();
            assert!(newest.is_subset(&picked.into_iter().collect()));
        }
    }

    #[test]
    fn whatever_the_usual_time_between_runs_each_file_has_its_turn() {
        for step in [1, 10, 60, 300, 900, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800] {
            for count in [100, 400, 4_000] {
                let mut unseen: BTreeSet<usize> = (0..count).collect();
                let mut runs = 0;
                while !unseen.is_empty() {
                    let began = DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(step * runs as i64);
                    for index in Turn::Of(began).pick((0..count).collect()) {
                        unseen.remove(&index);
                    }
                    runs += 1;
                    assert!(runs <= 4 * count / OTHERS, "step {step}: {} unseen", unseen.len());
                }
            }
        }
    }
}
