//! A slice of a feed, page by page, until everything in it was asked for.
//!
//! [`SliceWalk`] decides without I/O what to ask for after each page; [`fetch_slice`] acts on it. Three things can end a
//! series of pages before the slice is whole, and none of them may be taken for its end: the page cap, after which a new
//! cycle of tokens starts below what was read; an answer that was cut at its old end, of which the service says nothing;
//! and more records at one time than an answer holds.
//!
//! All that holds for pages that come newest first. Where their order is not known, what was read says nothing of what
//! lies below it: then tokens are followed to their end, whatever the cap, and an answer that may be cut divides the
//! slice.

use chrono::{DateTime, TimeDelta, Utc};

use super::fetched_records::{Added, FetchedRecords, MOST_IDLE_PAGES, TimeLimits, Times};
use super::plan::WalkPlan;
use super::stopwatch::Stopwatch;
use super::{FetchError, Fetcher, PageError};
use crate::record::{Record, Rejected};
use crate::source::{Next, Page, PageOrder, PageRequest, PageSize, Position};
use crate::window::{Slice, Window, bound, ceil_to_millisecond, floor_to_millisecond};

/// A slice with more records than this is divided, so that memory stays bounded.
const MOST_RECORDS: usize = 10_000;

/// The same for the bytes of their lines.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Bounds are whole milliseconds and may be exclusive, so a bound that must include a time stands this far behind it.
const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// A service that gave no more than so few records in an answer would be of no use to anybody: fewer were not cut.
const LEAST_CAP: usize = 10;

/// How far an answer is widened to see whether the service can give more records than it did.
const WIDE_PROBE: TimeDelta = TimeDelta::days(30);

/// A service that cannot answer even for this much more will not tell.
const LEAST_PROBE: TimeDelta = TimeDelta::minutes(1);

/// How a slice came back.
#[derive(Debug)]
pub(crate) enum SliceEnd {
    /// The service was asked for all of it.
    Complete(FetchedRecords),
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
    Fetch,
    Complete,
    Overflow,
    Fail(FetchError),
}

/// The pages of one slice.
#[derive(Debug)]
struct SliceWalk {
    slice: Slice,
    order: PageOrder,
    max_pages: u32,
    usual_size: u32,
    fetched: FetchedRecords,
    /// The newer bound of this cycle: everything in the slice above it was read.
    upper: DateTime<Utc>,
    position: Position,
    size: PageSize,
    pages_in_cycle: u32,
    idle_pages: u32,
    page_before: Option<Times>,
    oldest: DateTime<Utc>,
    probe: TruncationProbe,
    /// An answer that may have been cut, for all that the service can show.
    unconfirmed: Option<TruncationCandidate>,
}

/// An answer that lies in one millisecond whole, and may have been cut there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TruncationCandidate {
    /// The start of the millisecond.
    time: DateTime<Utc>,
    /// How many records came.
    count: usize,
    /// Whether no more came when a larger page was asked for.
    was_enlarged: bool,
}

/// Whether all records of the last millisecond were read, and what is asked for to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TruncationProbe {
    None,
    /// The same is asked for in a larger page; the smaller one held `count`.
    Larger {
        count: usize,
    },
    /// What lies strictly before the candidate is asked for: if there is anything, it was cut. The bound `to` is a tick before
    /// its time first, as for a service that includes bounds, and then the time itself, for one that does not.
    Below {
        candidate: TruncationCandidate,
        to: DateTime<Utc>,
    },
    /// What lies before the candidate and before the slice is asked for: only if there is anything can a longer answer tell
    /// whether it was cut.
    FurtherBack {
        candidate: TruncationCandidate,
        reach: TimeDelta,
    },
    /// The same is asked for together with what was found further back: if more records come than before, it was not cut.
    Wide {
        candidate: TruncationCandidate,
        from: DateTime<Utc>,
    },
}

