//! Bounds: what a service makes of the ends of the span that it is asked for.

use std::fmt;

use proptest::prelude::*;

/// What a service makes of one end of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Both the bound and the times are seen in steps of so many milliseconds.
    pub(crate) grain: i64,
    /// Whether the bound is cut or rounded up to such a step.
    pub(crate) rounding: Rounding,
    /// Whether the bound itself belongs to the span.
    pub(crate) is_included: bool,
}

/// What becomes of a bound that is no whole step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Down,
    Up,
}

impl Bound {
    /// To the millisecond, and a part of the span.
    pub(crate) const EXACT: Bound = Bound {
        grain: 1,
        rounding: Rounding::Down,
        is_included: true,
    };

    /// Cut to whole seconds, and a part of the span.
    pub(crate) const CUT: Bound = Bound {
        grain: 1_000,
        ..Bound::EXACT
    };

    /// Cut to whole seconds, and no part of the span.
    pub(crate) const CUT_AND_EXCLUDED: Bound = Bound {
        grain: 1_000,
        rounding: Rounding::Down,
        is_included: false,
    };

    /// Whether a time is not before the span, if this is its lower bound.
    pub(crate) fn admits_above(self, bound: i64, time: i64) -> bool {
        let bound = self.rounded(bound);
        bound < time || (self.is_included && bound == time)
    }

    /// Whether a time is not behind the span, if this is its upper bound.
    pub(crate) fn admits_below(self, bound: i64, time: i64) -> bool {
        let bound = self.rounded(bound);
        time < bound || (self.is_included && bound == time)
    }

    fn rounded(self, bound: i64) -> i64 {
        let down = bound.div_euclid(self.grain) * self.grain;
        match self.rounding {
            Rounding::Up if down < bound => down + self.grain,
            _ => down,
        }
    }
}

/// Each way that is not the exact one.
pub(crate) fn odd_bound() -> impl Strategy<Value = Bound> {
    let rounding = prop_oneof![Just(Rounding::Down), Just(Rounding::Up)];
    let rounded = (rounding, any::<bool>()).prop_map(|(rounding, is_included)| Bound {
        grain: 1_000,
        rounding,
        is_included,
    });
    let excluded = Just(Bound {
        is_included: false,
        ..Bound::EXACT
    });
    prop_oneof![1 => excluded, 2 => rounded]
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounding = match (self.grain, self.rounding) {
            (1, _) => "takes it to the millisecond",
            (_, Rounding::Down) => "cuts it to whole seconds",
            (_, Rounding::Up) => "rounds it up to whole seconds",
        };
        let inclusion = if self.is_included { "includes" } else { "excludes" };
        write!(f, "{rounding} and {inclusion} it")
    }
}

#[test]
fn a_bound_that_is_cut_and_excluded_hides_the_second_in_which_it_lies() {
    let bound = Bound::CUT_AND_EXCLUDED;
    assert!(bound.admits_below(5_700, 4_999) && !bound.admits_below(5_700, 5_000));
    assert!(bound.admits_above(5_700, 5_001) && !bound.admits_above(5_700, 5_000));
    assert!(Bound::EXACT.admits_below(5_700, 5_700) && !Bound::EXACT.admits_below(5_700, 5_701));
}
