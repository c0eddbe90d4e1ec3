//! The pieces of a stream's windows on their way into the archive, one after the other.

use chrono::{DateTime, NaiveDate, Utc};

use super::{CollectError, Collected};
use crate::archive::Archive;
use crate::coverage::Closed;
use crate::fetch::Fetcher;
use crate::fetch::walk::{Piece, Walk, WalkPlan};
use crate::lateness::Yardstick;
use crate::progress::StreamProgress;
use crate::stop::Stop;
use crate::window::{Window, bound};

/// Where the pieces of a walk go.
pub(super) struct Filing<'a> {
    pub(super) archive: Archive,
    pub(super) now: DateTime<Utc>,
    pub(super) yardstick: Yardstick,
    pub(super) progress: &'a mut StreamProgress,
    pub(super) stop: &'a Stop,
    pub(super) collected: &'a mut Collected,
}

impl Filing<'_> {
    /// Goes back for the gaps, oldest first, and then walks the plan's window.
    ///
    /// A gap that the service does not give stays in the journal for the next run, so it holds up nothing newer; but the
    /// run is not complete.
    pub(super) async fn file_all(
        &mut self,
        fetcher: &Fetcher,
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
    async fn close_gap(&mut self, fetcher: &Fetcher, plan: WalkPlan) -> Result<Option<CollectError>, CollectError> {
        let (from, to) = (bound(plan.window.from), bound(plan.window.to));
        tracing::info!(from, to, "going back for a time that no run has asked for");
        let result = self.file_window(fetcher, plan).await;
        self.collected.closed.push(Closed {
            from: plan.window.from,
            to: plan.window.to,
            covered_to: self.collected.covered_to.take(),
            error: result.as_ref().err().map(ToString::to_string),
        });
        match result {
            Ok(()) => Ok(None),
            Err(CollectError::Fetch(cause)) => {
                tracing::error!(from, to, "it is still missing: {cause}");
                Ok(Some(CollectError::Gap { from, to, cause }))
            }
            Err(error) => Err(error),
        }
    }

    /// Files each piece of a window before the next one is asked for; a wish to stop is heard between writes.
    async fn file_window(&mut self, fetcher: &Fetcher, plan: WalkPlan) -> Result<(), CollectError> {
        self.progress.begin(plan.window);
        let mut walk = Walk::new(fetcher, plan);
        loop {
            let piece = tokio::select! {
                biased;
                () = self.stop.requested() => return Err(CollectError::Stopped),
                piece = walk.next_piece() => piece?,
            };
            let Some(piece) = piece else {
                self.collected.covered_to = Some(plan.window.to);
                return Ok(());
            };
            self.file(piece)?;
        }
    }

    fn file(&mut self, piece: Piece) -> Result<(), CollectError> {
        let (done_to, first_day) = (piece.done_to, oldest_day(&piece));
        let appended_before = self.collected.appended;
        self.collected
            .file(piece, &mut self.archive, self.now, &self.yardstick)?;
        if let Some(day) = first_day {
            self.archive.forget_before(day);
        }
        self.collected.covered_to = Some(done_to);
        self.progress
            .advance(done_to, self.collected.appended - appended_before);
        Ok(())
    }
}

/// Later pieces can repeat records of this piece's oldest day, but hardly of the days before.
fn oldest_day(piece: &Piece) -> Option<NaiveDate> {
    piece.records.iter().map(|record| record.time.date_naive()).min()
}
