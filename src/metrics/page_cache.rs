//! A page that takes long to make: a thread of its own makes it when somebody asks, and not again for a while.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::sync::watch;

/// A page is good for so long at least.
const PERIOD: Duration = Duration::from_secs(10);

/// Making pages takes at most one part in this many of the time.
const SHARE: u32 = 20;

/// How long a request waits for a newer page before it is given the old one.
const WAIT: Duration = Duration::from_secs(5);

/// Makes a page.
pub(crate) type MakePage = Box<dyn FnMut() -> String + Send>;

/// The newest page, and the thread that makes it.
pub(crate) struct PageCache {
    wake: SyncSender<()>,
    newest: watch::Receiver<Option<Made>>,
}

#[derive(Clone)]
struct Made {
    page: String,
    good_until: Instant,
}

impl PageCache {
    /// Starts the thread; it ends with this, and holds up no end of the process. Nothing is made until somebody asks.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(make: MakePage) -> io::Result<Self> {
        // One wish is enough for all who wait.
        let (wake, wishes) = sync_channel(1);
        let (made, newest) = watch::channel(None);
        let work = move || keep_making(make, &wishes, &made);
        thread::Builder::new().name("page".into()).spawn(work)?;
        Ok(Self { wake, newest })
    }

    /// Returns the newest page; one that is older than a while only if the next one takes long. `None` if there is none yet.
    pub(crate) async fn page(&self) -> Option<String> {
        let mut newest = self.newest.clone();
        if !is_good(newest.borrow_and_update().as_ref()) {
            // Full: the wish of another is waiting.
            let _ = self.wake.try_send(());
            let _ = tokio::time::timeout(WAIT, newest.changed()).await;
        }
        let made = newest.borrow();
        made.as_ref().map(|made| made.page.clone())
    }
}

fn is_good(made: Option<&Made>) -> bool {
    made.is_some_and(|made| Instant::now() < made.good_until)
}

fn keep_making(mut make: MakePage, wishes: &Receiver<()>, made: &watch::Sender<Option<Made>>) {
    while wishes.recv().is_ok() {
        // A wish that came while the page was made has been granted.
        if is_good(made.borrow().as_ref()) {
            continue;
        }
        let began = Instant::now();
        let page = make();
        let now = Instant::now();
        let good_until = now + PERIOD.max((now - began) * SHARE);
        made.send_replace(Some(Made { page, good_until }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_page_is_made_once_for_all_who_ask_within_a_while() {
        let made = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&made);
        let make = move || format!("page {}", counter.fetch_add(1, Ordering::SeqCst) + 1);
        let cache = PageCache::start(Box::new(make)).unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 0, "nobody has asked");
        let pages = futures::future::join_all((0..20).map(|_| cache.page())).await;
        assert!(pages.iter().all(|page| page.as_deref() == Some("page 1")), "{pages:?}");
        assert_eq!(cache.page().await.as_deref(), Some("page 1"));
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_does_not_wait_for_a_page_that_takes_long() {
        let (hold, held) = sync_channel::<()>(0);
        let cache = PageCache::start(Box::new(move || {
            let _ = held.recv();
            "late".to_owned()
        }))
        .unwrap();
        assert_eq!(cache.page().await, None);
        hold.send(()).unwrap();
        let mut newest = cache.newest.clone();
        newest.changed().await.unwrap();
        assert_eq!(cache.page().await.as_deref(), Some("late"));
    }
}
