//! The pages of one slice: what to ask for after each, and when the slice is complete. It does no I/O.

use chrono::{DateTime, Utc};

use super::SliceEnd;
use super::truncation::{Finding, TICK, TruncationCandidate, TruncationProbe};
use crate::fetch::FetchError;
use crate::fetch::fetched_records::{Added, FetchedRecords, MOST_IDLE_PAGES, TimeLimits, Times};
use crate::record::{Record, Rejected};
use crate::source::{Next, Page, PageOrder, PageRequest, PageSize, Position};
use crate::window::{Slice, Window, bound, ceil_to_millisecond, floor_to_millisecond};

/// A slice with more records than this is divided, to bound memory.
const MOST_RECORDS: usize = 10_000;

/// A slice with more bytes of lines than this is divided too.
const MOST_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Fetch,
    Complete,
    Overflow,
    Fail(FetchError),
}

#[derive(Debug)]
pub(super) struct SliceWalk {
    slice: Slice,
    order: PageOrder,
    max_pages: u32,
    usual_size: u32,
    pub(super) fetched: FetchedRecords,
    /// The newer bound of this cycle: everything in the slice above it was read.
    pub(super) upper: DateTime<Utc>,
    position: Position,
    size: PageSize,
    pages_in_cycle: u32,
    idle_pages: u32,
    page_before: Option<Times>,
    oldest: DateTime<Utc>,
    pub(super) probe: Option<TruncationProbe>,
    /// An answer that may have been cut; the service cannot show it.
    pub(super) unconfirmed: Option<TruncationCandidate>,
}

impl SliceWalk {
    pub(super) fn new(
        slice: Slice,
        time_limits: TimeLimits,
        max_pages: u32,
        usual_size: u32,
        order: PageOrder,
    ) -> Self {
        Self {
            slice,
            order,
            max_pages,
            usual_size,
            fetched: FetchedRecords::new(time_limits),
            upper: slice.padded().to,
            position: Position::First,
            size: PageSize::default(),
            pages_in_cycle: 0,
            idle_pages: 0,
            page_before: None,
            oldest: slice.to,
            probe: None,
            unconfirmed: None,
        }
    }

    /// Returns the page to ask for.
    pub(super) fn request(&self) -> PageRequest {
        let usual = Window {
            from: self.slice.padded().from,
            to: self.upper,
        };
        PageRequest {
            window: self.probe.map_or(usual, |probe| probe.window(usual)),
            position: self.position.clone(),
            size: self.size,
        }
    }

    /// Takes a page and returns what to do next. `most_seen` is the largest earlier answer of this service, in records.
    pub(super) fn take(&mut self, page: Page, most_seen: usize) -> Step {
        let found = page.records.len();
        let newest = self.newest_of(&page);
        if let Some(probe) = self.probe.filter(|probe| probe.is_wide()) {
            return self.follow_up(probe.conclude(found, None, newest));
        }
        let added = self.note(page.records, page.originals);
        let oldest = added.times.map(|times| times.oldest);
        if let Some(finding) = self.probe.and_then(|probe| probe.conclude(found, oldest, newest)) {
            return self.follow_up(Some(finding));
        }
        match page.next {
            Next::Last => Step::Complete,
            next => self.limits().unwrap_or_else(|| match (next, self.order) {
                (Next::At(position), PageOrder::NewestFirst) => self.follow(position, added.times),
                (Next::At(position), PageOrder::Unknown) => self.go_to(position),
                (Next::Unknown | Next::Last, PageOrder::NewestFirst) => self.go_below(found, added.times, most_seen),
                (Next::Unknown | Next::Last, PageOrder::Unknown) => self.divide(found),
            }),
        }
    }

    fn note(&mut self, records: Vec<Result<Record, Rejected>>, originals: Vec<Rejected>) -> Added {
        let received = self.fetched.received;
        let added = self.fetched.add(self.request().window, records, originals);
        if self.probe.is_some_and(TruncationProbe::asks_again) {
            // Records requested again on purpose count once.
            self.fetched.received = received + added.new as u64;
        }
        self.pages_in_cycle += 1;
        self.idle_pages = if added.new == 0 { self.idle_pages + 1 } else { 0 };
        if let Some(times) = added.times {
            self.oldest = self.oldest.min(times.oldest);
        }
        added
    }

