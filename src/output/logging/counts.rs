//! What happened to the lines that were logged: written, or lost in one of three ways.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing_appender::non_blocking::ErrorCounter;

/// The counts, shared by the threads that log, the one that writes and the one that ends the program.
#[derive(Debug, Default)]
pub(super) struct Counts {
    logged: AtomicU64,
    /// Of these, those that found the queue full.
    dropped: OnceLock<ErrorCounter>,
    /// Lines that the thread has handled.
    taken: AtomicU64,
    /// Of these, those that could not be written.
    refused: AtomicU64,
    /// Whether the last one was.
    last_is_refused: AtomicBool,
    /// Lines still queued when the end gave up waiting.
    abandoned: AtomicU64,
    waits: Mutex<Waits>,
    /// Signals that the queue is empty.
    is_empty: Condvar,
    /// Signals that a thread waits for that.
    is_awaited: Condvar,
    /// Dropped lines that the log mentions.
    noted: AtomicU64,
    /// Whether stderr has mentioned the lines dropped since.
    is_told: AtomicBool,
    is_closed: AtomicBool,
    gave_up: AtomicBool,
}

/// The state behind the two condition variables.
#[derive(Debug, Default)]
struct Waits {
    /// How many lines had been handled when the queue was last empty.
    emptied: u64,
    is_awaited: bool,
}

/// Lines that are not in the log file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) dropped: u64,
    pub(super) refused: u64,
    pub(super) abandoned: u64,
}

impl Counts {
    /// Counts what this queue drops.
    pub(super) fn watch(&self, dropped: ErrorCounter) {
        // There is only one queue.
        let _ = self.dropped.set(dropped);
    }

    /// Counts a logged line; returns `false` if the log has ended and takes no more lines.
    pub(super) fn log(&self) -> bool {
        let is_open = !self.is_closed.load(Relaxed);
        if is_open {
            self.logged.fetch_add(1, Relaxed);
        }
        is_open
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    /// Returns whether lines were dropped that neither the log nor stderr mentions; from now on stderr does.
    pub(super) fn begins_to_drop(&self) -> bool {
        self.dropped() > self.noted.load(Relaxed) && !self.is_told.swap(true, Relaxed)
    }

    /// Sets how many dropped lines the log mentions.
    pub(super) fn noted(&self, dropped: u64) {
        self.noted.store(dropped, Relaxed);
        self.is_told.store(false, Relaxed);
    }

    /// Counts a line that the thread has handled.
    pub(super) fn take(&self, is_written: bool) {
        self.refused.fetch_add(u64::from(!is_written), Relaxed);
        self.last_is_refused.store(!is_written, Relaxed);
        self.taken.fetch_add(1, Relaxed);
    }

    /// Returns whether the last line could not be written.
    pub(super) fn is_refused(&self) -> bool {
        self.last_is_refused.load(Relaxed)
    }

    /// Notes that the queue is empty. Returns after this time, or when a thread waits for lines.
    pub(super) fn empty(&self, rest: Duration) {
        let mut waits = self.lock();
        waits.emptied = self.taken.load(Relaxed);
        self.is_empty.notify_all();
        let is_free = |waits: &mut Waits| !waits.is_awaited && !self.is_closed.load(Relaxed);
        drop(self.is_awaited.wait_timeout_while(waits, rest, is_free));
    }

    /// Waits until the queue is empty. If that takes too long, the rest is abandoned; later calls do not wait again.
    pub(super) fn drain(&self, timeout: Duration) -> bool {
        let timeout = if self.gave_up.load(Relaxed) {
            Duration::ZERO
        } else {
            timeout
        };
        let mut waits = self.lock();
        waits.is_awaited = true;
        self.is_awaited.notify_all();
        let is_waiting = |waits: &mut Waits| self.queued() > waits.emptied;
        let outcome = self.is_empty.wait_timeout_while(waits, timeout, is_waiting);
        let (mut waits, _) = outcome.unwrap_or_else(PoisonError::into_inner);
        waits.is_awaited = false;
        let is_drained = self.queued() <= waits.emptied;
        let waiting = self.queued().saturating_sub(self.taken.load(Relaxed));
        self.abandoned.store(waiting, Relaxed);
        self.gave_up.store(!is_drained, Relaxed);
        is_drained
    }

    pub(super) fn lost(&self) -> Lost {
        Lost {
            dropped: self.dropped(),
            refused: self.refused.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
    }

    /// Returns how many lines the queue took.
    fn queued(&self) -> u64 {
        self.logged.load(Relaxed).saturating_sub(self.dropped())
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lost {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            dropped: self.dropped - before.dropped,
            refused: self.refused - before.refused,
            abandoned: self.abandoned - before.abandoned,
        }
    }

    pub(super) fn total(self) -> u64 {
        self.dropped + self.refused + self.abandoned
    }
}

/// As in `12 dropped because the log disk did not keep up, 3 that could not be written`.
impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = [
            (self.dropped, "dropped because the log disk did not keep up"),
            (self.refused, "that could not be written"),
            (self.abandoned, "still queued at the end"),
        ];
        let mut comma = "";
        for (lines, way) in ways.into_iter().filter(|(lines, _)| *lines > 0) {
            write!(f, "{comma}{lines} {way}")?;
            comma = ", ";
        }
        Ok(())
    }
}

/// Counts the lines missing in the log file; none if there is no such file.
#[derive(Clone, Debug, Default)]
pub(crate) struct LostLines(Option<Arc<Counts>>);

impl LostLines {
    pub(super) fn of(counts: &Arc<Counts>) -> Self {
        Self(Some(Arc::clone(counts)))
    }

    /// Returns the number since the start of the program.
    pub(crate) fn total(&self) -> u64 {
        self.0.as_ref().map_or(0, |counts| counts.lost().total())
    }
}
