//! A slice of a feed, fetched page by page until all of it was read.
//!
//! [`SliceWalk`] decides without I/O what to ask for after each page; [`fetch_slice`] does it. Three things can end a
//! series of pages before the slice is complete, and must not be taken for its end: the page cap, after which a new
//! cycle of tokens starts below what was read; an answer that was cut at its old end without a sign ([`truncation`]);
//! and more records at one time than an answer holds.
//!
//! This holds for pages that come newest first. If their order is unknown, a page says nothing about what lies below
//! it: then tokens are followed to their end, whatever the cap, and an answer that may have been cut divides the slice.

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

/// How a slice ended.
#[derive(Debug)]
pub(crate) enum SliceEnd {
    /// All of it was read.
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

/// Fetches a whole slice, or finds that it has to be divided.
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
