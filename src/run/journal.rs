//! The coverage journal as a run uses it: the gaps to go back for, and the line about the run.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::stream::{Access, CollectError, Collected};
use crate::archive::{Lock, WriteError};
use crate::config::StreamSettings;
use crate::coverage::{self, End, Entry, JOURNAL};
use crate::source::Retention;
use crate::window::Window;

/// The journal of one stream during a run.
pub(super) struct Journal {
    lock: Option<Arc<Lock>>,
    before: Option<Entry>,
    retention: Retention,
    started: Instant,
}

impl Journal {
    /// Reads what the runs before say. A journal that cannot be read is warned about and holds nothing up: it makes less
    /// of the past known.
    pub(super) fn open(settings: &StreamSettings, access: &Access) -> Self {
        let (lock, location) = match access {
            Access::Write(lock) => (Some(Arc::clone(lock)), lock.location()),
            Access::DryRun(location) => (None, location),
        };
        let before = coverage::newest(location).unwrap_or_else(|error| {
            tracing::warn!("{error}; gaps in what was asked for stay unknown");
            None
        });
        Self {
            lock,
            before,
            retention: settings.kind.retention,
            started: Instant::now(),
        }
    }

    /// What to go back for before `window`, oldest first: time that no run has asked for and the service still has, with
    /// `overlap` at both ends, as bounds may be inclusive or not.
    pub(super) fn gaps(&self, window: Window, now: DateTime<Utc>, overlap: TimeDelta) -> Vec<Window> {
        let Some(before) = &self.before else {
            return Vec::new();
        };
        let open = coverage::gaps(&before.covered, self.retention, now);
        open.into_iter()
            .filter(|gap| !gap.is_gone && gap.from < window.from)
            .map(|gap| Window::new(gap.from - overlap, (gap.to.min(window.from) + overlap).min(now)))
            .collect()
    }

    /// Appends the line about this run, which began at `now`. A dry run leaves none.
    pub(super) fn note(&self, now: DateTime<Utc>, collected: &Collected) -> Result<(), WriteError> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let entry = self.entry(now, collected);
        match entry.to_line() {
            Ok(line) => lock.location().state(JOURNAL).append_line(&line),
            Err(error) => {
                tracing::error!("the coverage journal goes without this run: {error}");
                Ok(())
            }
        }
    }

    fn entry(&self, now: DateTime<Utc>, collected: &Collected) -> Entry {
        let mut entry = Entry::new(now, self.before.clone());
        entry.seconds = self.started.elapsed().as_millis() as f64 / 1_000.0;
        entry.from = collected.window.map(|window| window.from);
        entry.to = collected.window.map(|window| window.to);
        entry.end = end(collected);
        entry.covered_to = collected.covered_to;
        entry.error = collected.failure.as_ref().map(ToString::to_string);
        entry.closed = collected.closed.clone();
        entry.requests = collected.request_counts.requests;
        entry.retries = collected.request_counts.retries;
        entry.pages = collected.request_counts.pages;
        entry.received = collected.received;
        entry.duplicates = collected.duplicates;
        entry.appended = collected.appended;
        entry.rejected = collected.rejected;
        entry.last_record = collected.last_record;
        entry.add_up(self.retention);
        entry
    }
}

fn end(collected: &Collected) -> End {
    match &collected.failure {
        Some(CollectError::Stopped) => End::Stopped,
        Some(_) => End::Failed,
        None if collected.window.is_none() => End::Nothing,
        None => End::Exhausted,
    }
}
