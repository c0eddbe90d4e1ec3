//! A slice of a newest-first feed, page by page, until everything in it was asked for.
//!
//! [`SliceWalk`] decides without I/O what to ask for after each page; [`fetch_slice`] acts on it. Three things can end a
//! series of pages before the slice is whole, and none of them may be taken for its end: the page cap, after which a new
//! cycle of tokens starts below what was read; an answer that was cut at its old end, of which the service says nothing;
//! and more records at one time than an answer holds.

use chrono::{DateTime, TimeDelta, Utc};

use super::harvest::{Added, Harvest, Horizon, Times};
use super::{FetchError, FetchedPage, Fetcher, PageError};
use crate::record::{Record, Rejected};
use crate::source::{Ask, Next, PageSize, Position};
use crate::window::{Slice, Window, bound, ceil_to_millisecond, floor_to_millisecond};

/// A slice with more records than this is divided, so that memory stays bounded.
const MOST_RECORDS: usize = 10_000;

/// The same for the bytes of their lines.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// This many pages in a row without a new record: the service is going in a circle.
const MOST_IDLE_PAGES: u32 = 1_000;

/// Bounds are whole milliseconds and may be exclusive, so a bound that must include a time stands this far behind it.
const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// How far an answer is widened to see whether the service can give more records than it did.
const WIDE_PROBE: TimeDelta = TimeDelta::days(30);

/// How a slice came back.
#[derive(Debug)]
pub(crate) enum SliceEnd {
    /// The service was asked for all of it.
    Complete(Harvest),
    /// It holds more than is kept in memory.
    Overflow {
        /// How many records were read.
        records: usize,
        /// The oldest of them.
        oldest: DateTime<Utc>,
    },
    /// The service cannot answer for a slice of this width.
    TooWide,
}

/// What to do after a page.
#[derive(Debug, PartialEq)]
enum Step {
    Ask,
    Complete,
    Overflow { records: usize, oldest: DateTime<Utc> },
    Fail(FetchError),
}

/// The pages of one slice.
#[derive(Debug)]
struct SliceWalk {
    slice: Slice,
    max_pages: u32,
    usual_size: u32,
    harvest: Harvest,
    /// The newer bound of this cycle: everything in the slice above it was read.
    upper: DateTime<Utc>,
    position: Position,
    size: PageSize,
    pages_in_cycle: u32,
    idle_pages: u32,
    page_before: Option<Times>,
    oldest: DateTime<Utc>,
    doubt: Doubt,
}

/// Whether all records of the last millisecond were read: an answer that lies in it whole may have been cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    /// The same is asked for in a larger page; the smaller one held `count`.
    Larger {
        count: usize,
    },
    /// What lies strictly before `time` is asked for: if there is anything, the answer of `count` was cut.
    Below {
        time: DateTime<Utc>,
        count: usize,
        was_enlarged: bool,
    },
    /// Far more is asked for: if more than `count` come, the answer was not cut.
    Wide {
        time: DateTime<Utc>,
        count: usize,
    },
}

/// Fetches a slice whole, or finds that it has to be divided.
pub(super) async fn fetch_slice(
    fetcher: &Fetcher,
    slice: Slice,
    horizon: Horizon,
    max_pages: u32,
) -> Result<SliceEnd, FetchError> {
    let mut walk = SliceWalk::new(slice, horizon, max_pages, fetcher.source().page_size());
    loop {
        let can_narrow = slice.is_divisible();
        let step = match fetcher.page(&walk.ask(), can_narrow).await {
            Ok(page) => {
                let most_seen = fetcher.note_answer(page.records.len());
                walk.take(page, most_seen)
            }
            Err(PageError::TooWide(_)) => return Ok(SliceEnd::TooWide),
            Err(PageError::TooLarge(error)) => walk.shrink_page(error),
            Err(PageError::Fatal(error)) => Step::Fail(error),
        };
        match step {
            Step::Ask => {}
            Step::Complete => return Ok(SliceEnd::Complete(walk.harvest)),
            Step::Overflow { records, oldest } => return Ok(SliceEnd::Overflow { records, oldest }),
            Step::Fail(error) => return Err(error),
        }
    }
}

impl SliceWalk {
    fn new(slice: Slice, horizon: Horizon, max_pages: u32, usual_size: u32) -> Self {
        Self {
            slice,
            max_pages,
            usual_size,
            harvest: Harvest::new(horizon),
            upper: slice.ask().to,
            position: Position::First,
            size: PageSize::default(),
            pages_in_cycle: 0,
            idle_pages: 0,
            page_before: None,
            oldest: slice.to,
            doubt: Doubt::None,
        }
    }

    /// The page to ask for now.
    fn ask(&self) -> Ask {
        let from = self.slice.ask().from;
        let (from, to) = match self.doubt {
            Doubt::None | Doubt::Larger { .. } => (from, self.upper),
            Doubt::Below { time, .. } => (from, time - TICK),
            Doubt::Wide { .. } => (from - WIDE_PROBE, self.upper),
        };
        Ask {
            window: Window { from, to },
            position: self.position.clone(),
            size: self.size,
        }
    }

    /// Takes a page in and decides. `most_seen` is the largest answer of this service before it, in records.
    fn take(&mut self, page: FetchedPage, most_seen: usize) -> Step {
        let count = page.records.len();
        let is_outside = matches!(self.doubt, Doubt::Wide { .. });
        let added = if is_outside {
            Added::default()
        } else {
            self.note(page.records)
        };
        match (self.doubt, page.next) {
            (
                Doubt::Below {
                    time,
                    count: before,
                    was_enlarged,
                },
                _,
            ) => self.settle_below(time, before, was_enlarged, count > 0),
            (Doubt::Wide { time, count: before }, _) => self.settle_wide(time, before, count),
            (_, Next::Last) => Step::Complete,
            (_, next) => self.limits().unwrap_or_else(|| match next {
                Next::At(position) => self.follow(position, added.times),
                Next::Unsaid | Next::Last => self.go_below(count, added.times, most_seen),
            }),
        }
    }

