//! Measures how fast a service answers when nothing is wrong.

use std::time::{Duration, Instant};

use super::Fetcher;

/// Measures a time that counts only if no request was retried and the host was not in backoff: waits that a service in
/// trouble asks for say nothing about how long its pages take.
pub(super) struct Stopwatch<'a> {
    fetcher: &'a Fetcher,
    started: Instant,
    disturbances: u64,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(fetcher: &'a Fetcher) -> Self {
        Self {
            fetcher,
            started: Instant::now(),
            disturbances: disturbances(fetcher),
        }
    }

    /// Returns the time since the start; `None` if it does not count.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        (disturbances(self.fetcher) == self.disturbances).then(|| self.started.elapsed())
    }
}

/// Counts retries and changes of the backoff. A backoff from before the start lasts until a first answer can arrive, so
/// it counts too.
fn disturbances(fetcher: &Fetcher) -> u64 {
    fetcher.request_counts().retries + fetcher.host.backoff_epoch()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{ConfigErrors, Env};
    use crate::http::retry::RetryPolicy;
    use crate::http::{Http, Proxies};
    use crate::source::SOURCES;

    #[test]
    fn a_time_in_which_a_request_was_repeated_or_the_host_left_alone_does_not_count() {
        let variables = [("TFC_API_URL", "http://127.0.0.1:1"), ("TFC_ORG_TOKEN", "invented")];
        let kind = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        let source = (kind.configure)(&Env::from_pairs(variables), &mut ConfigErrors::default()).unwrap();
        let policy = RetryPolicy {
            max_retries: 3,
            delay: Duration::ZERO,
        };
        let fetcher = Fetcher::new(source, Http::new(&Proxies::default()).unwrap(), policy);
        let watch = Stopwatch::start(&fetcher);
        assert!(watch.elapsed().is_some());
        let backoff = fetcher.host.back_off();
        assert_eq!(watch.elapsed(), None);
        let during = Stopwatch::start(&fetcher);
        drop(backoff);
        assert_eq!((watch.elapsed(), during.elapsed()), (None, None));
        let after = Stopwatch::start(&fetcher);
        assert!(after.elapsed().is_some());
        fetcher
            .counters
            .retries
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(after.elapsed(), None);
    }
}
