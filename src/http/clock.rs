//! The clock of a service, as the `Date` of its answers shows it (RFC 9110, section 6.6.1).
//!
//! A `Date` names a second, and lies between the moment when the request was sent and that when the answer arrived. So
//! each answer bounds the service's time from both sides, and several bound it more narrowly. Bounds that contradict
//! each other come from no clock: a `Date` that does not go on while seconds pass, or servers that do not agree. One
//! that has not gone on since an earlier run is none either.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// A `Date` has whole seconds: the time is in the second that it names.
const RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// How far the clocks of the servers behind one address may be apart and still pass for one.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// What the answers so far say of a service's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceClock {
    /// A moment; the bounds are of the service's time then.
    origin: Instant,
    bounds: Option<ServiceTime>,
    /// A date that an earlier run was answered with: a clock has left it behind.
    stale: Option<DateTime<Utc>>,
    /// The date of the last answer.
    date: Option<DateTime<Utc>>,
}

/// The service's time at a moment: not before one time, and not after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServiceTime {
    pub(crate) earliest: DateTime<Utc>,
    pub(crate) latest: DateTime<Utc>,
}

impl ServiceClock {
    /// Creates the clock of a service that has not answered yet.
    pub(super) fn unknown() -> Self {
        Self {
            origin: Instant::now(),
            bounds: None,
            stale: None,
            date: None,
        }
    }

    /// Takes this date for none, since it was that of an answer some seconds ago.
    pub(super) fn distrust(&mut self, stale: DateTime<Utc>) {
        self.stale = Some(stale);
    }

    /// Returns the date of the last answer, to the second, whatever it is worth.
    pub(crate) fn date(&self) -> Option<DateTime<Utc>> {
        self.date
    }

    /// Notes the `Date` of an answer that arrived at one moment, to a request that was sent at another.
    pub(super) fn note(&mut self, date: DateTime<Utc>, sent: Instant, arrived: Instant) {
        self.date = Some(date);
        if self.stale == self.date {
            return;
        }
        let earliest = date - between(self.origin, arrived);
        let latest = date + RESOLUTION - between(self.origin, sent);
        let bounds = self.bounds.unwrap_or(ServiceTime { earliest, latest });
        self.bounds = Some(ServiceTime {
            earliest: bounds.earliest.max(earliest),
            latest: bounds.latest.min(latest),
        });
    }

    /// Returns the service's time at this moment; `None` if no answer told it, or answers contradict each other.
    pub(crate) fn at(&self, moment: Instant) -> Option<ServiceTime> {
        let bounds = self.bounds?;
        if bounds.earliest - bounds.latest > TOLERANCE {
            return None;
        }
        let since = between(self.origin, moment);
        Some(ServiceTime {
            earliest: bounds.earliest.min(bounds.latest) + since,
            latest: bounds.latest.max(bounds.earliest) + since,
        })
    }
}

impl ServiceTime {
    /// Returns by how much the service's clock is surely ahead of this time, or behind it if negative; zero if the
    /// difference may be the travel time of the answers and the missing fractions of seconds.
    pub(crate) fn ahead_of(&self, ours: DateTime<Utc>) -> TimeDelta {
        if self.earliest > ours {
            self.earliest - ours
        } else if self.latest < ours {
            self.latest - ours
        } else {
            TimeDelta::zero()
        }
    }
}

