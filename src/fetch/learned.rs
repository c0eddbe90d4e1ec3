//! What the answers have shown of a service: how far its bounds reach, and in which order it answers.
//!
//! A walk begins with what earlier runs have seen, or with what is most likely, and every answer tests it. What was refuted
//! stays refuted.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::short_reach::ShortReach;

/// How far a request reaches beyond a record that its answer has to hold: services exclude bounds, cut them to whole
/// seconds, or filter by another time than the one that they show.
const REACHES: [TimeDelta; 6] = [
    TimeDelta::zero(),
    TimeDelta::milliseconds(1),
    TimeDelta::seconds(1),
    TimeDelta::seconds(10),
    TimeDelta::minutes(1),
    TimeDelta::minutes(10),
];

/// Records that are further apart are no neighbors.
const MOST_DISORDER: TimeDelta = TimeDelta::minutes(10);

/// Records that are out of order by no more than this are neighbors too: answers overlap by twice as much.
const SMALL_DISORDER: TimeDelta = TimeDelta::seconds(30);

/// Records that are out of order by no more than this part of the span of their answer are neighbors that changed places.
const NEIGHBORS: i32 = 4;

/// A record that is further above the bound that was asked for has a wrong time, and says nothing of the bound.
const MOST_OVERSHOOT: TimeDelta = TimeDelta::seconds(30);

/// With fewer records, an answer shows no order: by chance they may ascend, or descend.
const FEWEST: usize = 6;

/// So many answers after a lapse are doubted, in this run and the next ones: see [`super::lapse`].
const DOUBTED: u32 = 50;

/// After so many runs that looked above a small answer in vain, the next ones do not.
const ENOUGH_LOOKS_ABOVE: u32 = 3;

/// After so many looks of one run above small answers in vain, only one that ascends is looked above.
const ENOUGH_LOOKS_ABOVE_NOW: u32 = 8;

/// Services cut bounds to whole seconds.
const LEAST_MARGIN: TimeDelta = TimeDelta::seconds(1);

/// What the answers of a service have shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Learned {
    /// How far a request reaches above the newest record that it has to bring.
    pub(super) above: Reach,
    /// How far a request reaches below the oldest record that it has to bring.
    pub(super) below: Reach,
    /// How many answers are still doubted, since one has lacked what it had to hold.
    doubted: u32,
    /// How many have lacked something in this run.
    pub(super) lapses: u32,
    /// By how much records are out of order, at most.
    pub(super) disorder: TimeDelta,
    /// By how much records of one answer are out of order, at most: what comes late between two answers is not.
    swapped: TimeDelta,
    /// By how much the next answer overlapped one that was cut, at least.
    overlap: Option<TimeDelta>,
    /// How far answers reach above the bound that was asked for, at most: services round bounds up, or filter by an
    /// earlier time than the one that they show.
    pub(super) overshoot: TimeDelta,
    pub(super) order: Order,
    /// Whether an answer has shown that newer records come first. Until then it is only what is most likely.
    is_order_shown: bool,
    /// In how many runs, this one included, no look above a small answer found anything newer.
    looks_above: u32,
    /// How often in this run.
    looks_above_now: u32,
    /// Whether an answer has named a next page.
    pub(super) names_next_pages: bool,
    /// A moment at the end of the feed with so many records that there may be more of them.
    pub(super) suspicious: Option<(DateTime<Utc>, usize)>,
    /// The most records of an answer.
    most_records: usize,
    /// The fewest records of an answer that was cut although nothing said so.
    least_cut: Option<usize>,
    /// What the answers that were cut although nothing said so have in common.
    short_reach: ShortReach,
    /// The longest window that was answered for, and not refused since: such a one is not too wide, whatever fails.
    answered: TimeDelta,
    /// Whether the last window that was refused was not longer than one that was answered for: then it holds too much.
    pub(super) is_refused_by_load: bool,
    /// The length of a window for which there came an answer without records: it may have been a fault, until another one
    /// comes.
    answered_empty: TimeDelta,
    /// How many records are asked for at most, since more made an answer too large.
    pub(super) page_limit: Option<u32>,
}

/// How far a request reaches beyond a record; one of [`REACHES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reach(usize);

impl Reach {
    pub(super) fn time(self) -> TimeDelta {
        REACHES[self.0]
    }

    /// Returns the shortest one that is neither shorter than it nor than this time.
    pub(super) fn at_least(self, time: TimeDelta) -> Self {
        let long = REACHES
            .iter()
            .position(|reach| *reach >= time)
            .unwrap_or(REACHES.len() - 1);
        Self(self.0.max(long))
    }

