//! How requests ended and how long they took, counted where they are sent.

use std::collections::BTreeMap;
use std::time::Duration;

/// The upper bounds, in seconds, of the histogram of request times; a last class has no bound. The services answer in
/// tenths of a second on a good day, and a request times out after a minute.
pub(crate) const BOUNDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What came back for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// An answer with this HTTP status, even if its body is unusable.
    Status(u16),
    /// No answer: the host could not be reached, or did not answer in time.
    Nothing,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestStats {
    /// The number of requests for each answer.
    pub(crate) answers: BTreeMap<Answer, u64>,
    /// The number of requests in each class of [`BOUNDS`], not cumulative.
    pub(crate) times: [u64; BOUNDS.len() + 1],
    /// The total time of all requests, in seconds.
    pub(crate) seconds: f64,
}

impl RequestStats {
    /// Counts one request, from sending it to the last byte of its answer.
    pub(super) fn note(&mut self, answer: Answer, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = BOUNDS.iter().position(|bound| seconds <= *bound);
        *self.answers.entry(answer).or_default() += 1;
        self.times[class.unwrap_or(BOUNDS.len())] += 1;
        self.seconds += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_answer_and_in_one_class_of_times() {
        let mut request_stats = RequestStats::default();
        for (answer, millis) in [
            (Answer::Status(200), 50),
            (Answer::Status(200), 51),
            (Answer::Status(503), 60_000),
            (Answer::Nothing, 60_001),
        ] {
            request_stats.note(answer, Duration::from_millis(millis));
        }
        let expected = [(Answer::Status(200), 2), (Answer::Status(503), 1), (Answer::Nothing, 1)];
        assert_eq!(request_stats.answers, BTreeMap::from(expected));
        assert_eq!(request_stats.times, [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert!((request_stats.seconds - 120.102).abs() < 1e-9);
    }
}
