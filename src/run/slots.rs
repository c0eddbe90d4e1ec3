//! How many streams are collected at the same time: each has threads of its own, and there can be thousands.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The most streams that are collected at the same time.
const MOST: usize = 64;

/// The most of those that begin an archive, or ask for a range: they can take hours, and the others do not wait for them.
const MOST_LONG: usize = MOST / 2;

/// The most of them that look at their folders at the same time, before that.
const MOST_LOOKS: usize = 8;

/// The slots of all streams; without a limit where so few of them are that none would wait.
#[derive(Debug)]
pub(crate) struct Slots {
    are_limited: AtomicBool,
    all: Semaphore,
    long: Semaphore,
    /// Of those that find out which they are: each takes a thread for that.
    looks: Semaphore,
}

/// One stream may be collected as long as it lives.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    _one: Option<SemaphorePermit<'a>>,
    _long: Option<SemaphorePermit<'a>>,
}

impl Slots {
    /// Creates those of so many streams.
    pub(crate) fn of(streams: usize) -> Self {
        let slots = Self {
            are_limited: AtomicBool::new(false),
            all: Semaphore::new(MOST),
            long: Semaphore::new(MOST_LONG),
            looks: Semaphore::new(MOST_LOOKS),
        };
        slots.go_on_with(streams);
        slots
    }

    /// Goes on with so many streams. Those that are being collected stay so.
    pub(crate) fn go_on_with(&self, streams: usize) {
        self.are_limited.store(streams > MOST_LONG, Ordering::Relaxed);
    }

    /// Waits for a slot, of a run that can take long or of one that cannot; which it is, is found out only where it matters.
    pub(crate) async fn take(&self, is_long: impl Future<Output = bool>) -> Slot<'_> {
        if !self.are_limited.load(Ordering::Relaxed) {
            return Slot {
                _one: None,
                _long: None,
            };
        }
        // Neither is ever closed. The rare one first: who waits for it must not hold the other.
        let look = self.looks.acquire().await.ok();
        let is_long = is_long.await;
        drop(look);
        let long = if is_long { self.long.acquire().await.ok() } else { None };
        Slot {
            _long: long,
            _one: self.all.acquire().await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_up_to_date_never_waits_for_those_that_begin() {
        let slots = Slots::of(1_000);
        let mut long = Vec::new();
        for _ in 0..MOST_LONG {
            long.push(slots.take(ready(true)).await);
        }
        let waits = tokio::time::timeout(Duration::from_secs(3_600), slots.take(ready(true))).await;
        assert!(waits.is_err());
        let short = tokio::time::timeout(Duration::from_secs(1), slots.take(ready(false))).await;
        assert!(short.is_ok());
        drop((long.pop(), short));
        assert!(
            tokio::time::timeout(Duration::from_secs(1), slots.take(ready(true)))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn of_a_few_streams_none_waits_and_no_folder_is_looked_at() {
        let slots = Slots::of(MOST_LONG);
        let mut taken = Vec::new();
        for _ in 0..=MOST {
            let is_long = async { panic!("nobody has to know that") };
            taken.push(slots.take(is_long).await);
        }
        assert_eq!(taken.len(), MOST + 1);
    }
}
