//! The rate limit of a service.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// Counts the requests of one second.
#[derive(Default)]
pub(super) struct RateCounter {
    start: Option<Instant>,
    used: u32,
}

/// How much of a rate limit is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) limit: u32,
    /// How many of them are left in this second.
    pub(super) left: u32,
    /// How long until the next second starts.
    pub(super) reset: Duration,
    /// The time of the request.
    pub(super) now: DateTime<Utc>,
}

impl RateCounter {
    const PERIOD: Duration = Duration::from_secs(1);

    /// Counts a request; returns how many more this second allows, or `None` if this one is too many.
    pub(super) fn admit(&mut self, limit: u32) -> Option<u32> {
        if self.reset().is_zero() {
            self.start = Some(Instant::now());
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        limit.checked_sub(self.used)
    }

    /// Returns how long until the next second starts.
    pub(super) fn reset(&self) -> Duration {
        self.start
            .map_or(Duration::ZERO, |start| Self::PERIOD.saturating_sub(start.elapsed()))
    }
}
