//! What a walk is asked to do, and which records each part of it may hand on.

use chrono::{DateTime, TimeDelta, Utc};

use super::harvest::Horizon;
use crate::window::{Slice, Window};

/// What is asked for in a run, and how.
#[derive(Clone, Copy, Debug)]
pub struct WalkPlan {
    /// The span.
    pub window: Window,
    /// When the run began; together with `grace`, the latest time that a record can have.
    pub now: DateTime<Utc>,
    /// How much later than `now` a record may be, for clocks that differ.
    pub grace: TimeDelta,
    /// How many pages of one cycle of tokens, or of a numbered feed, are read in a row.
    pub max_pages: u32,
    /// How many requests are worth having under way at a time.
    pub concurrency: usize,
}

impl WalkPlan {
    /// How many slices are fetched side by side: half as many again as requests, so that one which takes longer than those
    /// after it does not leave requests unused; each is held in memory. The host sees to it that no more requests are sent
    /// than are wanted.
    pub(super) fn slices_in_flight(&self) -> usize {
        match self.concurrency {
            0 | 1 => 1,
            more => more + more / 2,
        }
    }

    /// What a slice may hand on: nothing of the slices after it.
    pub(super) fn horizon(&self, slice: Slice) -> Horizon {
        if slice.to >= self.window.to {
            return self.last_horizon();
        }
        Horizon {
            filed_to: slice.to,
            possible_to: self.now + self.grace,
        }
    }

    /// The last part of a window that reaches up to now takes what clocks that differ put a little later.
    pub(super) fn last_horizon(&self) -> Horizon {
        let possible_to = self.now + self.grace;
        let filed_to = if self.window.to >= self.now {
            possible_to
        } else {
            self.window.to
        };
        Horizon { filed_to, possible_to }
    }
}
