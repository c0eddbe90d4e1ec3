//! Spans of time: the window of a run, and the slices in which it is fetched, oldest first.
//!
//! Imports: nothing.

mod range;
mod slice_plan;
#[cfg(test)]
mod tests;

use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use range::{Range, ResolvedRange};
pub(crate) use slice_plan::{Load, Slice, SlicePlan};

/// The finest step of bounds, to which windows are rounded: every service accepts milliseconds.
pub(crate) const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// A span of time to ask a service for; `from` is not after `to`, both in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The older end.
    pub(crate) from: DateTime<Utc>,
    /// The newer end.
    pub(crate) to: DateTime<Utc>,
}

impl Window {
    /// Creates a window that holds both times: its ends are rounded outwards to whole milliseconds, which every service
    /// accepts.
    pub fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self {
            from: floor_to_millisecond(from),
            to: ceil_to_millisecond(to),
        }
    }

    /// Returns whether all of another window lies in it.
    pub(crate) fn holds(self, part: Self) -> bool {
        self.from <= part.from && part.to <= self.to
    }
}

/// Rounds down to a whole millisecond.
pub(crate) fn floor_to_millisecond(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

/// Rounds up to a whole millisecond.
pub(crate) fn ceil_to_millisecond(time: DateTime<Utc>) -> DateTime<Utc> {
    let floor = floor_to_millisecond(time);
    if floor == time { time } else { floor + TICK }
}

/// Formats a bound the way every service accepts it: RFC 3339, UTC, milliseconds.
pub(crate) fn bound(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
