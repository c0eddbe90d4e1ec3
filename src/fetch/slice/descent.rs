//! A slice, read newest first: what to ask for after each answer, and when all of it was read. It does no I/O.
//!
//! Each answer begins a little above where the one before ended, and has to hold a record of it: so nothing between two
//! answers is missed, whatever the service makes of bounds, however much an answer holds, and whichever replica gives
//! it. The slice is complete when an answer holds a record from below it.

use chrono::{DateTime, TimeDelta, Utc};

use super::SliceEnd;
use super::floor::Floor;
use crate::fetch::answer::Answer;
use crate::fetch::fetched_records::FetchedRecords;
use crate::fetch::learned::{Learned, Order, Reach, Seen};
use crate::fetch::{FetchError, span, warn_of_lost};
use crate::record::{Anchor, Record};
use crate::source::{Page, PageRequest, Position};
use crate::window::{Slice, Window, bound, ceil_to_millisecond, floor_to_millisecond};

/// A slice with more records than this is divided, to bound memory.
const MOST_RECORDS: usize = 10_000;

/// A slice with more bytes of lines than this is divided too.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The finest step of bounds: every service accepts milliseconds.
pub(super) const TICK: TimeDelta = TimeDelta::milliseconds(1);

/// How often the end of a feed is looked at again, once an answer has shown nothing older.
pub(super) const END_LOOKS: u32 = 3;

/// How often it is looked for known records of the archive, which the service may have dropped or changed.
const ARCHIVED_LOOKS: u32 = 4;

/// How often it is looked strictly below that end.
const STRICT_LOOKS: u32 = 2;

/// How often a short answer is asked for again.
const SHORT_LOOKS: u32 = 2;

/// One record in so many is asked for again at each join, and one in any case.
const OVERLAP: usize = 50;

/// A record that comes later than where it belongs may do so by chance, as one that has just arrived does; more of them
/// mean that the service has no order.
const MOST_STRAYS: u32 = 8;

/// What follows from an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// To ask for [`Descent::request`].
    Ask,
    /// The same, of a service whose last answers contradicted others, so often in a row.
    AskAgain(u32),
    /// All of the slice was read.
    Complete,
    /// All was read that can be without knowing what is below.
    Pause,
    /// It holds more than is kept in memory.
    Overflow,
    /// To ask whether newer pages come first: [`Descent::order_request`].
    TestOrder,
    /// No bound divides what is left of the answer: see [`super::moment`].
    Stuck(Box<Answer>),
    /// The service answers oldest first.
    Ascending,
    /// The service has no order.
    Scattered,
    /// The service cannot answer for a slice of this width.
    TooWide,
    Fail(FetchError),
}

/// A request that showed the end of the feed.
#[derive(Debug)]
struct End {
    /// Where the end seems to be.
    time: DateTime<Utc>,
    /// How far below it is looked whether there is more.
    reach: Reach,
    upper: DateTime<Utc>,
    expected: Vec<Anchor>,
}

#[derive(Debug)]
pub(in crate::fetch) struct Descent {
    slice: Slice,
    /// Where the slice begins while nothing is known below: what was read without finding anything is asked for again.
    open_from: DateTime<Utc>,
    floor: Floor,
    usual_size: u32,
    /// How far below the slice is asked for while nothing is known there.
    pad: TimeDelta,
    /// Whether it is the whole window, to see how much there is.
    is_survey: bool,
    pub(in crate::fetch) fetched: FetchedRecords,
    pub(super) upper: DateTime<Utc>,
    pub(super) size: u32,
    /// How far the current request reaches beyond [`Descent::base`], and below the floor.
    above: Reach,
    below: Reach,
    /// The newest record that the next answer has to bring.
    base: DateTime<Utc>,
    /// The next answer has to hold one of these.
    expected: Vec<Anchor>,
    /// The oldest record of the answer before.
    border: Option<DateTime<Utc>>,
    oldest: DateTime<Utc>,
    /// Answers in a row that lacked what they have to hold.
    failed_looks: u32,
    /// Answers in a row that showed nothing older.
    end_looks: u32,
    /// Whether the end is asked for in another way, so that an answer that is cut is cut elsewhere.
    is_varied: bool,
    strays: u32,
    /// How often a short answer is still to be asked for again.
    short_looks: u32,
    /// Whether the current request looks at a border again, because of the disorder there.
    is_recheck: bool,
    /// The request that showed the end of the feed, while it is looked whether something is below after all.
    end: Option<End>,
    /// An answer from below such an end: that has to be joined first.
    below_end: Option<Box<Answer>>,
    /// An answer whose order is being tested.
    untested: Option<Page>,
}

