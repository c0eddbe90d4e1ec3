//! A window as a series of pieces, oldest first, each complete up to where it ends: what a piece brings may be filed at
//! once, because nothing older is still to come.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};

use super::harvest::{Harvest, Horizon};
use super::numbered::NumberedWalk;
use super::slice::{SliceEnd, fetch_slice};
use super::{FetchError, Fetcher};
use crate::record::{Record, Rejected};
use crate::source::Paging;
use crate::window::{Slice, SlicePlan, Window};

/// What is asked for in a run, and how.
#[derive(Clone, Copy, Debug)]
pub struct WalkPlan {
    /// The span.
    pub window: Window,
    /// When the run began; together with `grace`, the latest time that a record can have.
    pub now: DateTime<Utc>,
    /// How much later than `now` a record may be, for clocks that differ.
    pub grace: TimeDelta,
    /// How many pages of one cycle of tokens, or of a numbered feed, are read in a row.
    pub max_pages: u32,
    /// How many slices are fetched side by side.
    pub concurrency: usize,
}

/// Everything that the service gave for a part of the window, of which all older parts were handed out before.
#[derive(Debug)]
pub struct Piece {
    /// The records, each once.
    pub records: Vec<Record>,
    /// What cannot be filed.
    pub rejected: Vec<Rejected>,
    /// How many the service gave, repeated ones included.
    pub received: u64,
    /// Up to where the window is surely done with it; all of it is when no further piece comes.
    pub done_to: DateTime<Utc>,
}

/// A window on its way.
pub struct Walk<'a> {
    fetcher: &'a Fetcher,
    plan: WalkPlan,
    way: Way<'a>,
}

enum Way<'a> {
    Slices {
        slices: SlicePlan,
        /// The newer parts of slices that were divided, the oldest last.
        in_flight: FuturesOrdered<BoxFuture<'a, Fetched>>,
    },
    Numbered(NumberedWalk),
}

type Fetched = (Slice, Result<SliceEnd, FetchError>);

impl<'a> Walk<'a> {
    /// A walk over the plan's window.
    pub fn new(fetcher: &'a Fetcher, plan: WalkPlan) -> Self {
        let way = match fetcher.source().paging() {
            Paging::Bounded => Way::Slices {
                slices: SlicePlan::new(plan.window),
                in_flight: FuturesOrdered::new(),
            },
            Paging::Numbered => {
                // Its lower bound may be exclusive too.
                let whole = Slice {
                    from: plan.window.from,
                    to: plan.window.to,
                };
                Way::Numbered(NumberedWalk::new(whole.ask(), plan.last_horizon(), plan.max_pages))
            }
        };
        Self { fetcher, plan, way }
    }

    /// The next piece; `None` when the window is done.
    ///
    /// Dropping the future loses nothing but requests under way.
    ///
    /// # Errors
    /// The service could not be asked for everything in it; the pieces before stay good.
    pub async fn next_piece(&mut self) -> Result<Option<Piece>, FetchError> {
        let (fetcher, plan) = (self.fetcher, self.plan);
        match &mut self.way {
            Way::Numbered(walk) => {
                let harvest = walk.next_piece(fetcher).await?;
                Ok(harvest.map(|harvest| {
                    let done_to = newest_of(&harvest, plan.window);
                    Piece::of(harvest, done_to)
                }))
            }
            Way::Slices { slices, in_flight } => next_slice(fetcher, plan, slices, in_flight).await,
        }
    }
}

/// How far a block of a numbered feed surely reaches: what lies between its newest record and the end of the window, or
/// shares that record's time, may be in the blocks that follow.
fn newest_of(harvest: &Harvest, window: Window) -> DateTime<Utc> {
    let newest = harvest.records.iter().map(|record| record.time).max();
    newest.map_or(window.from, |newest| newest.clamp(window.from, window.to))
}

async fn next_slice<'a>(
    fetcher: &'a Fetcher,
    plan: WalkPlan,
    slices: &mut SlicePlan,
    in_flight: &mut FuturesOrdered<BoxFuture<'a, Fetched>>,
) -> Result<Option<Piece>, FetchError> {
    let fetch = |slice: Slice| -> BoxFuture<'a, Fetched> {
        Box::pin(async move {
            (
                slice,
                fetch_slice(fetcher, slice, plan.horizon(slice), plan.max_pages).await,
            )
        })
    };
    loop {
        while in_flight.len() < plan.concurrency.max(1) {
            let Some(slice) = slices.next_slice() else { break };
            in_flight.push_back(fetch(slice));
        }
        let Some((slice, end)) = in_flight.next().await else {
            return Ok(None);
        };
        match end? {
            SliceEnd::Complete(harvest) => {
                slices.completed(slice, harvest.records.len());
                return Ok(Some(Piece::of(harvest, slice.to)));
            }
            SliceEnd::Overflow { records, oldest } => slices.overflowed(slice, oldest, records),
            SliceEnd::TooWide => slices.too_wide(slice),
        }
        // What lies behind it is as long as it was, and comes again in slices of the new length.
        in_flight.clear();
    }
}

impl WalkPlan {
    /// What a slice may hand on: nothing of the slices after it.
    fn horizon(&self, slice: Slice) -> Horizon {
        if slice.to >= self.window.to {
            return self.last_horizon();
        }
        Horizon {
            filed_to: slice.to,
            possible_to: self.now + self.grace,
        }
    }

    /// The last part of a window that reaches up to now takes what clocks that differ put a little later.
    fn last_horizon(&self) -> Horizon {
        let possible_to = self.now + self.grace;
        let filed_to = if self.window.to >= self.now {
            possible_to
        } else {
            self.window.to
        };
        Horizon { filed_to, possible_to }
    }
}

impl Piece {
    fn of(harvest: Harvest, done_to: DateTime<Utc>) -> Self {
        let Harvest {
            records,
            rejected,
            received,
            ..
        } = harvest;
        Self {
            records,
            rejected,
            received,
            done_to,
        }
    }
}
