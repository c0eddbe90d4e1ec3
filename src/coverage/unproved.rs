//! A span that was filed as the service gave it, although that cannot be proved to be everything.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Covered;
use super::sum::USUAL_PAUSE;
use crate::window::Window;

/// What is not proved is asked for again after this time.
const ASK_AGAIN_AFTER: TimeDelta = TimeDelta::days(1);

/// A span that was filed as the service gave it, since its answers contradicted each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unproved {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
    /// What contradicts what.
    pub(crate) reason: String,
    /// When the run began that asked for it last.
    pub(crate) asked_at: DateTime<Utc>,
}

impl Unproved {
    pub(super) fn span(&self) -> Window {
        Window {
            from: self.from,
            to: self.to,
        }
    }

    pub(super) fn holds(&self, other: &Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    /// Cuts it down to what is not covered; returns whether that is anything: not what the service forgot between two runs.
    pub(super) fn is_left_by(&mut self, covered: &Covered, kept: DateTime<Utc>) -> bool {
        let mut rest = Covered::default();
        rest.add(self.span());
        covered.spans().iter().for_each(|span| rest.remove(*span));
        let (Some(first), Some(last)) = (rest.spans().first(), rest.spans().last()) else {
            return false;
        };
        (self.from, self.to) = (first.from, last.to);
        self.to > kept || self.to - self.from >= USUAL_PAUSE
    }

    pub(super) fn was_asked_of_late(&self, now: DateTime<Utc>) -> bool {
        (now - self.asked_at).abs() < ASK_AGAIN_AFTER
    }
}