    fn limits(&self) -> Option<Step> {
        if self.idle_pages >= MOST_IDLE_PAGES || self.fetched.is_too_large() {
            let pages = self.idle_pages.max(self.pages_in_cycle);
            return Some(Step::Fail(FetchError::Endless { pages }));
        }
        let records = self.fetched.records.len();
        let is_over = records > MOST_RECORDS || self.fetched.bytes > MOST_BYTES;
        (is_over && self.slice.is_divisible()).then_some(Step::Overflow)
    }

    /// Returns whether it has more pages than make shorter slices faster.
    pub(super) fn has_pages_to_spare(&self) -> bool {
        self.slice.is_divisible() && self.fetched.records.len() > 2 * self.usual_size as usize
    }

    pub(super) fn overflow(&self) -> SliceEnd {
        SliceEnd::Overflow {
            records: self.fetched.records.len(),
            oldest: self.oldest,
        }
    }

    /// Goes to the next page that the service named, or, past the page cap, starts a new cycle below what was read.
    fn follow(&mut self, position: Position, times: Option<Times>) -> Step {
        let is_capped = self.pages_in_cycle >= self.max_pages;
        let follows_in_order = match (self.page_before, times) {
            (Some(before), Some(times)) => times.in_order && times.newest <= before.oldest,
            (None, Some(times)) => times.in_order,
            (_, None) => false,
        };
        self.page_before = times.or(self.page_before);
        if let (true, Some(times)) = (is_capped, times) {
            // If a page is out of order, one stray old record must not make the walk skip what is in between.
            let read_to = if follows_in_order { times.oldest } else { times.newest };
            if self.start_cycle_at(read_to) {
                return Step::Fetch;
            }
        }
        self.go_to(position)
    }

    fn go_to(&mut self, position: Position) -> Step {
        self.position = position;
        Step::Fetch
    }

    /// Handles a service that says neither whether there is more nor where: only a slice without a second page is
    /// complete.
    fn divide(&self, count: usize) -> Step {
        if count == 0 {
            Step::Complete
        } else if self.slice.is_divisible() {
            Step::Overflow
        } else {
            same_time(self.oldest, count)
        }
    }

    /// Handles a service that does not say whether there is more: continues below what was read, until nothing is
    /// there.
    fn go_below(&mut self, count: usize, times: Option<Times>, most_seen: usize) -> Step {
        let Some(times) = times else {
            return self.probe_millisecond(count, None, most_seen);
        };
        if !times.share_a_millisecond() {
            let candidates = if times.in_order {
                [times.oldest, times.oldest]
            } else {
                [times.median, times.oldest]
            };
            if candidates.into_iter().any(|read_to| self.start_cycle_at(read_to)) || self.split_at(times.oldest) {
                return Step::Fetch;
            }
        }
        self.probe_millisecond(count, Some(times.oldest), most_seen)
    }

    /// Starts a new cycle of pages that still includes `read_to`; returns `false` if that would repeat the same
    /// request.
    fn start_cycle_at(&mut self, read_to: DateTime<Utc>) -> bool {
        self.start_cycle_below(ceil_to_millisecond(read_to) + TICK)
    }

    /// Starts a new cycle with the oldest time that was read as its bound. Only a service with an inclusive bound gets
    /// here with records of two milliseconds, and then the bound separates them: records as old or older get the page
    /// to themselves.
    fn split_at(&mut self, oldest: DateTime<Utc>) -> bool {
        self.start_cycle_below(ceil_to_millisecond(oldest))
    }

    fn start_cycle_below(&mut self, upper: DateTime<Utc>) -> bool {
        let is_lower = upper < self.upper;
        if is_lower {
            self.restart_at(upper);
        }
        is_lower
    }

    fn restart_at(&mut self, upper: DateTime<Utc>) {
        self.upper = upper;
        self.position = Position::First;
        self.size = self.size.min(PageSize::default());
        self.pages_in_cycle = 0;
        self.page_before = None;
        self.probe = None;
    }

