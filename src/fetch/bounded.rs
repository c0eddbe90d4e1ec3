//! A window of a service with bounds, read in slices, oldest first; several are read at a time.
//!
//! Each slice is joined to the one before by the newest records of that one. Where these are not known yet, a slice is
//! read as far as it goes without them, and joined when the slice before is in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::ahead::{Ahead, Come};
use super::answer::Answer;
use super::completed_range::CompletedRange;
use super::fetched_records::FetchedRecords;
use super::frontier::Frontier;
use super::learned::{Learned, Order};
use super::plan::WalkPlan;
use super::reading::{FetchedSlice, Reading, fetch, paused};
use super::slice::{Ascent, AscentEnd, Descent, Floor, Gathering, SliceEnd};
use super::survey::{Difference, Survey};
use super::{FetchError, Fetcher, PageError};
use crate::record::Anchor;
use crate::source::{PageRequest, Position};
use crate::window::{Load, Slice, SlicePlan, TICK, Window, floor_to_millisecond};

/// How many records of the slice before a slice in flight should come upon.
const PAD_RECORDS: i32 = 3;

/// The least that a slice reaches below its older end: services cut bounds to whole seconds.
const LEAST_PAD: TimeDelta = TimeDelta::seconds(1);

/// A walk of fewer requests does not look at its newest end twice; and a first one.
const FEW: u64 = 20;
const FEW_AT_FIRST: u64 = 6;

/// How far below what is known the looks at the newest end reach, as long as answers lack that: of one request two answers can differ,
/// and then it is the bound that keeps it out.
const LOOKS_AT_THE_NEWEST: [TimeDelta; 4] = [
    TimeDelta::zero(),
    TimeDelta::zero(),
    TimeDelta::seconds(10),
    TimeDelta::minutes(10),
];

/// Of fewer pages, what was read of a slice is no part of its own: its end costs a request.
const FEWEST_PAGES_OF_A_PART: usize = 4;

/// How many slices may be ahead of the first one.
const MOST_AT_FIRST: usize = 4;

/// How often in a row a slice is read again that lacks what another answer gave.
const MOST_READINGS_AGAIN: u32 = 3;

/// How often all is read again since answers overlapped by too little; each time they overlap by more than twice as much.
const MOST_READINGS_WITH_MORE: u32 = 3;

pub(super) struct BoundedWalk<'a> {
    fetcher: &'a Fetcher,
    plan: WalkPlan,
    slices: SlicePlan,
    ahead: Ahead<'a>,
    /// Whether a slice of the current length was completed: until then only one is in flight, so that wrong settings,
    /// or a wrong length, cost one request and not many.
    is_proven: bool,
    /// Whether that is the oldest one with records, of which only the end is still looked at.
    is_at_the_end: bool,
    /// How many slices may be in flight by what the last ones held: it doubles with each that has records, and halves with
    /// each that has none, since those are asked for again with the next.
    most_ahead: usize,
    /// Whether no slice was read yet.
    is_first: bool,
    archived: Vec<Anchor>,
    frontier: Frontier,
    /// Whether a slice that ends well above it has read all of the newest moment: one that fills pages is not read again with
    /// each slice that has nothing.
    is_newest_whole: bool,
    pad: TimeDelta,
    /// Up to when what was read is complete; what is behind it was read without finding anything.
    proven_to: DateTime<Utc>,
    /// The narrowest window for which the service did not answer.
    refused: Option<TimeDelta>,
    survey: Option<Survey>,
    has_looked_again: bool,
    /// How often in a row a slice was read again since it lacked something.
    readings_again: u32,
    /// How often all was read again with longer overlaps.
    readings_with_more: u32,
    /// The reading of a service that answers oldest first, in place of slices.
    ascent: Option<Ascent>,
}

impl<'a> BoundedWalk<'a> {
    pub(super) fn new(fetcher: &'a Fetcher, plan: WalkPlan, archived: Vec<Anchor>) -> Self {
        let mut walk = Self {
            fetcher,
            plan,
            slices: usual_slices(plan, fetcher.source().page_size()),
            ahead: Ahead::default(),
            is_proven: false,
            is_at_the_end: false,
            most_ahead: 1,
            is_first: true,
            archived,
            frontier: Frontier::default(),
            is_newest_whole: false,
            pad: LEAST_PAD,
            proven_to: plan.window.from,
            refused: None,
            survey: None,
            has_looked_again: false,
            readings_again: 0,
            readings_with_more: 0,
            ascent: None,
        };
        walk.begin_again();
        walk
    }

