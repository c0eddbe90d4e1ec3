//! A slice of a feed, page by page, until everything in it was asked for.
//!
//! [`SliceWalk`] decides without I/O what to ask for after each page; [`fetch_slice`] acts on it. Three things can end a
//! series of pages before the slice is whole, and none of them may be taken for its end: the page cap, after which a new
//! cycle of tokens starts below what was read; an answer that was cut at its old end, of which the service says nothing
//! ([`truncation`]); and more records at one time than an answer holds.
//!
//! All that holds for pages that come newest first. Where their order is not known, what was read says nothing of what
//! lies below it: then tokens are followed to their end, whatever the cap, and an answer that may be cut divides the
//! slice.

mod paging;
#[cfg(test)]
mod tests;
mod truncation;

use chrono::{DateTime, Utc};

use super::fetched_records::FetchedRecords;
use super::plan::WalkPlan;
use super::stopwatch::Stopwatch;
use super::{FetchError, Fetcher, PageError};
use crate::window::Slice;
use paging::{SliceWalk, Step};

/// How a slice came back.
#[derive(Debug)]
pub(crate) enum SliceEnd {
    /// The service was asked for all of it.
    Complete(FetchedRecords),
    /// It holds more than is kept in memory.
    Overflow {
        /// How many records were read.
        records: usize,
        /// The oldest of them.
        oldest: DateTime<Utc>,
    },
    /// The service cannot answer for a slice of this width.
    TooWide,
}

/// Fetches a slice whole, or finds that it has to be divided.
pub(super) async fn fetch_slice(
    fetcher: &Fetcher,
    slice: Slice,
    plan: WalkPlan,
    watch: &Stopwatch<'_>,
) -> Result<SliceEnd, FetchError> {
    let source = fetcher.source();
    let time_limits = plan.time_limits(slice);
    let mut walk = SliceWalk::new(slice, time_limits, plan.max_pages, source.page_size(), source.order());
    loop {
        let can_narrow = slice.is_divisible() || walk.is_probing_widely();
        let step = match fetcher.page(&walk.request(), can_narrow).await {
            Ok(page) => {
                let most_seen = fetcher.note_answer(page.records.len());
                walk.take(page, most_seen)
            }
            Err(PageError::TooWide(_)) if walk.is_probing_widely() => walk.narrow_probe(),
            Err(PageError::TooWide(_)) => return Ok(SliceEnd::TooWide),
            Err(PageError::TooLarge(error)) => walk.shrink_page(error),
            Err(PageError::Fatal(error)) => Step::Fail(error),
        };
        let is_late = || watch.elapsed().is_some_and(|elapsed| elapsed > plan.time_to_disk);
        let is_overdue = || walk.has_pages_to_spare() && is_late();
        match step {
            Step::Fetch if is_overdue() => return Ok(walk.overflow()),
            Step::Fetch => {}
            Step::Complete => {
                walk.warn_of_unconfirmed();
                return Ok(SliceEnd::Complete(walk.fetched));
            }
            Step::Overflow => return Ok(walk.overflow()),
            Step::Fail(error) => return Err(error),
        }
    }
}
