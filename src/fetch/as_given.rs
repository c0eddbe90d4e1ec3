//! The reading of a window whose answers contradict each other, run after run: every record that the service gives is
//! handed out, and nothing is said of those that it may not have given.

use chrono::{DateTime, TimeDelta, Utc};

use super::completed_range::CompletedRange;
use super::fetched_records::FetchedRecords;
use super::frontier::Frontier;
use super::plan::WalkPlan;
use super::{FetchError, Fetcher, PageError};
use crate::record::Record;
use crate::record::digests::Digests;
use crate::source::{Next, Page, PageRequest, Paging, Position};
use crate::window::{TICK, Window};

/// A part of a window with more bytes of lines than this is divided.
const MOST_BYTES: usize = 32 << 20;

/// By how much the halves of a part overlap.
const MARGIN: TimeDelta = TimeDelta::seconds(1);

/// The most pages of one look.
const MOST_PAGES: u32 = 100_000;

/// After so many pages in a row without anything new a numbered feed is over, whatever it says.
const MOST_OLD_PAGES: u32 = 3;

/// A window that is read as it is given.
pub(crate) struct AsGiven<'a> {
    fetcher: &'a Fetcher,
    plan: WalkPlan,
    /// The parts that are still to be read, the oldest last.
    parts: Vec<Window>,
    frontier: Frontier,
}

/// What the pages of a window held.
#[derive(Default)]
struct Look {
    /// How many records no earlier page had, in whatever version: one that differs in each answer would be asked for without end.
    new: usize,
    times: Vec<DateTime<Utc>>,
}

impl Look {
    fn take(&mut self, page: &Page, seen: &mut Digests) {
        let records = || page.records.iter().flatten();
        self.times.extend(records().map(|record| record.time));
        self.new += records()
            .map(Record::moment)
            .filter(|moment| seen.insert(*moment))
            .count();
    }

    /// Returns what of a window can hold more: before its records if newer ones come first, behind them if older ones do, and
    /// between them too where they are in no order. A moment of which there are more than the service gives hides what is before it, so that is asked for both
    /// with it and without it.
    fn around(&self, window: Window) -> Vec<Window> {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let (Some(oldest), Some(newest)) = (sorted.first(), sorted.last()) else {
            return Vec::new();
        };
        let (ascends, descends) = (
            self.times.is_sorted(),
            self.times.is_sorted_by(|one, other| one >= other),
        );
        let is_one_moment = oldest == newest;
        let mut around = Vec::new();
        if !ascends || is_one_moment {
            around.extend([(window.from, *oldest - TICK), (window.from, *oldest + MARGIN)]);
        }
        if !descends || is_one_moment {
            around.extend([(*newest + TICK, window.to), (*newest - MARGIN, window.to)]);
        }
        if !ascends && !descends {
            let middle = sorted[sorted.len() / 2];
            around.extend([(window.from, middle + MARGIN), (middle - MARGIN, window.to)]);
        }
        let within = around
            .into_iter()
            .map(|(from, to)| (from.max(window.from), to.min(window.to)));
        let parts = within
            .filter(|(from, to)| from <= to)
            .map(|(from, to)| Window::new(from, to));
        parts.filter(|part| *part != window).collect()
    }
}

impl<'a> AsGiven<'a> {
    /// Creates a reading of the plan's window: the rest of that of a walk, which has kept what it was given.
    pub(crate) fn new(fetcher: &'a Fetcher, plan: WalkPlan) -> Self {
        fetcher.begin_as_given(plan);
        Self {
            fetcher,
            plan,
            parts: vec![plan.window],
            frontier: Frontier::default(),
        }
    }

