//! Pages of a numbered feed that are joined to each other, and where the next one should begin.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::pages::PageOf;
use crate::fetch::answer::Answer;
use crate::fetch::fetched_records::FetchedRecords;
use crate::record::{Anchor, AnchorSet};
use crate::source::Page;

/// Records out of order by no more than this part of the span of their answer are neighbors that changed places.
const NEIGHBORS: i32 = 4;

/// Pages that are joined to each other.
pub(super) struct Block {
    pub(super) fetched: FetchedRecords,
    /// Its first page, and at which offset that began.
    pub(super) first: Option<Answer>,
    pub(super) start: u64,
    /// Its last page, and its records: the next one has to hold one of them.
    pub(super) last: Option<PageOf>,
    pub(super) edge: Vec<Anchor>,
    /// Its pages, and their records.
    pages: Vec<(PageOf, Vec<Anchor>)>,
    /// All of its records.
    known: AnchorSet,
    /// Up to which offset it was read, and how many records the service had then.
    pub(super) end: u64,
    pub(super) total: Option<u64>,
    /// Whether the records of each page were in order, but for neighbors that changed places.
    has_ordered_records: bool,
    /// Whether each page was older than the one before, if there was one.
    has_ordered_pages: Option<bool>,
    /// Whether a page went on with newer records than the one before had.
    goes_up: bool,
    /// Pages that were read ahead.
    pub(super) ahead: VecDeque<(PageOf, Page)>,
    /// How many answers in a row lacked what they have to hold.
    pub(super) failed: u32,
    /// Whether the page that is not joined was asked for again.
    pub(super) is_repeated: bool,
    /// How often in a row the feed was found to have moved.
    pub(super) moved: u32,
    /// How many answers in a row had nothing new.
    pub(super) idle: u32,
    /// Whether an answer held records of the archive.
    pub(super) holds_archived: bool,
}

impl Block {
    pub(super) fn new(start: u64, fetched: FetchedRecords) -> Self {
        Self {
            fetched,
            first: None,
            start,
            last: None,
            edge: Vec::new(),
            pages: Vec::new(),
            known: AnchorSet::default(),
            end: start,
            total: None,
            has_ordered_records: true,
            has_ordered_pages: None,
            goes_up: false,
            ahead: VecDeque::new(),
            failed: 0,
            is_repeated: false,
            moved: 0,
            idle: 0,
            holds_archived: false,
        }
    }

    /// Returns whether an answer that overlaps it goes on where it ends. A page from before, given once more in the place of
    /// another, can overlap it too.
    pub(super) fn is_joined(&self, answer: &Answer, asked: PageOf) -> bool {
        let is_repeated = |(page, anchors): &(PageOf, Vec<Anchor>)| *page != asked && anchors == answer.anchors();
        // At the end of the feed several pages can hold its last records, and nothing else.
        let is_all_overlap = answer.count as u64 <= self.end.saturating_sub(asked.start());
        self.edge.is_empty() || answer.holds_any(&self.edge) && (is_all_overlap || !self.pages.iter().any(is_repeated))
    }

    /// Returns whether an answer holds more of it than is where that page begins: then a page before lacked records, or the
    /// feed has moved.
    pub(super) fn shows_a_cut(&self, answer: &Answer, asked: PageOf) -> bool {
        let known = answer.anchors().iter().filter(|anchor| self.known.contains(anchor));
        known.count() as u64 > self.end.saturating_sub(asked.start())
    }

    /// Takes a page that is joined to it, and returns how many new records it had.
    pub(super) fn take(&mut self, page: Page, answer: &Answer, asked: PageOf) -> usize {
        (self.failed, self.moved, self.is_repeated) = (0, 0, false);
        self.end = self.end.max(asked.start() + answer.count as u64);
        self.total = page.counts.records.or(self.total);
        if answer.count > 0 {
            self.has_ordered_records &= answer.disorder * NEIGHBORS <= answer.span();
            self.note_page_order(answer);
            self.known.extend(answer.anchors());
            self.edge = answer.anchors().to_vec();
            self.pages.push((asked, self.edge.clone()));
            self.last = Some(asked);
            if self.first.is_none() {
                self.first = Some(answer.clone());
                self.start = asked.start();
            }
        }
        self.fetched.add(page.records, page.originals).new
    }

    /// Returns whether the service does not say how many records there are, or says fewer than it gave.
    pub(super) fn is_uncounted(&self) -> bool {
        self.total.is_none_or(|total| total < self.known())
    }

    /// Returns how many records it has.
    fn known(&self) -> u64 {
        self.known.len() as u64
    }

    fn note_page_order(&mut self, answer: &Answer) {
        let new = answer.anchors().iter().filter(|anchor| !self.known.contains(anchor));
        let (newest, (oldest, edge_newest)) = (new.map(|anchor| anchor.time).max(), self.edge_times());
        if let (Some(newest), Some(oldest)) = (newest, oldest) {
            self.goes_up |= Some(newest) > edge_newest;
            let is_older = newest <= oldest;
            self.has_ordered_pages = Some(is_older && self.has_ordered_pages.unwrap_or(true));
        }
    }

    /// Returns the time up to which nothing older is to be expected of the pages before it; none, if they come in no order.
    pub(super) fn limit(&self) -> Option<DateTime<Utc>> {
        let first = self.first.as_ref();
        if self.goes_up {
            None
        } else if self.has_ordered_records {
            first.and_then(Answer::median)
        } else if self.has_ordered_pages == Some(true) {
            first.and_then(Answer::oldest)
        } else {
            None
        }
    }

    /// Returns whether its last page is older than all of an answer.
    pub(super) fn is_older_than(&self, answer: &Answer) -> bool {
        answer.oldest() > self.edge_times().1
    }

    /// Goes to where an answer that is not joined shows that the next page begins, since the feed has moved; the same
    /// place, if it shows nothing.
    pub(super) fn relocate(&mut self, answer: &Answer, total: Option<u64>, asked: PageOf) {
        self.is_repeated = !self.is_repeated;
        if self.is_repeated {
            // A replica that lags is more likely than a feed that has moved so far: the same page is asked for again.
            return;
        }
        let shown = asked.start() + answer.count as u64;
        let is_known = answer.anchors().iter().any(|anchor| self.known.contains(anchor));
        let grown = match (self.total, total) {
            (Some(before), Some(now)) => i64::try_from(now).unwrap_or(0) - i64::try_from(before).unwrap_or(0),
            _ => 0,
        };
        let (edge_oldest, _) = self.edge_times();
        if is_known || self.is_older_than(answer) {
            // Newer records have come: what was read is further behind.
            self.go_to(shown);
        } else if grown != 0 {
            self.total = total;
            self.go_to(self.end.saturating_add_signed(grown));
        } else if answer.newest() < edge_oldest {
            // Records have gone: what was read is further before.
            self.go_to(asked.start().saturating_sub(answer.count as u64 / 2));
        } else {
            self.failed += 1;
        }
    }

    fn go_to(&mut self, end: u64) {
        self.moved += 1;
        // The same place again shows nothing.
        self.failed += u32::from(end == self.end);
        self.end = end;
    }

    fn edge_times(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let times = || self.edge.iter().map(|anchor| anchor.time);
        (times().min(), times().max())
    }
}
