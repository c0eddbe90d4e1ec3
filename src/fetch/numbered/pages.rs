//! Which pages of a numbered feed to ask for, so that each begins before the one before ended.

use super::Block;
use crate::source::Page;

/// A page: its number, from 1, of pages of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageOf {
    pub(super) number: u32,
    pub(super) size: u32,
}

impl PageOf {
    /// Returns how many records are before it.
    pub(super) fn start(self) -> u64 {
        u64::from(self.number - 1) * u64::from(self.size)
    }

    fn end(self) -> u64 {
        self.start() + u64::from(self.size)
    }
}

/// Chooses pages by how many records one holds.
#[derive(Debug)]
pub(super) struct PagePlan {
    size: u32,
}

impl PagePlan {
    pub(super) fn new(size: u32) -> Self {
        Self { size }
    }

    /// Returns how many records a page holds.
    pub(super) fn size(&self) -> u64 {
        self.size.into()
    }

    /// Halves the pages; `false` if they hold one record already.
    pub(super) fn halve(&mut self) -> bool {
        let can_halve = self.size > 1;
        self.size = (self.size / 2).max(1);
        can_halve
    }

    /// Takes a page into account that is not the last: a service may put fewer records on a page than were asked for.
    pub(super) fn learn(&mut self, page: &Page, asked: PageOf) {
        let held = u32::try_from(page.records.len()).unwrap_or(u32::MAX);
        if 0 < held && held < asked.size {
            self.size = self.size.min(held);
        }
    }

    /// Returns whether the counts of the first page agree with what it holds.
    pub(super) fn is_consistent(first: &Page) -> bool {
        let held = first.records.len() as u64;
        match (first.counts.pages, first.counts.records) {
            (Some(pages), Some(records)) if held > 0 => records.div_ceil(held) == u64::from(pages.max(1)),
            _ => false,
        }
    }

    /// Returns the first page.
    pub(super) fn first(&self) -> PageOf {
        PageOf {
            number: 1,
            size: self.size,
        }
    }

    /// Returns the page that follows a block: the further behind it ends, the better, but it begins before the block
    /// ends, and further before it the more often that has failed.
    pub(super) fn after(&self, block: &Block, failed: u32) -> PageOf {
        let overlap = 10_u64.saturating_pow(failed / 2).min(self.size() / 2).max(1);
        let is_begun = !block.edge.is_empty();
        self.covering(if is_begun {
            block.end.saturating_sub(overlap)
        } else {
            block.end
        })
    }

    /// Returns a page that holds the record at this offset and as many as possible behind it.
    fn covering(&self, offset: u64) -> PageOf {
        let smallest = self.size.div_ceil(2).max(1);
        let choices = (smallest..=self.size).map(|size| PageOf {
            number: u32::try_from(offset / u64::from(size)).map_or(u32::MAX, |before| before.saturating_add(1)),
            size,
        });
        choices.max_by_key(|page| page.end()).unwrap_or_else(|| self.first())
    }

    /// Returns the pages that follow a block up to this offset, if each is as full as it should be.
    pub(super) fn until(&self, block: &Block, end: u64, most: u64) -> Vec<PageOf> {
        let mut pages = Vec::new();
        let mut reached = block.end;
        while (reached < end || pages.is_empty()) && (pages.len() as u64) < most {
            let is_begun = !block.edge.is_empty() || !pages.is_empty();
            let page = self.covering(reached.saturating_sub(u64::from(is_begun)));
            reached = page.end();
            pages.push(page);
        }
        pages
    }
}