    /// Finds out whether there are more records at one time than an answer of `count` records shows.
    fn probe_millisecond(&mut self, count: usize, oldest: Option<DateTime<Utc>>, most_seen: usize) -> Step {
        let is_full = count >= self.size.of(self.usual_size) as usize;
        let was_enlarged = matches!(self.probe, Some(TruncationProbe::Larger { count: before }) if count <= before);
        let time = oldest.map_or(self.upper, floor_to_millisecond);
        if is_full && !was_enlarged {
            return self.enlarge(time, count);
        }
        // The service has returned more than this in one answer, so it was not cut.
        if count < most_seen && !was_enlarged {
            return Step::Complete;
        }
        let candidate = TruncationCandidate {
            time,
            count,
            was_enlarged,
        };
        let has_room_below = oldest.is_some() && time > self.slice.padded().from;
        self.follow_up(Some(if has_room_below {
            candidate.ask_below()
        } else {
            candidate.ask_further_back()
        }))
    }

    /// Acts on the finding of a probe; without one, repeats the request.
    fn follow_up(&mut self, finding: Option<Finding>) -> Step {
        match finding {
            None => Step::Fetch,
            Some(Finding::Whole) => Step::Complete,
            Some(Finding::Ask(probe)) => self.start_probe(probe),
            // A larger page may hold all of it, unless one was tried already.
            Some(Finding::Cut(candidate)) if !candidate.was_enlarged => self.enlarge(candidate.time, candidate.count),
            // If a larger page was requested and the answer did not grow, it is suspicious enough to stop. Most others
            // are complete; failing would stop a quiet stream for good.
            Some(Finding::Unknown(candidate)) if !candidate.was_enlarged => {
                self.unconfirmed = Some(candidate);
                Step::Complete
            }
            Some(Finding::Cut(candidate) | Finding::Unknown(candidate)) => same_time(candidate.time, candidate.count),
        }
    }

    /// Returns the time of the newest record of a page; if none has a time, the start of the requested window.
    fn newest_of(&self, page: &Page) -> DateTime<Utc> {
        let newest = page.records.iter().flatten().map(|record| record.time).max();
        newest.unwrap_or_else(|| self.request().window.from)
    }

    /// Warns of an answer that may have been cut.
    pub(super) fn warn_of_unconfirmed(&self) {
        if let Some(candidate) = self.unconfirmed {
            candidate.warn();
        }
    }

    /// Returns whether a probe asks for more than the slice.
    pub(super) fn is_probing_widely(&self) -> bool {
        self.probe.is_some_and(TruncationProbe::is_wide)
    }

    /// Narrows a probe for which the service cannot answer.
    pub(super) fn narrow_probe(&mut self) -> Step {
        let finding = self.probe.and_then(TruncationProbe::narrowed);
        self.follow_up(finding)
    }

    fn enlarge(&mut self, time: DateTime<Utc>, count: usize) -> Step {
        let Some(size) = self.size.doubled() else {
            return same_time(time, count);
        };
        self.size = size;
        self.start_probe(TruncationProbe::Larger { count })
    }

    fn start_probe(&mut self, probe: TruncationProbe) -> Step {
        self.probe = Some(probe);
        self.position = Position::First;
        Step::Fetch
    }

    /// Asks for smaller pages because one was too large, unless a probe had asked for a larger one.
    pub(super) fn shrink_page(&mut self, error: FetchError) -> Step {
        match self.probe {
            Some(TruncationProbe::Larger { count }) => return same_time(self.upper, count),
            Some(TruncationProbe::Wide { candidate, .. }) => return same_time(self.upper, candidate.count),
            Some(TruncationProbe::FurtherBack { candidate, .. }) => {
                return self.follow_up(Some(Finding::Unknown(candidate)));
            }
            Some(TruncationProbe::Below { .. }) | None => {}
        }
        let Some(size) = self.size.halved(self.usual_size) else {
            return Step::Fail(error);
        };
        self.restart_at(self.upper);
        self.size = size;
        Step::Fetch
    }
}

fn same_time(time: DateTime<Utc>, count: usize) -> Step {
    Step::Fail(FetchError::SameTime {
        time: bound(time),
        count,
    })
}