    fn note(&mut self, records: Vec<Result<Record, Rejected>>) -> Added {
        let added = self.harvest.add(self.ask().window, records);
        self.pages_in_cycle += 1;
        self.idle_pages = if added.new == 0 { self.idle_pages + 1 } else { 0 };
        if let Some(times) = added.times {
            self.oldest = self.oldest.min(times.oldest);
        }
        added
    }

    fn limits(&self) -> Option<Step> {
        if self.idle_pages >= MOST_IDLE_PAGES {
            return Some(Step::Fail(FetchError::Endless { pages: self.idle_pages }));
        }
        let records = self.harvest.records.len();
        let is_over = records > MOST_RECORDS || self.harvest.bytes > MOST_BYTES;
        (is_over && self.slice.is_divisible()).then_some(Step::Overflow {
            records,
            oldest: self.oldest,
        })
    }

    /// The service named a further page: go there, or, past the page cap, start a new cycle below what was read.
    fn follow(&mut self, position: Position, times: Option<Times>) -> Step {
        let is_capped = self.pages_in_cycle >= self.max_pages;
        let follows_in_order = match (self.page_before, times) {
            (Some(before), Some(times)) => times.in_order && times.newest <= before.oldest,
            (None, Some(times)) => times.in_order,
            (_, None) => false,
        };
        self.page_before = times.or(self.page_before);
        if let (true, Some(times)) = (is_capped, times) {
            // On a page out of order one stray old record must not make the walk jump over what lies between.
            let read_to = if follows_in_order { times.oldest } else { times.newest };
            if self.start_cycle_at(read_to) {
                return Step::Ask;
            }
        }
        self.position = position;
        Step::Ask
    }

    /// The service does not say whether there is more: go on below what was read, until nothing lies there.
    fn go_below(&mut self, count: usize, times: Option<Times>, most_seen: usize) -> Step {
        let Some(times) = times else {
            return self.doubt_millisecond(count, None, most_seen);
        };
        if !times.share_a_millisecond() {
            let candidates = if times.in_order {
                [times.oldest, times.oldest]
            } else {
                [times.median, times.oldest]
            };
            if candidates.into_iter().any(|read_to| self.start_cycle_at(read_to)) {
                return Step::Ask;
            }
        }
        self.doubt_millisecond(count, Some(times.oldest), most_seen)
    }

    /// Starts a new cycle of pages that still includes `read_to`; `false` where that would bring the same again.
    fn start_cycle_at(&mut self, read_to: DateTime<Utc>) -> bool {
        let upper = ceil_to_millisecond(read_to) + TICK;
        if upper >= self.upper {
            return false;
        }
        self.restart_at(upper);
        true
    }

    fn restart_at(&mut self, upper: DateTime<Utc>) {
        self.upper = upper;
        self.position = Position::First;
        self.size = self.size.min(PageSize::default());
        self.pages_in_cycle = 0;
        self.page_before = None;
        self.doubt = Doubt::None;
    }

    /// An answer of `count` records brought the walk no further down: were there more at its time than it shows?
    fn doubt_millisecond(&mut self, count: usize, oldest: Option<DateTime<Utc>>, most_seen: usize) -> Step {
        let is_full = count >= self.size.of(self.usual_size) as usize;
        let was_in_vain = matches!(self.doubt, Doubt::Larger { count: before } if count <= before);
        let time = oldest.map_or(self.upper, floor_to_millisecond);
        if is_full && !was_in_vain {
            return self.enlarge(time, count);
        }
        // The service is known to give more than this in one answer, so it was not cut.
        if count < most_seen && !was_in_vain {
            return Step::Complete;
        }
        if oldest.is_some() && time > self.slice.ask().from {
            return self.probe(Doubt::Below {
                time,
                count,
                was_enlarged: was_in_vain,
            });
        }
        self.settle_below(time, count, was_in_vain, false)
    }

    /// What was found strictly before the time settles the doubt, or raises the next question.
    fn settle_below(&mut self, time: DateTime<Utc>, count: usize, was_enlarged: bool, found: bool) -> Step {
        match (found, was_enlarged) {
            (false, false) => Step::Complete,
            (false, true) => self.probe(Doubt::Wide { time, count }),
            (true, false) => self.enlarge(time, count),
            (true, true) => same_time(time, count),
        }
    }

    fn settle_wide(&self, time: DateTime<Utc>, count: usize, found: usize) -> Step {
        if found > count {
            Step::Complete
        } else {
            same_time(time, count)
        }
    }

    fn enlarge(&mut self, time: DateTime<Utc>, count: usize) -> Step {
        let Some(size) = self.size.doubled() else {
            return same_time(time, count);
        };
        self.size = size;
        self.probe(Doubt::Larger { count })
    }

    fn probe(&mut self, doubt: Doubt) -> Step {
        self.doubt = doubt;
        self.position = Position::First;
        Step::Ask
    }

    /// A page was too large to take: the same in smaller pages.
    fn shrink_page(&mut self, error: FetchError) -> Step {
        match self.size.halved(self.usual_size) {
            Some(size) => {
                self.restart_at(self.upper);
                self.size = size;
                Step::Ask
            }
            None => Step::Fail(error),
        }
    }
}

fn same_time(time: DateTime<Utc>, count: usize) -> Step {
    Step::Fail(FetchError::SameTime {
        time: bound(time),
        count,
    })
}