    /// Returns the next longer one.
    pub(super) fn longer(self) -> Option<Self> {
        (self.0 + 1 < REACHES.len()).then_some(Self(self.0 + 1))
    }
}

/// What the answers of all runs have shown, on which rests that what was read is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assumptions {
    pub(crate) order: Order,
    /// Whether an answer has shown the order; otherwise nothing has spoken against it.
    pub(crate) is_order_shown: bool,
    /// In how many runs no look above a small answer found anything newer.
    pub(crate) looks_above: u32,
    /// By how much records are out of order at most, in milliseconds.
    pub(crate) disorder_ms: i64,
    /// How far a request has to reach above and below a record that it is to bring, in milliseconds.
    pub(crate) above_ms: i64,
    pub(crate) below_ms: i64,
    /// By how much records of one answer are out of order at most, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) swapped_ms: i64,
    /// By how much answers overlapped at least where one was cut, in milliseconds: a record that is further from where it belongs
    /// may have been missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) overlap_ms: Option<i64>,
    /// How far below their upper bound answers reach, in milliseconds, if they seem to end there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reach_ms: Option<i64>,
    /// How many of the next answers are doubted, since one has lacked what it had to hold.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) doubted: u32,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl From<Assumptions> for Learned {
    fn from(assumed: Assumptions) -> Self {
        let reach = |milliseconds| Reach::default().at_least(TimeDelta::milliseconds(milliseconds));
        Self {
            above: reach(assumed.above_ms),
            below: reach(assumed.below_ms),
            disorder: TimeDelta::milliseconds(assumed.disorder_ms).clamp(TimeDelta::zero(), MOST_DISORDER),
            order: assumed.order,
            is_order_shown: assumed.is_order_shown,
            looks_above: assumed.looks_above,
            doubted: assumed.doubted.min(DOUBTED),
            short_reach: ShortReach::known(assumed.reach_ms.map(TimeDelta::milliseconds)),
            swapped: TimeDelta::milliseconds(assumed.swapped_ms).clamp(TimeDelta::zero(), MOST_DISORDER),
            ..Self::default()
        }
    }
}

/// In which order a service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Newest first, as far as was seen: no answer was out of order.
    #[default]
    NewestFirst,
    /// Oldest first: the records of several answers ascended.
    OldestFirst,
    /// Newest page first: the records of one answer come in any order.
    NewestPageFirst,
    /// None that could be found: an answer says nothing about what is behind it.
    Unknown,
}

/// What an answer says about the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is as expected.
    Expected,
    /// It is out of order: whether newer pages come first has to be asked.
    OutOfOrder,
    /// Some of its records are far from where they belong: others may be anywhere too, also where no answer shows them.
    Scattered,
}

/// Returns whether only neighbors have changed places in an answer.
fn is_among_neighbors(answer: &Answer) -> bool {
    answer.disorder <= MOST_DISORDER && answer.disorder * NEIGHBORS <= answer.span()
}

impl Learned {
    /// Takes an answer into account.
    pub(super) fn note(&mut self, answer: &Answer) -> Seen {
        if answer.overshoot <= MOST_OVERSHOOT {
            self.overshoot = self.overshoot.max(answer.overshoot);
        }
        self.most_records = self.most_records.max(answer.count);
        self.names_next_pages |= answer.next.is_some();
        self.is_order_shown |= answer.descends && answer.count >= FEWEST;
        if self.order == Order::NewestFirst && is_among_neighbors(answer) {
            self.note_swapped(answer.disorder);
        }
        let is_ordered = answer.disorder <= self.disorder && answer.strays == 0;
        if self.order != Order::NewestFirst || is_ordered {
            return Seen::Expected;
        }
        if answer.ascends && answer.count >= FEWEST {
            return Seen::OutOfOrder;
        }
        if answer.strays > 0 {
            return Seen::Scattered;
        }
        if is_among_neighbors(answer) {
            self.disorder = answer.disorder;
            return Seen::Expected;
        }
        // The order of the last page says nothing about others.
        let is_last = answer.says_last && !answer.is_full;
        if is_last { Seen::Expected } else { Seen::OutOfOrder }
    }

    /// Returns whether an answer says too little of the order to believe that nothing newer is behind it.
    pub(super) fn leaves_order_open(&self, answer: &Answer) -> bool {
        let is_open = self.order == Order::NewestFirst && !self.is_order_shown && answer.newest().is_some();
        let is_jumbled = !answer.ascends && !answer.descends;
        let is_small = answer.count < FEWEST || answer.is_of_one_moment() || is_jumbled && !answer.may_go_on();
        let is_as_others = self.looks_above_now >= ENOUGH_LOOKS_ABOVE_NOW && !answer.ascends;
        is_open && is_small && !is_as_others
    }

