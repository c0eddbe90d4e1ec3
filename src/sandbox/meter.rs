//! The rate limit of a service.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::http::Answer;
use super::options::Api;

/// Counts the requests of one second.
#[derive(Default)]
pub(super) struct Meter {
    start: Option<Instant>,
    used: u32,
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

    /// Writes the limit into the headers, as this vendor does.
    pub(super) fn mark(&self, answer: Answer, api: Api, limit: u32, left: u32, now: DateTime<Utc>) -> Answer {
        let reset = self.reset();
        match api {
            Api::Mail | Api::Disk => answer,
            Api::Port => answer
                .with("x-ratelimit-limit", limit)
                .with("x-ratelimit-remaining", left)
                .with("x-ratelimit-reset", (now + reset).timestamp() + 1),
            Api::Tfc => answer
                .with("X-RateLimit-Limit", limit)
                .with("X-RateLimit-Remaining", left)
                .with("X-RateLimit-Reset", format!("{:.3}", reset.as_secs_f64())),
        }
    }
}