impl Descent {
    pub(in crate::fetch) fn new(
        slice: Slice,
        open_from: DateTime<Utc>,
        floor: Floor,
        fetched: FetchedRecords,
        usual_size: u32,
        pad: TimeDelta,
        is_survey: bool,
    ) -> Self {
        Self {
            slice,
            open_from,
            floor,
            usual_size,
            pad,
            is_survey,
            fetched,
            upper: slice.to,
            size: usual_size,
            above: Reach::default(),
            below: Reach::default(),
            base: slice.to,
            expected: Vec::new(),
            border: None,
            oldest: slice.to,
            failed_looks: 0,
            end_looks: 0,
            is_varied: false,
            strays: 0,
            short_looks: 0,
            is_recheck: false,
            end: None,
            below_end: None,
            untested: None,
        }
    }

    pub(in crate::fetch) fn slice(&self) -> Slice {
        self.slice
    }

    /// Returns from when on it has to be asked for, by what is known below.
    pub(in crate::fetch) fn asked_from(&self) -> DateTime<Utc> {
        self.floor
            .newest()
            .map_or_else(|| self.open_end(), |newest| newest.min(self.slice.from))
    }

    /// Returns whether what is below makes what is asked for much wider than the slice.
    pub(in crate::fetch) fn reaches_far(&self) -> bool {
        self.slice.to - self.asked_from() > self.slice.width() * 2
    }

    /// Returns whether less can be asked for: of the slice, or of what is below it.
    pub(super) fn can_narrow(&self) -> bool {
        self.slice.is_divisible() || self.reaches_far()
    }

    /// Returns the page to ask for.
    pub(super) fn request(&self, learned: &Learned) -> PageRequest {
        PageRequest {
            window: Window {
                from: self.lower(learned),
                to: self.upper.max(self.lower(learned)),
            },
            position: Position::First,
            size: self.size,
        }
    }

    fn lower(&self, learned: &Learned) -> DateTime<Utc> {
        let below = self.below.max(learned.below);
        match self.floor.newest() {
            Some(newest) => floor_to_millisecond(newest.min(self.slice.from) - below.time() - learned.depth()),
            None => self.open_end() - self.pad - learned.depth() - TICK * i32::from(self.is_varied),
        }
    }

    /// Returns where the slice begins, as long as nothing is known below.
    fn open_end(&self) -> DateTime<Utc> {
        if self.floor.is_open() {
            self.open_from.min(self.slice.from)
        } else {
            self.slice.from
        }
    }

    /// Makes what is below known, now that the slice before is in; whether that completes this one.
    pub(in crate::fetch) fn join(&mut self, floor: Floor) -> bool {
        self.floor = floor;
        self.fetched.holds_any(self.floor.anchors())
    }

    /// Takes an answer and returns what follows.
    pub(super) fn take(&mut self, page: Page, learned: &mut Learned) -> Step {
        let answer = Answer::of(&page, &self.request(learned));
        if !self.expected.is_empty() && !answer.holds_any(&self.expected) {
            return self.look_again();
        }
        match learned.note(&answer) {
            Seen::Expected => self.take_tested(page, answer, learned),
            Seen::Ascending => Step::Ascending,
            Seen::OutOfOrder => {
                self.untested = Some(page);
                Step::TestOrder
            }
        }
    }

