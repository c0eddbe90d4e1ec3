//! A newest-first feed without an upper bound, read by page number.
//!
//! While it is read, new records push old ones to later pages. Reading from page 1 on then only repeats records, but
//! nothing could be filed before the last page is in. So a feed of more pages than the cap is read in blocks from its
//! far end: each block is read forwards, towards older records, until it meets the block before it. Meeting it proves
//! that nothing lies between them; records that were pushed over the edge of a block are read again.
//!
//! Reading pages one by one, from newer to older, can only repeat records: they are pushed to where the reading has not
//! been yet. Reading them concurrently can miss some: if an older page is answered before a newer one, records can move
//! from the older page to the newer one's place in between. So pages are read concurrently only between two reads of
//! the page behind them, whose records are its fingerprint: anything that arrives among or before those pages moves
//! these records too. If they have not moved, all pages show the feed at one moment and join without a gap; otherwise
//! they are discarded and the block is read page by page.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::fetched_records::{FetchedRecords, MOST_IDLE_PAGES, TimeLimits};
use super::plan::WalkPlan;
use super::stopwatch::Stopwatch;
use super::{FetchError, Fetcher, PageError};
use crate::record::{Identity, Record, Rejected};
use crate::source::{Next, Page, PageRequest, PageSize, Position};
use crate::window::Window;

/// Pages of a block, plus the one that meets the block before: short blocks read many pages twice, long ones take much
/// memory. If pages are slow, a block has as many as can be read in time.
const BLOCK_PAGES: RangeInclusive<u32> = 2..=8;

/// The last pages of a feed are read concurrently if there are this many. With fewer, the two reads of the fingerprint
/// take as long as reading one by one; more take too much memory before anything is known to be good.
const CONCURRENT_PAGES: RangeInclusive<u32> = 5..=64;

/// The most pages that a feed can have: over 14 days, a record every 12 milliseconds.
const MOST_PAGES: u32 = 100_000;

/// Reads the feed of one window in ranges, oldest first.
#[derive(Debug)]
pub(super) struct NumberedWalk {
    window: Window,
    time_limits: TimeLimits,
    max_pages: u32,
    concurrency: usize,
    /// Half the time that a block may take.
    target_time: Duration,
    block_pages: u32,
    size: PageSize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was read.
    Start,
    /// Everything before page `first_page` is still to be read, until a block meets that page as it was read.
    Blocks {
        first_page: u32,
        frontier: PageFingerprint,
    },
    Done,
}

/// The part of a block that was read.
struct Block {
    fetched: FetchedRecords,
    /// The records of its first page: the next block has to meet them.
    newest: PageFingerprint,
}

/// The records of a page, to recognize it later; empty if there is no page.
#[derive(Debug, Default)]
struct PageFingerprint {
    identities: HashSet<Identity>,
    /// The content hashes of its records, in order.
    contents: Vec<u128>,
}

