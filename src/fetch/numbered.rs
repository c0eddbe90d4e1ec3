//! A newest-first feed without an upper bound, read by page number.
//!
//! New records push the old ones to later pages while they are read. Reading from page 1 on only repeats records then,
//! but nothing could be filed before the last page is in. So a feed of more pages than the cap is read in blocks from its
//! far end: each block is read forwards, towards older records, until it meets what the block before it brought. Meeting
//! it is the proof that nothing lies between them; records that were pushed over the edge of a block are read again.

use std::collections::HashSet;

use super::harvest::{Harvest, Horizon};
use super::{FetchError, FetchedPage, Fetcher, PageError};
use crate::record::{Identity, Record, Rejected};
use crate::source::{Ask, Next, PageSize, Position};
use crate::window::Window;

/// Pages of a block: the one that meets the block before comes on top, so that a short block reads many pages twice.
const BLOCK_PAGES: u32 = 4;

/// The feed of one window, in pieces, oldest first.
#[derive(Debug)]
pub(super) struct NumberedWalk {
    window: Window,
    horizon: Horizon,
    max_pages: u32,
    size: PageSize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was read.
    Start,
    /// What lies before page `first_page` is still to be read, up to where it meets `frontier`.
    Blocks {
        first_page: u32,
        frontier: HashSet<Identity>,
    },
    /// Everything was read.
    Done,
}

/// A block as far as it was read.
struct Block {
    harvest: Harvest,
    /// What its first page held: the block after it has to meet this.
    newest: HashSet<Identity>,
}

impl NumberedWalk {
    pub(super) fn new(window: Window, horizon: Horizon, max_pages: u32) -> Self {
        Self {
            window,
            horizon,
            max_pages,
            size: PageSize::default(),
            state: State::Start,
        }
    }

    /// The next piece, complete up to where it ends; `None` when the feed is done.
    pub(super) async fn next_piece(&mut self, fetcher: &Fetcher) -> Result<Option<Harvest>, FetchError> {
        loop {
            let result = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(None),
                State::Start => self.start(fetcher).await,
                State::Blocks { first_page, frontier } => self.next_block(fetcher, first_page, frontier).await,
            };
            match result {
                Ok(harvest) => return Ok(Some(harvest)),
                Err(PageError::TooLarge(error)) => self.start_smaller(fetcher, error)?,
                Err(PageError::TooWide(error) | PageError::Fatal(error)) => return Err(error),
            }
        }
    }

    /// Begins again in smaller pages; what was filed already is known by then.
    fn start_smaller(&mut self, fetcher: &Fetcher, error: FetchError) -> Result<(), FetchError> {
        self.size = self.size.halved(fetcher.source().page_size()).ok_or(error)?;
        self.state = State::Start;
        Ok(())
    }

    async fn start(&mut self, fetcher: &Fetcher) -> Result<Harvest, PageError> {
        let first = self.page(fetcher, 1).await?;
        let pages = self.count_pages(fetcher, &first).await?;
        if pages <= self.max_pages {
            return Ok(self.read_block(fetcher, 1, Some(first), &HashSet::new()).await?.harvest);
        }
        tracing::info!(pages, "more pages than the cap: reading from the oldest on");
        self.next_block(fetcher, pages + 1, HashSet::new()).await
    }

    /// The number of pages: as the answer says, or found by following them to the end.
    async fn count_pages(&self, fetcher: &Fetcher, first: &FetchedPage) -> Result<u32, PageError> {
        if let Some(pages) = first.pages {
            return Ok(pages);
        }
        let mut pages = 1;
        let mut next = first.next.clone();
        while let Next::At(Position::Number(number)) = next {
            pages = number;
            next = self.page(fetcher, number).await?.next;
        }
        Ok(pages)
    }

    /// The block that ends where `end_page` began when the feed's pages were last counted.
    async fn next_block(
        &mut self,
        fetcher: &Fetcher,
        end_page: u32,
        frontier: HashSet<Identity>,
    ) -> Result<Harvest, PageError> {
        let first_page = end_page.saturating_sub(BLOCK_PAGES.min(self.max_pages)).max(1);
        let block = self.read_block(fetcher, first_page, None, &frontier).await?;
        self.state = match first_page {
            1 => State::Done,
            // Retention can take the last pages away; an empty block met nothing and leaves the frontier as it was.
            _ if block.newest.is_empty() => State::Blocks { first_page, frontier },
            _ => State::Blocks {
                first_page,
                frontier: block.newest,
            },
        };
        Ok(block.harvest)
    }

    /// Reads forwards from `first_page`, to the frontier or the end of the feed.
    async fn read_block(
        &self,
        fetcher: &Fetcher,
        first_page: u32,
        already_read: Option<FetchedPage>,
        frontier: &HashSet<Identity>,
    ) -> Result<Block, PageError> {
        let mut block = Block {
            harvest: Harvest::new(self.horizon),
            newest: HashSet::new(),
        };
        let mut page = match already_read {
            Some(page) => page,
            None => self.page(fetcher, first_page).await?,
        };
        block.newest = identities(&page.records).collect();
        loop {
            let meets_frontier = identities(&page.records).any(|identity| frontier.contains(&identity));
            block.harvest.add(self.window, page.records);
            match page.next {
                Next::At(Position::Number(number)) if !meets_frontier => page = self.page(fetcher, number).await?,
                _ => return Ok(block),
            }
        }
    }

    async fn page(&self, fetcher: &Fetcher, number: u32) -> Result<FetchedPage, PageError> {
        let ask = Ask {
            window: self.window,
            position: Position::Number(number),
            size: self.size,
        };
        fetcher.page(&ask, false).await
    }
}

fn identities(records: &[Result<Record, Rejected>]) -> impl Iterator<Item = Identity> + '_ {
    records.iter().flatten().map(|record| record.identity)
}
