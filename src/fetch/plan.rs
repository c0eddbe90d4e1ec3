//! What a walk fetches, and how.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::window::Window;

/// What a run fetches from a stream, and how.
#[derive(Clone, Copy, Debug)]
pub struct WalkPlan {
    /// The span to fetch.
    pub window: Window,
    /// Up to when earlier runs have read all of it, if they have: then only what came late is new there.
    pub read_to: Option<DateTime<Utc>>,
    /// Whether what is given beyond the window is filed too: a feed without an upper bound gives it, and may not again.
    pub files_beyond: bool,
    /// When the run began, by the later clock if the service's is known to be apart from ours; together with `grace`, the
    /// latest time that a record can have.
    pub now: DateTime<Utc>,
    /// How much later than `now` a record may be, since clocks differ.
    pub grace: TimeDelta,
    /// How many pages of one cycle of tokens, or of a numbered feed, are read in a row.
    pub max_pages: u32,
    /// The most requests in flight.
    pub concurrency: usize,
    /// How long a record may take from the service to the disk, if the service returns a page or two in this time: it
    /// limits the size of the parts that are fetched whole before they are filed.
    pub time_to_disk: Duration,
}

/// How many bytes of records the slices that are read at a time should take together.
const BYTES_OF_SLICES: usize = 10 << 20;

/// How many the slices of a walk that are read at a time may take by what the last ones took.
const BYTES_AT_A_TIME: usize = 12 << 20;

/// The same with those that were read and wait for others.
pub(super) const BYTES_AHEAD: usize = 15 << 20;

/// The default of [`WalkPlan::time_to_disk`].
pub(crate) const TIME_TO_DISK: Duration = Duration::from_secs(5);

impl WalkPlan {
    /// Returns how many slices are read at a time: some more than requests, so that none of these waits for a page to be read.
    /// The host limits the requests that are sent.
    pub(super) fn slices_at_a_time(&self) -> usize {
        match self.concurrency {
            0 | 1 => 1,
            more => more + (more / 4).max(1),
        }
    }

    /// Returns how many slices may be ahead, with those that wait for an older one: one that is slow does not leave requests
    /// unused. Of slices that hold little fewer are, since what has nothing is asked for again.
    pub(super) fn slices_ahead(&self, are_dense: bool) -> usize {
        match (self.concurrency, are_dense) {
            (0 | 1, _) => 1,
            (more, true) => more * 3,
            (more, false) => more + more / 2,
        }
    }

    /// Returns whether so many slices may be read at a time, by the memory that each takes, and what waits; two may in any
    /// case, or there would be nothing to go on with.
    pub(super) fn fits(&self, waiting: usize, slice_bytes: usize, at_a_time: usize) -> bool {
        let bytes = slice_bytes.saturating_mul(at_a_time);
        let is_little = bytes <= BYTES_AT_A_TIME && waiting + bytes <= BYTES_AHEAD;
        is_little || at_a_time <= 2 && waiting <= BYTES_OF_SLICES
    }

    /// Returns how many bytes of records a slice should take: the more of them are in flight, the smaller they are.
    pub(super) fn slice_bytes(&self) -> usize {
        BYTES_OF_SLICES / self.slices_at_a_time()
    }

    /// Returns how long the parts that are fetched whole should take: half of the time, since speed varies and all wait
    /// for the oldest of those in flight.
    pub(super) fn target_time(&self) -> Duration {
        self.time_to_disk / 2
    }

    /// Returns the latest time that is filed, if that is not now: later records are for the run that asks for what follows, and
    /// would move the watermark past a gap.
    pub(super) fn filed_to(&self) -> Option<DateTime<Utc>> {
        (self.window.to < self.now && !self.files_beyond).then_some(self.window.to)
    }

    /// Returns the latest time that a record can have.
    pub(super) fn possible_to(&self) -> DateTime<Utc> {
        self.now + self.grace
    }
}

#[cfg(test)]
impl WalkPlan {
    /// Of a first run that begins now, one request at a time.
    pub(super) fn of(window: Window, now: DateTime<Utc>) -> Self {
        Self {
            window,
            read_to: None,
            files_beyond: false,
            now,
            grace: TimeDelta::minutes(2),
            max_pages: 1,
            concurrency: 1,
            time_to_disk: TIME_TO_DISK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ahead_fits_into_one_budget_whatever_the_concurrency() {
        for concurrency in [1, 4, 16, 64] {
            let now = DateTime::UNIX_EPOCH;
            let plan = WalkPlan {
                concurrency,
                ..WalkPlan::of(Window::new(now, now), now)
            };
            assert!(plan.fits(0, plan.slice_bytes(), plan.slices_at_a_time()));
            assert!(!plan.fits(BYTES_AHEAD + 1, plan.slice_bytes(), 1));
            // One large page after the other: two of them, or else there would be nothing to go on with.
            assert!(plan.fits(0, 1 << 30, 2) && !plan.fits(0, 1 << 30, 3));
            assert!(plan.fits(0, 0, plan.slices_at_a_time()));
        }
    }
}