    fn is_ordered(&self) -> bool {
        self.fetcher.learned().order != Order::Unknown
    }

    /// Fetches the next slice; `None` at the end of the window. When it fails, what else is under way is let in: the service
    /// may not give it again.
    pub(super) async fn next_range(&mut self) -> Result<Option<CompletedRange>, FetchError> {
        let range = self.read_next().await;
        if range.is_err() {
            self.fetcher.let_in(self.ahead.reading()).await;
        }
        range
    }

    async fn read_next(&mut self) -> Result<Option<CompletedRange>, FetchError> {
        loop {
            if let Some(ascent) = &mut self.ascent {
                match ascent.next_part(self.fetcher).await? {
                    AscentEnd::Part(fetched, done_to) => return self.hand_out(*fetched, done_to).map(Some),
                    AscentEnd::Done => return Ok(None),
                    AscentEnd::Scattered => self.change_order(Order::Unknown),
                }
            }
            self.fill();
            let range = match self.ahead.next(self.slices.position()).await {
                Some(Come::Oldest(fetched)) => self.take(fetched)?,
                Some(Come::Later(fetched)) => {
                    self.keep(fetched);
                    None
                }
                None if self.has_to_overlap_more() => None,
                None if self.look_at_the_newest_again().await? => None,
                None => return Ok(None),
            };
            if range.is_some() {
                return Ok(range);
            }
        }
    }

    /// Takes a slice, as far as it was read; returns what it completes.
    fn take(&mut self, fetched: FetchedSlice) -> Result<Option<CompletedRange>, FetchError> {
        let FetchedSlice { reading, end, took } = fetched;
        let slice = reading.slice();
        match end? {
            // What is below is asked for again with the next slice, and that proves that this one is empty.
            SliceEnd::Paused if reading.is_empty() && !self.is_asked_once(slice) => {
                self.slices.completed(slice, nothing(took));
                self.note_load(0);
                Ok(None)
            }
            SliceEnd::Complete if reading.is_empty() && self.is_open(slice) && !self.is_asked_once(slice) => {
                self.skip(slice, took);
                Ok(None)
            }
            SliceEnd::Complete => self.complete(reading, took),
            SliceEnd::Paused => self.join(reading, took),
            end => {
                self.divide(reading, end, took);
                Ok(None)
            }
        }
    }

    /// Has a slice read in another way, or in shorter ones.
    fn divide(&mut self, reading: Reading, end: SliceEnd, took: Option<Duration>) {
        match end {
            SliceEnd::Complete | SliceEnd::Paused => return,
            SliceEnd::Overflow { records, oldest } => {
                let bytes = reading.fetched().bytes;
                if self.overflow(reading, oldest, Load { records, bytes, took }) {
                    return;
                }
            }
            SliceEnd::TooWide => self.narrow(&reading),
            SliceEnd::Ascending => self.change_order(Order::OldestFirst),
            SliceEnd::Scattered => self.change_order(Order::Unknown),
        }
        // The slices behind it have the old length; they are fetched again with the new one.
        self.ahead.clear();
        self.is_proven = false;
        self.is_at_the_end = false;
    }

    /// Handles a slice that holds too much. What an answer for the whole window gave the answers for its parts have to hold too.
    ///
    /// Returns whether what was read of it, and of the slices behind it, is kept.
    fn overflow(&mut self, mut reading: Reading, oldest: DateTime<Utc>, load: Load) -> bool {
        let mut slice = reading.slice();
        if oldest < slice.from {
            // Answers without records were wrong: the slice alone would bring what is below it again and again.
            slice = self.with_what_was_skipped(slice);
        }
        let is_survey = std::mem::take(&mut self.is_first) && slice.is_long();
        // Otherwise the first page of the window did not show that it was cut.
        let is_of_one_page = is_survey && load.records <= self.fetcher.usual_size() as usize;
        if is_of_one_page || !self.ends_above(&mut reading) {
            if is_survey {
                self.survey = Some(Survey::new(&reading.fetched().records, self.settled_to()));
                self.slices.surveyed(slice, oldest, load);
            } else {
                self.slices.overflowed(slice, oldest, load);
            }
            return false;
        }
        self.keep_above(slice, reading, load);
        true
    }

