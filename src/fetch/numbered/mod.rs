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
use super::learned::Learned;
use super::plan::WalkPlan;
use super::stopwatch::Stopwatch;
use super::{FetchError, Fetcher, PageError, span, warn_of_lost};
use crate::record::digests::{Digests, ShortDigests};
use crate::record::{Anchor, Form, Rejected, Shape};
use crate::source::{Page, PageRequest, Position};
use crate::window::{Window, bound, floor_to_millisecond};

mod block;
mod pages;

use block::Block;
use pages::{PageOf, PagePlan};

/// Pages of a block: short blocks read many pages twice, long ones take much memory.
const BLOCK_PAGES: std::ops::RangeInclusive<u64> = 2..=8;

/// How many bytes the records of a block should take, if that is more than the fewest pages.
const BLOCK_BYTES: u64 = 16 << 20;

/// The most records that a feed can have: over 14 days, one every 12 milliseconds.
const MOST_RECORDS: u64 = 100_000_000;

/// Of so many records it is remembered that they were given, to compare with the service's count.
const MOST_COUNTED: usize = 2_000_000;

/// How often in a row an answer may lack what it has to hold.
const MOST_LOOKS: u32 = 8;

/// How often in a row the feed may have moved away under a request.
const MOST_MOVES: u32 = 64;

/// How often a block is read from its start since one of its pages has lacked records.
const MOST_RESTARTS: u32 = 3;

/// Services do not drop records for their age to the minute.
const RETENTION_MARGIN: TimeDelta = TimeDelta::days(1);

/// The service may exclude its lower bound, cut it to whole seconds, or filter by another time than the one that it shows,
/// which keeps it from giving records of the archive that are close to the bound.
const ROUNDING: TimeDelta = TimeDelta::seconds(1);
const BELOW_ARCHIVE: TimeDelta = TimeDelta::seconds(10);

/// How often the end is looked at again.
const END_LOOKS: u32 = 2;

/// Reads the feed of one window in ranges, oldest first.
#[derive(Debug)]
pub(super) struct NumberedWalk {
    plan: WalkPlan,
    archived: Vec<Anchor>,
    pages: PagePlan,
    block_pages: u64,
    /// How many bytes a record took, of those that were read last.
    record_bytes: usize,
    frontier: Frontier,
    /// The content hashes of the records that were given.
    given: ShortDigests,
    /// Those of records that cannot be filed: each may be two for the service, or as another one.
    rejected: Digests,
    /// How many more than one each they may be: of a broken record it cannot be told for certain where it ends.
    swallowed: u64,
    /// Whether the feed is being read again, because the service counts more than it gave.
    is_again: bool,
    /// How many there are, by the last answer that says so.
    total: Option<u64>,
    /// The first of these, and the least: what came while the feed was read is for the next run.
    first_total: Option<u64>,
    least_total: Option<u64>,
    /// Whether the service may drop records while they are read, for their age: then it may come to have fewer than at first. Otherwise
    /// fewer are those of a replica that lags.
    may_lose_some: bool,
    /// Up to when what was handed out is complete.
    done_to: DateTime<Utc>,
    /// Whether the feed ended before as many records were given as the service counts: some are missing, and they may be anywhere.
    has_ended_early: bool,
    /// Whether the far end was found by records of the archive, on a page that names a next one.
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

/// What ends a block.
#[derive(Clone, Copy)]
enum Until<'a> {
    /// A record of the block before, which began at this offset.
    Met { newest: &'a [Anchor], at: u64 },
    /// The end of the feed.
    End,
}

impl Until<'_> {
    /// Returns up to where pages have to reach for that, in a feed of so many records that does not move.
    fn reached_at(self, total: u64) -> u64 {
        match self {
            Until::Met { at, .. } => at + 1,
            // Beyond the last record: a full page does not show that it is the last.
            Until::End => total + 1,
        }
    }
}

impl NumberedWalk {
    /// Creates a walk over the plan's window that should come upon one of these records of the archive at its far end.
    pub(super) fn new(plan: WalkPlan, page_size: u32, archived: Vec<Anchor>) -> Self {
        Self {
            plan,
            archived,
            pages: PagePlan::new(page_size),
            block_pages: *BLOCK_PAGES.end(),
            record_bytes: 0,
            frontier: Frontier::default(),
            given: ShortDigests::default(),
            rejected: Digests::default(),
            swallowed: 0,
            is_again: false,
            total: None,
            first_total: None,
            least_total: None,
            may_lose_some: true,
            done_to: plan.window.from,
            has_ended_early: false,
            ends_at_archive: false,
            state: State::Start,
        }
    }

