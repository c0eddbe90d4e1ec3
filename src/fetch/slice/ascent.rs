//! A window of a service that answers oldest first: the mirror image of [`super::descent`].
//!
//! It is read from its older end on. Each answer begins a little below where the one before ended, and has to hold a
//! record of it. What was read so far is complete at any time, so it is handed out in parts.

use chrono::{DateTime, Utc};

use super::descent::{ARCHIVED_LOOKS, END_LOOKS, MOST_ANCHORS};
use crate::fetch::answer::Answer;
use crate::fetch::fetched_records::FetchedRecords;
use crate::fetch::learned::Reach;
use crate::fetch::{FetchError, Fetcher, span, warn_of_lost};
use crate::record::Anchor;
use crate::source::{PageRequest, Position};
use crate::window::{TICK, Window, bound, floor_to_millisecond};

/// A part that is handed out has about so many records.
const PART: usize = 2_000;

/// How often it is looked whether an end is one.
const MOST_END_LOOKS: u32 = 20;

/// How often an answer may lack what is strictly above it.
const MOST_CUT_LOOKS: u32 = 2;

/// A window that is read from its older end on.
#[derive(Debug)]
pub(in crate::fetch) struct Ascent {
    window: Window,
    possible_to: DateTime<Utc>,
    /// The oldest record that the next answer has to bring, and how far the request reaches below it.
    base: DateTime<Utc>,
    reach: Reach,
    /// How far requests had to reach so far.
    usual_reach: Reach,
    /// The next answer has to hold one of these.
    expected: Vec<Anchor>,
    /// Whether these are from the archive: the service may have dropped or changed them.
    is_archived: bool,
    size: u32,
    failed_looks: u32,
    end_looks: u32,
    /// How far above the newest record it is looked whether there is more.
    above: Option<Above>,
    /// How often in a row something was there, but not in the answer that begins at the newest record.
    cut_looks: u32,
    /// How often it still has to be looked whether something is below the oldest record, where nothing is known there.
    looks_below: u32,
    is_done: bool,
}

/// How far above the newest record it is looked whether there is more, and how often nothing was there.
#[derive(Clone, Copy, Debug, Default)]
struct Above {
    reach: Reach,
    empty: u32,
}

/// How the reading of a part ended.
#[derive(Debug)]
pub(in crate::fetch) enum AscentEnd {
    /// It is complete up to this time.
    Part(Box<FetchedRecords>, DateTime<Utc>),
    /// Nothing is left.
    Done,
    /// The service does not answer oldest first after all.
    Scattered,
}

impl Ascent {
    /// Begins above these records, or at the older end of the window.
    pub(in crate::fetch) fn new(window: Window, floor: Vec<Anchor>, possible_to: DateTime<Utc>, size: u32) -> Self {
        let newest = floor.iter().map(|anchor| anchor.time).max();
        Self {
            window,
            possible_to,
            base: newest.map_or(window.from, |newest| newest.min(window.from)),
            reach: Reach::default(),
            usual_reach: Reach::default(),
            looks_below: if floor.is_empty() { END_LOOKS } else { 0 },
            is_archived: !floor.is_empty(),
            expected: floor,
            size,
            failed_looks: 0,
            end_looks: 0,
            above: None,
            cut_looks: 0,
            is_done: false,
        }
    }

    /// Reads the next part.
    pub(in crate::fetch) async fn next_part(&mut self, fetcher: &Fetcher) -> Result<AscentEnd, FetchError> {
        if self.is_done {
            return Ok(AscentEnd::Done);
        }
        let mut fetched = FetchedRecords::new(self.possible_to);
        while !self.is_done && fetched.records.len() < PART {
            if !self.ask(fetcher, &mut fetched).await? {
                return Ok(AscentEnd::Scattered);
            }
        }
        let done_to = if self.is_done { self.window.to } else { self.base };
        let done_to = done_to.clamp(self.window.from, self.window.to);
        Ok(AscentEnd::Part(Box::new(fetched), done_to))
    }

    /// Asks once; returns whether the answer is still one of a service that answers oldest first.
    async fn ask(&mut self, fetcher: &Fetcher, fetched: &mut FetchedRecords) -> Result<bool, FetchError> {
        let request = self.request();
        let page = fetcher.believed_page(&request, false).await?;
        let answer = Answer::of(&page, &request);
        if let Some(above) = self.above {
            return self.look_above(above, &answer).map(|()| true);
        }
        let is_missing = !self.expected.is_empty() && !answer.holds_any(&self.expected);
        if is_missing && self.is_archived && self.failed_looks >= ARCHIVED_LOOKS {
            warn_of_lost(&self.expected);
            self.expected.clear();
            self.looks_below = END_LOOKS;
        } else if is_missing {
            return self.look_again(fetcher).await.map(|()| true);
        }
        if !answer.ascends && !answer.span().is_zero() {
            return Ok(false);
        }
        self.usual_reach = self.usual_reach.max(self.reach);
        self.is_archived = false;
        self.failed_looks = 0;
        let added = fetched.add(page.records, page.originals);
        if fetched.is_too_large() {
            return Err(FetchError::Endless);
        }
        if !self.look_below(fetcher, &answer).await? {
            return Ok(false);
        }
        self.go_on(fetcher, &answer, added.new)
    }