    /// Keeps a slice that was read before those below it. Of one that held too much, what was not read is begun as soon as
    /// a place is free.
    fn keep(&mut self, fetched: FetchedSlice) {
        let FetchedSlice { mut reading, end, took } = fetched;
        let slice = reading.slice();
        match end {
            Ok(SliceEnd::Overflow { records, .. }) if self.ends_above(&mut reading) => {
                let bytes = reading.fetched().bytes;
                self.keep_above(slice, reading, Load { records, bytes, took });
            }
            end => {
                self.ahead.keep(FetchedSlice { reading, end, took });
                self.let_go();
            }
        }
    }

    /// Keeps what was read of a slice that held too much, which stands for its newer part.
    fn keep_above(&mut self, slice: Slice, reading: Reading, load: Load) {
        self.slices.read_above(slice, reading.slice().from, load);
        self.ahead.end_before(self.settled_to().min(self.plan.window.to));
        self.ahead.keep(paused(reading));
        self.let_go();
    }

    /// Lets go of what was read, if it takes too much memory.
    fn let_go(&mut self) {
        if let Some(from) = self.ahead.let_go() {
            self.slices.back_to(from);
        }
    }

    /// Returns a slice with what was read below it without finding anything, which slices that do not reach so far do not prove to
    /// be empty.
    fn with_what_was_skipped(&self, slice: Slice) -> Slice {
        let from = slice.from.min(self.proven_to).max(self.plan.window.from);
        Slice { from, ..slice }
    }

    /// Has what was read of a slice that held too much stand for a slice of its own, if it can be kept: without the newest end of
    /// the window, of which the service may have more by then.
    fn ends_above(&self, reading: &mut Reading) -> bool {
        let newest = self.settled_to().min(self.plan.window.to - TICK);
        let to = reading.slice().to.min(floor_to_millisecond(newest));
        self.is_ordered() && reading.end_above(to, &self.fetcher.learned())
    }

    /// Returns whether a part of a slice is well joined to what is below it: not at the newest end where bounds are cut to whole
    /// seconds, as each part there would read seconds once more.
    fn can_end_above(&self, slice: Slice) -> bool {
        let newest = self.settled_to().min(self.plan.window.to);
        slice.to < newest || !self.fetcher.learned().cuts_bounds()
    }

    /// Reads the whole window again in another order: what was filed already is then recognized.
    fn change_order(&mut self, order: Order) {
        self.proven_to = self.plan.window.from;
        self.fetcher.learn(|learned| learned.order = order);
        self.frontier = Frontier::default();
        self.is_at_the_end = false;
        self.ahead.clear();
        self.begin_again();
    }

    fn begin_again(&mut self) {
        let usual_size = self.fetcher.usual_size();
        match self.fetcher.learned().order {
            Order::NewestFirst | Order::NewestPageFirst => {}
            Order::OldestFirst => {
                let (window, possible_to) = (self.plan.window, self.plan.possible_to());
                self.ascent = Some(Ascent::new(window, self.archived.clone(), possible_to, usual_size));
            }
            Order::Unknown => {
                self.ascent = None;
                let (window, target_time) = (self.plan.window, self.plan.target_time());
                self.slices = if self.fetcher.learned().names_next_pages {
                    usual_slices(self.plan, usual_size).without_order()
                } else {
                    SlicePlan::of_single_pages(window, self.fetcher.source().largest_page(), target_time)
                };
                self.is_first = false;
            }
        }
    }

    /// Sends out as many slices as may be in flight.
    fn fill(&mut self) {
        let has_floor = self.is_proven && !self.frontier.anchors.is_empty() || self.is_at_the_end;
        let is_alone = !has_floor || !self.is_ordered();
        while let Some(position) = self.slices.position() {
            if let Some(slice) = self.ahead.at(position) {
                self.slices.skip_to(slice.to);
                continue;
            }
            let is_next = self.ahead.is_first(position);
            if !is_next && (is_alone || !self.has_room()) {
                break;
            }
            let Some(slice) = self.slices.next_slice(self.ahead.nearest_behind(position)) else {
                break;
            };
            let reading = self.begin(slice);
            self.ahead
                .begin(slice, fetch(self.fetcher, self.plan, reading, Some(Duration::ZERO)));
        }
    }

    /// Returns whether a slice may be begun that is not the next one.
    fn has_room(&self) -> bool {
        let begun = self.ahead.begun();
        self.ahead.len() < self.most_ahead >> self.ahead.empty().min(8)
            && begun < self.plan.slices_at_a_time()
            && self.plan.fits(self.ahead.bytes(), self.slices.slice_bytes(), begun + 1)
    }

