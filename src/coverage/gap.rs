//! Gaps: until when they can still be asked for, and which are gone.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::source::Retention;
use crate::window::{Window, bound};

/// The usual pause between two runs: a span no longer than that, at an end of what is covered, is not told as a gap.
pub(super) const USUAL_PAUSE: TimeDelta = TimeDelta::days(1);

/// A span that is not covered. Either all of it can still be asked for, or all of it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Gap {
    /// Start of the gap.
    pub(crate) from: DateTime<Utc>,
    /// End of the gap.
    pub(crate) to: DateTime<Utc>,
    /// When the service begins to forget it, oldest records first.
    pub(crate) going_at: DateTime<Utc>,
    /// When the service has forgotten all of it.
    pub(crate) gone_at: DateTime<Utc>,
    /// Whether it has forgotten all of it.
    pub(crate) is_gone: bool,
    /// Whether it was accepted that it is gone.
    pub(crate) is_accepted: bool,
    /// Why it was filed as the service gave it and is not proved to be complete; `None` if it was never filed whole.
    pub(crate) unproved: Option<String>,
}

/// What the gaps of a stream come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GapCounts {
    /// Those that can still be closed, all or in part.
    pub(crate) open: u64,
    /// Those that the service has forgotten, and that are not accepted.
    pub(crate) gone: u64,
    /// When the service begins to forget an open one.
    pub(crate) going_at: Option<DateTime<Utc>>,
}

impl GapCounts {
    /// Counts gaps.
    pub(super) fn of<'a>(gaps: impl Iterator<Item = &'a Gap> + Clone) -> Self {
        let open = gaps.clone().filter(|gap| !gap.is_gone);
        Self {
            open: open.clone().count() as u64,
            gone: gaps.filter(|gap| gap.is_gone && !gap.is_accepted).count() as u64,
            going_at: open.map(|gap| gap.going_at).min(),
        }
    }
}

/// Returns these spans, oldest first, as gaps at `now`. One that is partly gone is returned as two.
pub(super) fn gaps(spans: Vec<Window>, retention: Retention, now: DateTime<Utc>) -> Vec<Gap> {
    let oldest = retention.oldest(now);
    let parts = spans.into_iter().flat_map(|gap| split(gap, oldest));
    parts.map(|span| Gap::new(span, retention, now)).collect()
}

/// Says that gaps are gone, and what is to be done about them; `None` if there are none.
pub(crate) fn gone_sentence(gone: &[Gap]) -> Option<String> {
    let (first, last) = (gone.first()?, gone.last()?);
    let (from, to) = (bound(first.from), bound(last.to));
    Some(match gone.len() {
        1 => format!(
            "the gap from {from} to {to} is gone: no run fetched all of it before the service dropped it; trailkeeper coverage names \
             it, until coverage --accept-missing accepts it"
        ),
        count => format!(
            "{count} gaps from {from} to {to} are gone: no run fetched all of them before the service dropped them; trailkeeper \
             coverage names them, until coverage --accept-missing accepts them"
        ),
    })
}

/// Splits a span at a time.
fn split(span: Window, at: DateTime<Utc>) -> impl Iterator<Item = Window> {
    let before = Window {
        to: span.to.min(at),
        ..span
    };
    let after = Window {
        from: span.from.max(at),
        ..span
    };
    [before, after].into_iter().filter(|part| part.from < part.to)
}

impl Gap {
    fn new(span: Window, retention: Retention, now: DateTime<Utc>) -> Self {
        let gone_at = retention.gone_at(span.to);
        Self {
            from: span.from,
            to: span.to,
            going_at: retention.gone_at(span.from),
            gone_at,
            is_gone: gone_at <= now,
            is_accepted: false,
            unproved: None,
        }
    }

    /// Returns whether it may be the usual pause since the last run, at `now`: then no gap is told, if that run fetched what
    /// was new.
    pub(crate) fn is_pause(&self, now: DateTime<Utc>) -> bool {
        self.to == now && now - self.from <= USUAL_PAUSE
    }

    pub(crate) fn span(&self) -> Window {
        Window {
            from: self.from,
            to: self.to,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coverage::Covered;
    use crate::test_support::random::cases;

    const TWO_WEEKS: Retention = Retention {
        days: 14,
        is_documented: true,
    };

    fn time(text: &str) -> DateTime<Utc> {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    fn span(from: &str, to: &str) -> Window {
        Window {
            from: time(from),
            to: time(to),
        }
    }

    #[test]
    fn a_gap_is_gone_when_the_retention_of_its_newest_time_is_over() {
        let covered = Covered::from(vec![span("2026-10-01", "2026-11-02"), span("2026-11-05", "2026-11-10")]);
        let [gap, rest] = &gaps(covered.gaps(None, time("2026-11-12")), TWO_WEEKS, time("2026-11-12"))[..] else {
            panic!("two gaps")
        };
        assert_eq!(gap.span(), span("2026-11-02", "2026-11-05"));
        assert_eq!((gap.going_at, gap.gone_at), (time("2026-11-16"), time("2026-11-19")));
        assert!(!gap.is_gone);
        assert_eq!(rest.span(), span("2026-11-10", "2026-11-12"));
    }

    #[test]
    fn a_gap_of_which_a_part_is_gone_is_two() {
        let covered = Covered::from(vec![span("2026-10-01", "2026-11-02"), span("2026-11-05", "2026-11-18")]);
        let found = gaps(covered.gaps(None, time("2026-11-18")), TWO_WEEKS, time("2026-11-18"));
        let parts: Vec<_> = found.iter().map(|gap| (gap.span(), gap.is_gone)).collect();
        assert_eq!(
            parts,
            [
                (span("2026-11-02", "2026-11-04"), true),
                (span("2026-11-04", "2026-11-05"), false)
            ]
        );
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn the_parts_make_up_the_whole_and_only_what_is_older_than_the_retention_is_gone(
            spans in prop::collection::vec((0_i64..2_000, 1_i64..60), 1..10),
            hours in 0_i64..3_000,
        ) {
            let start = time("2026-01-01");
            let now = start + TimeDelta::hours(hours);
            let spans = spans.into_iter().map(|(from, length)| Window {
                from: start + TimeDelta::hours(from),
                to: start + TimeDelta::hours(from + length),
            });
            let covered = Covered::from(spans.collect::<Vec<_>>());
            let found = gaps(covered.gaps(None, now), TWO_WEEKS, now);
            let mut whole = Covered::default();
            found.iter().for_each(|gap| whole.add(gap.span()));
            prop_assert_eq!(whole.spans(), covered.gaps(None, now));
            for gap in found {
                prop_assert_eq!(gap.is_gone, gap.to <= TWO_WEEKS.oldest(now));
                prop_assert!(gap.is_gone || gap.from >= TWO_WEEKS.oldest(now));
            }
        }
    }
}
