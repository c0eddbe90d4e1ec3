//! A reconciling that several runs take part in, or that a run leaves to the next one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Purpose};
use super::day_counts::is_zero;
use crate::window::Window;

/// What was read through answers that lacked something is read so often again at most.
const MOST_AFTER_LAPSES: u32 = 2;

/// A reconciling that is not done yet: a run had no time for all of it, or was given answers that lacked something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reconciling {
    /// When it began.
    pub(crate) at: DateTime<Utc>,
    /// From where on it is not done.
    pub(crate) from: DateTime<Utc>,
    /// Where it ends.
    pub(crate) to: DateTime<Utc>,
    /// How often in a row answers have lacked something of it; 0 if it is done because it was due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) lapses: u32,
}

impl Reconciling {
    pub(crate) fn span(&self) -> Window {
        Window {
            from: self.from,
            to: self.to,
        }
    }

    pub(super) fn new(asked: &Asked, at: DateTime<Utc>) -> Self {
        let Asked { from, to, .. } = *asked;
        Self {
            at,
            from,
            to,
            lapses: 0,
        }
    }

    /// Returns the one that reads once more what a run at `at` has covered of this span, if its answers have lacked something;
    /// `before` is the one that the run went on with.
    pub(super) fn after_lapses(asked: &Asked, before: Option<Self>, at: DateTime<Utc>) -> Option<Self> {
        let covered = asked.covered().filter(|_| asked.has_lapsed)?;
        let before = before.filter(|_| asked.purpose == Purpose::Reconcile);
        let lapses = before.map_or(0, |before| before.lapses) + 1;
        (lapses <= MOST_AFTER_LAPSES).then_some(Self {
            at,
            from: covered.from,
            to: covered.to,
            lapses,
        })
    }

    /// Returns the one that does what both do.
    pub(super) fn joined(self, other: Self) -> Self {
        let is_due = self.lapses == 0 || other.lapses == 0;
        Self {
            at: self.at.min(other.at),
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            lapses: if is_due { 0 } else { self.lapses.max(other.lapses) },
        }
    }

    /// Returns the span that is the rest of it.
    pub(super) fn rest_in<'a>(&self, asked: &'a [Asked]) -> Option<&'a Asked> {
        let is_rest = |asked: &&Asked| asked.purpose == Purpose::Reconcile && asked.span() == self.span();
        asked.iter().find(is_rest)
    }

    /// Returns what is left of it after this span; `None` if nothing is.
    pub(super) fn after(self, asked: &Asked) -> Option<Self> {
        let from = asked.covered_to.unwrap_or(asked.from);
        (!asked.is_done).then_some(Self { from, ..self })
    }
}