    /// Takes into account that a window of this length was answered for. An answer without records may be a fault itself, so
    /// it takes two of them.
    ///
    /// Returns the longest window that was surely answered for.
    pub(super) fn note_answered(&mut self, width: TimeDelta, has_records: bool) -> TimeDelta {
        if has_records || self.answered_empty * 2 >= width {
            self.answered = self.answered.max(width);
        } else {
            self.answered_empty = width;
        }
        self.answered
    }

    /// Takes into account that a window of this length was refused, however often it was asked for; returns the longest one
    /// that was surely answered for.
    pub(super) fn note_refused(&mut self, width: TimeDelta) -> TimeDelta {
        self.is_refused_by_load = self.has_answered(width);
        self.answered = self.answered.min(width / 2);
        self.answered_empty = TimeDelta::zero();
        self.answered
    }

    /// Returns whether a window of this length was answered for before.
    pub(super) fn has_answered(&self, width: TimeDelta) -> bool {
        width <= self.answered
    }

    /// Returns what the answers have shown, for the next run.
    pub(super) fn assumptions(&self) -> Assumptions {
        Assumptions {
            order: self.order,
            is_order_shown: self.is_order_shown,
            looks_above: self.looks_above,
            disorder_ms: self.disorder.num_milliseconds(),
            above_ms: self.above.time().num_milliseconds(),
            below_ms: self.below.time().num_milliseconds(),
            doubted: self.doubted,
            swapped_ms: self.swapped.num_milliseconds(),
            overlap_ms: self.overlap.map(|overlap| overlap.num_milliseconds()),
            reach_ms: self.shortest_reach().map(|reach| reach.num_milliseconds()),
        }
    }

    /// Takes into account that the answer behind one that was cut overlaps it by so much.
    pub(super) fn note_overlap(&mut self, overlap: TimeDelta) {
        self.overlap = self.overlap.into_iter().chain([overlap]).min();
    }

    fn note_swapped(&mut self, disorder: TimeDelta) {
        self.swapped = self.swapped.max(disorder);
    }

    /// Returns whether answers overlapped by less than records are out of order.
    pub(super) fn has_overlapped_too_little(&self) -> bool {
        self.order == Order::NewestFirst && self.overlap.is_some_and(|overlap| overlap < self.swapped)
    }

    /// Forgets by how much answers overlapped, since all that they hold is read again.
    pub(super) fn forget_overlap(&mut self) {
        self.overlap = None;
    }

    /// Takes into account that a request had to reach so far below a record for its answer to hold that.
    pub(super) fn note_below(&mut self, reach: TimeDelta) {
        self.below = self.below.at_least(reach);
    }

    /// Returns how far from where it belongs a record may be given.
    pub(super) fn longest_reach(&self) -> TimeDelta {
        let reach = self.above.max(self.below).time();
        reach.max(self.overshoot) + self.depth()
    }

    /// Returns how many records of an answer have to come newest first to show that it holds whatever is newer than its oldest;
    /// `None` where the service has another order.
    pub(super) fn shows_order_with(&self) -> Option<usize> {
        let is_newest_first = matches!(self.order, Order::NewestFirst | Order::NewestPageFirst);
        is_newest_first.then_some(if self.is_order_shown { 1 } else { FEWEST })
    }

    /// Returns how close to a bound or a border an answer may lack what another one holds.
    pub(super) fn margin(&self) -> TimeDelta {
        self.longest_reach().max(LEAST_MARGIN)
    }

    /// Returns whether requests have to reach further above what they ask for than a service to the millisecond needs.
    pub(super) fn cuts_bounds(&self) -> bool {
        self.above.time() >= LEAST_MARGIN
    }

    /// Takes into account that an answer lacked a record that another one to the same request holds.
    pub(super) fn note_lapse(&mut self) {
        self.doubted = DOUBTED;
        self.lapses = self.lapses.saturating_add(1);
    }

    /// Takes into account that an answer had no records, although others to the same request do. That does not tell that one with
    /// records may lack some, but of what was read between others may have been lacking.
    pub(super) fn note_emptied(&mut self) {
        self.lapses = self.lapses.saturating_add(1);
    }

    /// Takes into account that an answer was asked for several times, and whether one of them lacked what others held.
    pub(super) fn note_repeated(&mut self, has_lapsed: bool) {
        if has_lapsed {
            self.note_lapse();
        } else {
            self.doubted = self.doubted.saturating_sub(1);
        }
    }

    /// Returns whether an answer may lack something, since others did of late.
    pub(super) fn doubts_answers(&self) -> bool {
        self.doubted > 0
    }