    fn take_tested(&mut self, page: Page, answer: Answer, learned: &mut Learned) -> Step {
        self.keep_reach(learned);
        let added = self.fetched.add(page.records, page.originals);
        self.oldest = answer.oldest().map_or(self.oldest, |oldest| oldest.min(self.oldest));
        if let Some(step) = self.limits(&answer, learned) {
            return step;
        }
        if added.new > 0 {
            self.end_looks = 0;
            if let Some(end) = self.end.take() {
                return self.join_below(end, answer);
            }
            if let Some(step) = self.look_at_border(&answer, added.newest, learned) {
                return step;
            }
        }
        if self.needs_another_look(&answer, added.new, learned) {
            return Step::Ask;
        }
        if self.reaches_floor(&answer, learned) {
            learned.below = learned.below.max(self.below);
            return self.end(learned);
        }
        let is_recheck = std::mem::take(&mut self.is_recheck);
        match added.new {
            0 if !is_recheck || !answer.may_go_on() => self.look_for_the_end(answer, learned),
            _ if self.floor == Floor::Awaited && !answer.may_go_on() => Step::Pause,
            _ => self.go_below(answer, learned),
        }
    }

    /// Remembers how far a request had to reach for its answer to hold what it has to.
    fn keep_reach(&mut self, learned: &mut Learned) {
        if !self.expected.is_empty() {
            learned.above = self.above;
        }
        self.failed_looks = 0;
    }

    fn limits(&self, answer: &Answer, learned: &Learned) -> Option<Step> {
        if self.fetched.is_too_large() {
            return Some(Step::Fail(FetchError::Endless { pages: 0 }));
        }
        let held = self.fetched.records.len();
        let is_over = held > MOST_RECORDS || held > 1 && self.fetched.bytes > MOST_BYTES;
        let has_surveyed = self.is_survey && answer.may_go_on() && !self.reaches_floor(answer, learned);
        ((is_over || has_surveyed) && self.slice.is_divisible()).then_some(Step::Overflow)
    }

    /// Returns whether the answer, which has no gaps, goes down to the end of the slice.
    fn reaches_floor(&self, answer: &Answer, learned: &Learned) -> bool {
        let depth = learned.depth();
        let Some(oldest) = answer.oldest() else { return false };
        let Some(floor) = self.floor.oldest() else {
            return oldest < self.open_end() - depth;
        };
        let is_deep = depth.is_zero() || answer.says_last || oldest < floor - depth;
        is_deep && answer.holds_any(self.floor.anchors()) || oldest < floor - depth
    }

    /// Returns whether the answer has to be asked for again, until nothing new comes: if its records are in any order, a
    /// short one may lack some of them anywhere.
    fn needs_another_look(&mut self, answer: &Answer, new: usize, learned: &Learned) -> bool {
        let is_jumbled = answer.disorder > learned.disorder;
        if new > 0 && is_jumbled && !answer.is_full {
            self.short_looks = SHORT_LOOKS;
        } else {
            self.short_looks = self.short_looks.saturating_sub(1);
        }
        self.is_recheck |= self.short_looks > 0;
        self.short_looks > 0
    }

    /// Handles an answer that reaches down to the end of the slice.
    fn end(&mut self, learned: &mut Learned) -> Step {
        if let Some(answer) = self.below_end.take() {
            self.floor = Floor::Open { is_last: true };
            return self.go_below(*answer, learned);
        }
        match self.floor {
            Floor::Awaited => Step::Pause,
            Floor::Open { .. } | Floor::Known { .. } => Step::Complete,
        }
    }

