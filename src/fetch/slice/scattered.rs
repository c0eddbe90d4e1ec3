//! A slice of a service that answers in no order that could be found.
//!
//! Then an answer says nothing about what is behind it. The slice is read, with all pages that the service names, and asked
//! for again in two parts with other page borders, which show more if an answer was cut; then the slice is divided. Every
//! look has to bring what is known to be there.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::SliceEnd;
use super::floor::Floor;
use super::moment::{MOST_PAGES, PageSizes};
use crate::fetch::answer::Answer;
use crate::fetch::fetched_records::FetchedRecords;
use crate::fetch::{FetchError, Fetcher, PageError, span};
use crate::record::{Anchor, AnchorSet};
use crate::source::{PageRequest, Position};
use crate::window::{Slice, TICK, Window, bound, floor_to_millisecond};

/// How often a part is asked for until its answers agree; less often if it can be divided.
const MOST_LOOKS: u32 = 10;
const FEW_LOOKS: u32 = 6;

/// Services cut bounds to whole seconds, so what is so close to a bound may be missing.
const MARGIN: TimeDelta = TimeDelta::seconds(1);

/// A slice with more records than this is divided, to bound memory.
const MOST_RECORDS: usize = 10_000;

/// A slice with more bytes of lines than this is divided too.
const MOST_BYTES: usize = 32 << 20;

/// How often in a row nothing new has to come.
const LOOKS: u32 = 2;

/// A slice that is read in parts.
pub(in crate::fetch) struct Gathering {
    slice: Slice,
    /// Where it begins, as long as nothing is known below.
    open_from: DateTime<Utc>,
    floor: Floor,
    pub(in crate::fetch) fetched: FetchedRecords,
    /// Every record that an answer gave, with those below that are known.
    known: AnchorSet,
    /// Whether the service names next pages.
    has_pages: bool,
    /// Whether a page of several had fewer records than were asked for: then one more look has to agree.
    has_short_pages: bool,
    /// The fewest records of a page that named another: with fewer asked for, pages end elsewhere.
    shortest: Option<u32>,
    /// How many records are asked for: more than usual if that spares dividing the slice.
    size: u32,
    /// How many records the answer for the whole slice had, if nothing said that there are more.
    whole: Option<usize>,
}

/// What an answer for a part came to.
enum Part {
    /// Nothing new.
    Same,
    /// More than was known.
    New,
    /// It may go on.
    Cut(Answer),
    /// It lacks a record that is known to be there.
    Lacking(Anchor),
    /// A page was lost, or refused.
    Lost,
    TooWide,
}

impl Gathering {
    pub(in crate::fetch) fn new(
        slice: Slice,
        open_from: DateTime<Utc>,
        floor: Floor,
        fetched: FetchedRecords,
        size: u32,
    ) -> Self {
        // The service may have dropped or changed what the archive has.
        let is_hard = matches!(floor, Floor::Known { is_archived: false, .. });
        let known = floor.anchors().iter().filter(|_| is_hard).copied().collect();
        Self {
            slice,
            open_from,
            floor,
            fetched,
            known,
            has_pages: false,
            has_short_pages: false,
            shortest: None,
            size,
            whole: None,
        }
    }

    pub(in crate::fetch) fn slice(&self) -> Slice {
        self.slice
    }

    /// Returns from when on it has to be asked for, by what is known below.
    pub(in crate::fetch) fn asked_from(&self) -> DateTime<Utc> {
        self.floor.newest().unwrap_or(self.open_from).min(self.slice.from)
    }

    /// Returns whether what is below makes what is asked for much wider than the slice.
    pub(in crate::fetch) fn reaches_far(&self) -> bool {
        self.slice.to - self.asked_from() > self.slice.width() * 2
    }