    /// Returns whether so many runs have looked above a small answer in vain that it may be taken as it is.
    pub(super) fn has_looked_above_often(&self) -> bool {
        self.looks_above - u32::from(self.looks_above_now > 0) >= ENOUGH_LOOKS_ABOVE
    }

    /// Takes into account that a service has nothing newer than a small answer.
    pub(super) fn note_look_above(&mut self) {
        self.looks_above = self.looks_above.saturating_add(u32::from(self.looks_above_now == 0));
        self.looks_above_now += 1;
    }

    /// Takes into account that a service has nothing newer than an answer that it cut.
    pub(super) fn note_newest_first(&mut self) {
        self.is_order_shown = true;
    }

    /// Takes a test of the order into account: `part` is what a smaller page of the same window held. If that is how the
    /// answer begins, the answer is in the order of the service; if it is the newest of it, the records of each page are
    /// jumbled, and newer pages come first.
    ///
    /// Returns the order that it shows, if it shows one.
    pub(super) fn note_test(&mut self, answer: &Answer, part: &Answer) -> Option<Order> {
        if answer.count >= FEWEST && answer.ascends_beyond(part) {
            return Some(Order::OldestFirst);
        }
        if answer.begins_with(part) {
            if answer.ascends && answer.count >= FEWEST {
                return Some(Order::OldestFirst);
            }
            let is_ordered = answer.disorder <= SMALL_DISORDER || is_among_neighbors(answer);
            if is_ordered {
                self.note_disorder(answer.disorder);
                self.note_swapped(answer.disorder);
            }
            return is_ordered.then_some(Order::NewestFirst);
        }
        if !answer.is_older_behind(part) {
            return None;
        }
        self.order = Order::NewestPageFirst;
        // What seemed to be neighbors that changed places was the order inside an answer.
        self.disorder = TimeDelta::zero();
        self.swapped = TimeDelta::zero();
        Some(Order::NewestPageFirst)
    }

    /// Takes a page behind another one into account, which ended with a record of `border`: neighbors can have changed
    /// places in it, and over that border.
    pub(super) fn note_page(&mut self, answer: &Answer, border: Option<DateTime<Utc>>) {
        let over_border = answer.newest().zip(border).map(|(newest, border)| newest - border);
        let seen = [Some(answer.disorder), over_border];
        let small = seen
            .into_iter()
            .flatten()
            .filter(|disorder| *disorder <= SMALL_DISORDER);
        if let Some(disorder) = small.max().filter(|_| self.order == Order::NewestFirst) {
            self.note_disorder(disorder);
            self.note_swapped(disorder);
        }
    }

    /// Takes into account that a record came this much later than where it belongs.
    pub(super) fn note_disorder(&mut self, disorder: TimeDelta) {
        self.disorder = self.disorder.max(disorder);
    }

    /// Returns how far two answers overlap because of the disorder.
    pub(super) fn depth(&self) -> TimeDelta {
        self.disorder * 2
    }

    /// Takes into account that an answer of so many records was cut although nothing said so: there were more of its window.
    pub(super) fn note_cut(&mut self, count: usize) {
        let is_telling = count > 0;
        self.least_cut = self.least_cut.into_iter().chain(is_telling.then_some(count)).min();
    }

    /// Takes into account that such an answer of so many records reached so far below its upper bound, and that the next record was so
    /// far below it.
    pub(super) fn note_short_reach(&mut self, count: usize, reached: TimeDelta, missed: TimeDelta) {
        self.short_reach.note(count, reached, missed);
    }

    /// Takes into account that an answer reached so far below its upper bound.
    pub(super) fn note_reached(&mut self, reached: TimeDelta) {
        self.short_reach.note_reached(reached);
    }

    /// Returns how far below their upper bound answers reach, if they seem to end there: one for a wider window that has nothing
    /// shows nothing of what is below that.
    pub(super) fn shortest_reach(&self) -> Option<TimeDelta> {
        self.short_reach.found()
    }

    /// Returns whether an answer of so many records may have been cut although nothing says so: as small ones were.
    pub(super) fn may_be_cut(&self, count: usize) -> bool {
        self.least_cut.is_some_and(|least| least <= count)
    }

    /// Notes a moment of which the service may have more than the answer of so many records, if as small ones were cut.
    pub(super) fn suspect_of_a_cut(&mut self, time: DateTime<Utc>, count: usize) {
        if self.may_be_cut(count) {
            self.suspicious = Some((time, count));
        }
    }

    /// Returns whether an answer had more records than this.
    pub(super) fn has_given_more_than(&self, records: usize) -> bool {
        self.most_records > records
    }
}