    /// Looks again where an answer has newer records than the end of the one before: so far, at least, neighbors can
    /// change places there.
    fn look_at_border(
        &mut self,
        answer: &Answer,
        newest: Option<DateTime<Utc>>,
        learned: &mut Learned,
    ) -> Option<Step> {
        // A newer record than the answer reaches to is a stray.
        let newest = newest.filter(|newest| answer.newest() >= Some(*newest));
        let (border, newest) = (self.border?, newest?);
        let disorder = newest - border;
        if disorder <= learned.disorder {
            return None;
        }
        self.strays += 1;
        if self.strays > MOST_STRAYS {
            return Some(Step::Scattered);
        }
        learned.note_disorder(disorder);
        let upper = ceil_to_millisecond(border + learned.depth() + learned.above.time()).min(self.slice.to);
        if upper <= self.upper {
            return None;
        }
        self.upper = upper;
        self.base = upper;
        self.expected = anchors_up_to(answer, upper);
        self.is_recheck = true;
        Some(Step::Ask)
    }

    /// Goes on below an answer, with an overlap.
    pub(super) fn go_below(&mut self, answer: Answer, learned: &mut Learned) -> Step {
        let (Some(oldest), Some(next)) = (answer.oldest(), answer.nth_oldest((answer.count / OVERLAP).max(1))) else {
            return Step::Stuck(Box::new(answer));
        };
        let depth = learned.depth();
        let mut choices = vec![(next + depth, learned.above), (oldest + depth, learned.above)];
        if depth.is_zero() {
            choices.push((oldest, Reach::default()));
        }
        // A larger page was asked for because the usual one did not get further down.
        let least = if self.size > self.usual_size {
            learned.overshoot
        } else {
            TimeDelta::zero()
        };
        for (base, above) in choices {
            let upper = ceil_to_millisecond(base + above.time());
            if upper < self.upper - least {
                self.go_to(base, above, &answer);
                return Step::Ask;
            }
        }
        if !answer.may_go_on() {
            // The bound is as low as it can be: it is asked for again as it is.
            self.expected = anchors_up_to(&answer, self.upper);
            Step::Ask
        } else {
            Step::Stuck(Box::new(answer))
        }
    }

    fn go_to(&mut self, base: DateTime<Utc>, above: Reach, answer: &Answer) {
        self.base = base;
        self.above = above;
        self.upper = ceil_to_millisecond(base + above.time());
        self.expected = anchors_up_to(answer, base);
        self.border = answer.oldest();
        self.size = self.size.min(self.usual_size);
    }

    /// Goes on below a moment that was read page by page, from the answer that reaches below it.
    pub(super) fn go_on_behind(&mut self, answer: Answer, learned: &mut Learned) -> Step {
        self.oldest = answer.oldest().map_or(self.oldest, |oldest| oldest.min(self.oldest));
        if let Some(step) = self.limits(&answer, learned) {
            return step;
        }
        if self.reaches_floor(&answer, learned) {
            return self.end(learned);
        }
        self.go_below(answer, learned)
    }

    /// Handles tokens that ended within a moment: nothing may be below it.
    pub(super) fn end_within(&mut self, moment: DateTime<Utc>, learned: &mut Learned) -> Step {
        if self.fetched.holds_any(self.floor.anchors()) {
            return self.end(learned);
        }
        match self.floor {
            Floor::Awaited => Step::Pause,
            Floor::Known { is_archived, .. } => self.look_for_the_floor(None, is_archived, learned),
            Floor::Open { .. } => {
                self.end_looks = 0;
                self.look_strictly_below(moment, learned)
            }
        }
    }

    /// Handles an answer that lacks what it has to hold: asks again, and further above.
    fn look_again(&mut self) -> Step {
        self.failed_looks += 1;
        // The first time, the bound is the likely reason; then a replica, which another look may not meet.
        if self.failed_looks % 2 == 1 {
            match self.above.longer() {
                Some(longer) => self.above = longer,
                None => return self.contradiction(),
            }
        }
        self.upper = ceil_to_millisecond(self.base + self.above.time()).min(self.slice.to.max(self.upper));
        Step::AskAgain(self.failed_looks)
    }

