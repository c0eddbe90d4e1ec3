//! A slice, read newest first: what to ask for after each answer, and when all of it was read. It does no I/O.
//!
//! Each answer begins a little above where the one before ended, and has to hold a record of it: so nothing between two
//! answers is missed, whatever the service makes of bounds, however much an answer holds, and whichever replica gives
//! it. The slice is complete when an answer holds a record from below it. Where that is not to be had, see [`end`]; where
//! an answer shows another order, or none, [`order`].

mod end;
mod expected;
mod order;

use chrono::{DateTime, TimeDelta, Utc};

use super::SliceEnd;
use super::above_look::AboveLook;
use super::floor::Floor;
use super::moment_looks::MomentLooks;
use crate::fetch::answer::Answer;
use crate::fetch::fetched_records::FetchedRecords;
use crate::fetch::learned::{Learned, Reach, Seen};
use crate::fetch::{FetchError, span};
use crate::record::{Anchor, Record};
use crate::source::{Page, PageRequest, Position};
use crate::window::{Slice, TICK, Window, bound, ceil_to_millisecond, floor_to_millisecond};
use end::End;
pub(super) use end::{ARCHIVED_LOOKS, END_LOOKS};
use expected::Expected;
pub(super) use expected::MOST_ANCHORS;

/// A slice with more records than this is divided, to bound memory.
const MOST_RECORDS: usize = 8_000;

/// A slice with more pages than this is divided too: it was to have a third of them.
const MOST_PAGES: usize = 60;

/// How many records of a part that was read are asked for again with what is below it.
const SHARED: usize = 3;

/// A slice with more bytes of lines than this is divided too.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// How often an answer may lack what it has to hold, when nothing further above is left to be asked for.
const MOST_FAILED_LOOKS: u32 = 5;

/// How often an answer may lack a record between others that it holds: then that record is gone.
const MOST_LAPSES: u32 = 3;

/// How often it is asked again for an answer that is the one before.
const MOST_REPEATED: u32 = 2;

/// How often a short answer is asked for again.
const SHORT_LOOKS: u32 = 2;

/// One record in so many is asked for again at each join, and one in any case.
const OVERLAP: usize = 50;

/// Of how far records are out of order, an answer shows only a part: answers overlap by twice as much as that asks for, if that is
/// no more than one part in so many of the answer.
const MOST_OF_AN_ANSWER: i32 = 8;

/// Services cut bounds to whole seconds.
const LEAST_MARGIN: TimeDelta = TimeDelta::seconds(1);

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
    /// To ask whether the service has newer records than the answer: [`Descent::above_request`].
    LookAbove,
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

/// An answer that seemed to have all of its window.
#[derive(Clone, Copy, Debug)]
struct Uncut {
    window: Window,
    oldest: DateTime<Utc>,
    count: usize,
}

