//! Whether an answer was truncated, if the service does not say: the probes that find out, and what follows from them.
//!
//! A service may cut an answer at its old end without saying so. Where the walk cannot continue below an answer,
//! because all of it is in one millisecond, the probes find out whether more of that millisecond is left. This file
//! does no I/O: it says what to ask for, and draws conclusions from the answers.

use chrono::{DateTime, TimeDelta, Utc};

use crate::window::{Window, bound, floor_to_millisecond};

/// Bounds are whole milliseconds and may be exclusive, so a bound that must include a time is this far behind it.
pub(super) const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// The least cap that is plausible for a service: answers with fewer records were not cut.
const LEAST_CAP: usize = 10;

/// How far the window is widened to see whether the service can return more records than it did.
const WIDE_PROBE: TimeDelta = TimeDelta::days(30);

/// The shortest widening: if the service cannot answer for this either, it cannot show anything.
const LEAST_PROBE: TimeDelta = TimeDelta::minutes(1);

/// An answer whose records are all in one millisecond, and which may have been cut there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TruncationCandidate {
    /// The start of the millisecond.
    pub(super) time: DateTime<Utc>,
    /// How many records came.
    pub(super) count: usize,
    /// Whether a larger page was requested and brought no more.
    pub(super) was_enlarged: bool,
}

/// A request that finds out whether all records of a millisecond were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TruncationProbe {
    /// The same window in a larger page; the smaller one held `count`.
    Larger { count: usize },
    /// What is strictly before the candidate: if there is anything, it was cut. First the bound `to` is a tick before
    /// its time, as for a service that includes bounds, then the time itself, for one that does not.
    Below {
        candidate: TruncationCandidate,
        to: DateTime<Utc>,
    },
    /// What is before the candidate and before the slice: only if there is anything can a longer answer show whether it
    /// was cut.
    FurtherBack {
        candidate: TruncationCandidate,
        reach: TimeDelta,
    },
    /// The candidate together with what was found further back: if more records arrive than before, it was not cut.
    Wide {
        candidate: TruncationCandidate,
        from: DateTime<Utc>,
    },
}

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing was cut.
    Whole,
    /// The candidate was cut.
    Cut(TruncationCandidate),
    /// The service cannot show whether it was cut.
    Unknown(TruncationCandidate),
    /// Nothing yet; the next probe to send.
    Ask(TruncationProbe),
}

impl TruncationCandidate {
    /// Returns the first probe: is there anything strictly before it?
    pub(super) fn ask_below(self) -> Finding {
        Finding::Ask(TruncationProbe::Below {
            candidate: self,
            to: self.time - TICK,
        })
    }

    /// Returns the probe for when nothing older is left in the slice: is there anything further back?
    pub(super) fn ask_further_back(self) -> Finding {
        Finding::Ask(TruncationProbe::FurtherBack {
            candidate: self,
            reach: WIDE_PROBE,
        })
    }

    /// Warns of a moment for which the service cannot show whether it returned everything.
    pub(super) fn warn(self) {
        if self.count >= LEAST_CAP {
            tracing::warn!(
                time = bound(self.time),
                count = self.count,
                "many records share one moment, and the service cannot show whether it has more of them: compare with \
                 its own view of that moment"
            );
        }
    }
}

impl TruncationProbe {
    /// Returns the window to ask for; `usual` is the window of the slice.
    pub(super) fn window(self, usual: Window) -> Window {
        match self {
            Self::Larger { .. } => usual,
            Self::Below { to, .. } => Window { to, ..usual },
            Self::FurtherBack { candidate, reach } => Window {
                from: usual.from - reach,
                to: candidate.time - TICK,
            },
            Self::Wide { candidate, from } => Window {
                from,
                to: candidate.time + TICK,
            },
        }
    }

    /// Returns whether it asks for more than the slice.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::FurtherBack { .. } | Self::Wide { .. })
    }

    /// Returns whether it asks for records of the candidate again, on purpose.
    pub(super) fn asks_again(self) -> bool {
        matches!(self, Self::Below { candidate, to } if to == candidate.time)
    }

    /// Returns what follows from an answer of `found` records with these oldest and newest times.
    ///
    /// `None` for a larger page, which is read like any other.
    pub(super) fn conclude(
        self,
        found: usize,
        oldest: Option<DateTime<Utc>>,
        newest: DateTime<Utc>,
    ) -> Option<Finding> {
        match self {
            Self::Larger { .. } => None,
            Self::Below { candidate, to } if to < candidate.time && found > 0 => Some(Finding::Cut(candidate)),
            // Nothing below the first bound may only mean that bounds are exclusive.
            Self::Below { candidate, to } if to < candidate.time => Some(Finding::Ask(Self::Below {
                candidate,
                to: candidate.time,
            })),
            Self::Below { candidate, .. } if oldest.is_some_and(|oldest| oldest < candidate.time) => {
                Some(Finding::Cut(candidate))
            }
            Self::Below { candidate, .. } => Some(candidate.ask_further_back()),
            Self::FurtherBack { candidate, .. } if found == 0 => Some(Finding::Unknown(candidate)),
            // Hardly wider than the window in which it was found, so the service will answer.
            Self::FurtherBack { candidate, .. } => Some(Finding::Ask(Self::Wide {
                candidate,
                from: floor_to_millisecond(newest) - TICK,
            })),
            Self::Wide { candidate, .. } if found > candidate.count => Some(Finding::Whole),
            Self::Wide { candidate, .. } => Some(Finding::Cut(candidate)),
        }
    }

    /// Returns what follows if the service cannot answer for the width of a wide probe; dividing the slice would not
    /// help.
    pub(super) fn narrowed(self) -> Option<Finding> {
        match self {
            Self::FurtherBack { candidate, reach } if reach > LEAST_PROBE => Some(Finding::Ask(Self::FurtherBack {
                candidate,
                reach: reach / 4,
            })),
            Self::FurtherBack { candidate, .. } | Self::Wide { candidate, .. } => Some(Finding::Unknown(candidate)),
            Self::Larger { .. } | Self::Below { .. } => None,
        }
    }
}
