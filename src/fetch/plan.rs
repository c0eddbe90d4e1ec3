//! What a walk is asked to do, and which records each part of it may hand on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::fetched_records::TimeLimits;
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
    /// How long a record may take from the service to the disk, where the service gives a page or two in this time: what
    /// is fetched whole before any of it is filed is made so small.
    pub time_to_disk: Duration,
}

/// The usual [`WalkPlan::time_to_disk`].
pub(crate) const TIME_TO_DISK: Duration = Duration::from_secs(5);

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

    /// How long the parts that are fetched whole should take: half of the time, since not all come as fast as the one
    /// before, and all wait for the oldest of those that are fetched beside them.
    pub(super) fn target_time(&self) -> Duration {
        self.time_to_disk / 2
    }

    /// What a slice may hand on: nothing of the slices after it.
    pub(super) fn time_limits(&self, slice: Slice) -> TimeLimits {
        if slice.to >= self.window.to {
            return self.last_time_limits();
        }
        TimeLimits {
            filed_to: slice.to,
            possible_to: self.now + self.grace,
        }
    }

    /// The last part of a window that reaches up to now takes what clocks that differ put a little later.
    pub(super) fn last_time_limits(&self) -> TimeLimits {
        let possible_to = self.now + self.grace;
        let filed_to = if self.window.to >= self.now {
            possible_to
        } else {
            self.window.to
        };
        TimeLimits { filed_to, possible_to }
    }
}