impl PageFingerprint {
    fn of(page: &Page) -> Self {
        Self {
            identities: identities(&page.records).collect(),
            contents: contents(&page.records).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// Returns whether one of its records is in the page.
    fn is_met_by(&self, page: &Page) -> bool {
        identities(&page.records).any(|identity| self.identities.contains(&identity))
    }

    /// Returns whether the page, read again, proves that nothing has arrived before or inside it. Retention may have
    /// removed its end. A page with the same content twice proves nothing: shifted, it could look alike.
    fn has_not_moved(&self, page: &Page) -> bool {
        let now: Vec<u128> = contents(&page.records).collect();
        let distinct: HashSet<&u128> = now.iter().collect();
        !now.is_empty() && self.contents.starts_with(&now) && distinct.len() == now.len()
    }
}

impl NumberedWalk {
    /// Creates a walk over `window`, which may be a little wider than the plan's.
    pub(super) fn new(window: Window, plan: WalkPlan) -> Self {
        Self {
            window,
            time_limits: plan.last_time_limits(),
            max_pages: plan.max_pages,
            concurrency: plan.concurrency,
            target_time: plan.target_time(),
            block_pages: *BLOCK_PAGES.end(),
            size: PageSize::default(),
            state: State::Start,
        }
    }

    /// Fetches the next range, complete up to where it ends; `None` at the end of the feed.
    pub(super) async fn next_range(&mut self, fetcher: &Fetcher) -> Result<Option<FetchedRecords>, FetchError> {
        loop {
            let result = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(None),
                State::Start => self.start(fetcher).await,
                State::Blocks { first_page, frontier } => self.next_block(fetcher, first_page, frontier).await,
            };
            match result {
                Ok(fetched) => return Ok(Some(fetched)),
                Err(PageError::TooLarge(error)) => self.start_smaller(fetcher, error)?,
                Err(PageError::TooWide(error) | PageError::Fatal(error)) => return Err(error),
            }
        }
    }

    /// Starts again with smaller pages; what was filed already is then recognized.
    fn start_smaller(&mut self, fetcher: &Fetcher, error: FetchError) -> Result<(), FetchError> {
        self.size = self.size.halved(fetcher.source().page_size()).ok_or(error)?;
        self.state = State::Start;
        Ok(())
    }

    async fn start(&mut self, fetcher: &Fetcher) -> Result<FetchedRecords, PageError> {
        let watch = Stopwatch::start(fetcher);
        let first = self.page(fetcher, 1).await?;
        let took = watch.elapsed();
        let pages = self.count_pages(fetcher, &first).await?;
        let is_slow = took.is_some_and(|took| took * pages > self.target_time);
        if pages > self.max_pages || is_slow {
            tracing::info!(pages, "more pages than fit in one block: reading from the oldest on");
            self.size_first_block(took);
            return self.next_block(fetcher, pages + 1, PageFingerprint::default()).await;
        }
        if let Some(block) = self.read_last_concurrently(fetcher, 1, pages).await? {
            return Ok(block.fetched);
        }
        let block = self
            .read_block(fetcher, 1, Some(first), &PageFingerprint::default())
            .await?;
        Ok(block.fetched)
    }

    /// Returns the number of pages, from the answer or by following them to the end.
    async fn count_pages(&self, fetcher: &Fetcher, first: &Page) -> Result<u32, PageError> {
        if let Some(pages) = first.pages {
            return checked(pages);
        }
        let mut pages = 1;
        let mut next = first.next.clone();
        while let Next::At(Position::Number(number)) = next {
            pages = following(pages, number)?;
            next = self.page(fetcher, number).await?.next;
        }
        Ok(pages)
    }

    /// Reads the block that ends where `end_page` began when the pages were last counted.
    async fn next_block(
        &mut self,
        fetcher: &Fetcher,
        end_page: u32,
        frontier: PageFingerprint,
    ) -> Result<FetchedRecords, PageError> {
        let watch = Stopwatch::start(fetcher);
        let first_page = end_page.saturating_sub(self.block_pages.min(self.max_pages)).max(1);
        let block = if frontier.is_empty() {
            self.read_last_concurrently(fetcher, first_page, end_page - 1).await?
        } else {
            self.read_concurrently(fetcher, first_page, end_page, &frontier).await?
        };
        let block = match block {
            Some(block) => block,
            None => self.read_block(fetcher, first_page, None, &frontier).await?,
        };
        self.resize_blocks(watch.elapsed());
        self.state = match first_page {
            1 => State::Done,
            // Retention can remove the last pages; an empty block met nothing and leaves the frontier as it was.
            _ if block.newest.is_empty() => State::Blocks { first_page, frontier },
            _ => State::Blocks {
                first_page,
                frontier: block.newest,
            },
        };
        Ok(block.fetched)
    }

    /// Sizes the first block by the time that one page took.
    fn size_first_block(&mut self, page_took: Option<Duration>) {
        let Some(took) = page_took else { return };
        let in_time = self.target_time.as_secs_f64() / took.as_secs_f64();
        self.set_block_pages(in_time as u32);
    }

    /// Makes the next block longer or shorter, by the time that this one took. That does not give the number of pages
    /// that fit in the time: read concurrently, several take no longer than one.
    fn resize_blocks(&mut self, block_took: Option<Duration>) {
        match block_took {
            Some(took) if took <= self.target_time => self.set_block_pages(self.block_pages * 2),
            Some(took) if took > self.target_time * 2 => self.set_block_pages(self.block_pages / 2),
            _ => {}
        }
    }

    fn set_block_pages(&mut self, pages: u32) {
        self.block_pages = pages.clamp(*BLOCK_PAGES.start(), *BLOCK_PAGES.end());
    }

    /// Reads the last pages of the feed concurrently; `None` if they cannot be shown to join, or there are too few or
    /// too many.
    async fn read_last_concurrently(
        &self,
        fetcher: &Fetcher,
        first_page: u32,
        last_page: u32,
    ) -> Result<Option<Block>, PageError> {
        let pages = last_page.saturating_sub(first_page) + 1;
        if self.concurrency < 2 || !CONCURRENT_PAGES.contains(&pages) {
            return Ok(None);
        }
        let last = self.page(fetcher, last_page).await?;
        if last.next != Next::Last {
            return Ok(None);
        }
        let fingerprint = PageFingerprint::of(&last);
        let block = self
            .read_concurrently(fetcher, first_page, last_page, &fingerprint)
            .await?;
        Ok(block.map(|mut block| {
            block.fetched.add(self.window, last.records, last.originals);
            block
        }))
    }

    /// Reads the pages before `fingerprint_page` concurrently; `None` if they cannot be shown to join each other and
    /// the fingerprint, which was read before, or are more than is held at a time.
    async fn read_concurrently(
        &self,
        fetcher: &Fetcher,
        first_page: u32,
        fingerprint_page: u32,
        fingerprint: &PageFingerprint,
    ) -> Result<Option<Block>, PageError> {
        if self.concurrency < 2 {
            return Ok(None);
        }
        let mut block = Block {
            newest: PageFingerprint::default(),
            fetched: FetchedRecords::new(self.time_limits),
        };
        let mut all_go_on = true;
        let mut pages = stream::iter(first_page..fingerprint_page)
            .map(|number| async move { self.page(fetcher, number).await.map(|page| (number, page)) })
            .buffered(self.concurrency);
        while let Some((number, page)) = pages.try_next().await? {
            all_go_on &= page.next == Next::At(Position::Number(number + 1));
            if number == first_page {
                block.newest = PageFingerprint::of(&page);
            }
            block.fetched.add(self.window, page.records, page.originals);
            if block.fetched.is_too_large() {
                return Ok(None);
            }
        }
        let fingerprint_again = self.page(fetcher, fingerprint_page).await?;
        if !all_go_on || !fingerprint.has_not_moved(&fingerprint_again) {
            tracing::debug!(
                first_page,
                "new records arrived while pages were read: reading them one by one"
            );
            return Ok(None);
        }
        Ok(Some(block))
    }

    /// Reads forwards from `first_page` to the frontier or the end of the feed.
    async fn read_block(
        &self,
        fetcher: &Fetcher,
        first_page: u32,
        already_read: Option<Page>,
        frontier: &PageFingerprint,
    ) -> Result<Block, PageError> {
        let mut page = match already_read {
            Some(page) => page,
            None => self.page(fetcher, first_page).await?,
        };
        let mut block = Block {
            fetched: FetchedRecords::new(self.time_limits),
            newest: PageFingerprint::of(&page),
        };
        let (mut number, mut idle_pages) = (first_page, 0);
        loop {
            let meets_frontier = frontier.is_met_by(&page);
            let added = block.fetched.add(self.window, page.records, page.originals);
            idle_pages = if added.new == 0 { idle_pages + 1 } else { 0 };
            number = match page.next {
                Next::At(Position::Number(next)) if !meets_frontier => following(number, next)?,
                _ => return Ok(block),
            };
            if idle_pages >= MOST_IDLE_PAGES || block.fetched.is_too_large() {
                return Err(endless(number));
            }
            page = self.page(fetcher, number).await?;
        }
    }

    async fn page(&self, fetcher: &Fetcher, number: u32) -> Result<Page, PageError> {
        let request = PageRequest {
            window: self.window,
            position: Position::Number(number),
            size: self.size,
        };
        fetcher.page(&request, false).await
    }
}

/// Returns the number of the next page; errors if it does not come after this one.
fn following(number: u32, next: u32) -> Result<u32, PageError> {
    if next > number {
        checked(next)
    } else {
        Err(endless(number))
    }
}

fn checked(pages: u32) -> Result<u32, PageError> {
    if pages <= MOST_PAGES {
        Ok(pages)
    } else {
        Err(endless(pages))
    }
}

fn endless(pages: u32) -> PageError {
    PageError::Fatal(FetchError::Endless { pages })
}

fn identities(records: &[Result<Record, Rejected>]) -> impl Iterator<Item = Identity> + '_ {
    records.iter().flatten().map(|record| record.identity)
}

