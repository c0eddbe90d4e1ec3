//! Which span of time a run asks for: what is new, or a range given by the user.

use chrono::{DateTime, TimeDelta, Utc};

use super::Window;

/// Which span of time a run asks for: what is new, or a range given by the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Where to begin; by default before the archive's last record.
    pub(crate) since: Option<DateTime<Utc>>,
    /// Where to end; by default now.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// The window that a [`Range`] comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolvedRange {
    /// As requested.
    Window(Window),
    /// The requested start would have left a gap after the last record, so the window starts earlier.
    StartMoved(Window),
    /// Nothing: the range ends before it begins.
    Empty {
        /// Where the range would begin.
        from: DateTime<Utc>,
        /// Where the range ends.
        to: DateTime<Utc>,
    },
}

impl Range {
    /// Returns the window for an archive whose last record is at `last`; without one, it begins `lookback` before
    /// `now`.
    pub(crate) fn window(
        &self,
        now: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
        overlap: TimeDelta,
        lookback: TimeDelta,
    ) -> ResolvedRange {
        let to = self.until.map_or(now, |until| until.min(now));
        let next = last.map_or(now - lookback, |last| last - overlap);
        let leaves_a_hole = matches!((self.since, last), (Some(since), Some(last)) if since > last);
        let from = if leaves_a_hole {
            next
        } else {
            self.since.unwrap_or(next)
        };
        match (from <= to, leaves_a_hole) {
            (true, false) => ResolvedRange::Window(Window::new(from, to)),
            (true, true) => ResolvedRange::StartMoved(Window::new(from, to)),
            (false, _) => ResolvedRange::Empty { from, to },
        }
    }
}
