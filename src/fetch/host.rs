//! What all streams together may send to one host: a bounded number of requests, and none during a backoff.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use url::{Origin, Url};

/// A host, shared by all streams that use it.
#[derive(Debug)]
pub(crate) struct Host {
    permits: Semaphore,
    /// How many requests are waiting because of a rate limit.
    backoffs: watch::Sender<usize>,
    /// How often such a wait began or ended.
    backoff_epoch: AtomicU64,
}

/// While this lives, no request is sent to the host.
#[derive(Debug)]
pub(super) struct Backoff<'a>(&'a Host);

impl Drop for Backoff<'_> {
    fn drop(&mut self) {
        self.0.backoff_epoch.fetch_add(1, Ordering::Relaxed);
        self.0.backoffs.send_modify(|backoffs| *backoffs -= 1);
    }
}

/// The hosts of a run.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    by_origin: HashMap<Origin, Arc<Host>>,
}

impl Host {
    /// Creates a host that takes `concurrency` requests at a time, at least one.
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            permits: Semaphore::new(concurrency.max(1)),
            backoffs: watch::Sender::new(0),
            backoff_epoch: AtomicU64::new(0),
        }
    }

    /// Waits until a request may be sent; the request counts as in flight until the permit is dropped.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Neither is ever closed.
        let permit = self.permits.acquire().await.ok();
        let _ = self.backoffs.subscribe().wait_for(|backoffs| *backoffs == 0).await;
        permit
    }

    /// Stops all requests to the host, after a rate limit, until the returned value is dropped.
    pub(super) fn back_off(&self) -> Backoff<'_> {
        self.backoff_epoch.fetch_add(1, Ordering::Relaxed);
        self.backoffs.send_modify(|backoffs| *backoffs += 1);
        Backoff(self)
    }

    /// Returns a number that changes whenever a backoff begins or ends.
    pub(super) fn backoff_epoch(&self) -> u64 {
        self.backoff_epoch.load(Ordering::Relaxed)
    }
}

impl Hosts {
    /// Creates the hosts of these addresses; each takes the highest concurrency of its addresses.
    pub(crate) fn new<'a>(addresses: impl IntoIterator<Item = (&'a Url, usize)>) -> Self {
        let mut concurrency: HashMap<Origin, usize> = HashMap::new();
        for (address, wanted) in addresses {
            let most = concurrency.entry(address.origin()).or_default();
            *most = wanted.max(*most);
        }
        let hosts = concurrency
            .into_iter()
            .map(|(origin, most)| (origin, Arc::new(Host::new(most))));
        Self {
            by_origin: hosts.collect(),
        }
    }

    /// Returns the host of an address; for an unknown address a new one, with one request at a time.
    pub(crate) fn of(&self, address: &Url) -> Arc<Host> {
        let known = self.by_origin.get(&address.origin());
        known.map_or_else(|| Arc::new(Host::new(1)), Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_under_way_than_the_host_takes() {
        let host = Host::new(2);
        let (first, _second) = (host.permit().await, host.permit().await);
        let waiting = tokio::time::timeout(Duration::from_secs(60), host.permit()).await;
        assert!(waiting.is_err());
        drop(first);
        assert!(host.permit().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_asked_too_much_is_left_alone_by_all() {
        let host = Host::new(4);
        let began = Instant::now();
        let back_off_for = async |seconds| {
            let _backoff = host.back_off();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        };
        let ask = async {
            tokio::task::yield_now().await;
            let _permit = host.permit().await;
            began.elapsed().as_secs()
        };
        let (_, _, asked) = futures::join!(back_off_for(7), back_off_for(3), ask);
        assert_eq!(asked, 7);
    }

    #[test]
    fn streams_of_one_origin_share_a_host() {
        let urls = [
            "http://127.0.0.1:1/mail",
            "http://127.0.0.1:1/disk",
            "http://127.0.0.1:2/",
        ];
        let urls = urls.map(|url| Url::parse(url).unwrap());
        let hosts = Hosts::new([(&urls[0], 2), (&urls[1], 5), (&urls[2], 1)]);
        assert!(Arc::ptr_eq(&hosts.of(&urls[0]), &hosts.of(&urls[1])));
        assert!(!Arc::ptr_eq(&hosts.of(&urls[0]), &hosts.of(&urls[2])));
        assert_eq!(hosts.of(&urls[0]).permits.available_permits(), 5);
        let unknown = Url::parse("http://127.0.0.1:3/").unwrap();
        assert_eq!(hosts.of(&unknown).permits.available_permits(), 1);
    }
}
