//! The clocks of a run: this machine's, and the service's as its answers show it. If they are apart by more than the
//! overlap, the run asks for what either of them can mean, and says so.

use chrono::{DateTime, TimeDelta, Utc};

use crate::http::clock::ServiceTime;
use crate::window::bound;

/// Clocks that are closer count as the same even if the overlap is shorter: between the time that a run takes for its
/// own and its first request lie the settings and the locks.
const LEAST: TimeDelta = TimeDelta::seconds(10);

/// When a run began, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clocks {
    ours: DateTime<Utc>,
    service: ServiceTime,
}

impl Clocks {
    /// Takes the service's clock for the same as ours, until it is known to be apart.
    pub(super) fn same(ours: DateTime<Utc>) -> Self {
        let service = ServiceTime {
            earliest: ours,
            latest: ours,
        };
        Self { ours, service }
    }

    /// Returns the clocks if they are surely further apart than the overlap between runs.
    pub(super) fn apart(ours: DateTime<Utc>, service: ServiceTime, overlap: TimeDelta) -> Option<Self> {
        (service.ahead_of(ours).abs() > overlap.max(LEAST)).then_some(Self { ours, service })
    }

    pub(super) fn are_apart(self) -> bool {
        self != Self::same(self.ours)
    }

    /// Returns the time by this machine's clock.
    pub(super) fn ours(self) -> DateTime<Utc> {
        self.ours
    }

    /// Returns the time by the service's clock, from which the times of the records come.
    pub(super) fn service(self) -> DateTime<Utc> {
        self.service.earliest
    }

    /// Returns the later time: no record that was there can be newer, whichever clock is right.
    pub(super) fn later(self) -> DateTime<Utc> {
        self.ours.max(self.service.latest)
    }

    /// Returns by how much they are apart at most.
    pub(super) fn distance(self) -> TimeDelta {
        self.later() - self.ours.min(self.service.earliest)
    }
}

/// Returns what is to be said of a service's clock that is so far ahead of ours, or behind it if negative.
pub(crate) fn apart_warning(ahead: TimeDelta, overlap: TimeDelta) -> Option<String> {
    let direction = if ahead < TimeDelta::zero() {
        "ahead of"
    } else {
        "behind"
    };
    (ahead.abs() > overlap.max(LEAST)).then(|| {
        format!(
            "this machine's clock is {} seconds {direction} the service's, more than the overlap of {} seconds: set the \
             clock, or have NTP do it",
            ahead.abs().num_seconds(),
            overlap.num_seconds()
        )
    })
}

/// Returns what is to be said if earlier runs have covered time that has not come yet by either clock.
pub(super) fn set_back_warning(covered_to: DateTime<Utc>, clocks: Clocks, overlap: TimeDelta) -> Option<String> {
    (covered_to - clocks.later() > overlap).then(|| {
        format!(
            "earlier runs have covered time up to {}, which has not come yet: this machine's clock was set back, or was \
             ahead before; newer records are not asked for until it is right, so set the clock, or have NTP do it",
            bound(covered_to)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAP: TimeDelta = TimeDelta::seconds(120);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn apart(earliest: i64, latest: i64) -> Option<Clocks> {
        let (earliest, latest) = (at(earliest), at(latest));
        Clocks::apart(at(0), ServiceTime { earliest, latest }, OVERLAP)
    }

    #[test]
    fn clocks_are_apart_if_nothing_else_explains_more_than_the_overlap() {
        assert_eq!(apart(-200, 0), None);
        assert_eq!(apart(120, 121), None);
        assert_eq!(apart(-121, -120), None);
        let ahead = apart(121, 122).unwrap();
        assert_eq!((ahead.service(), ahead.later()), (at(121), at(122)));
        let behind = apart(-500, -400).unwrap();
        assert_eq!((behind.service(), behind.later()), (at(-500), at(0)));
        assert_eq!(behind.distance(), TimeDelta::seconds(500));
        assert!(behind.are_apart() && !Clocks::same(at(0)).are_apart());
    }

    #[test]
    fn without_an_overlap_a_few_seconds_are_nothing() {
        let (earliest, latest) = (at(9), at(9));
        assert_eq!(
            Clocks::apart(at(0), ServiceTime { earliest, latest }, TimeDelta::zero()),
            None
        );
        assert_eq!(apart_warning(TimeDelta::seconds(10), TimeDelta::zero()), None);
        assert!(apart_warning(TimeDelta::seconds(11), TimeDelta::zero()).is_some());
    }

    #[test]
    fn a_difference_above_the_overlap_is_told_with_its_direction() {
        assert_eq!(apart_warning(OVERLAP, OVERLAP), None);
        assert_eq!(apart_warning(-OVERLAP, OVERLAP), None);
        for (ahead, start) in [
            (-121, "this machine's clock is 121 seconds ahead of the service's"),
            (300, "this machine's clock is 300 seconds behind the service's"),
        ] {
            let warning = apart_warning(TimeDelta::seconds(ahead), OVERLAP).unwrap();
            assert!(warning.starts_with(start), "{warning}");
        }
    }

    #[test]
    fn time_that_was_covered_and_has_not_come_is_told() {
        let told = |covered_to| set_back_warning(at(covered_to), Clocks::same(at(0)), OVERLAP).is_some();
        assert_eq!([-500, 0, 120, 121].map(told), [false, false, false, true]);
        let service_ahead = apart(400, 401).unwrap();
        assert_eq!(set_back_warning(at(500), service_ahead, OVERLAP), None);
    }
}
