//! A newest-first feed without an upper bound, read by page number.
//!
//! While it is read, new records push old ones to later pages, and retention and lagging replicas pull them to earlier
//! ones. So each page begins before the one before ended, and has to hold a record of it: a smaller page has other
//! borders, which is what makes them overlap. Pages that are joined like that have no gap, in whatever order and from
//! whichever replica they came.
//!
//! Nothing can be filed before the far end is in. So a feed of more pages than the cap is read in blocks from its far
//! end: each block is read forwards, towards older records, until it meets the block before it.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::answer::Answer;
use super::completed_range::CompletedRange;
use super::fetched_records::FetchedRecords;
use super::frontier::Frontier;
use super::learned::Reach;
use super::plan::WalkPlan;
use super::stopwatch::Stopwatch;
use super::{FetchError, Fetcher, PageError, span, warn_of_lost};
use crate::record::Anchor;
use crate::source::{Page, PageRequest, Position};
use crate::window::{Window, bound, floor_to_millisecond};

mod pages;

use pages::{PageOf, PagePlan};

/// Pages of a block: short blocks read many pages twice, long ones take much memory.
const BLOCK_PAGES: std::ops::RangeInclusive<u64> = 2..=8;

/// The most records that a feed can have: over 14 days, one every 12 milliseconds.
const MOST_RECORDS: u64 = 100_000_000;

/// How often in a row an answer may lack what it has to hold.
const MOST_LOOKS: u32 = 8;

/// The service may exclude its lower bound, or cut it to whole seconds.
const ROUNDING: TimeDelta = TimeDelta::seconds(1);

/// How often the end is looked at again.
const END_LOOKS: u32 = 2;

/// Records out of order by no more than this part of the span of their answer are neighbors that changed places.
const NEIGHBORS: i32 = 4;

/// Reads the feed of one window in ranges, oldest first.
#[derive(Debug)]
pub(super) struct NumberedWalk {
    plan: WalkPlan,
    archived: Vec<Anchor>,
    pages: PagePlan,
    block_pages: u64,
    frontier: Frontier,
    /// How many records were given, each counted once.
    counted: u64,
    /// How many there are, by the last answer that says so.
    total: Option<u64>,
    /// The least of these in the last block: what came while it was read is for the next run.
    least_total: Option<u64>,
    /// Whether the far end was found by records of the archive.
    ends_at_archive: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was read.
    Start,
    /// Everything before this offset is still to be read, until a block meets the one before.
    Blocks { end: u64, newest: Vec<Anchor> },
    /// All was read.
    Done,
}

/// Pages that are joined to each other.
struct Block {
    fetched: FetchedRecords,
    /// Its first page.
    first: Option<Answer>,
    /// The records of its last page: the next one has to hold one of them.
    edge: Vec<Anchor>,
    /// Up to which offset it was read.
    end: u64,
    is_ordered: bool,
    /// Pages that were read ahead.
    ahead: VecDeque<(PageOf, Page)>,
    /// How many answers in a row lacked what they have to hold.
    failed: u32,
    /// How many answers in a row had nothing new.
    idle: u32,
    /// How far below the window is asked for, to come upon the records of the archive.
    reach: Reach,
}

/// What ends a block.
#[derive(Clone, Copy)]
enum Until<'a> {
    /// A record of the block before.
    Met(&'a [Anchor]),
    /// The end of the feed.
    End,
}

impl NumberedWalk {
    /// Creates a walk over the plan's window that should come upon one of these records of the archive at its far end.
    pub(super) fn new(plan: WalkPlan, page_size: u32, archived: Vec<Anchor>) -> Self {
        Self {
            plan,
            archived,
            pages: PagePlan::new(page_size),
            block_pages: *BLOCK_PAGES.end(),
            frontier: Frontier::default(),
            counted: 0,
            total: None,
            least_total: None,
            ends_at_archive: false,
            state: State::Start,
        }
    }