/// Fetches a slice whole, or finds that it has to be divided.
pub(super) async fn fetch_slice(
    fetcher: &Fetcher,
    slice: Slice,
    plan: WalkPlan,
    watch: &Stopwatch<'_>,
) -> Result<SliceEnd, FetchError> {
    let source = fetcher.source();
    let time_limits = plan.time_limits(slice);
    let mut walk = SliceWalk::new(slice, time_limits, plan.max_pages, source.page_size(), source.order());
    loop {
        let can_narrow = slice.is_divisible() || walk.is_probing_widely();
        let step = match fetcher.page(&walk.request(), can_narrow).await {
            Ok(page) => {
                let most_seen = fetcher.note_answer(page.records.len());
                walk.take(page, most_seen)
            }
            Err(PageError::TooWide(_)) if walk.is_probing_widely() => walk.narrow_probe(),
            Err(PageError::TooWide(_)) => return Ok(SliceEnd::TooWide),
            Err(PageError::TooLarge(error)) => walk.shrink_page(error),
            Err(PageError::Fatal(error)) => Step::Fail(error),
        };
        let is_late = || watch.elapsed().is_some_and(|elapsed| elapsed > plan.time_to_disk);
        let is_overdue = || walk.has_pages_to_spare() && is_late();
        match step {
            Step::Fetch if is_overdue() => return Ok(walk.overflow()),
            Step::Fetch => {}
            Step::Complete => {
                walk.warn_of_unconfirmed();
                return Ok(SliceEnd::Complete(walk.fetched));
            }
            Step::Overflow => return Ok(walk.overflow()),
            Step::Fail(error) => return Err(error),
        }
    }
}

