//! The delivery reports of one producer: which lines of which batch are acknowledged, refused, or in flight.

use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use crate::forward::sink::AFTER_STOP;
use crate::process::awake::Stopwatch;
use crate::process::shutdown::Shutdown;

/// How often a waiting thread checks whether to give up.
const TICK: Duration = Duration::from_millis(100);

/// How long the reports of other lines are waited for once one has failed: some get none, for nothing more is sent.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Shared by the sending thread and the thread on which librdkafka reports.
#[derive(Debug)]
pub(super) struct Reports {
    state: Mutex<State>,
    changed: Condvar,
    ack_timeout: Duration,
}

#[derive(Debug)]
struct State {
    shutdown: Shutdown,
    /// The batches in flight, oldest first.
    batches: VecDeque<InFlight>,
    /// Number of all reports; while it stands still, nothing is acknowledged.
    reported: u64,
    /// Whether a line of the batches in flight has failed.
    has_failed: bool,
    /// The last error of the connection to the brokers.
    error: Option<ConnectionError>,
    /// The last error that a broker or the client would report again, such as a wrong password.
    refusal: Option<String>,
    /// Whether at some time no broker could be reached.
    all_down: bool,
}

/// An error of the connection to the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConnectionError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

/// A batch in flight. Its lines have consecutive numbers.
#[derive(Debug)]
struct InFlight {
    first: usize,
    /// Which of its lines are done.
    done: Vec<bool>,
    /// Number of its lines without a report.
    left: usize,
    /// Number of its lines that the broker has acknowledged.
    taken: usize,
    failures: Vec<Failure>,
}

/// A line that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) number: usize,
    pub(super) code: RDKafkaErrorCode,
}

/// The result of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Number of its first lines that are done, without a gap.
    pub(super) done: usize,
    /// Number of its lines that the broker has acknowledged.
    pub(super) taken: usize,
    /// The lines that were not delivered, by number.
    pub(super) failures: Vec<Failure>,
    /// Whether waiting for it was given up.
    pub(super) is_stalled: bool,
}

impl Outcome {
    /// Whether all of it was delivered.
    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty() && !self.is_stalled
    }
}

impl Reports {
    /// Creates the reports of a producer. Waiting is given up after `ack_timeout` without a report, or soon after a
    /// shutdown.
    pub(super) fn new(ack_timeout: Duration, shutdown: Shutdown) -> Self {
        let state = State {
            shutdown,
            batches: VecDeque::new(),
            reported: 0,
            has_failed: false,
            error: None,
            refusal: None,
            all_down: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            ack_timeout,
        }
    }

    /// Returns the current timeout.
    fn ack_timeout(&self) -> Duration {
        if self.state().shutdown.is_requested() {
            self.ack_timeout.min(AFTER_STOP)
        } else {
            self.ack_timeout
        }
    }

    /// Whether to stop waiting if nothing was acknowledged since `since`. Time in which this process was stopped does not count.
    pub(super) fn should_give_up(&self, since: &Stopwatch) -> bool {
        self.refused().is_some() || since.awake() >= self.ack_timeout()
    }

