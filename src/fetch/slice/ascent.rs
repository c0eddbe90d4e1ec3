//! A window of a service that answers oldest first: the mirror image of [`super::descent`].
//!
//! It is read from its older end on. Each answer begins a little below where the one before ended, and has to hold a
//! record of it. What was read so far is complete at any time, so it is handed out in parts.

use chrono::{DateTime, TimeDelta, Utc};

use super::descent::{END_LOOKS, TICK};
use super::page_error;
use crate::fetch::answer::Answer;
use crate::fetch::fetched_records::FetchedRecords;
use crate::fetch::learned::Reach;
use crate::fetch::{FetchError, Fetcher, span};
use crate::record::Anchor;
use crate::source::{PageRequest, Position};
use crate::window::{Window, bound, floor_to_millisecond};

/// A part that is handed out has about so many records.
const PART: usize = 2_000;

/// How often it is looked whether an end is one.
const MOST_END_LOOKS: u32 = 20;

/// The most anchors that are remembered.
const MOST_ANCHORS: usize = 128;

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
    disorder: TimeDelta,
    size: u32,
    failed_looks: u32,
    end_looks: u32,
    /// How far above the newest record it is looked whether there is more.
    above: Option<Reach>,
    /// Whether nothing is known below the window and its older end was not looked at again.
    is_open: bool,
    is_done: bool,
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
            is_open: floor.is_empty(),
            expected: floor,
            disorder: TimeDelta::zero(),
            size,
            failed_looks: 0,
            end_looks: 0,
            above: None,
            is_done: false,
        }
    }

    /// Reads the next part; `None` after the last one. Also returns up to when it is complete.
    pub(in crate::fetch) async fn next_part(
        &mut self,
        fetcher: &Fetcher,
    ) -> Result<Option<(FetchedRecords, DateTime<Utc>)>, FetchError> {
        if self.is_done {
            return Ok(None);
        }
        let mut fetched = FetchedRecords::new(self.possible_to);
        while !self.is_done && fetched.records.len() < PART {
            self.ask(fetcher, &mut fetched).await?;
        }
        let done_to = if self.is_done { self.window.to } else { self.base };
        Ok(Some((fetched, done_to.clamp(self.window.from, self.window.to))))
    }

    async fn ask(&mut self, fetcher: &Fetcher, fetched: &mut FetchedRecords) -> Result<(), FetchError> {
        let request = self.request();
        let page = match fetcher.first_page(&request, false).await {
            Ok(page) => page,
            Err(error) => return page_error(error),
        };
        let answer = Answer::of(&page, &request);
        if let Some(above) = self.above {
            self.look_above(above, &answer);
            return Ok(());
        }
        if !self.expected.is_empty() && !answer.holds_any(&self.expected) {
            return self.look_again(fetcher).await;
        }
        self.usual_reach = self.usual_reach.max(self.reach);
        self.failed_looks = 0;
        let added = fetched.add(page.records, page.originals);
        if fetched.is_too_large() {
            return Err(FetchError::Endless { pages: 0 });
        }
        self.go_on(fetcher, &answer, added.new)
    }

    fn request(&self) -> PageRequest {
        let from = match self.above {
            Some(above) => self.base + TICK + above.time(),
            None => self.base - self.reach.time() - self.disorder * 2,
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
    fn go_on(&mut self, fetcher: &Fetcher, answer: &Answer, new: usize) -> Result<(), FetchError> {
        if self.is_open && answer.count > 0 {
            if self.end_looks + 1 < END_LOOKS {
                // Its older end is looked at again: nothing else shows that the first answer began there.
                self.end_looks += 1;
                return Ok(());
            }
            self.is_open = false;
            self.end_looks = 0;
        }
        match answer.newest() {
            Some(newest) if new > 0 || newest > self.base => {
                self.end_looks = 0;
                self.go_above(answer, newest);
                Ok(())
            }
            Some(_) if answer.may_go_on() => self.enlarge(fetcher, answer),
            _ => self.look_for_the_end(answer),
        }
    }

    /// Looks again for more, when an answer brought nothing new.
    fn look_for_the_end(&mut self, answer: &Answer) -> Result<(), FetchError> {
        self.end_looks += 1;
        if self.end_looks > MOST_END_LOOKS {
            return Err(FetchError::SameTime {
                time: bound(self.base),
                count: answer.count,
            });
        }
        if answer.count == 0 {
            self.is_done = self.end_looks >= END_LOOKS;
        } else {
            // The answer may have been cut within a moment: then something is above it.
            self.above = Some(Reach::default());
        }
        Ok(())
    }

    /// Takes an answer for what is strictly above the newest record: nothing, if that was the end.
    fn look_above(&mut self, above: Reach, answer: &Answer) {
        self.end_looks += 1;
        match answer.newest() {
            None => self.is_done = self.end_looks > END_LOOKS,
            Some(newest) if newest > self.base => self.above = None,
            // The answer still holds the end: the request has to begin further above.
            Some(_) => self.above = above.longer(),
        }
    }

    /// Goes on above an answer, with an overlap.
    fn go_above(&mut self, answer: &Answer, newest: DateTime<Utc>) {
        self.base = newest;
        self.reach = self.usual_reach;
        let from = newest - self.disorder * 2;
        let anchors = answer.anchors().iter().rev().filter(|anchor| anchor.time >= from);
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

    /// Asks for more records, because one moment fills the answer.
    fn enlarge(&mut self, fetcher: &Fetcher, answer: &Answer) -> Result<(), FetchError> {
        let largest = fetcher.source().largest_page();
        if self.size >= largest {
            return Err(FetchError::SameTime {
                time: bound(self.base),
                count: answer.count,
            });
        }
        self.size = self.size.saturating_mul(2).min(largest);
        Ok(())
    }
}