    fn contradiction(&self) -> Step {
        let moment = floor_to_millisecond(self.oldest);
        let of_moment = |record: &&Record| floor_to_millisecond(record.time) == moment;
        let count = self.fetched.records.iter().filter(of_moment).count();
        if count >= SUSPICIOUS {
            // The service gives no more of a moment than an answer holds.
            return same_time(moment, count);
        }
        Step::Fail(FetchError::Contradiction {
            lacks: bound(self.expected.first().map_or(self.base, |anchor| anchor.time)),
            span: span(self.slice.from, self.upper),
            looks: self.failed_looks.max(self.end_looks),
        })
    }

    /// Handles an answer that has nothing new.
    pub(super) fn look_for_the_end(&mut self, answer: Answer, learned: &mut Learned) -> Step {
        if answer.may_go_on() && answer.count > 0 {
            return Step::Stuck(Box::new(answer));
        }
        if answer.holds_any(self.floor.anchors()) {
            return self.end(learned);
        }
        match &self.floor {
            Floor::Awaited => Step::Pause,
            Floor::Open { is_last: false } if self.fetched.records.is_empty() => Step::Complete,
            Floor::Open { .. } => self.look_below(&answer, learned),
            Floor::Known { is_archived, .. } => {
                let is_archived = *is_archived;
                self.look_for_the_floor(Some(&answer), is_archived, learned)
            }
        }
    }

    /// Looks whether something is below the end that an answer shows: strictly below, since it may have been cut there.
    fn look_below(&mut self, answer: &Answer, learned: &mut Learned) -> Step {
        self.end_looks += 1;
        match (&mut self.end, answer.oldest()) {
            // The same request until it has surely been answered well, and once another one: a service may cut each answer
            // differently.
            (None, Some(_)) if self.end_looks < END_LOOKS => Step::Ask,
            (None, Some(_)) if !self.is_varied && answer.is_of_one_moment() => {
                self.is_varied = true;
                Step::Ask
            }
            (None, Some(oldest)) => {
                self.end_looks = 0;
                self.is_varied = false;
                self.warn_of_a_moment(answer, learned);
                self.look_strictly_below(floor_to_millisecond(oldest), learned)
            }
            (Some(_), None) if self.end_looks >= STRICT_LOOKS => Step::Complete,
            (None, None) if self.end_looks >= END_LOOKS => Step::Complete,
            (_, None) => Step::Ask,
            // The answer still holds the end: the request has to begin further below.
            (Some(end), Some(_)) => {
                let Some(longer) = end.reach.longer() else {
                    return same_time(end.time, answer.count);
                };
                end.reach = longer;
                self.upper = end.time - TICK - longer.time();
                self.end_looks = 0;
                self.ask_if_there_is_room(learned)
            }
        }
    }

    fn look_strictly_below(&mut self, time: DateTime<Utc>, learned: &Learned) -> Step {
        self.end = Some(End {
            time,
            reach: Reach::default(),
            upper: self.upper,
            expected: std::mem::take(&mut self.expected),
        });
        self.upper = time - TICK - learned.overshoot;
        self.base = self.upper;
        self.border = None;
        self.ask_if_there_is_room(learned)
    }

    /// Returns that nothing is left to be asked for, where the end is the end of the slice too.
    fn ask_if_there_is_room(&self, learned: &Learned) -> Step {
        if self.upper > self.lower(learned) {
            Step::Ask
        } else {
            Step::Complete
        }
    }

    /// Asks again for the end of which an answer shows that it was none: the answers have to meet.
    fn join_below(&mut self, end: End, answer: Answer) -> Step {
        self.floor = Floor::of(answer.anchors().to_vec(), false, true);
        self.below_end = Some(Box::new(answer));
        self.upper = end.upper;
        self.base = end.upper;
        self.expected = end.expected;
        Step::Ask
    }