    /// Forgets the batches in flight, which were given up.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.batches.clear();
        state.has_failed = false;
    }

    /// Forgets what was wrong with connections, so that what is noted from now on came while nothing was sent.
    pub(super) fn rest(&self) {
        let mut state = self.state();
        (state.error, state.refusal, state.all_down) = (None, None, false);
        state.reported = 0;
    }

    /// Goes on in another round; returns whether nothing was wrong since [`Reports::rest`].
    pub(super) fn take_up(&self, shutdown: &Shutdown) -> bool {
        let mut state = self.state();
        state.shutdown = shutdown.clone();
        state.error.is_none()
    }

    /// Adds a batch of `count` lines with numbers from `first` on.
    pub(super) fn expect(&self, first: usize, count: usize) {
        self.state().batches.push_back(InFlight {
            first,
            done: vec![false; count],
            left: count,
            taken: 0,
            failures: Vec::new(),
        });
    }

    /// Notes that a line was delivered, or that it failed.
    pub(super) fn report(&self, number: usize, failure: Option<RDKafkaErrorCode>) {
        self.note(number, failure, failure.is_none());
    }

    /// Notes that a line is done, although it was not sent.
    pub(super) fn pass(&self, number: usize) {
        self.note(number, None, false);
    }

    fn note(&self, number: usize, failure: Option<RDKafkaErrorCode>, is_taken: bool) {
        let mut state = self.state();
        state.reported += 1;
        state.has_failed |= failure.is_some();
        let out = state.batches.iter_mut().find(|out| out.contains(number));
        let is_complete = out.is_some_and(|out| {
            out.left = out.left.saturating_sub(1);
            out.done[number - out.first] = failure.is_none();
            out.taken += usize::from(is_taken);
            out.failures.extend(failure.map(|code| Failure { number, code }));
            out.left == 0
        });
        if is_complete {
            self.changed.notify_all();
        }
    }

    /// Notes an error of the connection.
    pub(super) fn note_connection_error(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut state = self.state();
        let reason = reason.to_owned();
        let error = ConnectionError {
            code,
            reason: reason.clone(),
        };
        if code == RDKafkaErrorCode::AllBrokersDown {
            state.all_down = true;
            // The errors of each broker before say more.
            state.error.get_or_insert(error);
        } else {
            state.error = Some(error);
            if is_refused(code, &reason) {
                state.refusal = Some(reason);
            }
        }
        self.changed.notify_all();
    }

    /// Returns the last error of the connection.
    pub(super) fn error(&self) -> Option<ConnectionError> {
        self.state().error.clone()
    }

    /// Returns why waiting cannot help: all brokers were tried, one refused the connection, and none has reported
    /// anything yet.
    pub(super) fn refused(&self) -> Option<String> {
        let state = self.state();
        let is_useless = state.all_down && state.reported == 0;
        state.refusal.clone().filter(|_| is_useless)
    }

    /// Returns the number of reports.
    pub(super) fn count(&self) -> u64 {
        self.state().reported
    }

    /// Waits a moment for more reports, which make room in the queue.
    pub(super) fn wait_a_moment(&self) {
        let state = self.state();
        let _ = self.changed.wait_timeout(state, Duration::from_millis(5));
    }

    /// Waits for the reports of the oldest batch, as long as reports keep coming, and removes the batch.
    pub(super) fn next_ack(&self) -> Outcome {
        let mut since = Stopwatch::start();
        let mut state = self.state();
        loop {
            let reported = state.reported;
            if state.batches.front().is_none_or(|out| out.left == 0) {
                return state.remove_oldest(false);
            }
            let waited = self.changed.wait_timeout(state, TICK.min(self.ack_timeout));
            drop(waited);
            let should_give_up = self.should_give_up(&since);
            state = self.state();
            if state.reported != reported {
                since = Stopwatch::start();
            } else if state.has_failed && since.awake() >= AFTER_FAILURE {
                state.fail_oldest();
            } else if should_give_up {
                return state.remove_oldest(true);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic with the lock held cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts the lines of the oldest batch as failed that have no report.
    fn fail_oldest(&mut self) {
        let Some(out) = self.batches.front_mut() else { return };
        let failed: HashSet<_> = out.failures.iter().map(|failure| failure.number).collect();
        let undone = (out.first..).zip(&out.done).filter(|(_, done)| !**done);
        let unreported = undone
            .map(|(number, _)| number)
            .filter(|number| !failed.contains(number));
        let code = RDKafkaErrorCode::PurgeQueue;
        let failures: Vec<_> = unreported.map(|number| Failure { number, code }).collect();
        out.failures.extend(failures);
        out.left = 0;
    }

    /// Removes the oldest batch and returns its result.
    fn remove_oldest(&mut self, is_stalled: bool) -> Outcome {
        let out = self.batches.pop_front();
        out.map(|out| out.outcome(is_stalled)).unwrap_or_default()
    }
}

/// Whether the same connection would be refused again, for a wrong password or an unknown authority. A connection that
/// broke off during the handshake does not count: a broker that restarts causes that.
fn is_refused(code: RDKafkaErrorCode, reason: &str) -> bool {
    match code {
        RDKafkaErrorCode::Authentication => true,
        RDKafkaErrorCode::SSL => !reason.contains("Disconnected"),
        _ => false,
    }
}

impl InFlight {
    fn contains(&self, number: usize) -> bool {
        (self.first..self.first + self.done.len()).contains(&number)
    }

    fn outcome(mut self, is_stalled: bool) -> Outcome {
        self.failures.sort_by_key(|failure| failure.number);
        Outcome {
            done: self.done.iter().take_while(|done| **done).count(),
            taken: self.taken,
            failures: self.failures,
            is_stalled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(ack_timeout: Duration) -> Reports {
        let (_, shutdown) = crate::process::shutdown::channel();
        Reports::new(ack_timeout, shutdown)
    }

    const SHORT: Duration = Duration::from_millis(1);
    /// Longer than any test may take.
    const LONG: Duration = Duration::from_secs(3600);

    fn failure(number: usize) -> Failure {
        Failure {
            number,
            code: RDKafkaErrorCode::TopicAuthorizationFailed,
        }
    }

    #[test]
    fn a_batch_is_done_when_every_line_was_reported_in_any_order() {
        let reports = reports(SHORT);
        reports.expect(5, 3);
        reports.expect(8, 1);
        for number in [8, 7, 5, 6] {
            reports.report(number, None);
        }
        for count in [3, 1, 0] {
            let outcome = reports.next_ack();
            assert!(outcome.is_good());
            assert_eq!(outcome.done, count);
        }
    }

    #[test]
    fn only_what_comes_before_the_first_failure_is_done() {
        let reports = reports(SHORT);
        reports.expect(0, 4);
        for (number, code) in [
            (3, Some(failure(3).code)),
            (0, None),
            (2, None),
            (1, Some(failure(1).code)),
        ] {
            reports.report(number, code);
        }
        let outcome = reports.next_ack();
        assert_eq!((outcome.done, outcome.failures), (1, vec![failure(1), failure(3)]));
    }

    #[test]
    fn after_a_failure_lines_without_a_report_have_failed_too() {
        let reports = reports(LONG);
        reports.expect(0, 3);
        reports.expect(3, 1);
        reports.report(0, None);
        reports.report(1, Some(failure(1).code));
        let purged = |number| Failure {
            number,
            code: RDKafkaErrorCode::PurgeQueue,
        };
        let outcome = reports.next_ack();
        assert_eq!((outcome.done, outcome.failures), (1, vec![failure(1), purged(2)]));
        assert_eq!(reports.next_ack().failures, [purged(3)]);
    }

    #[test]
    fn waiting_for_a_batch_without_reports_is_given_up() {
        let reports = reports(SHORT);
        reports.expect(0, 2);
        reports.report(0, None);
        let outcome = reports.next_ack();
        assert_eq!((outcome.done, outcome.is_stalled), (1, true));
    }

    #[test]
    fn brokers_that_refuse_the_connection_are_not_waited_for() {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, SSL};
        let unknown = "SSL handshake failed: certificate verify failed";
        for (code, reason, is_final) in [
            (Authentication, "Authentication failed", true),
            (SSL, unknown, true),
            (SSL, "SSL handshake failed: Disconnected", false),
            (BrokerTransportFailure, "Connection refused", false),
        ] {
            let reports = reports(LONG);
            reports.expect(0, 1);
            reports.note_connection_error(code, reason);
            assert_eq!(reports.refused(), None, "another broker may do");
            reports.note_connection_error(AllBrokersDown, "1/1 brokers are down");
            assert_eq!(reports.refused(), is_final.then(|| reason.to_owned()));
            assert_eq!(reports.error().unwrap().reason, reason);
            if is_final {
                assert!(reports.next_ack().is_stalled);
            }
            reports.report(0, None);
            assert_eq!(reports.refused(), None, "it did work");
        }
    }

    #[test]
    fn a_shutdown_shortens_the_ack_timeout() {
        let (trigger, shutdown) = crate::process::shutdown::channel();
        let reports = Reports::new(LONG, shutdown);
        assert_eq!(reports.ack_timeout(), LONG);
        trigger.trigger();
        assert_eq!(reports.ack_timeout(), AFTER_STOP);
    }
}