fn contents(records: &[Result<Record, Rejected>]) -> impl Iterator<Item = u128> + '_ {
    records.iter().map(|item| match item {
        Ok(record) => record.identity.content,
        Err(rejected) => rejected.content,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::env::{ConfigErrors, Env};
    use crate::fetch::host::Host;
    use crate::fetch::rate_limiter::RateLimiter;
    use crate::http::Http;
    use crate::http::retry::RetryPolicy;
    use crate::sandbox::{Action, Answer, Api, Event, Options, Sandbox, Step, When};
    use crate::source::SOURCES;
    use crate::test_support::bound::{at_most, in_time};
    use crate::test_support::random::cases;

    /// So long that blocks have their full length on the slowest machine.
    const NO_HURRY: Duration = Duration::from_secs(24 * 3600);

    /// The most requests in flight.
    const CONCURRENCY: usize = 6;

    fn now() -> DateTime<Utc> {
        "2025-06-09T12:00:00Z".parse().unwrap()
    }

    fn event(age_ms: i64, id: &str) -> Event {
        Event::minimal(Api::Tfc, now() - TimeDelta::milliseconds(age_ms), id)
    }

    fn fetcher(sandbox: &Sandbox) -> Fetcher {
        let env = Env::from_pairs(sandbox.variables());
        let kind = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        let source = (kind.configure)(&env, &mut ConfigErrors::default()).unwrap();
        let policy = RetryPolicy {
            max_retries: 0,
            delay: Duration::ZERO,
        };
        let mut fetcher =
            Fetcher::new(source, Http::new().unwrap(), policy).sharing(Arc::new(Host::new(CONCURRENCY)), CONCURRENCY);
        fetcher.rate_limiter = RateLimiter::new(None);
        fetcher
    }

    /// Returns the ids of each range, oldest range first.
    async fn ranges(options: Options, max_pages: u32, concurrency: usize) -> Vec<Vec<String>> {
        let sandbox = Sandbox::start(options).await.unwrap();
        let window = Window::new(now() - TimeDelta::days(14), now());
        let plan = WalkPlan {
            window,
            now: now(),
            grace: TimeDelta::hours(1),
            max_pages,
            concurrency,
            time_to_disk: NO_HURRY,
        };
        let fetcher = fetcher(&sandbox);
        let mut walk = NumberedWalk::new(window, plan);
        let mut ranges = Vec::new();
        let mut round = at_most(10_000);
        while let Some(fetched) = in_time("a range", walk.next_range(&fetcher)).await.unwrap() {
            round();
            ranges.push(fetched.records.iter().map(|record| id_of(&record.line)).collect());
        }
        ranges
    }

    fn id_of(line: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["id"].as_str().unwrap().to_owned()
    }

    fn options(events: Vec<Event>, page_size: usize) -> Options {
        let mut options = Options::empty(Arc::new(now)).give(Api::Tfc, events);
        options[Api::Tfc].page_cap = Some(page_size);
        options[Api::Tfc].rate_limit = None;
        options
    }

    /// Returns the error of a walk over a service that gives these answers forever.
    async fn failure(answer: impl Fn(usize) -> String) -> String {
        let mut options = options(Vec::new(), 10);
        for number in 1..=2 {
            options = options.step(Step::at(
                Api::Tfc,
                number,
                Action::Answer(Answer::json(200, answer(number))),
            ));
        }
        let rest = When::Requests(Api::Tfc, 3..=usize::MAX);
        let options = options.step(Step::new(rest, Action::Answer(Answer::json(200, answer(3)))));
        let sandbox = Sandbox::start(options).await.unwrap();
        let fetcher = fetcher(&sandbox);
        let window = Window::new(now() - TimeDelta::days(14), now());
        let plan = WalkPlan {
            window,
            now: now(),
            grace: TimeDelta::zero(),
            max_pages: 5,
            concurrency: CONCURRENCY,
            time_to_disk: NO_HURRY,
        };
        let mut walk = NumberedWalk::new(window, plan);
        let mut round = at_most(10_000);
        loop {
            round();
            match in_time("a range", walk.next_range(&fetcher)).await {
                Ok(range) => assert!(range.is_some(), "it took the service for an honest one"),
                Err(error) => return error.to_string(),
            }
        }
    }

    #[tokio::test]
    async fn a_service_that_goes_in_a_circle_or_has_pages_without_end_is_not_asked_for_ever() {
        let page = |next: u32, total: &str| {
            let record = event(1000, "the same").text;
            format!(r#"{{"data":[{record}],"pagination":{{"next_page":{next},"total_pages":{total}}}}}"#)
        };
        for (next, total) in [
            (1, "1"),
            (1, "null"),
            (2, "3"),
            (2, "null"),
            (u32::MAX, "null"),
            (2, "4000000000"),
        ] {
            let error = failure(|_| page(next, total)).await;
            assert!(error.contains("pages without end"), "{next} {total}: {error}");
        }
    }

    #[tokio::test]
    async fn few_pages_are_one_range() {
        let events: Vec<_> = (0..50).map(|n| event(n * 1000, &n.to_string())).collect();
        for concurrency in [1, 4] {
            let ranges = ranges(options(Vec::clone(&events), 10), 5, concurrency).await;
            assert_eq!(ranges.len(), 1);
            assert_eq!(ranges[0].len(), 50);
        }
    }

    #[tokio::test]
    async fn many_pages_come_from_the_oldest_on() {
        let events: Vec<_> = (0..100).map(|n| event(n * 1000, &n.to_string())).collect();
        for concurrency in [1, 4] {
            let ranges = ranges(options(Vec::clone(&events), 10), 2, concurrency).await;
            assert_eq!(ranges.len(), 5);
            assert!(ranges[0].contains(&"99".to_owned()) && !ranges[0].contains(&"0".to_owned()));
            assert!(ranges[4].contains(&"0".to_owned()));
        }
    }

    #[tokio::test]
    async fn an_empty_feed_is_an_empty_range() {
        assert_eq!(ranges(options(Vec::new(), 10), 2, 4).await, [Vec::<String>::new()]);
    }

    proptest! {
        #![proptest_config(cases(64))]

        /// New records push old ones to later pages, and retention removes old ones, at any request of the walk.
        #[test]
        fn a_feed_that_shifts_while_it_is_read_loses_nothing_and_leaves_no_hole(
            count in 0_i64..120,
            burst in 1_i64..5,
            page_size in 1_usize..12,
            max_pages in 1_u32..12,
            concurrency in 1_usize..=CONCURRENCY,
            arrivals in prop::collection::vec((1_usize..60, 1_usize..30), 0..8),
            losses in prop::collection::vec((1_usize..60, 1_usize..20), 0..3),
        ) {
            let events: Vec<_> = (0..count).map(|n| event((n / burst) * 1000 + 60_000, &format!("old-{n}"))).collect();
            let total_lost: usize = losses.iter().map(|(_, count)| count).sum();
            let mut options = options(events, page_size);
            for (index, (request, count)) in arrivals.into_iter().enumerate() {
                let new = (0..count).map(|n| event(n as i64, &format!("new-{index}-{n}"))).collect();
                options = options.step(Step::at(Api::Tfc, request, Action::Add(Api::Tfc, new)));
            }
            for (request, count) in losses {
                options = options.step(Step::at(Api::Tfc, request, Action::DropOldest(Api::Tfc, count)));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ranges = runtime.block_on(ranges(options, max_pages, concurrency));
            let have: BTreeSet<_> = ranges.iter().flatten().cloned().collect();
            // Which of the records of one time are lost is not known, so all records of that time count.
            let kept = (count - (total_lost as i64).min(count)) / burst * burst;
            for n in 0..kept {
                prop_assert!(have.contains(&format!("old-{n}")), "old-{} is missing", n);
            }
            // A completed range may be filed before the next one: after the first, nothing older may follow.
            let mut oldest_filed = count;
            for range in &ranges {
                let old = range.iter().filter_map(|id| id.strip_prefix("old-")?.parse::<i64>().ok());
                let newest_of_range = old.min().unwrap_or(oldest_filed).min(oldest_filed);
                // Records of one time may come in any order.
                for n in (newest_of_range / burst + 1) * burst..kept {
                    let id = format!("old-{n}");
                    let is_filed = ranges.iter().take_while(|other| !std::ptr::eq(*other, range)).chain([range]).flatten().any(|filed| *filed == id);
                    prop_assert!(is_filed, "{} is not filed with or before newer records", id);
                }
                oldest_filed = newest_of_range;
            }
        }
    }
}