    fn begin(&self, slice: Slice) -> Reading {
        let floor = if self.ahead.is_first(slice.from) {
            self.floor(slice)
        } else {
            Floor::Awaited
        };
        let open_from = self.open_from(slice);
        let fetched = FetchedRecords::new(self.plan.possible_to());
        let usual_size = self.fetcher.usual_size();
        if !self.is_ordered() {
            return Reading::Gathering(Box::new(Gathering::new(slice, open_from, floor, fetched, usual_size)));
        }
        let is_survey = self.is_first && slice.is_long();
        let pad = self.pad.min(slice.width()).max(LEAST_PAD);
        let is_divided = self.slices.has_many() && !is_survey && self.can_end_above(slice);
        let fewest = FEWEST_PAGES_OF_A_PART * usual_size as usize;
        let planned = is_divided.then(|| self.slices.planned_records(slice).max(fewest));
        let descent = Descent::new(slice, open_from, floor, fetched, usual_size, pad, is_survey);
        Reading::Descent(Box::new(descent.planned_for(planned).read_before_to(self.plan.read_to)))
    }

    /// Returns from when on a slice is asked for, as long as nothing is known below: what was read without finding anything
    /// is asked for again, as far as the service answers for windows so wide.
    fn open_from(&self, slice: Slice) -> DateTime<Utc> {
        let newest = self.frontier.anchors.first().map(|anchor| anchor.time);
        let lowest = match (newest, self.too_wide()) {
            (None, None) => self.plan.window.from,
            (Some(_), None) => slice.from,
            (newest, Some(refused)) => newest.unwrap_or(self.plan.window.from).max(slice.to - refused * 3 / 4),
        };
        lowest.min(slice.from)
    }

    /// Returns the narrowest window for which the service does not answer, or not for all of it.
    fn too_wide(&self) -> Option<TimeDelta> {
        self.refused
            .into_iter()
            .chain(self.fetcher.learned().shortest_reach())
            .min()
    }

    /// Returns whether no later slice asks for this one again: it is the last, or what is known below is out of their
    /// reach, because the service refuses windows so wide.
    fn is_asked_once(&self, slice: Slice) -> bool {
        slice.to >= self.plan.window.to || self.too_wide().is_some()
    }

    /// Returns whether nothing is known below a slice.
    fn is_open(&self, slice: Slice) -> bool {
        self.is_ordered() && self.floor(slice).is_open()
    }

    /// Goes on behind a slice without records, which the next ones ask for again.
    fn skip(&mut self, slice: Slice, took: Option<Duration>) {
        self.is_first = false;
        self.note_short_slice();
        self.slices.completed(slice, nothing(took));
        self.is_proven = true;
        self.note_load(0);
    }

    /// Counts a slice that is as short as it is because the service refused longer ones, or says nothing of them.
    fn note_short_slice(&self) {
        if self.slices.is_refused() || self.too_wide().is_some() {
            self.fetcher.effort().note_short_slice();
        }
    }

    fn note_load(&mut self, records: usize) {
        let is_dense = records >= 2 * self.fetcher.usual_size() as usize;
        self.most_ahead = if records > 0 {
            (self.most_ahead * 2).min(self.plan.slices_ahead(is_dense))
        } else {
            (self.most_ahead / 2).max(1)
        };
    }

    /// Returns what is known below the next slice to be completed.
    fn floor(&self, slice: Slice) -> Floor {
        let is_last = self.is_asked_once(slice);
        let floor = if self.frontier.anchors.is_empty() {
            Floor::of(self.archived.clone(), true, is_last)
        } else {
            Floor::of(self.frontier.anchors.clone(), false, is_last)
                .with_whole(self.is_newest_whole.then(|| self.frontier.newest()))
        };
        let is_out_of_reach = match (floor.newest(), self.too_wide()) {
            (Some(newest), Some(refused)) => slice.to - newest >= refused,
            _ => false,
        };
        if is_out_of_reach {
            Floor::Open { is_last }
        } else {
            floor
        }
    }

    /// Handles a slice for which the service does not answer: it is asked for again in shorter ones, or without reaching
    /// down to what is known below, if that is what makes it so wide.
    fn narrow(&mut self, reading: &Reading) {
        let slice = reading.slice();
        let (asked_from, reaches_far) = reading.reach();
        let asked = slice.to - asked_from;
        self.refused = Some(self.refused.map_or(asked, |refused| refused.min(asked)));
        if !reaches_far {
            let is_by_load = self.fetcher.learned().is_refused_by_load;
            self.slices.too_wide(slice, asked, is_by_load);
        }
        self.slices.again(self.with_what_was_skipped(slice));
    }