    /// Fetches the next range, complete up to where it ends; `None` at the end of the feed.
    pub(super) async fn next_range(&mut self, fetcher: &Fetcher) -> Result<Option<CompletedRange>, FetchError> {
        loop {
            let result = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => match self.ask_whether_some_went(fetcher).await {
                    Err(error) => Err(error),
                    Ok(()) => match self.check_count() {
                        Err(_) if !self.is_again => {
                            self.count_again(fetcher);
                            continue;
                        }
                        checked => return checked.map(|()| None),
                    },
                },
                State::Start => self.start(fetcher).await,
                State::Blocks { end, newest } => self.next_block(fetcher, end, newest).await,
            };
            match result {
                Ok(range) => return Ok(Some(range)),
                Err(PageError::TooLarge(error)) => self.start_smaller(error)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks once more how many records there are, where the service came to count fewer than at first, and no more were given: one
    /// answer may have been cut, and have counted what was left of it.
    async fn ask_whether_some_went(&mut self, fetcher: &Fetcher) -> Result<(), PageError> {
        let has_fallen = self.least_total < self.first_total && self.lacks_some_of(self.first_total);
        if self.may_lose_some && has_fallen {
            let page = self.page(fetcher, self.pages.first()).await?;
            // What has come since is on it, and counted too.
            self.count(&page);
            self.least_total = trusted_total(&page);
        }
        Ok(())
    }

    /// Reads the feed once more, with its counts.
    fn count_again(&mut self, fetcher: &Fetcher) {
        self.is_again = true;
        (self.total, self.first_total, self.least_total) = (None, None, None);
        self.has_ended_early = false;
        fetcher.begin_reading(self.plan.window);
        self.start_again();
    }

    /// Starts again with smaller pages; what was filed already is then recognized.
    fn start_smaller(&mut self, error: FetchError) -> Result<(), FetchError> {
        if !self.pages.halve() {
            return Err(error);
        }
        self.start_again();
        Ok(())
    }

    /// Reads the feed from its start; what was filed already is then recognized.
    fn start_again(&mut self) {
        self.frontier = Frontier::default();
        self.state = State::Start;
    }

    fn counted(&self) -> u64 {
        self.given.len() as u64
    }

    /// Returns whether fewer records were given than this.
    fn lacks_some_of(&self, total: Option<u64>) -> bool {
        let is_counted = !self.ends_at_archive && self.given.len() <= MOST_COUNTED;
        let given = self.counted() + self.rejected.len() as u64 + self.swallowed;
        is_counted && total.is_some_and(|total| total > given)
    }

    /// Says so if the service counts more records than it gives.
    fn check_count(&self) -> Result<(), FetchError> {
        let total = if self.may_lose_some {
            self.least_total
        } else {
            self.first_total
        };
        match total.filter(|_| self.lacks_some_of(total)) {
            Some(total) => Err(FetchError::Miscounted {
                total,
                given: self.counted(),
            }),
            None => Ok(()),
        }
    }

    async fn start(&mut self, fetcher: &Fetcher) -> Result<CompletedRange, PageError> {
        let kept_from = fetcher.source().kind().retention.oldest(self.plan.possible_to());
        self.may_lose_some = self.plan.window.from < kept_from + RETENTION_MARGIN;
        let watch = Stopwatch::start(fetcher);
        let first = self.page(fetcher, self.pages.first()).await?;
        let took = watch.elapsed();
        let pages = if PagePlan::is_consistent(&first) {
            first.counts.pages.unwrap_or(1)
        } else {
            1
        };
        if pages > 1 {
            self.pages.learn(&first, self.pages.first(), true);
        }
        let lines = first.records.iter().flatten().map(|record| record.line.len());
        self.note_bytes(lines.sum(), first.records.len());
        let is_slow = took.is_some_and(|took| took * pages > self.plan.target_time());
        let is_large = u64::from(pages) * self.page_bytes() > BLOCK_BYTES;
        if pages > self.plan.max_pages || (is_slow || is_large) && pages > 1 {
            tracing::info!(pages, "more pages than fit in one block: reading from the oldest on");
            self.size_first_block(took);
            let end = self.total.unwrap_or_default();
            self.count(&first);
            return self.next_block(fetcher, end, Vec::new()).await;
        }
        let block = self.read_block(fetcher, 0, Some(first), Until::End).await?;
        self.complete(fetcher, block, true)
    }

    /// Reads the block that ends at this offset, or a little behind it, as the feed has moved.
    async fn next_block(
        &mut self,
        fetcher: &Fetcher,
        end: u64,
        newest: Vec<Anchor>,
    ) -> Result<CompletedRange, PageError> {
        let watch = Stopwatch::start(fetcher);
        let most = self.most_block_pages().min(self.plan.max_pages.into());
        let block_pages = self.block_pages.min(most).max(1);
        let until = if newest.is_empty() {
            Until::End
        } else {
            Until::Met {
                newest: &newest,
                at: end,
            }
        };
        let start = self.pages.start_of(block_pages, until.reached_at(end));
        let block = self.read_block(fetcher, start, None, until).await?;
        self.resize_blocks(watch.elapsed());
        self.note_bytes(block.fetched.bytes, block.fetched.records.len());
        let start = block.start;
        if start > 0 {
            let first = block.first.as_ref().map(|answer| answer.anchors().to_vec());
            // Retention can remove the last pages; an empty block met nothing and leaves the frontier as it was.
            let newest = first.filter(|anchors| !anchors.is_empty()).unwrap_or(newest);
            self.state = State::Blocks { end: start, newest };
        }
        self.complete(fetcher, block, start == 0)
    }

    /// Completes a block; what may be newer than records of later blocks is kept for these.
    fn complete(&mut self, fetcher: &Fetcher, block: Block, is_last: bool) -> Result<CompletedRange, PageError> {
        let limit = if is_last {
            self.plan.filed_to()
        } else {
            Some(block.limit().unwrap_or(DateTime::<Utc>::MIN_UTC))
        };
        let window = self.plan.window;
        let done_to = limit.map_or(window.to, |limit| limit.clamp(window.from, window.to));
        if self.given.len() <= MOST_COUNTED {
            block.fetched.note_contents(&mut self.given);
        }
        let range = self
            .frontier
            .advance(&mut fetcher.given(), block.fetched, limit, done_to);
        let mut range = range.map_err(PageError::Fatal)?;
        let is_short = if is_last {
            self.check_count().is_err()
        } else {
            self.has_ended_early
        };
        if is_short {
            // What is missing may be anywhere.
            range.done_to = self.done_to;
        }
        self.done_to = self.done_to.max(range.done_to);
        Ok(range)
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

    fn note_bytes(&mut self, bytes: usize, records: usize) {
        self.record_bytes = bytes.checked_div(records).unwrap_or(self.record_bytes);
    }

    fn page_bytes(&self) -> u64 {
        self.record_bytes as u64 * self.pages.size()
    }

    /// Returns how many pages a block may have, by what they take in memory.
    fn most_block_pages(&self) -> u64 {
        let most = BLOCK_BYTES.checked_div(self.page_bytes());
        most.map_or(*BLOCK_PAGES.end(), |most| {
            most.clamp(*BLOCK_PAGES.start(), *BLOCK_PAGES.end())
        })
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
        let mut restarts = 0;
        loop {
            let (asked, page) = self.next_page(fetcher, &mut block, until).await?;
            let answer = Answer::of(&page, &self.request(asked));
            if block.edge.is_empty() && self.has_shrunk(&mut block, &page, asked) {
                continue;
            }
            if self.is_joined(fetcher, &mut block, &answer, asked).await? {
                if self.total.is_none() && block.shows_a_cut(&answer, asked) {
                    // Where nothing is counted, no later answer shows what it lacked.
                    restarts += 1;
                    fetcher.learn(Learned::note_lapse);
                    if restarts > MOST_RESTARTS {
                        return Err(self.contradiction(&block));
                    }
                    fetcher.pause_before_look(restarts).await;
                    block = Block::new(start, FetchedRecords::new(self.plan.possible_to()));
                    continue;
                }
                if self.take(&mut block, page, &answer, asked, until)? {
                    return Ok(block);
                }
                continue;
            }
            self.drop_ahead(&mut block);
            // Of small pages it can be that all end with the last record, so that none overlaps it.
            let is_whole = block.is_uncounted() || self.total == Some(block.end);
            let is_open = matches!(until, Until::End) && is_whole;
            let is_behind_the_end = is_open && answer.count == 0 && asked.start() >= block.end;
            let ends_before = self.ends_before(&block, &page, &answer, asked);
            let total = trusted_total(&page);
            self.count(&page);
            if is_behind_the_end || ends_before {
                // Nothing is there, or all that is older was removed since.
                block.idle += 1;
                if block.idle > END_LOOKS {
                    return Ok(block);
                }
                continue;
            }
            block.relocate(&answer, total, asked);
            if block.failed > MOST_LOOKS || block.moved > MOST_MOVES {
                return Err(self.contradiction(&block));
            }
        }
    }

    /// Counts what a page gave that is not taken as it is.
    fn count(&mut self, page: &Page) {
        if self.given.len() <= MOST_COUNTED {
            let records = page.records.iter().flatten();
            self.given.extend(records.map(|record| record.identity.content as u64));
        }
    }

    /// Drops the pages that were read ahead.
    fn drop_ahead(&mut self, block: &mut Block) {
        let ahead = std::mem::take(&mut block.ahead);
        ahead.iter().for_each(|(_, page)| self.count(page));
    }

    /// Goes further back where the far end of the feed was removed before its first page was read.
    fn has_shrunk(&mut self, block: &mut Block, page: &Page, asked: PageOf) -> bool {
        let total = trusted_total(page).filter(|total| page.records.is_empty() && *total <= asked.start());
        let Some(total) = total.filter(|_| block.moved <= MOST_MOVES) else {
            return false;
        };
        block.moved += 1;
        self.drop_ahead(block);
        block.end = total.saturating_sub(self.block_pages * self.pages.size());
        true
    }

    /// Returns whether an answer shows that the feed now ends with newer records than those at the end of a block.
    fn ends_before(&self, block: &Block, page: &Page, answer: &Answer, asked: PageOf) -> bool {
        let end = asked.start() + answer.count as u64;
        let is_last = !answer.may_go_on() && trusted_total(page).is_some_and(|total| total <= end);
        is_last && block.is_older_than(answer)
    }

    /// Returns whether an answer goes on where a block ends. One that begins exactly there does if the page before is the
    /// same before and after it.
    async fn is_joined(
        &mut self,
        fetcher: &Fetcher,
        block: &mut Block,
        answer: &Answer,
        asked: PageOf,
    ) -> Result<bool, PageError> {
        let Some(last) = block.last.filter(|_| asked.start() == block.end && answer.count > 0) else {
            return Ok(block.is_joined(answer, asked));
        };
        if block.is_joined(answer, asked) {
            return Ok(true);
        }
        let page = self.page(fetcher, last).await?;
        let before = Answer::of(&page, &self.request(last));
        self.count(&page);
        Ok(last.start() + before.count as u64 == block.end && before.is_same_as(&block.edge))
    }

    /// Returns the page that follows a block, which may have been read ahead.
    async fn next_page(
        &mut self,
        fetcher: &Fetcher,
        block: &mut Block,
        until: Until<'_>,
    ) -> Result<(PageOf, Page), PageError> {
        let looks = block.failed + block.idle + u32::from(block.is_repeated);
        if block.ahead.is_empty() && looks == 0 && block.moved == 0 {
            block.ahead = self.read_ahead(fetcher, block, until).await?;
        }
        if let Some(read) = block.ahead.pop_front() {
            return Ok(read);
        }
        if looks > 0 {
            fetcher.pause_before_look(looks).await;
        }
        let asked = self.pages.after(block, block.failed);
        let page = self.page(fetcher, asked).await?;
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
        if answer.next.is_some() {
            self.pages.learn(&page, asked, false);
        }
        let (before, held) = (block.end, block.edge.len());
        let new = block.take(page, answer, asked);
        if new > 0 && block.idle > 0 && block.is_uncounted() {
            self.pages.learn_cap(held);
        }
        let is_further = new > 0 || block.end > before;
        // A service that counts fewer records than it gave may have more of them.
        let goes_on = answer.may_go_on() || total > block.end || self.total.is_some() && block.is_uncounted();
        // Where newer records do not come first, those of the archive say nothing of what is behind them.
        let is_told = answer.descends || !goes_on && self.total.is_some();
        block.holds_archived |= answer.holds_any(&self.archived);
        let is_met = match until {
            Until::Met { newest, .. } => answer.holds_any(newest),
            Until::End => is_told && answer.holds_any(&self.archived),
        };
        if is_met {
            if matches!(until, Until::End) {
                // What is behind that page is counted, and not read.
                self.ends_at_archive = answer.may_go_on();
            }
            return Ok(true);
        }
        if block.fetched.is_too_large() || block.end > MOST_RECORDS {
            return Err(PageError::Fatal(FetchError::Endless));
        }
        block.idle = if is_further && goes_on { 0 } else { block.idle + 1 };
        if block.idle == 0 {
            return Ok(false);
        }
        self.drop_ahead(block);
        let is_as_counted = !goes_on && new > 0 && self.total.is_some();
        let is_open = matches!(until, Until::End) && self.archived.is_empty();
        Ok(is_open && is_as_counted || self.is_end(block, until)?)
    }

    /// Returns whether the end of the feed was looked at often enough, when nothing new comes.
    fn is_end(&mut self, block: &Block, until: Until<'_>) -> Result<bool, PageError> {
        if block.idle <= END_LOOKS {
            return Ok(false);
        }
        self.has_ended_early = matches!(until, Until::End) && self.total.is_some_and(|total| total > block.end);
        match until {
            // All that the block before had may have been removed since.
            Until::Met { .. } if self.total.is_some_and(|total| total <= block.end) => {}
            Until::Met { .. } => return Err(self.contradiction(block)),
            Until::End if self.archived.is_empty() || block.holds_archived => {}
            Until::End => warn_of_lost(&self.archived),
        }
        Ok(true)
    }

    /// Reads the pages that surely follow, several at a time.
    async fn read_ahead(
        &mut self,
        fetcher: &Fetcher,
        block: &Block,
        until: Until<'_>,
    ) -> Result<VecDeque<(PageOf, Page)>, PageError> {
        let end = until.reached_at(self.total.unwrap_or_default());
        let is_at_end = matches!(until, Until::End) && end <= block.end;
        if self.plan.concurrency < 2 || !block.fetched.records.is_empty() && is_at_end {
            return Ok(VecDeque::new());
        }
        let asked = self.pages.until(block, end, u64::from(self.plan.max_pages));
        let this = &*self;
        let pages = stream::iter(asked).map(|asked| async move { Ok((asked, this.ask(fetcher, asked).await?)) });
        let mut pages = pages.buffered(self.plan.concurrency);
        let read: Result<Vec<(PageOf, Page)>, PageError> = pages.by_ref().try_collect().await;
        if read.is_err() {
            fetcher.let_in(&mut pages).await;
        }
        drop(pages);
        let read = read?;
        for (_, page) in &read {
            self.note_total(page);
        }
        Ok(read.into())
    }

    async fn page(&mut self, fetcher: &Fetcher, asked: PageOf) -> Result<Page, PageError> {
        let page = self.ask(fetcher, asked).await?;
        self.note_total(&page);
        for rejected in page.records.iter().filter_map(|item| item.as_ref().err()) {
            if self.rejected.insert(rejected.content) {
                self.swallowed += swallowed_by(rejected, fetcher.source().kind().shape);
            }
        }
        Ok(page)
    }

    async fn ask(&self, fetcher: &Fetcher, asked: PageOf) -> Result<Page, PageError> {
        fetcher.page(&self.request(asked), false).await
    }

    fn note_total(&mut self, page: &Page) {
        let total = if self.total.is_none() {
            page.counts.records
        } else {
            trusted_total(page)
        };
        self.total = total.or(self.total);
        self.first_total = self.first_total.or(trusted_total(page));
        self.least_total = match (self.least_total, trusted_total(page)) {
            (Some(least), Some(total)) => Some(least.min(total)),
            (least, total) => least.or(total),
        };
    }

    fn request(&self, asked: PageOf) -> PageRequest {
        let known = self.archived.iter().map(|anchor| anchor.time - BELOW_ARCHIVE).max();
        let from = self.plan.window.from - ROUNDING;
        let from = known.map_or(from, |known| known.min(from));
        PageRequest {
            window: Window {
                from: floor_to_millisecond(from),
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

/// Returns how many records a broken one may have swallowed: as many as its bytes have names of a time besides one.
fn swallowed_by(rejected: &Rejected, shape: Shape) -> u64 {
    let name = shape.time.last().filter(|_| rejected.form == Form::Bytes);
    name.map_or(0, |name| rejected.line.matches(name).count().saturating_sub(1) as u64)
}

/// Returns how many records the service has, by this page: an empty one may be a fault, and says that there are none.
fn trusted_total(page: &Page) -> Option<u64> {
    page.counts
        .records
        .filter(|total| !page.records.is_empty() || *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_large_records_have_fewer_pages() {
        let now = DateTime::UNIX_EPOCH;
        for (record_bytes, pages) in [(0, 8), (600, 8), (4_200, 3), (1 << 20, 2)] {
            let mut walk = NumberedWalk::new(WalkPlan::of(Window::new(now, now), now), 1_000, Vec::new());
            walk.note_bytes(record_bytes * 300, 300);
            // Nothing is learned of a block without records.
            walk.note_bytes(0, 0);
            assert_eq!(walk.most_block_pages(), pages, "{record_bytes}");
        }
    }
}
