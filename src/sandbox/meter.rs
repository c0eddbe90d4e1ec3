//! The rate limit of a service.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// Counts the requests of one second.
#[derive(Default)]
pub(super) struct Meter {
    start: Option<Instant>,
    used: u32,
}

/// How far a rate limit is used up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// Requests per second.
    pub(super) limit: u32,
    /// How many of them are left.
    pub(super) left: u32,
    /// How long until the next second starts.
    pub(super) reset: Duration,
    /// What time it is.
    pub(super) now: DateTime<Utc>,
}

impl Meter {
    const PERIOD: Duration = Duration::from_secs(1);

    /// How many more requests this second has room for after this one; `None` if not even for this one.
    pub(super) fn admit(&mut self, limit: u32) -> Option<u32> {
        if self.reset().is_zero() {
            self.start = Some(Instant::now());
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        limit.checked_sub(self.used)
    }

    /// How long until the next second starts.
    pub(super) fn reset(&self) -> Duration {
        self.start
            .map_or(Duration::ZERO, |start| Self::PERIOD.saturating_sub(start.elapsed()))
    }
}
