//! The ranges of a stream's windows on their way into the archive, one after the other.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tracing::{Instrument, Span};

use super::stream::{CollectError, Collected};
use crate::archive::Archive;
use crate::coverage::Closed;
use crate::fetch::plan::WalkPlan;
use crate::fetch::walk::{CompletedRange, Walk};
use crate::fetch::{FetchError, Fetcher};
use crate::forward::AppendNotifier;
use crate::output::progress::StreamProgress;
use crate::process::shutdown::Shutdown;
use crate::run::lateness::LatenessBaseline;
use crate::window::{Window, bound};

/// How many ranges may wait for the one that is being written; each is held in memory.
const WAITING_RANGES: usize = 1;

/// Where the ranges of a walk go.
pub(super) struct Filing<'a> {
    pub(super) progress: &'a mut StreamProgress,
    pub(super) shutdown: &'a Shutdown,
    pub(super) appended: &'a AppendNotifier,
    /// `None` while a completed range is filed, and after a panic in it.
    pub(super) desk: Option<Desk>,
}

/// What a completed range is filed with: it goes to a thread that may block, and comes back.
pub(super) struct Desk {
    pub(super) archive: Archive,
    pub(super) now: DateTime<Utc>,
    pub(super) baseline: LatenessBaseline,
    pub(super) collected: Collected,
}

impl Filing<'_> {
    /// Goes back for the gaps, oldest first, and then walks the plan's window.
    ///
    /// A gap that the service does not give stays in the journal for the next run, so it holds up nothing newer; but the
    /// run is not complete.
    pub(super) async fn file_all(
        &mut self,
        fetcher: &Arc<Fetcher>,
        plan: WalkPlan,
        gaps: &[Window],
    ) -> Result<(), CollectError> {
        let mut still_open = None;
        for window in gaps {
            let plan = WalkPlan {
                window: *window,
                ..plan
            };
            if let Some(error) = self.close_gap(fetcher, plan).await? {
                still_open.get_or_insert(error);
            }
        }
        self.file_window(fetcher, plan).await?;
        still_open.map_or(Ok(()), Err)
    }

    /// Walks a gap; a refusal of the service is the outcome, whatever else goes wrong is the end.
    async fn close_gap(
        &mut self,
        fetcher: &Arc<Fetcher>,
        plan: WalkPlan,
    ) -> Result<Option<CollectError>, CollectError> {
        let (from, to) = (bound(plan.window.from), bound(plan.window.to));
        tracing::info!(from, to, "going back for a time that no run has asked for");
        let result = self.file_window(fetcher, plan).await;
        if let Some(Desk { collected, .. }) = &mut self.desk {
            collected.closed.push(Closed {
                from: plan.window.from,
                to: plan.window.to,
                covered_to: collected.covered_to.take(),
                error: result.as_ref().err().map(ToString::to_string),
            });
        }
        match result {
            Ok(()) => Ok(None),
            Err(CollectError::Fetch(cause)) => {
                tracing::error!(from, to, "it is still missing: {cause}");
                Ok(Some(CollectError::Gap { from, to, cause }))
            }
            Err(error) => Err(error),
        }
    }

    /// Files the ranges of a window, one after the other; a shutdown is observed between writes.
    async fn file_window(&mut self, fetcher: &Arc<Fetcher>, plan: WalkPlan) -> Result<(), CollectError> {
        self.progress.begin(plan.window);
        // What is left of the walk ends when the tasks are dropped.
        let mut walking = JoinSet::new();
        let (sender, mut ranges) = mpsc::channel(WAITING_RANGES);
        walking.spawn(walk(Arc::clone(fetcher), plan, sender).in_current_span());
        loop {
            let range = tokio::select! {
                biased;
                () = self.shutdown.requested() => return Err(CollectError::Stopped),
                range = ranges.recv() => range,
            };
            let Some(range) = range else { break };
            self.file(range).await?;
        }
        match walking.join_next().await {
            Some(Ok(result)) => result?,
            _ => return Err(CollectError::Internal("the walk over a window panicked".into())),
        }
        if let Some(desk) = &mut self.desk {
            desk.collected.covered_to = Some(plan.window.to);
        }
        Ok(())
    }

    /// Files a completed range on a thread that may block: the requests, which all have one thread, go on.
    async fn file(&mut self, range: CompletedRange) -> Result<(), CollectError> {
        let panicked = || CollectError::Internal("the filing of a completed range panicked".into());
        let mut desk = self.desk.take().ok_or_else(panicked)?;
        let (done_to, span) = (range.done_to, Span::current());
        let filing = spawn_blocking(move || {
            let filed = span.in_scope(|| desk.file(range));
            (desk, filed)
        });
        let (desk, filed) = filing.await.map_err(|_| panicked())?;
        self.desk = Some(desk);
        // Also after an error, for what was appended before it.
        self.appended.notify();
        self.progress.advance(done_to, filed?);
        Ok(())
    }
}

impl Desk {
    /// Files a completed range and tells how many records were appended.
    fn file(&mut self, range: CompletedRange) -> Result<u64, CollectError> {
        let done_to = range.done_to;
        let appended_before = self.collected.appended;
        self.collected
            .file(range, &mut self.archive, self.now, &self.baseline)?;
        self.collected.covered_to = Some(done_to);
        Ok(self.collected.appended - appended_before)
    }
}

/// Walks a window and hands on its ranges. A task of its own: requests go on while a completed range is written and synced.
async fn walk(fetcher: Arc<Fetcher>, plan: WalkPlan, ranges: mpsc::Sender<CompletedRange>) -> Result<(), FetchError> {
    let mut walk = Walk::new(&fetcher, plan);
    // A place first, so that no range waits for one. Nobody gives places after a write has failed.
    while let Ok(place) = ranges.reserve().await {
        let Some(range) = walk.next_range().await? else { break };
        place.send(range);
    }
    Ok(())
}
