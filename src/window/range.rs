//! Which span of time a run asks for: what is new, or a range that somebody gave.

use chrono::{DateTime, TimeDelta, Utc};

use super::Window;

/// Which span of time a run asks for: what is new, or a range that somebody gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Where to begin; else before the archive's last record.
    pub(crate) since: Option<DateTime<Utc>>,
    /// Where to end; else now.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// The window of a run, and what had to be said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This window, as it was asked for.
    Window(Window),
    /// This window; the start that was asked for would have left a hole behind the last record.
    MovedBack(Window),
    /// Nothing: the range ends before it begins.
    Nothing {
        /// Where it would have begun.
        from: DateTime<Utc>,
        /// Where it ends.
        to: DateTime<Utc>,
    },
}

impl Range {
    /// The same range from `since` on, where that is before the ordinary window; else as it is.
    ///
    /// Unlike a start that somebody gave, this one cannot leave a hole, nor cut an empty archive's first window short.
    #[must_use]
    pub(crate) fn reaching_back(self, since: DateTime<Utc>, last: Option<DateTime<Utc>>, overlap: TimeDelta) -> Self {
        match last {
            Some(last) if since < last - overlap => Self {
                since: Some(since),
                ..self
            },
            _ => self,
        }
    }

    /// The window for an archive whose last record is at `last`; without one, it begins `lookback` before `now`.
    pub(crate) fn window(
        &self,
        now: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
        overlap: TimeDelta,
        lookback: TimeDelta,
    ) -> Asked {
        let to = self.until.map_or(now, |until| until.min(now));
        let next = last.map_or(now - lookback, |last| last - overlap);
        let leaves_a_hole = matches!((self.since, last), (Some(since), Some(last)) if since > last);
        let from = if leaves_a_hole {
            next
        } else {
            self.since.unwrap_or(next)
        };
        match (from <= to, leaves_a_hole) {
            (true, false) => Asked::Window(Window::new(from, to)),
            (true, true) => Asked::MovedBack(Window::new(from, to)),
            (false, _) => Asked::Nothing { from, to },
        }
    }
}
