//! A slice that is being read, one way or the other, and how that ended.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use super::fetched_records::FetchedRecords;
use super::learned::Learned;
use super::plan::WalkPlan;
use super::slice::{Descent, Gathering, SliceEnd, descend};
use super::stopwatch::Stopwatch;
use super::{FetchError, Fetcher};
use crate::window::Slice;

/// A slice, as far as it was read.
pub(super) struct FetchedSlice {
    pub(super) reading: Reading,
    pub(super) end: Result<SliceEnd, FetchError>,
    /// How long it took, if that says something about other slices.
    pub(super) took: Option<Duration>,
}

/// A slice that is being read, one way or the other.
pub(super) enum Reading {
    Descent(Box<Descent>),
    Gathering(Box<Gathering>),
}

/// Reads a slice until it is complete, or cannot go on as it is; it has taken so long before, if that says something about other slices.
pub(super) fn fetch(
    fetcher: &Fetcher,
    plan: WalkPlan,
    mut reading: Reading,
    before: Option<Duration>,
) -> BoxFuture<'_, FetchedSlice> {
    Box::pin(async move {
        let watch = Stopwatch::start(fetcher);
        let end = match &mut reading {
            Reading::Descent(descent) => descend(fetcher, descent, plan, &watch).await,
            Reading::Gathering(gathering) => gathering.read(fetcher).await,
        };
        let took = watch.elapsed().zip(before).map(|(took, before)| before + took);
        FetchedSlice { reading, end, took }
    })
}

/// Returns a reading that went as far as it can without knowing what is below, as one that has just done so.
pub(super) fn paused(reading: Reading) -> FetchedSlice {
    FetchedSlice {
        reading,
        end: Ok(SliceEnd::Paused),
        took: None,
    }
}

impl Reading {
    /// Returns from when on it has to be asked for, and whether that is far below the slice.
    pub(super) fn reach(&self) -> (DateTime<Utc>, bool) {
        match self {
            Reading::Descent(descent) => (descent.asked_from(), descent.reaches_far()),
            Reading::Gathering(gathering) => (gathering.asked_from(), gathering.reaches_far()),
        }
    }

    pub(super) fn slice(&self) -> Slice {
        match self {
            Reading::Descent(descent) => descent.slice(),
            Reading::Gathering(gathering) => gathering.slice(),
        }
    }

    /// Has what was read of a slice that held too much stand for a slice of its own, the newer part of that up to a time, if it can.
    pub(super) fn end_above(&mut self, to: DateTime<Utc>, learned: &Learned) -> bool {
        match self {
            Reading::Descent(descent) => descent.end_above(to, learned),
            // In no order, it is no part of the slice.
            Reading::Gathering(_) => false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fetched().records.is_empty()
    }

    pub(super) fn fetched(&self) -> &FetchedRecords {
        match self {
            Reading::Descent(descent) => &descent.fetched,
            Reading::Gathering(gathering) => &gathering.fetched,
        }
    }

    pub(super) fn into_fetched(self) -> FetchedRecords {
        match self {
            Reading::Descent(descent) => descent.fetched,
            Reading::Gathering(gathering) => gathering.fetched,
        }
    }
}