/// Returns the time from one moment to another, which may be before it.
fn between(from: Instant, to: Instant) -> TimeDelta {
    let span = |earlier, later: Instant| {
        TimeDelta::from_std(later.saturating_duration_since(earlier)).unwrap_or(TimeDelta::zero())
    };
    span(from, to) - span(to, from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    fn date(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn after(origin: Instant, milliseconds: u64) -> Instant {
        origin + Duration::from_millis(milliseconds)
    }

    /// A clock that has noted these answers: the date, and when the request was sent and the answer arrived.
    fn clock(answers: &[(i64, u64, u64)]) -> ServiceClock {
        let mut clock = ServiceClock::unknown();
        for (seconds, sent, arrived) in answers {
            clock.note(
                date(*seconds),
                after(clock.origin, *sent),
                after(clock.origin, *arrived),
            );
        }
        clock
    }

    /// By how many milliseconds the service is ahead of a clock that shows `date(0)` at the origin.
    fn ahead(answers: &[(i64, u64, u64)]) -> Option<i64> {
        let clock = clock(answers);
        let time = clock.at(clock.origin)?;
        Some(time.ahead_of(date(0)).num_milliseconds())
    }

    #[test]
    fn a_clock_is_off_only_by_what_the_way_of_the_answer_does_not_explain() {
        assert_eq!(ahead(&[]), None);
        for (answer, expected) in [
            ((0, 0, 0), 0),
            ((0, 0, 1_000), 0),
            ((0, 999, 1_000), 0),
            ((-4, 0, 60_000), -3_000),
            ((5, 0, 60_000), 0),
            ((65, 0, 60_000), 5_000),
            ((7, 100, 400), 6_600),
            ((600, 0, 300), 599_700),
            ((-600, 0, 300), -599_000),
            ((400 * 86_400, 0, 0), 400 * 86_400_000),
        ] {
            assert_eq!(ahead(&[answer]), Some(expected), "{answer:?}");
        }
    }

    #[test]
    fn a_date_that_does_not_go_on_while_seconds_pass_says_nothing() {
        let stuck = |answers: u64| (0..answers).map(|n| (-600, n * 1_500, n * 1_500)).collect::<Vec<_>>();
        assert_eq!(ahead(&stuck(1)), Some(-599_000));
        assert_eq!(ahead(&stuck(6)), None);
        // It is no clock either when it jumps for once.
        assert_eq!(ahead(&[(0, 0, 0), (40, 0, 0)]), None);
    }

    #[test]
    fn a_date_of_an_earlier_run_says_nothing() {
        let mut clock = ServiceClock::unknown();
        clock.distrust(date(0));
        clock.note(date(0), clock.origin, clock.origin);
        assert_eq!((clock.at(clock.origin), clock.date()), (None, Some(date(0))));
        clock.note(date(7), clock.origin, clock.origin);
        assert_eq!(clock.at(clock.origin).unwrap().earliest, date(7));
    }

    #[test]
    fn servers_that_agree_to_a_few_seconds_are_one_clock() {
        let clock = clock(&[(0, 0, 0), (5, 0, 0), (1, 0, 0)]);
        let expected = ServiceTime {
            earliest: date(1),
            latest: date(5),
        };
        assert_eq!(clock.at(clock.origin), Some(expected));
    }

    #[test]
    fn a_moment_may_lie_before_the_first_answer() {
        let clock = clock(&[(100, 90_000, 90_000)]);
        let time = clock.at(clock.origin).unwrap();
        assert_eq!((time.earliest, time.latest), (date(10), date(11)));
        let later = clock.at(after(clock.origin, 120_000)).unwrap();
        assert_eq!((later.earliest, later.latest), (date(130), date(131)));
    }

    proptest! {
        #![proptest_config(cases(256))]

        /// Whatever the clock and however slow the answers, the true time is within the bounds.
        #[test]
        fn the_true_time_is_within_the_bounds(
            offset in -1_000_000_000_i64..1_000_000_000,
            answers in prop::collection::vec((0_u64..600_000, 0_u64..60_000, 0_u64..60_000), 1..20),
        ) {
            let mut clock = ServiceClock::unknown();
            for (sent, there, back) in answers {
                let at_service = date(0) + TimeDelta::milliseconds(offset + (sent + there) as i64);
                let seconds = DateTime::from_timestamp(at_service.timestamp(), 0).unwrap();
                clock.note(seconds, after(clock.origin, sent), after(clock.origin, sent + there + back));
            }
            let (time, truth) = (clock.at(clock.origin).unwrap(), date(0) + TimeDelta::milliseconds(offset));
            prop_assert!(time.earliest <= truth && truth <= time.latest, "{time:?} {truth}");
        }
    }
}
