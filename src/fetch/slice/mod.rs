//! A slice of a feed between two bounds, fetched until the answers prove that all of it was read.
//!
//! [`descent`] reads it newest first, [`ascent`] oldest first, [`moment`] what no bound divides, and [`scattered`] a service without an order.

mod above_look;
mod ascent;
mod descent;
mod floor;
mod moment;
mod moment_looks;
mod scattered;

use chrono::{DateTime, Utc};

use super::answer::Answer;
use super::plan::WalkPlan;
use super::stopwatch::Stopwatch;
use super::{FetchError, Fetcher, PageError};
use crate::source::{Page, PageRequest};
pub(super) use ascent::{Ascent, AscentEnd};
pub(super) use descent::Descent;
use descent::Step;
pub(super) use floor::Floor;
pub(super) use scattered::Gathering;

/// How the reading of a slice ended.
#[derive(Debug)]
pub(crate) enum SliceEnd {
    /// All of it was read.
    Complete,
    /// All was read that can be without knowing what is below.
    Paused,
    /// It holds more than is kept in memory.
    Overflow {
        /// How many records were read.
        records: usize,
        /// The oldest of them.
        oldest: DateTime<Utc>,
    },
    /// The service cannot answer for a slice of this width.
    TooWide,
    /// The service answers oldest first.
    Ascending,
    /// The service answers in no order.
    Scattered,
}

/// Reads a slice newest first, from where it stands, until its end, or until it has to be divided.
pub(super) async fn descend(
    fetcher: &Fetcher,
    descent: &mut Descent,
    plan: WalkPlan,
    watch: &Stopwatch<'_>,
) -> Result<SliceEnd, FetchError> {
    let mut step = Step::Ask;
    loop {
        step = match step {
            Step::Ask | Step::AskAgain(_) if is_overdue(descent, plan, watch) => return Ok(descent.overflow()),
            Step::Ask => ask(fetcher, descent).await,
            Step::AskAgain(times) => {
                fetcher.pause_before_look(times).await;
                ask(fetcher, descent).await
            }
            Step::TestOrder => test_order(fetcher, descent).await,
            Step::LookAbove => look_above(fetcher, descent).await,
            Step::Stuck(answer) => moment::read(fetcher, descent, *answer).await,
            Step::TooWide => return Ok(SliceEnd::TooWide),
            Step::Complete => return Ok(SliceEnd::Complete),
            Step::Pause => return Ok(SliceEnd::Paused),
            Step::Overflow => return Ok(descent.overflow()),
            Step::Ascending => return Ok(SliceEnd::Ascending),
            Step::Scattered => return Ok(SliceEnd::Scattered),
            Step::Fail(error) => return Err(error),
        };
    }
}

/// Returns whether so much time has passed that what was read should be on disk, and shorter slices would help.
fn is_overdue(descent: &Descent, plan: WalkPlan, watch: &Stopwatch<'_>) -> bool {
    descent.has_pages_to_spare() && watch.elapsed().is_some_and(|elapsed| elapsed > plan.time_to_disk)
}

async fn ask(fetcher: &Fetcher, descent: &mut Descent) -> Step {
    let request = descent.request(&fetcher.learned());
    match page(fetcher, descent, &request).await {
        Ok(page) => fetcher.learn(|learned| descent.take(page, learned)),
        Err(step) => step,
    }
}

async fn test_order(fetcher: &Fetcher, descent: &mut Descent) -> Step {
    let Some(request) = descent.order_request(&fetcher.learned()) else {
        return Step::Ask;
    };
    match page(fetcher, descent, &request).await {
        Ok(half) => fetcher.learn(|learned| descent.take_test(&half, learned)),
        Err(step) => step,
    }
}

async fn look_above(fetcher: &Fetcher, descent: &mut Descent) -> Step {
    let Some(request) = descent.above_request(&fetcher.learned()) else {
        return fetcher.learn(|learned| descent.take_above(None, learned));
    };
    if descent.above_look.failed > 0 {
        fetcher.pause_before_look(descent.above_look.failed).await;
    }
    match page(fetcher, descent, &request).await {
        Ok(page) => {
            let above = Answer::of(&page, &request);
            fetcher.learn(|learned| descent.take_above(Some(&above), learned))
        }
        Err(step) => step,
    }
}

/// Fetches a page of the slice, or says what follows without one.
async fn page(fetcher: &Fetcher, descent: &mut Descent, request: &PageRequest) -> Result<Page, Step> {
    let can_narrow = descent.can_narrow();
    fetcher
        .believed_page(request, can_narrow)
        .await
        .map_err(|error| match error {
            PageError::TooWide(_) => Step::TooWide,
            PageError::TooLarge(error) => {
                let step = descent.shrink_page(error);
                fetcher.learn(|learned| learned.page_limit = Some(descent.size));
                step
            }
            PageError::Lost(error) | PageError::Fatal(error) => Step::Fail(error),
        })
}