    /// Reads the slice, or finds that it has to be divided.
    pub(in crate::fetch) async fn read(&mut self, fetcher: &Fetcher) -> Result<SliceEnd, FetchError> {
        let (mut agreed, mut looks) = (0, 0);
        let mut lacking = None;
        let most_looks = if self.slice.is_divisible() {
            FEW_LOOKS
        } else {
            MOST_LOOKS
        };
        while agreed <= LOOKS + u32::from(self.has_short_pages) {
            looks += 1;
            if looks > most_looks {
                return self.give_up(lacking);
            }
            match self.look(fetcher, agreed, looks).await? {
                Part::Same => agreed += 1,
                // The first answer is the one that the others are compared with.
                Part::New if agreed == 0 => agreed = 1,
                Part::New => {
                    self.note_cut(fetcher);
                    if self.slice.is_divisible() {
                        return Ok(self.overflow());
                    }
                    agreed = 1;
                }
                Part::Cut(_) if self.enlarge(fetcher) => {}
                Part::Cut(_) if self.slice.is_divisible() => return Ok(self.overflow()),
                Part::Cut(answer) => {
                    return Err(FetchError::SameTime {
                        time: bound(self.slice.to),
                        count: answer.count,
                    });
                }
                Part::Lacking(anchor) => {
                    lacking = Some(anchor);
                    agreed = agreed.min(1);
                    fetcher.pause_before_look(looks).await;
                }
                Part::Lost => agreed = agreed.min(1),
                Part::TooWide => return Ok(SliceEnd::TooWide),
            }
        }
        self.warn_of_a_moment(fetcher);
        Ok(SliceEnd::Complete)
    }

    /// Notes that the answer for the whole slice was cut, since a part of it has more.
    fn note_cut(&self, fetcher: &Fetcher) {
        if let Some(count) = self.whole {
            fetcher.learn(|learned| learned.note_cut(count));
        }
    }

    /// Notes a moment of which the service may have more than an answer holds: the parts of it are the whole.
    fn warn_of_a_moment(&self, fetcher: &Fetcher) {
        let times = || self.fetched.records.iter().map(|record| record.time);
        let (Some(count), Some(time)) = (self.whole, times().max()) else {
            return;
        };
        if times().min().map(floor_to_millisecond) == Some(floor_to_millisecond(time)) {
            fetcher.learn(|learned| learned.suspect_of_a_cut(time, count));
        }
    }

    /// Asks for as many records as the service gives at most; returns whether that is more.
    fn enlarge(&mut self, fetcher: &Fetcher) -> bool {
        let largest = fetcher.learned().page_limit.unwrap_or(fetcher.source().largest_page());
        let is_more = !self.has_pages && self.size < largest;
        self.size = self.size.max(largest);
        is_more
    }

    /// Asks for half as many records, because more made an answer too large; returns whether that is possible.
    fn shrink(&mut self, fetcher: &Fetcher) -> bool {
        let can_shrink = self.size > 1 && !self.has_pages;
        self.size = (self.size / 2).max(1);
        fetcher.learn(|learned| learned.page_limit = Some(self.size));
        can_shrink
    }

    fn give_up(&self, lacking: Option<Anchor>) -> Result<SliceEnd, FetchError> {
        if self.slice.is_divisible() {
            return Ok(self.overflow());
        }
        Err(FetchError::Contradiction {
            lacks: bound(lacking.map_or(self.slice.to, |anchor| anchor.time)),
            span: span(self.slice.from, self.slice.to),
            looks: MOST_LOOKS,
        })
    }

    /// Returns the part to ask for: first all of the slice, then its older and its newer half, which show more if the first
    /// answer was cut; for that they need not overlap, and the same record in both would fill a small answer.
    fn part(&self, number: u32) -> Window {
        let whole = Window {
            from: floor_to_millisecond(self.asked_from() - MARGIN * 2),
            to: self.slice.to,
        };
        let Some(middle) = self.middle() else { return whole };
        match number {
            1 => Window {
                to: (floor_to_millisecond(middle) - TICK).clamp(whole.from, whole.to),
                ..whole
            },
            2 => Window {
                from: self.newer_half(middle).clamp(whole.from, whole.to),
                ..whole
            },
            _ => whole,
        }
    }