    /// Fetches the next range, complete up to where it ends; `None` at the end of the feed.
    pub(super) async fn next_range(&mut self, fetcher: &Fetcher) -> Result<Option<CompletedRange>, FetchError> {
        loop {
            let result = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return self.check_count().map(|()| None),
                State::Start => self.start(fetcher).await,
                State::Blocks { end, newest } => self.next_block(fetcher, end, newest).await,
            };
            match result {
                Ok(range) => return Ok(Some(range)),
                Err(PageError::TooLarge(error)) => self.start_smaller(error)?,
                Err(PageError::TooWide(error) | PageError::Lost(error) | PageError::Fatal(error)) => return Err(error),
            }
        }
    }

    /// Starts again with smaller pages; what was filed already is then recognized.
    fn start_smaller(&mut self, error: FetchError) -> Result<(), FetchError> {
        if !self.pages.halve() {
            return Err(error);
        }
        self.counted = 0;
        self.frontier = Frontier::default();
        self.state = State::Start;
        Ok(())
    }

    /// Says so if the service counts more records than it gives.
    fn check_count(&self) -> Result<(), FetchError> {
        match self.least_total.filter(|_| !self.ends_at_archive) {
            Some(total) if total > self.counted => Err(FetchError::Miscounted {
                total,
                given: self.counted,
            }),
            _ => Ok(()),
        }
    }

    async fn start(&mut self, fetcher: &Fetcher) -> Result<CompletedRange, PageError> {
        let watch = Stopwatch::start(fetcher);
        let first = self.page(fetcher, self.pages.first(), Reach::default()).await?;
        let took = watch.elapsed();
        let pages = if PagePlan::is_consistent(&first) {
            first.counts.pages.unwrap_or(1)
        } else {
            1
        };
        if pages > 1 {
            self.pages.learn(&first, self.pages.first());
        }
        let is_slow = took.is_some_and(|took| took * pages > self.plan.target_time());
        let is_ordered = is_ordered(&Answer::of(&first, &self.request(self.pages.first(), Reach::default())));
        if is_ordered && (pages > self.plan.max_pages || is_slow && pages > 1) {
            tracing::info!(pages, "more pages than fit in one block: reading from the oldest on");
            self.size_first_block(took);
            let end = self.total.unwrap_or_default();
            return self.next_block(fetcher, end, Vec::new()).await;
        }
        let block = self.read_block(fetcher, 0, Some(first), Until::End).await?;
        Ok(self.complete(block, true))
    }

    /// Reads the block that ends at this offset, or a little behind it, as the feed has moved.
    async fn next_block(
        &mut self,
        fetcher: &Fetcher,
        end: u64,
        newest: Vec<Anchor>,
    ) -> Result<CompletedRange, PageError> {
        let watch = Stopwatch::start(fetcher);
        self.least_total = None;
        let block_pages = self.block_pages.min(self.plan.max_pages.into()).max(1);
        let start = end.saturating_sub(block_pages * self.pages.size());
        let until = if newest.is_empty() {
            Until::End
        } else {
            Until::Met(&newest)
        };
        let block = self.read_block(fetcher, start, None, until).await?;
        self.resize_blocks(watch.elapsed());
        if start > 0 {
            let first = block.first.as_ref().map(|answer| answer.anchors().to_vec());
            // Retention can remove the last pages; an empty block met nothing and leaves the frontier as it was.
            let newest = first.filter(|anchors| !anchors.is_empty()).unwrap_or(newest);
            self.state = State::Blocks { end: start, newest };
        }
        Ok(self.complete(block, start == 0))
    }

    /// Completes a block; what may be newer than records of later blocks is kept for these.
    fn complete(&mut self, block: Block, is_last: bool) -> CompletedRange {
        let limit = if is_last {
            self.plan.filed_to()
        } else if block.is_ordered {
            Some(
                block
                    .first
                    .as_ref()
                    .and_then(Answer::median)
                    .unwrap_or(self.plan.window.from),
            )
        } else {
            Some(DateTime::<Utc>::MIN_UTC)
        };
        let window = self.plan.window;
        let done_to = limit.map_or(window.to, |limit| limit.clamp(window.from, window.to));
        let range = self.frontier.advance(block.fetched, limit, done_to);
        self.counted += range.received + range.left_for_next_run;
        if is_last {
            self.counted += self.frontier.later();
        }
        range
    }

    /// Sizes the first block by the time that one page took.
    fn size_first_block(&mut self, page_took: Option<Duration>) {
        let Some(took) = page_took else { return };
        let in_time = self.plan.target_time().as_secs_f64() / took.as_secs_f64();
        self.set_block_pages(in_time as u64);
    }

    /// Makes the next block longer or shorter, by the time that this one took. That does not give the number of pages
    /// that fit in the time: read concurrently, several take no longer than one.
    fn resize_blocks(&mut self, block_took: Option<Duration>) {
        match block_took {
            Some(took) if took <= self.plan.target_time() => self.set_block_pages(self.block_pages * 2),
            Some(took) if took > self.plan.target_time() * 2 => self.set_block_pages(self.block_pages / 2),
            _ => {}
        }
    }

    fn set_block_pages(&mut self, pages: u64) {
        self.block_pages = pages.clamp(*BLOCK_PAGES.start(), *BLOCK_PAGES.end());
    }

    /// Reads pages from an offset on, each joined to the one before.
    async fn read_block(
        &mut self,
        fetcher: &Fetcher,
        start: u64,
        first: Option<Page>,
        until: Until<'_>,
    ) -> Result<Block, PageError> {
        let mut block = Block::new(start, FetchedRecords::new(self.plan.possible_to()));
        block.ahead.extend(first.map(|page| (self.pages.first(), page)));
        loop {
            let (asked, page) = self.next_page(fetcher, &mut block, until).await?;
            let answer = Answer::of(&page, &self.request(asked, block.reach));
            if block.edge.is_empty() || answer.holds_any(&block.edge) {
                if self.take(&mut block, page, &answer, asked, until)? {
                    return Ok(block);
                }
            } else if answer.oldest() > block.edge.iter().map(|anchor| anchor.time).max() {
                // More has come than a page holds: what was read is further behind.
                block.ahead.clear();
                block.end += answer.count as u64;
            } else {
                block.look_again();
                if block.failed > MOST_LOOKS {
                    return Err(self.contradiction(&block));
                }
            }
        }
    }

    /// Returns the page that follows a block, which may have been read ahead.
    async fn next_page(
        &mut self,
        fetcher: &Fetcher,
        block: &mut Block,
        until: Until<'_>,
    ) -> Result<(PageOf, Page), PageError> {
        if block.ahead.is_empty() && block.failed == 0 && block.idle == 0 {
            block.ahead = self.read_ahead(fetcher, block, until).await?;
        }
        if let Some(read) = block.ahead.pop_front() {
            return Ok(read);
        }
        let looks = block.failed + block.idle;
        if looks > 0 {
            fetcher.pause_before_look(looks).await;
        }
        let asked = self.pages.after(block, block.failed);
        let page = self.page(fetcher, asked, block.reach).await?;
        Ok((asked, page))
    }

    /// Takes a page that is joined to a block; returns whether it ends the block.
    fn take(
        &mut self,
        block: &mut Block,
        page: Page,
        answer: &Answer,
        asked: PageOf,
        until: Until<'_>,
    ) -> Result<bool, PageError> {
        let total = self.total.unwrap_or_default();
        if answer.next.is_some() && total > block.end.max(asked.start() + answer.count as u64) {
            self.pages.learn(&page, asked);
        }
        let new = block.take(page, answer, asked);
        let is_met = match until {
            Until::Met(anchors) => answer.holds_any(anchors),
            Until::End => answer.holds_any(&self.archived),
        };
        if is_met {
            if matches!(until, Until::End) {
                // What is below the archive's records is counted, and not read.
                self.ends_at_archive = true;
            }
            return Ok(true);
        }
        if block.fetched.is_too_large() || block.end > MOST_RECORDS {
            return Err(PageError::Fatal(FetchError::Endless { pages: asked.number }));
        }
        let goes_on = answer.may_go_on() || total > block.end;
        block.idle = if new == 0 || !goes_on { block.idle + 1 } else { 0 };
        if block.idle == 0 {
            return Ok(false);
        }
        block.ahead.clear();
        let is_as_counted = !goes_on && new > 0 && self.total.is_some();
        let is_open = matches!(until, Until::End) && self.archived.is_empty();
        Ok(is_open && is_as_counted || self.is_end(block, until)?)
    }

    /// Returns whether the end of the feed was looked at often enough, when nothing new comes.
    fn is_end(&self, block: &mut Block, until: Until<'_>) -> Result<bool, PageError> {
        if block.idle <= END_LOOKS {
            return Ok(false);
        }
        match (until, block.reach.longer()) {
            (Until::Met(_), _) => Err(self.contradiction(block)),
            (Until::End, Some(longer)) if !self.archived.is_empty() && longer.time() <= ROUNDING => {
                block.reach = longer;
                block.idle = 1;
                Ok(false)
            }
            (Until::End, _) => {
                if !self.archived.is_empty() {
                    warn_of_lost(&self.archived);
                }
                Ok(true)
            }
        }
    }

    /// Reads the pages that surely follow, several at a time.
    async fn read_ahead(
        &mut self,
        fetcher: &Fetcher,
        block: &Block,
        until: Until<'_>,
    ) -> Result<VecDeque<(PageOf, Page)>, PageError> {
        let end = match (until, &self.state) {
            (Until::End, _) => self.total.unwrap_or_default(),
            (Until::Met(_), _) => block.end + self.block_pages * self.pages.size(),
        };
        if self.plan.concurrency < 2 || !block.fetched.records.is_empty() && end <= block.end {
            return Ok(VecDeque::new());
        }
        let asked = self.pages.until(block, end, u64::from(self.plan.max_pages));
        let this = &*self;
        let read: Vec<(PageOf, Page)> = stream::iter(asked)
            .map(|asked| async move { Ok((asked, this.ask(fetcher, asked, Reach::default()).await?)) })
            .buffered(self.plan.concurrency)
            .try_collect()
            .await?;
        for (_, page) in &read {
            self.note_total(page);
        }
        Ok(read.into())
    }

    async fn page(&mut self, fetcher: &Fetcher, asked: PageOf, reach: Reach) -> Result<Page, PageError> {
        let page = self.ask(fetcher, asked, reach).await?;
        self.note_total(&page);
        Ok(page)
    }

    async fn ask(&self, fetcher: &Fetcher, asked: PageOf, reach: Reach) -> Result<Page, PageError> {
        fetcher.page(&self.request(asked, reach), false).await
    }

    fn note_total(&mut self, page: &Page) {
        self.total = page.counts.records.or(self.total);
        self.least_total = match (self.least_total, page.counts.records) {
            (Some(least), Some(total)) => Some(least.min(total)),
            (least, total) => least.or(total),
        };
    }

    fn request(&self, asked: PageOf, reach: Reach) -> PageRequest {
        let known = self.archived.iter().map(|anchor| anchor.time).max();
        let from = known.map_or(self.plan.window.from, |known| known.min(self.plan.window.from));
        PageRequest {
            window: Window {
                from: floor_to_millisecond(from - ROUNDING - reach.time()),
                to: self.plan.window.to,
            },
            position: Position::Number(asked.number),
            size: asked.size,
        }
    }

    fn contradiction(&self, block: &Block) -> PageError {
        let from = self.plan.window.from;
        PageError::Fatal(FetchError::Contradiction {
            lacks: bound(block.edge.first().map_or(from, |anchor| anchor.time)),
            span: span(from, self.plan.window.to),
            looks: block.failed + block.idle,
        })
    }
}

impl Block {
    fn new(start: u64, fetched: FetchedRecords) -> Self {
        Self {
            fetched,
            first: None,
            edge: Vec::new(),
            end: start,
            is_ordered: true,
            ahead: VecDeque::new(),
            failed: 0,
            idle: 0,
            reach: Reach::default(),
        }
    }

    /// Handles a page that is not joined: it is asked for again, and from further before.
    fn look_again(&mut self) {
        self.ahead.clear();
        self.failed += 1;
    }

    /// Takes a page that is joined to it, and returns how many new records it had.
    fn take(&mut self, page: Page, answer: &Answer, asked: PageOf) -> usize {
        self.failed = 0;
        self.end = self.end.max(asked.start() + answer.count as u64);
        self.is_ordered &= is_ordered(answer);
        let added = self.fetched.add(page.records, page.originals).new;
        if answer.count > 0 {
            self.edge = answer.anchors().to_vec();
            self.first.get_or_insert_with(|| answer.clone());
        }
        added
    }
}

fn is_ordered(answer: &Answer) -> bool {
    answer.disorder * NEIGHBORS <= answer.span()
}