    /// Returns what the service gives of the next part, oldest first; `None` at the end of the window. It is complete up to
    /// nowhere: its `done_to` only says how far it was read.
    ///
    /// # Errors
    /// The service does not answer, or gives more than fits in memory.
    pub(crate) async fn next_range(&mut self) -> Result<Option<CompletedRange>, FetchError> {
        while let Some(part) = self.parts.pop() {
            let mut fetched = FetchedRecords::new(self.plan.possible_to());
            let is_read = match self.fetcher.source().paging() {
                Paging::Bounded => self.read_between_bounds(part, &mut fetched).await?,
                Paging::Numbered => self.read_by_number(part, &mut fetched).await?,
            };
            match halves(part) {
                Some([older, newer]) if !is_read => self.parts.extend([newer, older]),
                _ => {
                    if part != self.plan.window {
                        self.fetcher.effort().note_short_slice();
                    }
                    return self.hand_out(fetched, part.to).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn hand_out(&mut self, fetched: FetchedRecords, done_to: DateTime<Utc>) -> Result<CompletedRange, FetchError> {
        let limit = if self.parts.is_empty() {
            self.plan.filed_to()
        } else {
            Some(done_to)
        };
        self.frontier
            .advance(&mut self.fetcher.given(), fetched, limit, done_to)
    }

    /// Reads a part, and what lies before, behind and between the records of each answer, as long as that brings something
    /// new; returns `false` if it is to be divided.
    async fn read_between_bounds(&self, part: Window, fetched: &mut FetchedRecords) -> Result<bool, FetchError> {
        // A first answer may lack what a second one holds.
        let mut windows = vec![part, part];
        let mut seen = Digests::default();
        while let Some(window) = windows.pop() {
            let Some(look) = self.read_window(window, (fetched, &mut seen)).await? else {
                return Ok(false);
            };
            if is_full(fetched) {
                return Ok(false);
            }
            if look.new > 0 {
                windows.extend(look.around(window));
            }
        }
        Ok(true)
    }

    /// Reads all pages that the service names for a window; `None` if the window is too wide for it.
    async fn read_window(
        &self,
        window: Window,
        (fetched, seen): (&mut FetchedRecords, &mut Digests),
    ) -> Result<Option<Look>, FetchError> {
        let mut request = PageRequest {
            window,
            position: Position::First,
            size: self.fetcher.usual_size(),
        };
        let mut look = Look::default();
        for _ in 0..MOST_PAGES {
            let page = match self.fetcher.page(&request, true).await {
                Ok(page) => page,
                Err(PageError::Lost(_)) => break,
                Err(PageError::TooWide(_) | PageError::TooLarge(_)) if halves(window).is_some() => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let next = next(&page);
            look.take(&page, seen);
            fetched.add(page.records, page.originals);
            match next {
                Some(position) if position != request.position && !is_full(fetched) => request.position = position,
                _ => break,
            }
        }
        Ok(Some(look))
    }

    /// Reads a numbered feed, from its newest page to its end; returns `true`, as it cannot be divided.
    async fn read_by_number(&self, part: Window, fetched: &mut FetchedRecords) -> Result<bool, FetchError> {
        let (mut number, mut old) = (1, 0);
        while old < MOST_OLD_PAGES && !fetched.is_too_large() {
            let request = PageRequest {
                window: part,
                position: Position::Number(number),
                size: self.fetcher.usual_size(),
            };
            let page = self.fetcher.page(&request, false).await?;
            let is_last =
                page.records.is_empty() || next(&page).is_none() && page.counts.pages.is_none_or(|of| of <= number);
            let new = fetched.add(page.records, page.originals).new;
            old = if new > 0 { 0 } else { old + 1 };
            number += 1;
            if is_last {
                break;
            }
        }
        Ok(true)
    }
}

fn next(page: &Page) -> Option<Position> {
    match &page.next {
        Next::At(position) => Some(position.clone()),
        Next::Last | Next::Unknown => None,
    }
}

fn is_full(fetched: &FetchedRecords) -> bool {
    fetched.bytes > MOST_BYTES
}

/// Returns the older and the newer half of a window, or `None` if it cannot be divided. They overlap, since services cut
/// bounds to whole seconds and exclude them.
fn halves(window: Window) -> Option<[Window; 2]> {
    let width = window.to - window.from;
    let older = Window::new(window.from, window.from + width / 2);
    let newer = Window::new(older.to - MARGIN.min(width / 4), window.to);
    (width.num_milliseconds() > 2).then_some([older, newer])
}
