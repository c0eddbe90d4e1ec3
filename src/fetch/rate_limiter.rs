//! Keeps to the rate limit that a service publishes, in requests per second, instead of hitting it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Slightly more than the second of the limit, since requests do not all take equally long to arrive.
const PERIOD: Duration = Duration::from_millis(1_050);

/// Limits requests per second; short bursts pass up to the limit.
#[derive(Debug)]
pub(super) struct RateLimiter {
    limit: Option<u32>,
    /// When the last requests were sent, at most as many as the limit.
    sent: Mutex<VecDeque<Instant>>,
}

impl RateLimiter {
    /// Creates a limiter for `limit` requests per second, at least one; `None` does not limit.
    pub(super) fn new(limit: Option<u32>) -> Self {
        Self {
            limit: limit.map(|limit| limit.max(1)),
            sent: Mutex::default(),
        }
    }

    /// Waits until the next request may be sent.
    pub(super) async fn acquire(&self) {
        let Some(limit) = self.limit else { return };
        sleep_until(self.reserve(limit as usize)).await;
    }

    /// Reserves the next free moment.
    fn reserve(&self, limit: usize) -> Instant {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let free = if sent.len() < limit {
            now
        } else {
            sent.pop_front().map_or(now, |oldest| now.max(oldest + PERIOD))
        };
        sent.push_back(free);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_requests_than_the_limit_and_none_waits_longer_than_it_must() {
        let limiter = RateLimiter::new(Some(30));
        let began = Instant::now();
        let mut times = Vec::new();
        for request in 0..100 {
            if request == 40 {
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
            limiter.acquire().await;
            times.push(began.elapsed());
        }
        for (early, late) in times.iter().zip(&times[30..]) {
            assert!(*late - *early >= Duration::from_secs(1), "{early:?} {late:?}");
        }
        assert_eq!(times[29], Duration::ZERO);
        assert!(times[99] < 4 * PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let began = Instant::now();
        let limiter = RateLimiter::new(None);
        for _ in 0..1000 {
            limiter.acquire().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
