//! A reconciling that several runs take part in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Purpose};
use crate::window::Window;

/// A reconciling that is not done yet: a run had no time for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reconciling {
    /// When it began.
    pub(crate) at: DateTime<Utc>,
    /// From where on it is not done.
    pub(crate) from: DateTime<Utc>,
    /// Where it ends.
    pub(crate) to: DateTime<Utc>,
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
        Self { at, from, to }
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
