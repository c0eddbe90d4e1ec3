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

    /// Returns the page of this size that holds the record at this offset.
    fn holding(offset: u64, size: u32) -> Self {
        let before = u32::try_from(offset / u64::from(size)).unwrap_or(u32::MAX - 1);
        Self {
            number: before.saturating_add(1),
            size,
        }
    }

    fn end(self) -> u64 {
        self.start() + u64::from(self.size)
    }
}

/// Chooses pages by how many records one holds.
#[derive(Debug)]
pub(super) struct PagePlan {
    size: u32,
    /// The last page, if it was short, and how many records it held.
    short: Option<(PageOf, u32)>,
}

impl PagePlan {
    pub(super) fn new(size: u32) -> Self {
        Self { size, short: None }
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

    /// Takes a page into account that is not the last: a service may put fewer records on a page than were asked for. Where
    /// no count makes it certain, two different pages in a row have to show it, since one may have been cut.
    pub(super) fn learn(&mut self, page: &Page, asked: PageOf, is_certain: bool) {
        let held = u32::try_from(page.records.len()).unwrap_or(u32::MAX);
        let is_short = 0 < held && held < asked.size;
        // The first page is full, unless the feed ends with it; another one can be the rest of it.
        let is_telling = |page| page != asked || asked.number == 1;
        let is_shown_again = self
            .short
            .is_some_and(|(page, short)| is_telling(page) && short == held);
        if is_short && (is_certain || is_shown_again) {
            self.size = self.size.min(held);
        }
        self.short = is_short.then_some((asked, held));
    }

    /// Returns whether the counts of the first page agree with what it holds.
    pub(super) fn is_consistent(first: &Page) -> bool {
        let held = first.records.len() as u64;
        match (first.counts.pages, first.counts.records) {
            (Some(pages), Some(records)) if held > 0 => records.div_ceil(held) == u64::from(pages.max(1)),
            _ => false,
        }
    }

    /// Takes into account that more came behind a page of so many records that named no next one.
    pub(super) fn learn_cap(&mut self, held: usize) {
        self.size = self.size.min(held_size(held));
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
    ///
    /// Where nothing says how many records there are, a short page may be as full as the service makes it. So what is behind
    /// it is looked for with pages no larger than that.
    pub(super) fn after(&self, block: &Block, failed: u32) -> PageOf {
        if block.idle > 0 && block.is_uncounted() && !block.edge.is_empty() {
            let size = self.size.min(held_size(block.edge.len()));
            return PagePlan { size, short: None }.covering(block.end.saturating_sub(1), block.end);
        }
        let overlap = 10_u64.saturating_pow(failed / 2).min(self.size() / 2).max(1);
        if block.edge.is_empty() {
            self.covering(block.end, block.end)
        } else {
            self.covering(block.end.saturating_sub(overlap), block.end)
        }
    }

    /// Returns a page that holds the record at this offset and as many as possible behind `end`; or the page that begins
    /// there, if pages of every size end there.
    fn covering(&self, offset: u64, end: u64) -> PageOf {
        let choices = (1..=self.size).map(|size| PageOf::holding(offset, size));
        let farthest = choices
            .max_by_key(|page| (page.end(), page.size))
            .filter(|page| page.end() > end);
        farthest.unwrap_or_else(|| PageOf::holding(end, self.size))
    }

    /// Returns the pages that follow a block up to this offset, if each is as full as it should be.
    pub(super) fn until(&self, block: &Block, end: u64, most: u64) -> Vec<PageOf> {
        self.joined(block.end, !block.edge.is_empty(), end, most)
    }

    /// Returns from where on so many joined pages reach up to this offset, and hardly further; if none do that are nearly full, from
    /// where on they would without overlaps.
    pub(super) fn start_of(&self, pages: u64, end: u64) -> u64 {
        let full = pages * self.size();
        let farthest = end.saturating_sub(full);
        let mut start = farthest;
        while start > 0 && start <= farthest + full / 2 {
            let joined = self.joined(start, false, end, pages);
            let reached = joined.last().map_or(start, |page| page.end());
            if reached >= end {
                return start;
            }
            start += (end - reached).max(self.size() / 20);
        }
        farthest
    }

    /// Returns at most so many pages from one offset up to another; the first overlaps what is before if that `is_begun`.
    fn joined(&self, start: u64, is_begun: bool, end: u64, most: u64) -> Vec<PageOf> {
        let mut pages = Vec::new();
        let mut reached = start;
        while (reached < end || pages.is_empty()) && (pages.len() as u64) < most {
            let is_begun = is_begun || !pages.is_empty();
            let page = self.covering(reached.saturating_sub(u64::from(is_begun)), reached);
            if is_begun && page.start() >= reached {
                // It overlaps nothing, so it takes more than one request to join it.
                break;
            }
            reached = page.end();
            pages.push(page);
        }
        pages
    }
}

fn held_size(held: usize) -> u32 {
    u32::try_from(held).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_overlaps_the_one_before_and_goes_on_behind_it_unless_all_sizes_end_there() {
        for size in 1..40_u32 {
            let plan = PagePlan::new(size);
            for end in 1..2_000_u64 {
                let page = plan.covering(end - 1, end);
                assert!(page.end() > end, "{size} {end} {page:?}");
                let can_overlap = (1..=size).any(|size| !end.is_multiple_of(u64::from(size)));
                assert_eq!(page.start() < end, can_overlap, "{size} {end} {page:?}");
                assert!(page.start() <= end && page.size <= size);
            }
        }
    }

    #[test]
    fn as_many_pages_as_a_block_has_end_where_the_block_before_begins() {
        for size in [20, 100, 1_000] {
            let plan = PagePlan::new(size);
            for end in (9_000..60_000_u64).step_by(997) {
                for count in [2, 5, 8] {
                    let start = plan.start_of(count, end);
                    let pages = plan.joined(start, false, end, count);
                    let reached = pages.last().map_or(0, |page| page.end());
                    let is_far = start + plan.size() * count / 2 <= end;
                    assert!(reached >= end && is_far, "{size} {end} {count}: {start} {pages:?}");
                }
            }
        }
    }
}