    /// Looks whether something is below the first answer: then older records do not come first.
    async fn look_below(&mut self, fetcher: &Fetcher, first: &Answer) -> Result<bool, FetchError> {
        let Some(oldest) = first.oldest().map(floor_to_millisecond) else {
            return Ok(true);
        };
        let to = oldest - TICK;
        let request = PageRequest {
            window: Window { to, ..self.window },
            position: Position::First,
            size: self.size,
        };
        for _ in 0..std::mem::take(&mut self.looks_below) {
            if to <= self.window.from {
                break;
            }
            let page = fetcher.first_page(&request, false).await?;
            if Answer::of(&page, &request).oldest().is_some_and(|below| below < oldest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn request(&self) -> PageRequest {
        let from = match self.above {
            Some(above) => self.base + TICK + above.reach.time(),
            None => self.base - self.reach.time(),
        };
        PageRequest {
            window: Window {
                from: floor_to_millisecond(from).min(self.window.to),
                to: self.window.to,
            },
            position: Position::First,
            size: self.size,
        }
    }

    /// Decides what to ask for after an answer that is joined to the one before and brought so many new records.
    fn go_on(&mut self, fetcher: &Fetcher, answer: &Answer, new: usize) -> Result<bool, FetchError> {
        match answer.newest() {
            Some(newest) if new > 0 || newest > self.base => {
                self.end_looks = 0;
                self.go_above(answer, newest);
                Ok(true)
            }
            Some(_) if answer.may_go_on() => self.enlarge(fetcher, answer),
            _ => self.look_for_the_end(answer).map(|()| true),
        }
    }

    /// Looks again for more, when an answer brought nothing new.
    fn look_for_the_end(&mut self, answer: &Answer) -> Result<(), FetchError> {
        self.end_looks += 1;
        if self.end_looks > MOST_END_LOOKS {
            return Err(self.same_time(answer));
        }
        if answer.count == 0 || !self.has_room_above(Reach::default()) {
            self.is_done = self.end_looks >= END_LOOKS;
        } else {
            // The answer may have been cut within a moment: then something is above it.
            self.above = Some(Above::default());
        }
        Ok(())
    }

    /// Takes an answer for what is strictly above the newest record: nothing, if that was the end.
    fn look_above(&mut self, mut above: Above, answer: &Answer) -> Result<(), FetchError> {
        let is_cut = answer.newest().is_some_and(|newest| newest > self.base);
        if answer.count == 0 {
            above.empty += 1;
        } else if !is_cut {
            // The answer still holds the end: the request has to begin further above.
            match above.reach.longer() {
                Some(longer) if self.has_room_above(longer) => above.reach = longer,
                // What is above the newest record is above the window too.
                Some(_) => above.empty = END_LOOKS,
                None => return Err(self.same_time(answer)),
            }
        }
        self.is_done = above.empty >= END_LOOKS;
        self.above = (!is_cut).then_some(above);
        self.cut_looks += u32::from(is_cut);
        if self.cut_looks > MOST_CUT_LOOKS {
            // The service gives no more of a moment than an answer holds.
            return Err(self.same_time(answer));
        }
        Ok(())
    }

    /// Returns whether something of the window is so far above the newest record.
    fn has_room_above(&self, reach: Reach) -> bool {
        floor_to_millisecond(self.base + TICK + reach.time()) <= self.window.to
    }

    fn same_time(&self, answer: &Answer) -> FetchError {
        FetchError::SameTime {
            time: bound(self.base),
            count: answer.count,
        }
    }

    /// Goes on above an answer, with an overlap.
    fn go_above(&mut self, answer: &Answer, newest: DateTime<Utc>) {
        self.base = newest;
        self.cut_looks = 0;
        self.reach = self.usual_reach;
        let anchors = answer.anchors().iter().rev().filter(|anchor| anchor.time >= newest);
        self.expected = anchors.copied().take(MOST_ANCHORS).collect();
    }

    async fn look_again(&mut self, fetcher: &Fetcher) -> Result<(), FetchError> {
        self.failed_looks += 1;
        if self.failed_looks % 2 == 1 {
            self.reach = self.reach.longer().ok_or_else(|| FetchError::Contradiction {
                lacks: bound(self.base),
                span: span(self.base, self.window.to),
                looks: self.failed_looks,
            })?;
        }
        fetcher.pause_before_look(self.failed_looks).await;
        Ok(())
    }

    /// Asks for more records, because one moment fills the answer; returns whether that is possible. Where the service
    /// names next pages it is not needed: those are read where no order helps.
    fn enlarge(&mut self, fetcher: &Fetcher, answer: &Answer) -> Result<bool, FetchError> {
        let largest = fetcher.source().largest_page();
        if answer.next.is_some() {
            return Ok(false);
        }
        if self.size >= largest {
            return Err(self.same_time(answer));
        }
        self.size = self.size.saturating_mul(2).min(largest);
        Ok(true)
    }
}
