//! What is read of a window ahead of where the walk stands: slices that are being read, and such as were and wait for those
//! before them. A place is free as soon as any slice is read, whichever it is.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};

use super::plan::BYTES_AHEAD;
use super::reading::FetchedSlice;
use crate::window::Slice;

#[derive(Default)]
pub(super) struct Ahead<'a> {
    reading: FuturesUnordered<Abortable<BoxFuture<'a, FetchedSlice>>>,
    /// By where they begin. None of them overlap.
    slices: BTreeMap<DateTime<Utc>, Part>,
}

/// A slice that is ahead.
enum Part {
    Begun { slice: Slice, handle: AbortHandle },
    Read(Box<FetchedSlice>),
}

/// What comes of the slices that are ahead.
pub(super) enum Come {
    /// The oldest of them, with nothing left out before it.
    Oldest(FetchedSlice),
    /// Another one, which is to be kept.
    Later(FetchedSlice),
}

impl<'a> Ahead<'a> {
    /// Has a slice read.
    pub(super) fn begin(&mut self, slice: Slice, fetched: BoxFuture<'a, FetchedSlice>) {
        let (handle, registration) = AbortHandle::new_pair();
        self.reading.push(Abortable::new(fetched, registration));
        self.slices.insert(slice.from, Part::Begun { slice, handle });
    }

    /// Keeps a slice that was read until the walk comes to it.
    pub(super) fn keep(&mut self, fetched: FetchedSlice) {
        let from = fetched.reading.slice().from;
        self.slices.insert(from, Part::Read(Box::new(fetched)));
    }

    /// Lets go of what was read furthest away, if it is too much; returns from when on it has to be read again.
    pub(super) fn let_go(&mut self) -> Option<DateTime<Utc>> {
        let mut let_go_from = None;
        while self.bytes() > BYTES_AHEAD {
            let read = self.slices.iter().rev().find(|(_, part)| matches!(part, Part::Read(_)));
            let Some(from) = read.map(|(from, _)| *from) else { break };
            self.slices.remove(&from);
            let_go_from = Some(from);
        }
        let_go_from
    }

    /// Waits for what comes next; `None` if nothing is ahead. Without gaps is what begins before `filled_to`, or all of it.
    pub(super) async fn next(&mut self, filled_to: Option<DateTime<Utc>>) -> Option<Come> {
        let is_filled = |from: DateTime<Utc>| filled_to.is_none_or(|filled_to| from < filled_to);
        loop {
            let oldest = self
                .slices
                .first_entry()
                .filter(|oldest| is_filled(*oldest.key()) && matches!(oldest.get(), Part::Read(_)));
            if let Some(Part::Read(fetched)) = oldest.map(|oldest| oldest.remove()) {
                return Some(Come::Oldest(*fetched));
            }
            // One that was let go of comes as aborted.
            if let Ok(fetched) = self.reading.next().await? {
                let from = fetched.reading.slice().from;
                let is_oldest = is_filled(from) && self.is_first(from);
                self.slices.remove(&from);
                let come = if is_oldest { Come::Oldest } else { Come::Later };
                return Some(come(fetched));
            }
        }
    }

    /// Lets go of what does not end before a time, since the service may have more of it by when the walk comes to it.
    pub(super) fn end_before(&mut self, time: DateTime<Utc>) {
        self.slices.retain(|_, part| {
            let is_kept = part.slice().to < time;
            if let (false, Part::Begun { handle, .. }) = (is_kept, &*part) {
                handle.abort();
            }
            is_kept
        });
    }

    /// Returns the slice that begins at this time.
    pub(super) fn at(&self, time: DateTime<Utc>) -> Option<Slice> {
        self.slices.get(&time).map(Part::slice)
    }

    /// Returns where the next one behind this time begins.
    pub(super) fn nearest_behind(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.slices.range(time..).next().map(|(from, _)| *from)
    }

    /// Returns whether none is before this time.
    pub(super) fn is_first(&self, time: DateTime<Utc>) -> bool {
        self.slices.range(..time).next().is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.slices.len()
    }

    /// Returns how many of those that were read had nothing.
    pub(super) fn empty(&self) -> usize {
        let is_empty = |part: &&Part| matches!(part, Part::Read(fetched) if fetched.reading.is_empty());
        self.slices.values().filter(is_empty).count()
    }

    /// Returns how many are being read.
    pub(super) fn begun(&self) -> usize {
        let is_begun = |part: &&Part| matches!(part, Part::Begun { .. });
        self.slices.values().filter(is_begun).count()
    }

    /// Returns how many bytes those that were read take.
    pub(super) fn bytes(&self) -> usize {
        self.slices.values().map(Part::bytes).sum()
    }

    pub(super) fn clear(&mut self) {
        self.slices.clear();
        self.reading.clear();
    }

    /// Returns what sends requests.
    pub(super) fn reading(&mut self) -> &mut (impl futures::Stream + Unpin + use<'a>) {
        &mut self.reading
    }
}

impl Part {
    fn slice(&self) -> Slice {
        match self {
            Part::Begun { slice, .. } => *slice,
            Part::Read(fetched) => fetched.reading.slice(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Part::Begun { .. } => 0,
            Part::Read(fetched) => fetched.reading.fetched().bytes,
        }
    }
}
