//! Runs that asked for everything up to their start: they show which records came late.

use chrono::{DateTime, TimeDelta, Utc};

/// A run that asked for everything from `from` up to its start, and got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedRun {
    pub(crate) at: DateTime<Utc>,
    /// Where its window began.
    pub(crate) from: DateTime<Utc>,
    /// The time of the archive's last record when it began; an ordinary window begins the overlap before it.
    pub(crate) last: DateTime<Utc>,
}

/// Completed runs, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompletedRuns {
    runs: Vec<CompletedRun>,
}

impl CompletedRuns {
    /// Collects runs in the order of the journal, newest first. A run whose clock was ahead of a later run's is left
    /// out: its times cannot be relied on.
    pub(crate) fn from_newest(newest_first: impl IntoIterator<Item = CompletedRun>) -> Self {
        let mut runs: Vec<CompletedRun> = Vec::new();
        for run in newest_first {
            if runs.last().is_none_or(|later| run.at < later.at) {
                runs.push(run);
            }
        }
        runs.reverse();
        Self { runs }
    }

    /// Returns the least overlap that would have found a late record of this time: how far before `last` the next run
    /// after the last one that covered its time would have had to ask.
    ///
    /// If there was no later run, `last` is the argument. `None` if no run is known to have covered that time.
    pub(crate) fn least_overlap(&self, time: DateTime<Utc>, last: DateTime<Utc>) -> Option<TimeDelta> {
        let missed = self.runs.iter().rposition(|run| run.from <= time && time <= run.at)?;
        let next_last = self.runs.get(missed + 1).map_or(last, |next| next.last);
        Some((next_last - time).max(TimeDelta::zero()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(29_000_000 + minutes)
    }

    fn run(at_minute: i64, from: i64, last: i64) -> CompletedRun {
        CompletedRun {
            at: at(at_minute),
            from: at(from),
            last: at(last),
        }
    }

    #[test]
    fn the_least_overlap_is_that_of_the_next_run_after_the_last_one_that_covered_the_time() {
        let runs = CompletedRuns::from_newest([run(30, 17, 19), run(20, 7, 9), run(10, -2, 0)]);
        let least = |time| runs.least_overlap(at(time), at(29)).map(|least| least.num_minutes());
        assert_eq!(least(-3), None, "no run covered it");
        assert_eq!(
            least(5),
            Some(4),
            "the run at 10 did, and the one at 20 asked from 9 minus the overlap"
        );
        assert_eq!(least(8), Some(11));
        assert_eq!(least(18), Some(11), "no run since the one at 30: this one decides");
        assert_eq!(least(31), None);
    }

    #[test]
    fn a_run_whose_clock_was_ahead_of_a_later_one_does_not_count() {
        let runs = CompletedRuns::from_newest([run(12, 3, 4), run(5, 1, 2), run(10, 0, 2), run(4, 0, 1)]);
        assert_eq!(runs.runs, [run(4, 0, 1), run(5, 1, 2), run(12, 3, 4)]);
    }
}