    /// Returns where the newer half begins: at the median, or behind it if nothing newer was read.
    fn newer_half(&self, middle: DateTime<Utc>) -> DateTime<Utc> {
        let middle = floor_to_millisecond(middle);
        let mut times = self.fetched.records.iter().map(|record| record.time);
        let has_newer = times.any(|time| floor_to_millisecond(time) > middle);
        if has_newer { middle } else { middle + TICK }
    }

    /// Returns the median time of what was read.
    fn middle(&self) -> Option<DateTime<Utc>> {
        let mut times: Vec<DateTime<Utc>> = self.fetched.records.iter().map(|record| record.time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// Looks at a part once: at all pages of it, if there are several.
    async fn look(&mut self, fetcher: &Fetcher, agreed: u32, number: u32) -> Result<Part, FetchError> {
        let sizes = PageSizes::of(self.size, self.shortest, if self.has_pages { number - 1 } else { 0 });
        let mut request = PageRequest {
            window: self.part(agreed),
            position: Position::First,
            size: sizes.first,
        };
        let (mut new, mut given) = (0, AnchorSet::default());
        for _ in 0..MOST_PAGES {
            let page = match fetcher
                .page(&request, self.slice.is_divisible() || self.reaches_far())
                .await
            {
                Ok(page) => page,
                Err(PageError::TooWide(_)) => return Ok(Part::TooWide),
                Err(PageError::Lost(_)) => return Ok(Part::Lost),
                Err(PageError::TooLarge(_)) if self.shrink(fetcher) => {
                    request.size = self.size;
                    continue;
                }
                Err(PageError::TooLarge(error) | PageError::Fatal(error)) => return Err(error),
            };
            let answer = Answer::of(&page, &request);
            self.has_short_pages |= self.has_pages && !answer.is_full;
            self.shortest = self.shortest.into_iter().chain(answer.short_page()).min();
            let added = self.fetched.add(page.records, page.originals).new;
            new += added;
            given.extend(answer.anchors().iter().copied());
            self.known.extend(answer.anchors());
            if self.fetched.is_too_large() {
                return Err(FetchError::Endless);
            }
            match answer.next.clone() {
                Some(_) if self.is_over() => return Ok(Part::Cut(answer)),
                Some(position) if position != request.position => {
                    self.has_pages = true;
                    request.position = position;
                    request.size = sizes.next;
                }
                // Sent again, a token leads nowhere.
                Some(_) => return Ok(Part::Cut(answer)),
                None if answer.is_full && !answer.says_last => return Ok(Part::Cut(answer)),
                None => break,
            }
        }
        if agreed == 0 {
            self.whole = (!self.has_pages).then_some(given.len());
        }
        Ok(self.conclude(request.window, new, &given))
    }

    fn conclude(&self, window: Window, new: usize, given: &AnchorSet) -> Part {
        let given_times: HashSet<DateTime<Utc>> =
            given.iter().map(|anchor| floor_to_millisecond(anchor.time)).collect();
        // A bound parts no moment, however it is cut.
        let is_parted = |anchor: &Anchor| given_times.contains(&floor_to_millisecond(anchor.time));
        let surely = |anchor: &Anchor| window.from + MARGIN < anchor.time && anchor.time + MARGIN < window.to;
        let lacks = self
            .known
            .iter()
            .find(|anchor| !given.contains(anchor) && (surely(anchor) || is_parted(anchor)))
            .copied();
        match lacks {
            Some(anchor) => Part::Lacking(anchor),
            None if new > 0 => Part::New,
            None => Part::Same,
        }
    }

    /// Returns whether it holds so much that what is left is read in shorter slices.
    fn is_over(&self) -> bool {
        let is_heavy = self.fetched.bytes > MOST_BYTES && self.slice.is_divisible();
        self.fetched.records.len() > MOST_RECORDS || is_heavy
    }

    fn overflow(&self) -> SliceEnd {
        SliceEnd::Overflow {
            records: self.fetched.records.len().max(1),
            oldest: self.slice.from,
        }
    }
}