    /// Joins a slice to the one before; it may have to be read further for that.
    fn join(&mut self, mut reading: Reading, took: Option<Duration>) -> Result<Option<CompletedRange>, FetchError> {
        let slice = reading.slice();
        let (floor, open_from) = (self.floor(slice), self.open_from(slice));
        if let Reading::Descent(descent) = &mut reading
            && descent.join(floor, open_from)
        {
            return self.complete(reading, took);
        }
        if self.is_open(slice) && !self.is_at_the_end && self.slices.has_pages_behind(reading.fetched().records.len()) {
            self.begin_above(&reading, took);
        }
        self.ahead.begin(slice, fetch(self.fetcher, self.plan, reading, took));
        Ok(None)
    }

    /// Goes on above the oldest slice with records, of which only the end is left to be looked at.
    fn begin_above(&mut self, reading: &Reading, took: Option<Duration>) {
        let FetchedRecords { records, bytes, .. } = reading.fetched();
        let (records, bytes) = (records.len(), *bytes);
        self.slices.completed(reading.slice(), Load { records, bytes, took });
        self.is_at_the_end = true;
        self.most_ahead = self.plan.slices_ahead(false).min(MOST_AT_FIRST);
    }

    /// Has the whole window read again if the answers showed, later than at some joins, that records are further from where they belong
    /// than those joins allowed for. Returns whether that is so.
    fn has_to_overlap_more(&mut self) -> bool {
        if !self.fetcher.learned().has_overlapped_too_little() || self.readings_with_more >= MOST_READINGS_WITH_MORE {
            return false;
        }
        self.readings_with_more += 1;
        self.fetcher.learn(Learned::forget_overlap);
        self.slices = usual_slices(self.plan, self.fetcher.usual_size());
        self.change_order(Order::NewestFirst);
        true
    }

    /// Looks at the newest end once more, which a walk otherwise does once: a replica that lags lacks what is there. It is not
    /// worth it where the whole walk took a few requests. Returns whether something is there that has to be read.
    async fn look_at_the_newest_again(&mut self) -> Result<bool, FetchError> {
        let Some(newest) = self.frontier.anchors.first() else {
            return Ok(false);
        };
        let is_up_to_now = self.plan.filed_to().is_none();
        let is_first = self.archived.is_empty() && self.plan.read_to.is_none();
        let few = if is_first { FEW_AT_FIRST } else { FEW };
        if self.has_looked_again || !is_up_to_now || !self.is_ordered() || self.fetcher.walk_requests() < few {
            return Ok(false);
        }
        self.has_looked_again = true;
        let (from, to) = (newest.time.min(self.plan.window.to), self.plan.window.to);
        let again = Slice { from, to };
        let known = self.frontier.newest();
        let mut lacking = None;
        for (look, reach) in (0..).zip(LOOKS_AT_THE_NEWEST) {
            if look > 0 {
                self.fetcher.pause_before_look(look).await;
            }
            let request = self.newest_request(again, reach);
            let page = match self.fetcher.first_page(&request, true).await {
                Ok(page) => page,
                Err(PageError::TooWide(_)) => return Ok(false),
                Err(PageError::TooLarge(_)) => {
                    self.slices.again(again);
                    return Ok(true);
                }
                Err(error) => return Err(error.into()),
            };
            let (settled_to, possible_to) = (self.settled_to(), self.plan.possible_to());
            let times = page.records.iter().flatten().map(|record| record.time);
            let new = times.filter(|time| from < *time && *time <= possible_to).min();
            let answer = Answer::of(&page, &request);
            let lacks_known = !answer.may_go_on() && !answer.anchors().iter().any(|anchor| known.contains(anchor));
            let has_differed = !lacks_known && lacking == Some(request.window);
            if has_differed || new.is_some_and(|oldest| oldest < settled_to) {
                self.fetcher.learn(Learned::note_lapse);
            }
            if !lacks_known && lacking.is_some() {
                self.fetcher.learn(|learned| learned.note_below(reach));
            }
            lacking = lacks_known.then_some(request.window);
            if new.is_some() {
                self.slices.again(again);
            }
            if new.is_some() || !lacks_known {
                return Ok(new.is_some());
            }
        }
        self.fetcher.learn(Learned::note_lapse);
        Ok(false)
    }

