//! The delivery reports of one producer: which lines of which batch are confirmed, refused, or still out.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

/// Shared by the thread that sends and the thread on which librdkafka reports.
#[derive(Debug, Default)]
pub(super) struct Reports {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The batches that are out, oldest first.
    batches: VecDeque<Out>,
    /// How many reports have come in all; when it stands still, nothing is confirmed.
    reported: u64,
    /// What the client said of its connection to the brokers last.
    trouble: Option<String>,
}

/// A batch that is out. Its lines are known by consecutive numbers.
#[derive(Debug)]
struct Out {
    first: usize,
    /// Which of its lines are done.
    done: Vec<bool>,
    /// How many of its lines have no report yet.
    left: usize,
    failures: Vec<Failure>,
}

/// A line that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its number.
    pub(super) number: usize,
    /// Why.
    pub(super) code: RDKafkaErrorCode,
}

/// What is known of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How many of its lines, from the first on, are done without a gap.
    pub(super) done: usize,
    /// The lines that were not delivered, in the order of their numbers.
    pub(super) failures: Vec<Failure>,
    /// Whether it was waited for in vain.
    pub(super) is_stalled: bool,
}

impl Outcome {
    /// Whether all of it was delivered.
    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty() && !self.is_stalled
    }
}

impl Reports {
    /// `count` lines with numbers from `first` on are going out.
    pub(super) fn expect(&self, first: usize, count: usize) {
        self.state().batches.push_back(Out {
            first,
            done: vec![false; count],
            left: count,
            failures: Vec::new(),
        });
    }

    /// A line was delivered, or is done in another way; or it was not.
    pub(super) fn report(&self, number: usize, failure: Option<RDKafkaErrorCode>) {
        let mut state = self.state();
        state.reported += 1;
        let out = state.batches.iter_mut().find(|out| out.contains(number));
        let is_complete = out.is_some_and(|out| {
            out.left = out.left.saturating_sub(1);
            out.done[number - out.first] = failure.is_none();
            out.failures.extend(failure.map(|code| Failure { number, code }));
            out.left == 0
        });
        // Who waits for room in the queue wants to hear of some reports too, but not of each.
        if is_complete || state.reported.is_multiple_of(256) {
            self.changed.notify_all();
        }
    }

    /// The client has trouble with its connection.
    pub(super) fn note_trouble(&self, reason: &str) {
        self.state().trouble = Some(reason.to_owned());
    }

    /// What it said of that last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// How many reports have come.
    pub(super) fn count(&self) -> u64 {
        self.state().reported
    }

    /// Waits a moment for further reports.
    pub(super) fn wait_a_moment(&self) {
        let state = self.state();
        let _ = self.changed.wait_timeout(state, Duration::from_millis(5));
    }

    /// Waits for the reports of the oldest batch, for as long as reports keep coming, and forgets it.
    pub(super) fn settle(&self, patience: Duration) -> Outcome {
        let mut state = self.state();
        loop {
            let reported = state.reported;
            if state.batches.front().is_none_or(|out| out.left == 0) {
                return state
                    .batches
                    .pop_front()
                    .map(|out| out.outcome(false))
                    .unwrap_or_default();
            }
            let waited;
            (state, waited) = self
                .changed
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() && state.reported == reported {
                return state
                    .batches
                    .pop_front()
                    .map(|out| out.outcome(true))
                    .unwrap_or_default();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Out {
    fn contains(&self, number: usize) -> bool {
        (self.first..self.first + self.done.len()).contains(&number)
    }

    fn outcome(mut self, is_stalled: bool) -> Outcome {
        self.failures.sort_by_key(|failure| failure.number);
        Outcome {
            done: self.done.iter().take_while(|done| **done).count(),
            failures: self.failures,
            is_stalled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    fn failure(number: usize) -> Failure {
        Failure {
            number,
            code: RDKafkaErrorCode::TopicAuthorizationFailed,
        }
    }

    #[test]
    fn a_batch_is_done_when_every_line_was_reported_in_any_order() {
        let reports = Reports::default();
        reports.expect(5, 3);
        reports.expect(8, 1);
        for number in [8, 7, 5, 6] {
            reports.report(number, None);
        }
        for count in [3, 1, 0] {
            let outcome = reports.settle(SHORT);
            assert!(outcome.is_good());
            assert_eq!(outcome.done, count);
        }
    }

    #[test]
    fn only_what_comes_before_the_first_failure_is_done() {
        let reports = Reports::default();
        reports.expect(0, 4);
        for (number, code) in [
            (3, Some(failure(3).code)),
            (0, None),
            (2, None),
            (1, Some(failure(1).code)),
        ] {
            reports.report(number, code);
        }
        let outcome = reports.settle(SHORT);
        assert_eq!((outcome.done, outcome.failures), (1, vec![failure(1), failure(3)]));
    }

    #[test]
    fn a_batch_without_reports_is_waited_for_in_vain() {
        let reports = Reports::default();
        reports.expect(0, 2);
        reports.report(0, None);
        let outcome = reports.settle(SHORT);
        assert_eq!((outcome.done, outcome.is_stalled), (1, true));
    }
}