impl SliceWalk {
    fn new(slice: Slice, time_limits: TimeLimits, max_pages: u32, usual_size: u32, order: PageOrder) -> Self {
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
            probe: TruncationProbe::None,
            unconfirmed: None,
        }
    }

    /// The page to ask for now.
    fn request(&self) -> PageRequest {
        let from = self.slice.padded().from;
        let (from, to) = match self.probe {
            TruncationProbe::None | TruncationProbe::Larger { .. } => (from, self.upper),
            TruncationProbe::Below { to, .. } => (from, to),
            TruncationProbe::FurtherBack { candidate, reach } => (from - reach, candidate.time - TICK),
            TruncationProbe::Wide { candidate, from } => (from, candidate.time + TICK),
        };
        PageRequest {
            window: Window { from, to },
            position: self.position.clone(),
            size: self.size,
        }
    }

    /// Takes a page in and decides. `most_seen` is the largest answer of this service before it, in records.
    fn take(&mut self, page: Page, most_seen: usize) -> Step {
        let found = page.records.len();
        if let TruncationProbe::FurtherBack { candidate, .. } = self.probe {
            return self.settle_further_back(candidate, self.newest_of(&page));
        }
        if let TruncationProbe::Wide { candidate, .. } = self.probe {
            return self.settle_wide(candidate, found);
        }
        let added = self.note(page.records);
        match (self.probe, page.next) {
            (TruncationProbe::Below { candidate, to }, _) if to < candidate.time => {
                self.look_below(candidate, found > 0)
            }
            (TruncationProbe::Below { candidate, .. }, _) => {
                let is_older = added.times.is_some_and(|times| times.oldest < candidate.time);
                self.settle_below(candidate, is_older)
            }
            (_, Next::Last) => Step::Complete,
            (_, next) => self.limits().unwrap_or_else(|| match (next, self.order) {
                (Next::At(position), PageOrder::NewestFirst) => self.follow(position, added.times),
                (Next::At(position), PageOrder::Unknown) => self.go_to(position),
                (Next::Unknown | Next::Last, PageOrder::NewestFirst) => self.go_below(found, added.times, most_seen),
                (Next::Unknown | Next::Last, PageOrder::Unknown) => self.divide(found),
            }),
        }
    }

    fn note(&mut self, records: Vec<Result<Record, Rejected>>) -> Added {
        let received = self.fetched.received;
        let added = self.fetched.add(self.request().window, records);
        if matches!(self.probe, TruncationProbe::Below { candidate, to } if to == candidate.time) {
            // Asked for on purpose once more, they did not come twice.
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

    /// Whether it holds so many pages that shorter slices would surely come back sooner.
    fn has_pages_to_spare(&self) -> bool {
        self.slice.is_divisible() && self.fetched.records.len() > 2 * self.usual_size as usize
    }

    fn overflow(&self) -> SliceEnd {
        SliceEnd::Overflow {
            records: self.fetched.records.len(),
            oldest: self.oldest,
        }
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
                return Step::Fetch;
            }
        }
        self.go_to(position)
    }

    fn go_to(&mut self, position: Position) -> Step {
        self.position = position;
        Step::Fetch
    }

    /// The service says neither whether there is more nor where: only a slice that needs no second page is whole.
    fn divide(&self, count: usize) -> Step {
        if count == 0 {
            Step::Complete
        } else if self.slice.is_divisible() {
            Step::Overflow
        } else {
            same_time(self.oldest, count)
        }
    }

    /// The service does not say whether there is more: go on below what was read, until nothing lies there.
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
            if candidates.into_iter().any(|read_to| self.start_cycle_at(read_to)) || self.part_from(times.oldest) {
                return Step::Fetch;
            }
        }
        self.probe_millisecond(count, Some(times.oldest), most_seen)
    }

    /// Starts a new cycle of pages that still includes `read_to`; `false` where that would bring the same again.
    fn start_cycle_at(&mut self, read_to: DateTime<Utc>) -> bool {
        self.start_cycle_below(ceil_to_millisecond(read_to) + TICK)
    }

    /// Starts a new cycle with the oldest of what was read as its bound. Only a service that includes the bound gets here
    /// with records of two milliseconds, and then the bound parts them: what is older, or as old, has the page for itself.
    fn part_from(&mut self, oldest: DateTime<Utc>) -> bool {
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
        self.probe = TruncationProbe::None;
    }

    /// An answer of `count` records brought the walk no further down: were there more at its time than it shows?
    fn probe_millisecond(&mut self, count: usize, oldest: Option<DateTime<Utc>>, most_seen: usize) -> Step {
        let is_full = count >= self.size.of(self.usual_size) as usize;
        let was_in_vain = matches!(self.probe, TruncationProbe::Larger { count: before } if count <= before);
        let time = oldest.map_or(self.upper, floor_to_millisecond);
        if is_full && !was_in_vain {
            return self.enlarge(time, count);
        }
        // The service is known to give more than this in one answer, so it was not cut.
        if count < most_seen && !was_in_vain {
            return Step::Complete;
        }
        let candidate = TruncationCandidate {
            time,
            count,
            was_enlarged: was_in_vain,
        };
        if oldest.is_some() && time > self.slice.padded().from {
            let to = time - TICK;
            return self.start_probe(TruncationProbe::Below { candidate, to });
        }
        self.settle_below(candidate, false)
    }

    /// Nothing below the first bound may only mean that bounds are exclusive.
    fn look_below(&mut self, candidate: TruncationCandidate, is_older: bool) -> Step {
        if is_older {
            self.settle_below(candidate, true)
        } else {
            self.start_probe(TruncationProbe::Below {
                candidate,
                to: candidate.time,
            })
        }
    }

    /// What was found strictly before the candidate decides it, or raises the next question.
    fn settle_below(&mut self, candidate: TruncationCandidate, is_older: bool) -> Step {
        if is_older {
            self.settle_cut(candidate)
        } else {
            self.start_probe(TruncationProbe::FurtherBack {
                candidate,
                reach: WIDE_PROBE,
            })
        }
    }

    /// The candidate was cut: a larger page may hold all of it, unless one was asked for in vain.
    fn settle_cut(&mut self, candidate: TruncationCandidate) -> Step {
        if candidate.was_enlarged {
            same_time(candidate.time, candidate.count)
        } else {
            self.enlarge(candidate.time, candidate.count)
        }
    }

    /// The newest record of a page of which one is asked for; where none has a time, the window's start.
    fn newest_of(&self, page: &Page) -> Option<DateTime<Utc>> {
        let newest = page.records.iter().flatten().map(|record| record.time).max();
        newest.or((!page.records.is_empty()).then(|| self.request().window.from))
    }

    fn settle_further_back(&mut self, candidate: TruncationCandidate, older: Option<DateTime<Utc>>) -> Step {
        match older {
            // Hardly wider than the window in which it was found, so the service will answer.
            Some(older) => self.start_probe(TruncationProbe::Wide {
                candidate,
                from: floor_to_millisecond(older) - TICK,
            }),
            None => self.settle_alone(candidate),
        }
    }

    fn settle_wide(&mut self, candidate: TruncationCandidate, found: usize) -> Step {
        if found > candidate.count {
            Step::Complete
        } else {
            self.settle_cut(candidate)
        }
    }

    /// With nothing older as far as the service can be asked, no answer can show whether one was cut. One that did not
    /// become longer although a longer one was asked for is suspicious enough to stop at. Of others most are whole; to fail
    /// would stop a quiet stream for good.
    fn settle_alone(&mut self, candidate: TruncationCandidate) -> Step {
        if candidate.was_enlarged {
            return same_time(candidate.time, candidate.count);
        }
        self.unconfirmed = Some(candidate);
        Step::Complete
    }

    fn warn_of_unconfirmed(&self) {
        if let Some(TruncationCandidate { time, count, .. }) =
            self.unconfirmed.filter(|candidate| candidate.count >= LEAST_CAP)
        {
            tracing::warn!(
                time = bound(time),
                count,
                "so many records came of one moment, and the service cannot show whether it has more of it: compare with \
                 its own view of that moment"
            );
        }
    }

    /// Whether more than the slice is asked for, to find that out.
    fn is_probing_widely(&self) -> bool {
        matches!(
            self.probe,
            TruncationProbe::FurtherBack { .. } | TruncationProbe::Wide { .. }
        )
    }

    /// The service cannot answer for as much as the probe asks for; dividing the slice would not change that.
    fn narrow_probe(&mut self) -> Step {
        match self.probe {
            TruncationProbe::FurtherBack { candidate, reach } if reach > LEAST_PROBE => {
                let reach = reach / 4;
                self.start_probe(TruncationProbe::FurtherBack { candidate, reach })
            }
            TruncationProbe::FurtherBack { candidate, .. } | TruncationProbe::Wide { candidate, .. } => {
                self.settle_alone(candidate)
            }
            TruncationProbe::None | TruncationProbe::Larger { .. } | TruncationProbe::Below { .. } => Step::Fetch,
        }
    }

    fn enlarge(&mut self, time: DateTime<Utc>, count: usize) -> Step {
        let Some(size) = self.size.doubled() else {
            return same_time(time, count);
        };
        self.size = size;
        self.start_probe(TruncationProbe::Larger { count })
    }

    fn start_probe(&mut self, probe: TruncationProbe) -> Step {
        self.probe = probe;
        self.position = Position::First;
        Step::Fetch
    }

    /// A page was too large to take: the same in smaller pages, unless it is the larger one that a probe asked for.
    fn shrink_page(&mut self, error: FetchError) -> Step {
        let expected = match self.probe {
            TruncationProbe::Larger { count } => Some(count),
            TruncationProbe::Wide { candidate, .. } => Some(candidate.count),
            TruncationProbe::None | TruncationProbe::Below { .. } | TruncationProbe::FurtherBack { .. } => None,
        };
        if let Some(count) = expected {
            return same_time(self.upper, count);
        }
        if let TruncationProbe::FurtherBack { candidate, .. } = self.probe {
            return self.settle_alone(candidate);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::record::Identity;
    use crate::window::{Load, SlicePlan};

    const START: i64 = 1_700_000_000_000;

    /// A service whose habits are drawn at random.
    #[derive(Clone, Debug)]
    struct Service {
        /// Milliseconds after `START`, one for each record.
        feed: Vec<i64>,
        page_size: usize,
        /// Whether it gives tokens, or cuts answers silently.
        has_tokens: bool,
        /// The most records of an answer, whatever was asked for.
        cap: Option<usize>,
        includes_from: bool,
        includes_to: bool,
        /// Whether a page is in order within itself.
        sorts_pages: bool,
        /// Whether every second token leads to an empty page first.
        gives_empty_pages: bool,
        /// Whether the last page says that it is the last.
        says_last: bool,
        sequence: Sequence,
    }

    /// In which order a service gives the records of a window.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Sequence {
        NewestFirst,
        OldestFirst,
        Shuffled,
    }

    impl Service {
        fn answer(&self, request: &PageRequest) -> Page {
            let mut matching: Vec<(i64, usize)> = self.feed.iter().copied().zip(0..).collect();
            matching.retain(|(time, _)| self.is_within(request.window, START + time));
            matching.sort_by_key(|(time, id)| match self.sequence {
                Sequence::NewestFirst => (-time, *id),
                Sequence::OldestFirst => (*time, *id),
                Sequence::Shuffled => (0, id.wrapping_mul(0x9E37_79B9) % 1013),
            });
            let size = request.size.of(self.page_size as u32) as usize;
            let size = self.cap.map_or(size, |cap| cap.min(size));
            if !self.has_tokens {
                matching.truncate(size);
                let next = if matching.is_empty() { Next::Last } else { Next::Unknown };
                return self.page(matching, next);
            }
            let (offset, is_blank) = match &request.position {
                Position::Token(token) => (token.trim_end_matches('b').parse().unwrap(), token.ends_with('b')),
                _ => (0, false),
            };
            if is_blank {
                return self.page(Vec::new(), Next::At(Position::Token(offset.to_string())));
            }
            let end = (offset + size).min(matching.len());
            let page = matching[offset.min(end)..end].to_vec();
            let next = match (end < matching.len(), self.gives_empty_pages && (end / size) % 2 == 1) {
                (true, true) => Next::At(Position::Token(format!("{end}b"))),
                (true, false) => Next::At(Position::Token(end.to_string())),
                (false, _) if self.says_last || page.len() < size => Next::Last,
                (false, _) => Next::Unknown,
            };
            self.page(page, next)
        }

        fn is_within(&self, window: Window, time: i64) -> bool {
            let (from, to) = (window.from.timestamp_millis(), window.to.timestamp_millis());
            (from < time || self.includes_from && from == time) && (time < to || self.includes_to && time == to)
        }

        fn page(&self, mut records: Vec<(i64, usize)>, next: Next) -> Page {
            if !self.sorts_pages {
                records.sort_by_key(|(_, id)| id.wrapping_mul(0x9E37_79B9) % 1009);
            }
            let records = records.into_iter().map(|(time, id)| Ok(record(time, id))).collect();
            Page {
                records,
                next,
                pages: None,
            }
        }
    }

    fn record(milliseconds: i64, id: usize) -> Record {
        let id = id as u128;
        Record {
            time: DateTime::from_timestamp_millis(START + milliseconds).unwrap(),
            identity: Identity { key: id, content: id },
            line: id.to_string().into(),
        }
    }

    fn slice(from: i64, to: i64) -> Slice {
        let at = |milliseconds| DateTime::from_timestamp_millis(START + milliseconds).unwrap();
        Slice {
            from: at(from),
            to: at(to),
        }
    }

    fn time_limits(slice: Slice) -> TimeLimits {
        TimeLimits {
            filed_to: slice.to,
            possible_to: slice.to + TimeDelta::days(1),
        }
    }

    /// Walks a slice to its end; the walk must not need more pages than `patience`.
    fn walk(
        service: &Service,
        slice: Slice,
        max_pages: u32,
        most_seen: &mut usize,
        patience: usize,
    ) -> (Step, SliceWalk) {
        walk_in(PageOrder::NewestFirst, service, slice, max_pages, most_seen, patience)
    }

    fn walk_in(
        order: PageOrder,
        service: &Service,
        slice: Slice,
        max_pages: u32,
        most_seen: &mut usize,
        patience: usize,
    ) -> (Step, SliceWalk) {
        let mut walk = SliceWalk::new(slice, time_limits(slice), max_pages, service.page_size as u32, order);
        for _ in 0..patience {
            let page = service.answer(&walk.request());
            let before = *most_seen;
            *most_seen = before.max(page.records.len());
            match walk.take(page, before) {
                Step::Fetch => {}
                end => return (end, walk),
            }
        }
        panic!("no end after {patience} pages: {walk:?}");
    }

    fn services() -> impl Strategy<Value = Service> {
        let burst = (0_i64..4_000, 1_usize..40);
        let feed = prop::collection::vec(burst, 0..60)
            .prop_map(|bursts| bursts.into_iter().flat_map(|(time, count)| vec![time; count]).collect());
        (feed, 1_usize..25, any::<[bool; 6]>()).prop_map(|(feed, page_size, flags)| Service {
            feed,
            page_size,
            has_tokens: flags[0],
            cap: None,
            includes_from: flags[1],
            includes_to: flags[2],
            sorts_pages: flags[3],
            gives_empty_pages: flags[4],
            says_last: flags[5],
            sequence: Sequence::NewestFirst,
        })
    }

    /// Services that page by tokens in an order that the walk is not told.
    fn services_in_any_order() -> impl Strategy<Value = Service> {
        let sequences = vec![Sequence::NewestFirst, Sequence::OldestFirst, Sequence::Shuffled];
        (services(), prop::sample::select(sequences)).prop_map(|(service, sequence)| Service {
            has_tokens: true,
            says_last: true,
            sequence,
            ..service
        })
    }

    #[test]
    fn the_oldest_records_of_all_in_two_milliseconds_are_parted_by_an_inclusive_bound() {
        let service = Service {
            feed: [[177; 14], [176; 14]].concat(),
            page_size: 1,
            has_tokens: false,
            cap: Some(15),
            includes_from: false,
            includes_to: true,
            sorts_pages: false,
            gives_empty_pages: false,
            says_last: false,
            sequence: Sequence::NewestFirst,
        };
        let (end, walk) = walk(&service, slice(0, 1_000), 20, &mut 0, 100);
        assert_eq!(end, Step::Complete);
        assert_eq!(ids(&walk.fetched.records), all_ids(&service));
    }

    #[test]
    fn what_lies_a_millisecond_before_a_cut_answer_is_seen_where_bounds_are_exclusive() {
        let service = Service {
            feed: [vec![318; 27], vec![317]].concat(),
            page_size: 1,
            has_tokens: false,
            cap: Some(5),
            includes_from: false,
            includes_to: false,
            sorts_pages: false,
            gives_empty_pages: false,
            says_last: false,
            sequence: Sequence::NewestFirst,
        };
        let (end, _) = walk(&service, slice(0, 1_000), 20, &mut 0, 100);
        assert!(
            matches!(end, Step::Fail(FetchError::SameTime { count: 5, .. })),
            "{end:?}"
        );
    }

    #[test]
    fn an_answer_that_grew_no_longer_is_not_taken_for_whole_because_what_lies_before_it_is_too_large_to_read() {
        let part = slice(0, 1_000);
        for (was_enlarged, is_told) in [(true, true), (false, false)] {
            let mut walk = SliceWalk::new(part, time_limits(part), 20, 4, PageOrder::NewestFirst);
            let candidate = TruncationCandidate {
                time: part.to,
                count: 4,
                was_enlarged,
            };
            walk.probe = TruncationProbe::FurtherBack {
                candidate,
                reach: WIDE_PROBE,
            };
            let step = walk.shrink_page(too_large());
            assert_eq!(
                matches!(step, Step::Fail(FetchError::SameTime { count: 4, .. })),
                is_told,
                "{step:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_record_of_a_slice_comes_exactly_once_or_the_walk_fails_aloud(
            service in services(),
            max_pages in 1_u32..6,
        ) {
            let whole = slice(-1_000, 5_000);
            let (end, walk) = walk(&service, whole, max_pages, &mut 0, 20_000);
            match end {
                Step::Complete => prop_assert_eq!(ids(&walk.fetched.records), all_ids(&service)),
                Step::Fail(FetchError::SameTime { .. }) => {
                    // Only where the oldest records of all lie so close that bounds cannot part them, and fill a page
                    // to the last place: no answer can show then whether the service would give more. Or where so
                    // many lie so close that the largest page does not hold them.
                    let close_to = |time: i64| {
                        let near = move |other: &&i64| (time..=time + 2).contains(*other);
                        service.feed.iter().filter(near).count()
                    };
                    let oldest = service.feed.iter().min().copied().unwrap();
                    let fills_a_page = (0..=2).any(|ticks| {
                        let count = service.feed.iter().filter(|time| **time <= oldest + ticks).count();
                        (0..=6).any(|doubled| count == service.page_size << doubled)
                    });
                    let exceeds_a_page = service.feed.iter().any(|time| close_to(*time) >= service.page_size << 6);
                    prop_assert!(fills_a_page || exceeds_a_page);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn where_the_order_is_not_known_every_record_comes_exactly_once_past_the_page_cap(
            service in services_in_any_order(),
            max_pages in 1_u32..6,
        ) {
            let whole = slice(-1_000, 5_000);
            let (end, walk) = walk_in(PageOrder::Unknown, &service, whole, max_pages, &mut 0, 20_000);
            prop_assert_eq!(end, Step::Complete);
            prop_assert_eq!(ids(&walk.fetched.records), all_ids(&service));
            prop_assert_eq!(walk.fetched.received as usize, service.feed.len(), "nothing is asked for twice");
        }

        #[test]
        fn where_the_order_is_not_known_an_answer_that_may_be_cut_is_never_taken_for_the_whole(
            mut service in services_in_any_order(),
        ) {
            service.has_tokens = false;
            prop_assume!(!service.feed.is_empty());
            let (end, _) = walk_in(PageOrder::Unknown, &service, slice(-1_000, 5_000), 20, &mut 0, 1);
            let is_divided = end == Step::Overflow;
            prop_assert!(is_divided);
        }

        #[test]
        fn a_service_that_caps_its_answers_silently_never_costs_a_record(
            mut service in services(),
            cap in 1_usize..30,
        ) {
            service.has_tokens = false;
            service.cap = Some(cap);
            let (end, walk) = walk(&service, slice(-1_000, 5_000), 20, &mut 0, 20_000);
            match end {
                Step::Complete => {
                    let missing = all_ids(&service).len() - walk.fetched.records.len();
                    // The one case that no answer can show: nothing older exists, and exactly the cap came.
                    let oldest = service.feed.iter().min().copied();
                    let at_oldest = service.feed.iter().filter(|time| Some(**time) == oldest).count();
                    prop_assert!(missing == 0 || at_oldest > cap, "{} records are missing", missing);
                }
                Step::Fail(FetchError::SameTime { .. }) => prop_assert!(largest_burst(&service) >= cap.min(service.page_size)),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn slices_of_any_width_show_what_a_silent_cap_cuts_off(
            mut service in services(),
            cap in 1_usize..30,
            width in 1_i64..3_000,
        ) {
            service.has_tokens = false;
            service.cap = Some(cap);
            let mut most_seen = 0;
            let mut rest = Some(slice(-1_000, 5_000));
            while let Some(part) = rest {
                let (part, newer) = part.split(TimeDelta::milliseconds(width));
                rest = newer;
                let (end, walk) = walk(&service, part, 20, &mut most_seen, 20_000);
                if matches!(end, Step::Fail(FetchError::SameTime { .. })) {
                    prop_assert!(largest_burst(&service) >= cap.min(service.page_size));
                    return Ok(());
                }
                prop_assert_eq!(end, Step::Complete);
                let due: Vec<usize> = service.feed.iter().enumerate()
                    .filter(|(_, time)| {
                        let time = DateTime::from_timestamp_millis(START + **time).unwrap();
                        part.from < time && time < part.to
                    })
                    .map(|(id, _)| id)
                    .collect();
                let have = ids(&walk.fetched.records);
                // The one case that no answer can show: nothing older exists, and exactly the cap came.
                let oldest = service.feed.iter().min().copied();
                let at_oldest = service.feed.iter().filter(|time| Some(**time) == oldest).count();
                let missing = due.iter().filter(|id| !have.contains(id)).count();
                prop_assert!(missing == 0 || at_oldest > cap, "{} records are missing up to {}", missing, part.to);
            }
        }

        #[test]
        fn the_slices_of_a_window_bring_every_record_in_ranges_that_are_each_complete(
            service in services(),
            max_pages in 1_u32..6,
            width in 1_i64..5_000,
        ) {
            let mut plan = SlicePlan::new(Window::new(slice(-1_000, 0).from, slice(0, 5_000).to), 100, Duration::ZERO);
            let mut filed = BTreeMap::new();
            let mut most_seen = 0;
            while let Some(mut part) = plan.next_slice() {
                let mut rest = part.split(TimeDelta::milliseconds(width)).1;
                part = part.split(TimeDelta::milliseconds(width)).0;
                loop {
                    let (end, walk) = walk(&service, part, max_pages, &mut most_seen, 20_000);
                    if matches!(end, Step::Fail(FetchError::SameTime { .. })) {
                        return Ok(());
                    }
                    prop_assert_eq!(end, Step::Complete);
                    for record in &walk.fetched.records {
                        prop_assert!(record.time <= part.to);
                        filed.insert(record.identity.key as usize, record.time);
                    }
                    let due = service.feed.iter().filter(|time| START + **time < part.to.timestamp_millis()).count();
                    let have = filed.values().filter(|time| **time < part.to).count();
                    prop_assert_eq!(have, due, "up to {}", part.to);
                    let (records, took) = (walk.fetched.records.len(), None);
                    plan.completed(part, Load { records, took });
                    let Some(next) = rest else { break };
                    (part, rest) = next.split(TimeDelta::milliseconds(width));
                }
            }
            prop_assert_eq!(filed.into_keys().collect::<Vec<_>>(), all_ids(&service));
        }
    }

    #[test]
    fn a_burst_that_is_cut_silently_is_found_out_although_nothing_older_is_in_its_slice() {
        let older = (0..50).map(|n| n * 10);
        let service = Service {
            feed: older.chain([5_000; 60]).collect(),
            page_size: 100,
            has_tokens: false,
            cap: Some(40),
            sequence: Sequence::NewestFirst,
            includes_from: true,
            includes_to: true,
            sorts_pages: true,
            gives_empty_pages: false,
            says_last: true,
        };
        let (end, _) = walk(&service, slice(4_000, 6_000), 20, &mut 0, 100);
        assert!(
            matches!(end, Step::Fail(FetchError::SameTime { count: 40, .. })),
            "{end:?}"
        );
        // One that is not cut is no reason to fail, whether or not there is anything before it.
        for (cap, has_older) in [(None, true), (None, false), (Some(70), true)] {
            let mut service = Service { cap, ..service.clone() };
            if !has_older {
                service.feed.retain(|time| *time == 5_000);
            }
            let (end, walk) = walk(&service, slice(4_000, 6_000), 20, &mut 0, 100);
            assert_eq!((end, walk.fetched.records.len()), (Step::Complete, 60));
        }
    }

    fn too_large() -> FetchError {
        FetchError::TooLarge {
            address: String::new(),
            problem: String::new(),
        }
    }

    #[test]
    fn a_page_that_is_too_large_is_asked_for_in_halves_down_to_one_record() {
        let part = slice(0, 1_000);
        let mut walk = SliceWalk::new(part, time_limits(part), 20, 100, PageOrder::NewestFirst);
        let sizes: Vec<u32> = std::iter::from_fn(|| {
            let step = walk.shrink_page(too_large());
            (step == Step::Fetch).then(|| walk.request().size.of(100))
        })
        .collect();
        assert_eq!(sizes, [50, 25, 12, 6, 3, 1]);
        assert_eq!(walk.shrink_page(too_large()), Step::Fail(too_large()));
    }

    #[test]
    fn a_burst_of_large_records_fails_aloud_instead_of_asking_for_ever() {
        let part = slice(0, 1_000);
        let mut walk = SliceWalk::new(part, time_limits(part), 20, 4, PageOrder::NewestFirst);
        assert_eq!(walk.shrink_page(too_large()), Step::Fetch);
        let full = Page {
            records: vec![Ok(record(5, 1)), Ok(record(5, 2))],
            next: Next::Unknown,
            pages: None,
        };
        assert_eq!(walk.take(full, 0), Step::Fetch);
        assert_eq!(walk.request().size.of(4), 4);
        assert!(matches!(
            walk.shrink_page(too_large()),
            Step::Fail(FetchError::SameTime { count: 2, .. })
        ));
    }

    fn ids(records: &[Record]) -> Vec<usize> {
        let mut ids: Vec<_> = records.iter().map(|record| record.identity.key as usize).collect();
        ids.sort_unstable();
        ids
    }

    fn all_ids(service: &Service) -> Vec<usize> {
        (0..service.feed.len()).collect()
    }

    fn largest_burst(service: &Service) -> usize {
        let mut counts = BTreeMap::<i64, usize>::new();
        for time in &service.feed {
            *counts.entry(*time).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }
}