    /// Returns the request for what is newer than all that was read, which is also for the newest of that, from so far below: an answer
    /// that lacks it shows nothing.
    fn newest_request(&self, newest: Slice, reach: TimeDelta) -> PageRequest {
        let margin = self.fetcher.learned().margin().max(reach);
        PageRequest {
            window: Window::new(newest.from - margin, newest.to),
            position: Position::First,
            size: self.fetcher.usual_size(),
        }
    }

    /// Returns up to when the service has all records by now, unless one of its answers lacks some.
    fn settled_to(&self) -> DateTime<Utc> {
        self.fetcher.settled_to(self.plan.window.to)
    }

    /// Compares a slice with what other answers gave of its time, the survey among them; returns whether it has to be read once
    /// more, since it lacks something: as a replica that lags may be met twice in a row, and a record may have changed.
    fn is_read_again(&mut self, reading: &Reading) -> bool {
        let slice = reading.slice();
        let margin = self.fetcher.learned().margin();
        let fetched = reading.fetched();
        let survey = self.survey.as_ref();
        let difference = survey.and_then(|survey| survey.compare(&fetched.records, (slice.from, slice.to), margin));
        let settled = (slice.from, self.settled_to().min(slice.to - margin));
        let lacks = difference == Some(Difference::PartLacks) || self.fetcher.given().has_more_than(fetched, settled);
        if lacks || difference.is_some() {
            self.fetcher.learn(Learned::note_lapse);
        }
        let is_again = lacks && self.readings_again < MOST_READINGS_AGAIN;
        self.readings_again = if is_again { self.readings_again + 1 } else { 0 };
        if is_again {
            self.ahead.clear();
            self.slices.again(slice);
        }
        is_again
    }

    /// Completes a slice, unless it has to be read again.
    fn complete(&mut self, reading: Reading, took: Option<Duration>) -> Result<Option<CompletedRange>, FetchError> {
        if self.is_read_again(&reading) {
            return Ok(None);
        }
        self.is_first = false;
        self.note_short_slice();
        let slice = reading.slice();
        self.proven_to = slice.to;
        // What is older was read with the slice before, too.
        let own = reading
            .fetched()
            .records
            .iter()
            .filter(|record| record.time >= slice.from);
        let load = Load {
            records: own.count(),
            bytes: reading.fetched().bytes,
            took,
        };
        let records = load.records;
        self.slices.completed(slice, load);
        self.note_load(records);
        self.is_proven = true;
        let (asked_from, _) = reading.reach();
        // It was in trouble only for a while.
        self.refused = self.refused.filter(|refused| slice.to - asked_from < *refused);
        if records > 0 {
            // Where the records of an answer come in any order, only a full one shows that none is missing.
            let is_jumbled = self.fetcher.learned().order == Order::NewestPageFirst;
            let page = i32::try_from(self.fetcher.source().page_size()).unwrap_or(i32::MAX);
            let wanted = if is_jumbled { page } else { PAD_RECORDS };
            self.pad = SlicePlan::span_of(slice, load, wanted).max(LEAST_PAD);
        }
        let range = self.hand_out(reading.into_fetched(), slice.to)?;
        let margin = self.fetcher.learned().margin();
        let newest = self.frontier.anchors.first().map(|anchor| anchor.time);
        self.is_newest_whole = newest.is_some_and(|newest| newest + margin < slice.to);
        Ok(Some(range))
    }

    /// Hands out what belongs to a part that is complete up to this time.
    fn hand_out(&mut self, fetched: FetchedRecords, done_to: DateTime<Utc>) -> Result<CompletedRange, FetchError> {
        let is_last = done_to >= self.plan.window.to;
        let limit = if is_last { self.plan.filed_to() } else { Some(done_to) };
        self.frontier
            .advance(&mut self.fetcher.given(), fetched, limit, done_to)
    }
}

/// Returns the slices of the window of a plan.
fn usual_slices(plan: WalkPlan, page_size: u32) -> SlicePlan {
    SlicePlan::new(plan.window, page_size, plan.target_time())
        .of_bytes(plan.slice_bytes())
        .read_at_a_time(plan.slices_at_a_time())
}

/// The load of a slice without records.
fn nothing(took: Option<Duration>) -> Load {
    Load {
        records: 0,
        bytes: 0,
        took,
    }
}
