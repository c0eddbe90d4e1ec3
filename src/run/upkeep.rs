//! The upkeep of a stream after a run of it: on a thread that may block, and tried again for a while if something is in use, such as
//! the evidence, which other streams are sealed in at the same moment.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::spawn_blocking;
use tracing::Span;

use crate::archive::Lock;
use crate::config::{StreamSettings, UpkeepSettings};
use crate::process::shutdown::Shutdown;
use crate::upkeep::{Kept, keep_up};

const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// How often the days of a stream that is followed are looked at.
const EVERY: TimeDelta = TimeDelta::hours(1);

/// What the upkeep of a stream needs.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    pub(super) settings: Arc<UpkeepSettings>,
    pub(super) shutdown: Shutdown,
}

impl Upkeep {
    /// Packs and deletes what the settings say, unless a shutdown is requested.
    pub(super) async fn keep_up(
        &self,
        stream: &Arc<StreamSettings>,
        lock: &Arc<Lock>,
        now: DateTime<Utc>,
    ) -> Option<Kept> {
        for _ in 1..TRIES {
            if self.shutdown.is_requested() {
                return None;
            }
            let kept = self.try_once(stream, lock, now).await?;
            if !kept.is_held() {
                log(&kept);
                return Some(kept);
            }
            tokio::select! {
                () = self.shutdown.requested() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        let kept = self.try_once(stream, lock, now).await;
        kept.iter().for_each(log);
        kept
    }

    async fn try_once(&self, stream: &Arc<StreamSettings>, lock: &Arc<Lock>, now: DateTime<Utc>) -> Option<Kept> {
        let (upkeep, place, lock, span) = (self.clone(), stream.place(), Arc::clone(lock), Span::current());
        let is_stopped = move || upkeep.shutdown.is_requested();
        let settings = Arc::clone(&self.settings);
        let work = spawn_blocking(move || span.in_scope(|| keep_up(&settings, &place, &lock, now, &is_stopped)));
        work.await.unwrap_or_else(|_| Some(Kept::panicked()))
    }
}

fn log(kept: &Kept) {
    for problem in &kept.problems {
        tracing::error!("{problem}");
    }
}

/// When a stream that is followed is looked at.
#[derive(Debug, Default)]
pub(super) struct Due {
    next: Option<DateTime<Utc>>,
}

impl Due {
    pub(super) fn is_due(&self, now: DateTime<Utc>) -> bool {
        // A clock that is set back puts nothing off for longer.
        self.next.is_none_or(|next| next <= now || now + EVERY < next)
    }

    /// Notes what was done; what is left over is done after the next run.
    pub(super) fn note(&mut self, kept: Option<&Kept>, now: DateTime<Utc>) {
        let has_more = kept.is_some_and(|kept| kept.has_more() || kept.is_held());
        self.next = (!has_more).then(|| now + EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_days_are_looked_at_each_hour_and_a_clock_that_is_set_back_changes_nothing() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut due = Due::default();
        assert!(due.is_due(now));
        due.note(None, now);
        assert!(!due.is_due(now + TimeDelta::minutes(59)) && due.is_due(now + EVERY));
        assert!(due.is_due(now - TimeDelta::days(1)));
    }
}