    /// Looks again, and further below, for known records that have to be there.
    fn look_for_the_floor(&mut self, answer: Option<&Answer>, is_archived: bool, learned: &mut Learned) -> Step {
        self.end_looks += 1;
        let is_lost = is_archived && self.end_looks > ARCHIVED_LOOKS;
        if self.end_looks % 2 == 1 {
            match self.below.max(learned.below).longer().filter(|_| !is_lost) {
                Some(longer) => self.below = longer,
                None if is_archived => {
                    warn_of_lost(self.floor.anchors());
                    self.floor = Floor::Open { is_last: true };
                    self.end_looks = 0;
                    return Step::Ask;
                }
                None => {
                    // The service gives no more of a moment than an answer holds.
                    let moment = answer.filter(|answer| answer.is_of_one_moment());
                    let time = moment.and_then(Answer::oldest).zip(moment.map(|answer| answer.count));
                    return time.map_or_else(|| self.contradiction(), |(time, count)| same_time(time, count));
                }
            }
        }
        Step::AskAgain(self.end_looks)
    }

    /// Warns of a moment at the end of the feed of which the service may have more than an answer holds.
    fn warn_of_a_moment(&self, answer: &Answer, learned: &Learned) {
        if answer.is_of_one_moment()
            && !answer.says_last
            && answer.count >= SUSPICIOUS
            && !learned.has_given_more_than(answer.count)
        {
            tracing::warn!(
                time = bound(self.oldest),
                count = answer.count,
                "many records share one moment, and the service cannot show whether it has more of them: compare with \
                 its own view of that moment"
            );
        }
    }

    /// Returns the request that tests the order of the answer that is out of order: of half as many records, which are
    /// the newest if newer pages come first.
    pub(super) fn order_request(&self, learned: &Learned) -> Option<PageRequest> {
        let page = self.untested.as_ref()?;
        Some(PageRequest {
            size: u32::try_from(page.records.len() / 2).unwrap_or(u32::MAX).max(1),
            ..self.request(learned)
        })
    }

    /// Takes the answer to the test of the order.
    pub(super) fn take_test(&mut self, half: &Page, learned: &mut Learned) -> Step {
        let Some(page) = self.untested.take() else {
            return Step::Ask;
        };
        let request = self.request(learned);
        let (whole, half) = (Answer::of(&page, &request), Answer::of(half, &request));
        if half.count == 0 || half.count >= whole.count {
            self.failed_looks += 1;
            if self.failed_looks > MOST_TESTS {
                return Step::Scattered;
            }
            return Step::AskAgain(self.failed_looks);
        }
        learned.note_test(&whole, &half);
        if learned.order == Order::Unknown {
            return Step::Scattered;
        }
        self.take_tested(page, whole, learned)
    }

    /// Returns whether it has more pages than make shorter slices faster.
    pub(super) fn has_pages_to_spare(&self) -> bool {
        self.slice.is_divisible() && self.fetched.records.len() > 2 * self.usual_size as usize
    }

    pub(super) fn overflow(&self) -> SliceEnd {
        SliceEnd::Overflow {
            records: self.fetched.records.len(),
            oldest: self.oldest.max(self.slice.from),
        }
    }

    /// Asks for smaller pages because one was too large.
    ///
    /// Smaller ones are asked for from then on.
    pub(super) fn shrink_page(&mut self, error: FetchError) -> Step {
        if self.size > self.usual_size || self.size <= 1 {
            return Step::Fail(error);
        }
        self.size = (self.size / 2).max(1);
        self.usual_size = self.size;
        Step::Ask
    }
}

/// So many records of one moment at the end of a feed are suspicious if no answer had more.
const SUSPICIOUS: usize = 10;

/// How often the order is tested with answers that show nothing.
const MOST_TESTS: u32 = 4;

/// The most anchors that are remembered.
const MOST_ANCHORS: usize = 128;

/// Returns the records of an answer up to this time.
fn anchors_up_to(answer: &Answer, time: DateTime<Utc>) -> Vec<Anchor> {
    let anchors = answer.anchors().iter().rev().filter(|anchor| anchor.time <= time);
    anchors.copied().take(MOST_ANCHORS).collect()
}

pub(super) fn same_time(time: DateTime<Utc>, count: usize) -> Step {
    Step::Fail(FetchError::SameTime {
        time: bound(time),
        count,
    })
}
