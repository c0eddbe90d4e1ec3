//! Whether an answer was cut, where the service says nothing of it: the questions that find out, and what follows.
//!
//! A service may cut an answer at its old end without a word. Where the walk cannot go on below an answer, because all
//! of it lies in one millisecond, it asks here whether more of that millisecond is left. Nothing in this file asks a
//! service: it says what to ask, and draws conclusions from what came.

use chrono::{DateTime, TimeDelta, Utc};

use crate::window::{Window, bound, floor_to_millisecond};

/// Bounds are whole milliseconds and may be exclusive, so a bound that must include a time stands this far behind it.
pub(super) const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// A service that gave no more than this in an answer would be of no use to anybody: fewer records were not cut.
const LEAST_CAP: usize = 10;

/// How far an answer is widened to see whether the service can give more records than it did.
const WIDE_PROBE: TimeDelta = TimeDelta::days(30);

/// A service that cannot answer even for this much more will not tell.
const LEAST_PROBE: TimeDelta = TimeDelta::minutes(1);

/// An answer that lies in one millisecond whole, and may have been cut there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TruncationCandidate {
    /// The start of the millisecond.
    pub(super) time: DateTime<Utc>,
    /// How many records came.
    pub(super) count: usize,
    /// Whether no more came when a larger page was asked for.
    pub(super) was_enlarged: bool,
}

/// What is asked to find out whether all records of a millisecond were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TruncationProbe {
    /// The same in a larger page; the smaller one held `count`.
    Larger { count: usize },
    /// What lies strictly before the candidate: if there is anything, it was cut. The bound `to` is a tick before its time
    /// first, as for a service that includes bounds, and then the time itself, for one that does not.
    Below {
        candidate: TruncationCandidate,
        to: DateTime<Utc>,
    },
    /// What lies before the candidate and before the slice: only if there is anything can a longer answer tell whether it
    /// was cut.
    FurtherBack {
        candidate: TruncationCandidate,
        reach: TimeDelta,
    },
    /// The same together with what was found further back: if more records come than before, it was not cut.
    Wide {
        candidate: TruncationCandidate,
        from: DateTime<Utc>,
    },
}

/// What a probe has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing was cut.
    Whole,
    /// The candidate was cut.
    Cut(TruncationCandidate),
    /// The service cannot show whether it was.
    Unknown(TruncationCandidate),
    /// Nothing yet: this is to be asked next.
    Ask(TruncationProbe),
}

impl TruncationCandidate {
    /// The first question: is there anything strictly before it?
    pub(super) fn ask_below(self) -> Finding {
        Finding::Ask(TruncationProbe::Below {
            candidate: self,
            to: self.time - TICK,
        })
    }

    /// The question where nothing older is left to ask for in the slice: is there anything further back?
    pub(super) fn ask_further_back(self) -> Finding {
        Finding::Ask(TruncationProbe::FurtherBack {
            candidate: self,
            reach: WIDE_PROBE,
        })
    }

    /// Tells the operator of a moment of which the service cannot show whether it gave everything.
    pub(super) fn warn(self) {
        if self.count >= LEAST_CAP {
            tracing::warn!(
                time = bound(self.time),
                count = self.count,
                "many records came of one moment, and the service cannot show whether it has more of it: compare with \
                 its own view of that moment"
            );
        }
    }
}

impl TruncationProbe {
    /// What is asked for, where the slice is asked for in `usual`.
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

    /// Whether it asks for more than the slice.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::FurtherBack { .. } | Self::Wide { .. })
    }

    /// Whether it asks for records of the candidate again, on purpose.
    pub(super) fn asks_again(self) -> bool {
        matches!(self, Self::Below { candidate, to } if to == candidate.time)
    }

    /// What follows from an answer of `found` records, the oldest and the newest of which have these times.
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

    /// What follows where the service cannot answer for as much as a wide probe asks for; dividing the slice would not
    /// change that.
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
