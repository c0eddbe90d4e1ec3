//! A window of a service that answers oldest first: the mirror image of [`super::descent`].
//!
//! It is read from its older end on. Each answer begins a little below where the one before ended, and has to hold a
//! record of it. What was read so far is complete at any time, so it is handed out in parts.

use chrono::{DateTime, TimeDelta, Utc};

use super::descent::END_LOOKS;
use super::page_error;
use crate::fetch::answer::Answer;
use crate::fetch::fetched_records::FetchedRecords;
use crate::fetch::learned::Reach;
use crate::fetch::{FetchError, Fetcher};
use crate::record::Anchor;
use crate::source::{PageRequest, Position};
use crate::window::{Window, bound, floor_to_millisecond};

/// A part that is handed out has about so many records.
const PART: usize = 2_000;

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
        let request = PageRequest {
            window: Window {
                from: floor_to_millisecond(self.base - self.reach.time() - self.disorder * 2),
                to: self.window.to,
            },
            position: Position::First,
            size: self.size,
        };
        let page = match fetcher.page(&request, false).await {
            Ok(page) => page,
            Err(error) => return page_error(error),
        };
        let answer = Answer::of(&page, &request);
        if !self.expected.is_empty() && !answer.holds_any(&self.expected) {
            return self.look_again(fetcher).await;
        }
        self.usual_reach = self.usual_reach.max(self.reach);
        self.failed_looks = 0;
        let added = fetched.add(page.records, page.originals);
        fetcher.learn(|learned| learned.note_use(added.new));
        if fetched.is_too_large() {
            return Err(FetchError::Endless { pages: 0 });
        }
        if self.is_open && answer.count > 0 && self.end_looks < END_LOOKS {
            // Its older end is looked at again: nothing else shows that the first answer began there.
            self.end_looks += 1;
            return Ok(());
        }
        if self.is_open && answer.count > 0 {
            self.is_open = false;
            self.end_looks = 0;
        }
        match answer.newest() {
            Some(newest) if added.new > 0 || newest > self.base => {
                self.end_looks = 0;
                self.go_above(&answer, newest);
                Ok(())
            }
            _ if answer.may_go_on() && answer.count > 0 => self.enlarge(fetcher, &answer),
            _ if self.end_looks < END_LOOKS => {
                self.end_looks += 1;
                Ok(())
            }
            _ => {
                self.is_done = true;
                Ok(())
            }
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
                from: bound(self.base),
                to: bound(self.window.to),
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