#[derive(Debug)]
pub(in crate::fetch) struct Descent {
    slice: Slice,
    /// Where the slice begins while nothing is known below: what was read without finding anything is asked for again.
    open_from: DateTime<Utc>,
    floor: Floor,
    /// Up to when earlier runs have read whatever is below, if they have.
    read_to: Option<DateTime<Utc>>,
    usual_size: u32,
    /// How far below the slice is asked for while nothing is known there.
    pad: TimeDelta,
    /// Whether it is the whole window, to see how much there is.
    is_survey: bool,
    /// How many records it was to hold, if it is divided as soon as it is seen that it holds far more.
    planned: Option<usize>,
    pub(in crate::fetch) fetched: FetchedRecords,
    pub(super) upper: DateTime<Utc>,
    pub(super) size: u32,
    /// How far the current request reaches beyond [`Descent::base`], and below the floor.
    above: Reach,
    below: Reach,
    /// The newest record that the next answer has to bring.
    base: DateTime<Utc>,
    /// What the next answer has to hold.
    expected: Expected,
    /// The oldest record of the answer before.
    border: Option<DateTime<Utc>>,
    /// By how much the current request overlaps that answer: it counts once something is below, since then the answer was cut.
    overlap: Option<TimeDelta>,
    oldest: DateTime<Utc>,
    /// The window of the last answer that had records; none that holds it can have none.
    held: Option<Window>,
    /// Answers in a row that lacked what they have to hold.
    failed_looks: u32,
    /// How far the requests reached whose answers had no records, or had some but lacked one of before, or one from below.
    emptied: Option<Reach>,
    failed_above: Option<Reach>,
    failed_below: Option<Reach>,
    /// Answers in a row that showed nothing older.
    end_looks: u32,
    /// Whether it has paused where only its end is left to be looked at: what is above need not wait for that.
    has_told_end: bool,
    /// How often the end was asked for in another way, so that an answer that is cut is cut elsewhere.
    varied: i32,
    /// The last answer that seemed to have all of its window.
    uncut: Option<Uncut>,
    /// The looks at the moment that answers end with.
    moment_looks: MomentLooks,
    strays: u32,
    /// How often a short answer is still to be asked for again.
    short_looks: u32,
    /// Whether the current request looks at a border again, because of the disorder there.
    is_recheck: bool,
    /// Whether what was read of it has no gaps, down to where it goes on: it can end there.
    is_whole_above: bool,
    /// The request that showed the end of the feed, while it is looked whether something is below after all.
    end: Option<End>,
    /// An answer from below such an end: that has to be joined first.
    below_end: Option<Box<Answer>>,
    /// The answer before, and the bound that it was asked for with.
    before: Option<(DateTime<Utc>, Vec<Anchor>)>,
    /// How often in a row it came again.
    repeated: u32,
    /// An answer whose order is being tested.
    untested: Option<Page>,
    /// How it is looked whether something is above the first answer.
    pub(super) above_look: AboveLook,
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
            read_to: None,
            usual_size,
            pad,
            is_survey,
            planned: None,
            fetched,
            upper: slice.to,
            size: usual_size,
            above: Reach::default(),
            below: Reach::default(),
            base: slice.to,
            expected: Expected::default(),
            border: None,
            overlap: None,
            oldest: slice.to,
            held: None,
            failed_looks: 0,
            emptied: None,
            failed_above: None,
            failed_below: None,
            end_looks: 0,
            has_told_end: false,
            varied: 0,
            uncut: None,
            moment_looks: MomentLooks::default(),
            strays: 0,
            short_looks: 0,
            is_recheck: false,
            is_whole_above: false,
            end: None,
            below_end: None,
            before: None,
            repeated: 0,
            untested: None,
            above_look: AboveLook::default(),
        }
    }

    /// Sets up to when earlier runs have read whatever is below.
    pub(in crate::fetch) fn read_before_to(self, read_to: Option<DateTime<Utc>>) -> Self {
        Self { read_to, ..self }
    }

    /// Has it divided as soon as it is seen that it holds far more than so many records: its parts can be read at a time.
    pub(in crate::fetch) fn planned_for(self, records: Option<usize>) -> Self {
        Self {
            planned: records,
            ..self
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
            None => self.open_end() - self.pad - learned.depth() - TICK * self.varied,
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

    /// Makes what is below known, now that the slice before is in; whether that completes this one. As long as nothing is, it is
    /// asked for from `open_from` on: what came empty may have come so by a fault.
    pub(in crate::fetch) fn join(&mut self, floor: Floor, open_from: DateTime<Utc>) -> bool {
        self.floor = floor;
        self.open_from = self.open_from.min(open_from);
        self.oldest <= self.floor.newest().unwrap_or(self.oldest) && self.fetched.holds_any(self.floor.anchors())
    }

    /// Takes an answer and returns what follows.
    pub(super) fn take(&mut self, page: Page, learned: &mut Learned) -> Step {
        self.is_whole_above = false;
        let request = self.request(learned);
        let answer = Answer::of(&page, &request);
        if answer.count > 0 {
            self.held = Some(request.window);
        } else if self.held.is_some_and(|held| request.window.holds(held)) {
            self.failed_above = None;
            self.emptied = Some(self.above);
            return self.look_again(true, learned);
        }
        if !self.expected.is_empty() && !self.expected.are_shown_by(&answer) || self.lacks_the_floor(&answer, learned) {
            let is_empty = answer.count == 0;
            self.failed_above = (!is_empty).then_some(self.above);
            self.emptied = is_empty.then_some(self.above);
            return self.look_again(answer.count == 0, learned);
        }
        if self.failed_looks < MOST_LAPSES && answer.lacks_some_of(self.expected.anchors(), self.base, learned.depth())
        {
            self.failed_above = Some(self.above);
            return self.look_again(true, learned);
        }
        if self.failed_looks < MOST_LAPSES && answer.lacks_some_of_its_moment(self.expected.anchors()) {
            if self.failed_looks > 0 {
                self.note_moment(&answer, learned);
            }
            return self.look_again(true, learned);
        }
        if self.has_to_look_above(&answer, learned) {
            self.untested = Some(page);
            return Step::LookAbove;
        }
        self.take_in_order(page, answer, learned)
    }

    fn take_in_order(&mut self, page: Page, answer: Answer, learned: &mut Learned) -> Step {
        match learned.note(&answer) {
            Seen::Expected => self.take_tested(page, answer, learned),
            Seen::OutOfOrder => {
                self.untested = Some(page);
                Step::TestOrder
            }
            Seen::Scattered => Step::Scattered,
        }
    }

    /// Asks for a larger page, since one moment fills the answer: the larger one has to hold what that held.
    pub(super) fn enlarge(&mut self, answer: &Answer, largest: u32) -> Step {
        self.size = self.size.saturating_mul(2).min(largest);
        self.expected = Expected::up_to(answer, self.upper);
        Step::Ask
    }

    fn take_tested(&mut self, page: Page, answer: Answer, learned: &mut Learned) -> Step {
        if self.is_the_answer_before(&answer) {
            return Step::AskAgain(self.repeated);
        }
        self.keep_reach(learned);
        self.note_cut(&answer, learned);
        let added = self.fetched.add(page.records, page.originals);
        let new = answer.asked_for_of(added);
        self.note_moment(&answer, learned);
        self.oldest = answer.oldest().map_or(self.oldest, |oldest| oldest.min(self.oldest));
        if let Some(step) = self.limits(&answer, added.new, learned) {
            if step == Step::Overflow {
                self.go_below_too_much(answer, added.newest, learned);
            }
            return step;
        }
        if new > 0 {
            self.overlap
                .take()
                .into_iter()
                .for_each(|overlap| learned.note_overlap(overlap));
            self.end_looks = 0;
            if let Some(end) = self.end.take() {
                if end.is_told {
                    // What it said is wrong, so that moment may have more records too.
                    return self.same_moment(end.time);
                }
                return self.join_below(end, answer);
            }
            if let Some(step) = self.look_at_border(&answer, added.newest, learned) {
                return step;
            }
        }
        if self.needs_another_look(&answer, new, learned) {
            return Step::Ask;
        }
        if self.reaches_floor(&answer, learned) {
            self.keep_reach_below(learned);
            return self.end(learned);
        }
        let is_recheck = std::mem::take(&mut self.is_recheck);
        match new {
            // The oldest moment alone shows whether the answer was cut within it.
            0 if is_recheck && !answer.may_go_on() && self.floor.is_open() => {
                self.end_looks = 2;
                self.go_below(answer, learned)
            }
            0 if !is_recheck || !answer.may_go_on() => self.look_for_the_end(answer, learned),
            // What an earlier run has read need not be shown once more to hold nothing older.
            _ if self.floor.is_open() && self.ends_where_was_read(&answer, learned) => {
                match self.go_below(answer.clone(), learned) {
                    Step::Ask => self.look_for_the_end(answer, learned),
                    step => step,
                }
            }
            _ if self.floor == Floor::Awaited && !answer.may_go_on() => match self.go_below(answer, learned) {
                // What it was cut off from, if anything, is asked for once it is known what is below.
                Step::Ask => Step::Pause,
                step => step,
            },
            _ => {
                let is_whole = !is_recheck && self.has_no_gaps(&answer, added.newest, learned);
                let is_divided = is_whole && answer.may_go_on() && self.is_far_more_than_planned();
                let step = self.go_below(answer, learned);
                self.is_whole_above = is_whole && step == Step::Ask;
                if is_divided && self.is_whole_above {
                    Step::Overflow
                } else {
                    step
                }
            }
        }
    }

    /// Returns whether what was read shows that as much is left as was planned for all of it.
    fn is_far_more_than_planned(&self) -> bool {
        let held = self.fetched.records.len();
        let left = self.oldest - self.slice.from;
        let is_more = self.planned.is_some_and(|planned| held >= planned);
        is_more && left * 2 > self.slice.width() && self.slice.is_divisible()
    }

    /// Notes that the last answer was cut although nothing said so, if this one has older records of its window.
    fn note_cut(&mut self, answer: &Answer, learned: &mut Learned) {
        let Some(oldest) = answer.oldest() else { return };
        if let Some(uncut) = self.uncut
            && (uncut.window.from + LEAST_MARGIN..uncut.oldest - learned.depth()).contains(&oldest)
        {
            learned.note_cut(uncut.count);
            let missing = answer
                .anchors()
                .iter()
                .map(|anchor| anchor.time)
                .filter(|time| *time < uncut.oldest);
            let missing = missing.max().unwrap_or(oldest);
            let to = uncut.window.to;
            learned.note_short_reach(uncut.count, to - uncut.oldest, to - missing);
        }
        let window = self.request(learned).window;
        learned.note_reached(window.to - oldest);
        self.uncut = (!answer.may_go_on()).then_some(Uncut {
            window,
            oldest,
            count: answer.count,
        });
    }

    /// Returns whether nothing in an answer to the current request does not mean that nothing is there.
    pub(super) fn may_end_above(&self, learned: &Learned) -> bool {
        let asked = self.upper - self.lower(learned);
        self.can_narrow() && learned.shortest_reach().is_some_and(|reach| reach < asked)
    }

    /// Notes an answer of one moment that has fewer of it than are known, too; and whether looks agree on what there is of it.
    fn note_moment(&mut self, answer: &Answer, learned: &mut Learned) {
        let is_all = answer.is_within_a_moment() && !answer.may_go_on();
        let Some(oldest) = answer.oldest().filter(|_| is_all) else {
            return;
        };
        let (window, known) = (self.request(learned).window, self.count_of(oldest));
        if let Some(count) = self.moment_looks.note(oldest, window, answer.count, known) {
            learned.note_cut(count);
        }
    }

    /// Remembers how far a request had to reach for its answer to hold what it has to.
    fn keep_reach(&mut self, learned: &mut Learned) {
        if !self.expected.is_empty() {
            learned.above = self.above;
        }
        if self.failed_above.take() == Some(self.above) {
            learned.note_lapse();
        }
        if self.emptied.take() == Some(self.above) {
            learned.note_emptied();
        }
        self.failed_looks = 0;
    }

    /// Remembers how far a request had to reach below for its answer to hold what is known there.
    fn keep_reach_below(&mut self, learned: &mut Learned) {
        learned.below = learned.below.max(self.below);
        if self.failed_below.take() == Some(self.below) {
            learned.note_lapse();
        }
    }

    /// Returns whether an answer is the one before once more, although something else was asked for.
    fn is_the_answer_before(&mut self, answer: &Answer) -> bool {
        let before = self.before.replace((self.upper, answer.anchors().to_vec()));
        let is_same =
            |(upper, anchors): (DateTime<Utc>, Vec<Anchor>)| upper != self.upper && anchors == answer.anchors();
        let is_repeated = answer.count > 1 && !answer.is_of_one_moment() && before.clone().is_some_and(is_same);
        self.repeated = if is_repeated { self.repeated + 1 } else { 0 };
        let has_to_ask = is_repeated && self.repeated <= MOST_REPEATED;
        if has_to_ask {
            self.before = before;
        }
        has_to_ask
    }

    /// Returns what follows if it holds too much. What one answer brought at once is held already: dividing the slice would
    /// only have it brought again.
    fn limits(&self, answer: &Answer, new: usize, learned: &Learned) -> Option<Step> {
        let held = self.fetched.records.len();
        let most_records = MOST_RECORDS.min(MOST_PAGES * self.usual_size as usize);
        let is_over = held > most_records || held > 1 && self.fetched.bytes > MOST_BYTES;
        let is_all_at_once = new == 0 || new >= held && !answer.may_go_on();
        let is_read_on = !is_all_at_once && !self.reaches_floor(answer, learned);
        let has_surveyed = self.is_survey && answer.may_go_on();
        if (is_over || has_surveyed) && is_read_on && self.slice.is_divisible() {
            return Some(Step::Overflow);
        }
        self.fetched.is_too_large().then_some(Step::Fail(FetchError::Endless))
    }

    /// Returns whether the answer, which has no gaps, goes down to the end of the slice.
    fn reaches_floor(&self, answer: &Answer, learned: &Learned) -> bool {
        let depth = learned.depth();
        let Some(oldest) = answer.oldest() else { return false };
        let (Some(floor), Some(newest)) = (self.floor.oldest(), self.floor.newest()) else {
            // One record alone may have come late.
            let oldest = if answer.may_go_on() {
                answer.nth_oldest(1).unwrap_or(oldest)
            } else {
                oldest
            };
            return oldest < self.open_end() - depth;
        };
        let is_deep = depth.is_zero() || answer.says_last || oldest < floor - depth;
        // Of the moment with the newest of them the answer before may have lacked some too.
        let is_at_newest = floor_to_millisecond(oldest) == floor_to_millisecond(newest);
        let is_cut_there = answer.may_go_on() && is_at_newest && !self.floor.is_whole_with(answer.anchors());
        let meets = oldest <= newest + depth && answer.holds_any(self.floor.anchors());
        is_deep && meets && !is_cut_there || oldest < floor - depth
    }

    /// Returns whether an answer goes on below records of this walk and lacks them.
    fn lacks_the_floor(&self, answer: &Answer, learned: &Learned) -> bool {
        let is_hard = matches!(self.floor, Floor::Known { is_archived: false, .. });
        let is_below = answer.oldest().zip(self.floor.oldest());
        let is_below = is_below.is_some_and(|(oldest, floor)| oldest < floor - learned.depth());
        is_hard && self.below_end.is_none() && is_below && !answer.holds_any(self.floor.anchors())
    }

    /// Returns whether the answer has to be asked for again, until nothing new comes: if its records are in any order, a
    /// short one may lack some of them anywhere. A full one that has new ones is read on from, since the short one lacked more.
    fn needs_another_look(&mut self, answer: &Answer, new: usize, learned: &Learned) -> bool {
        let is_jumbled = answer.disorder > learned.disorder;
        self.short_looks = match (new > 0, answer.is_full) {
            (true, true) => 0,
            (true, false) if is_jumbled => SHORT_LOOKS,
            _ => self.short_looks.saturating_sub(1),
        };
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
        let whole_from = border + learned.depth();
        let records = || self.fetched.records.iter().map(Anchor::of);
        let reached = records()
            .map(|anchor| anchor.time)
            .filter(|time| whole_from <= *time)
            .min();
        let base = reached.unwrap_or(whole_from);
        let upper = ceil_to_millisecond(base + learned.above.time()).min(self.slice.to);
        if upper <= self.upper {
            return None;
        }
        self.expected = Expected::out_of_order(records(), base, whole_from);
        self.upper = upper;
        self.base = upper;
        self.is_recheck = true;
        Some(Step::Ask)
    }

    /// Goes on below an answer, with an overlap.
    pub(super) fn go_below(&mut self, answer: Answer, learned: &mut Learned) -> Step {
        let (Some(oldest), Some(next)) = (answer.oldest(), answer.nth_oldest((answer.count / OVERLAP).max(1))) else {
            // Nothing of it has a time that can be read.
            return if answer.may_go_on() {
                Step::Stuck(Box::new(answer))
            } else {
                Step::Ask
            };
        };
        let depth = learned.depth();
        let ample = depth.max((depth * 2).min(answer.span() / MOST_OF_AN_ANSWER));
        let bases = [next + ample, next + depth, oldest + depth];
        // A record there shows that the next answer reaches as far up.
        let bases = bases.into_iter().filter_map(|base| answer.nearest_from(base));
        let mut choices: Vec<_> = bases.map(|base| (base, learned.above)).collect();
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
                self.overlap = Some(upper - oldest);
                // Closer than that, the next answer is of the same moment, and may hold no less of it.
                if above >= learned.above {
                    self.size = self.size.min(self.usual_size);
                }
                self.go_to(base, above, &answer, depth);
                return Step::Ask;
            }
        }
        if !answer.may_go_on() {
            // The bound is as low as it can be: it is asked for again as it is.
            self.expected = Expected::up_to(&answer, self.upper);
            Step::Ask
        } else {
            Step::Stuck(Box::new(answer))
        }
    }

    /// Gets ready to go on below an answer with which the slice holds too much, where nothing is left open above that.
    fn go_below_too_much(&mut self, answer: Answer, newest: Option<DateTime<Utc>>, learned: &mut Learned) {
        self.is_whole_above = self.has_no_gaps(&answer, newest, learned) && self.go_below(answer, learned) == Step::Ask;
    }

    /// Returns whether nothing is left open above the end of an answer.
    fn has_no_gaps(&self, answer: &Answer, newest: Option<DateTime<Utc>>, learned: &Learned) -> bool {
        let is_all_above = self.end.is_none() && self.below_end.is_none() && !self.is_recheck && self.short_looks == 0;
        let is_in_order = learned.depth().is_zero() && answer.disorder.is_zero() && newest <= answer.newest();
        let is_below = self
            .border
            .is_none_or(|border| newest.is_none_or(|newest| newest <= border));
        is_all_above && is_in_order && is_below
    }

    /// Makes what was read of a slice that held too much a slice of its own, the newer part of it up to a time, to which what is
    /// below and above can be joined; returns whether it can be.
    pub(in crate::fetch) fn end_above(&mut self, to: DateTime<Utc>, learned: &Learned) -> bool {
        if !std::mem::take(&mut self.is_whole_above) || !learned.depth().is_zero() {
            return false;
        }
        let mut times: Vec<_> = self.fetched.records.iter().map(|record| record.time).collect();
        let Some(last) = times.len().checked_sub(1) else {
            // All of it is newer than the run.
            return false;
        };
        let (_, shared, _) = times.select_nth_unstable(SHARED.min(last));
        let above_oldest = (self.oldest + learned.margin()).max(*shared);
        let from = ceil_to_millisecond(above_oldest).max(self.upper);
        let is_part = from < to;
        if is_part {
            self.slice = Slice { from, to };
            // Where nothing is known below, what the next answer has to hold is asked for all the same.
            self.open_from = from.min(self.oldest);
            self.floor = Floor::Awaited;
        }
        is_part
    }

    fn go_to(&mut self, base: DateTime<Utc>, above: Reach, answer: &Answer, depth: TimeDelta) {
        self.base = base;
        self.above = above;
        self.upper = ceil_to_millisecond(base + above.time());
        self.expected = if depth.is_zero() {
            Expected::up_to(answer, base)
        } else {
            let whole_from = answer.oldest().map_or(base, |oldest| oldest + depth);
            Expected::out_of_order(answer.anchors().iter().copied(), base, whole_from)
        };
        self.border = answer.oldest();
    }

    /// Goes on below a moment that was read page by page, from the answer that reaches below it.
    pub(super) fn go_on_behind(&mut self, answer: Answer, learned: &mut Learned) -> Step {
        self.oldest = answer.oldest().map_or(self.oldest, |oldest| oldest.min(self.oldest));
        if let Some(step) = self.limits(&answer, answer.count, learned) {
            return step;
        }
        if self.reaches_floor(&answer, learned) {
            return self.end(learned);
        }
        self.go_below(answer, learned)
    }

    /// Handles an answer that lacks what it has to hold: asks again, and further above.
    ///
    /// The first time, the bound is the likely reason; then a replica, which another look may not meet. Of an answer without
    /// records, or one that has others from around what it lacks, a fault is the likely reason.
    fn look_again(&mut self, is_fault: bool, learned: &Learned) -> Step {
        self.failed_looks += 1;
        let is_odd = self.failed_looks % 2 == 1;
        if is_odd != is_fault {
            if self.ends_at_the_floor() {
                self.below = self.below.longer().unwrap_or(self.below);
            }
            match self.above.longer() {
                Some(longer) => self.above = longer,
                None if self.failed_looks > MOST_FAILED_LOOKS => return self.contradiction(learned),
                None => {}
            }
        }
        self.upper = ceil_to_millisecond(self.base + self.above.time()).min(self.slice.to.max(self.upper));
        Step::AskAgain(self.failed_looks)
    }

    /// Returns whether what the next answer has to hold is about as old as what is known below: the lower bound may keep it out, too.
    fn ends_at_the_floor(&self) -> bool {
        let newest = self.expected.newest();
        let floor = self.floor.newest().map(|floor| floor + LEAST_MARGIN);
        newest.is_some() && newest <= floor
    }

    fn count_of(&self, time: DateTime<Utc>) -> usize {
        self.anchors_of(Some(time)).count()
    }

    /// Returns the records of the millisecond of a time that answers have given.
    pub(super) fn anchors_of(&self, time: Option<DateTime<Utc>>) -> impl Iterator<Item = Anchor> + '_ {
        let moment = time.map(floor_to_millisecond);
        let of_moment = move |record: &&Record| Some(floor_to_millisecond(record.time)) == moment;
        self.fetched.records.iter().filter(of_moment).map(Anchor::of)
    }

    fn same_moment(&self, moment: DateTime<Utc>) -> Step {
        same_time(moment, self.count_of(moment))
    }

    fn contradiction(&self, learned: &Learned) -> Step {
        let moment = floor_to_millisecond(self.oldest);
        if self.count_of(moment) >= SUSPICIOUS {
            // The service gives no more of a moment than an answer holds.
            return self.same_moment(moment);
        }
        let expected = self.expected.newest();
        let lacks = match self.floor.newest() {
            Some(below) if self.end_looks > self.failed_looks => below,
            _ => expected.unwrap_or(self.base),
        };
        Step::Fail(FetchError::Contradiction {
            lacks: bound(lacks),
            span: span(self.lower(learned), self.upper),
            looks: self.failed_looks.max(self.end_looks),
        })
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

pub(super) fn same_time(time: DateTime<Utc>, count: usize) -> Step {
    Step::Fail(FetchError::SameTime {
        time: bound(time),
        count,
    })
}
