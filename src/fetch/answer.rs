//! What one answer shows: the times of its records, their order, and whether more may lie behind it.

use chrono::{DateTime, TimeDelta, Utc};

use super::fetched_records::Added;
use crate::record::Anchor;
use crate::source::{Next, Page, PageRequest, Position};
use crate::window::Window;

/// Services cut and round bounds, so a record up to this far outside of the window counts as inside.
const ROUNDING: TimeDelta = TimeDelta::seconds(1);

/// Services filter by another time than the one that they show, but a record this far above the window has a wrong time.
const MOST_ABOVE: TimeDelta = TimeDelta::hours(1);

/// Records that are further from where they belong are strays, if they are few: such a time says nothing of the order.
const MOST_OF_NEIGHBORS: TimeDelta = TimeDelta::seconds(30);

/// At most one record in so many is a stray.
const STRAYS: usize = 16;

/// What an answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its records, as the service put them.
    anchors: Vec<Anchor>,
    /// The times of those that are where they belong, in the window that was asked for or little above it, oldest first: a stray record
    /// says nothing about how far the answer reaches.
    times: Vec<DateTime<Utc>>,
    /// How many records it has, unreadable ones included.
    pub(super) count: usize,
    /// Whether it has as many records as were asked for.
    pub(super) is_full: bool,
    /// The next page, if it names one.
    pub(super) next: Option<Position>,
    /// Whether it says that it is the last; not every service says anything.
    pub(super) says_last: bool,
    /// By how much a record is newer than an older one before it, at most.
    pub(super) disorder: TimeDelta,
    /// How many of its records are far from where they belong, of those in the window that was asked for.
    pub(super) strays: usize,
    /// How far its newest record is above what was asked for.
    pub(super) overshoot: TimeDelta,
    /// What was asked for.
    window: Window,
    /// Whether its oldest records come first, and not all have the same time.
    pub(super) ascends: bool,
    /// Whether its newest records come first, and not all have the same time.
    pub(super) descends: bool,
}

impl Answer {
    pub(super) fn of(page: &Page, request: &PageRequest) -> Self {
        let anchors: Vec<Anchor> = page.records.iter().flatten().map(Anchor::of).collect();
        let oldest_asked = request.window.from - ROUNDING;
        let mut times: Vec<DateTime<Utc>> = anchors.iter().map(|anchor| anchor.time).collect();
        let newest_asked = request.window.to + MOST_ABOVE;
        times.retain(|time| oldest_asked <= *time && *time <= newest_asked);
        let mut disorder = disorder_of(&times);
        let mut strays = 0;
        if disorder > MOST_OF_NEIGHBORS {
            let in_order = longest_descent(&times);
            let others = times.len() - in_order.len();
            // Many different times in order are no accident, as a few in a jumbled answer can be.
            let is_telling = in_order.chunk_by(|one, other| one == other).count() * 2 >= times.len();
            if is_telling && others * STRAYS <= times.len() {
                strays = others;
                times = in_order;
                disorder = disorder_of(&times);
            }
        }
        let ascends = times.is_sorted() && times.first() < times.last();
        let descends = times.is_sorted_by(|one, other| one >= other) && times.first() > times.last();
        // Equal times are no descending run for the sort.
        if descends {
            times.reverse();
        } else {
            times.sort_unstable();
        }
        Self {
            anchors,
            count: page.records.len(),
            is_full: page.records.len() >= request.size as usize,
            next: match &page.next {
                Next::At(position) => Some(position.clone()),
                Next::Last | Next::Unknown => None,
            },
            says_last: page.next == Next::Last,
            disorder,
            strays,
            overshoot: times
                .last()
                .map_or(TimeDelta::zero(), |newest| *newest - request.window.to),
            window: request.window,
            ascends,
            descends,
            times,
        }
    }

    /// Returns it as the last one.
    pub(super) fn into_last(self) -> Self {
        Self {
            next: None,
            says_last: true,
            ..self
        }
    }

    /// Returns its records, as the service put them.
    pub(super) fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    pub(super) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.times.first().copied()
    }

    pub(super) fn newest(&self) -> Option<DateTime<Utc>> {
        self.times.last().copied()
    }

    pub(super) fn median(&self) -> Option<DateTime<Utc>> {
        self.times.get(self.times.len() / 2).copied()
    }

    /// Returns the time of the record that this many others are older than, or the newest.
    pub(super) fn nth_oldest(&self, others: usize) -> Option<DateTime<Utc>> {
        self.times.get(others).copied().or_else(|| self.newest())
    }

    /// Returns the time of its oldest record that is no older than this.
    pub(super) fn nearest_from(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let place = self.times.partition_point(|other| *other < time);
        self.times.get(place).copied()
    }

    /// Returns whether no more than half of its records are in another answer.
    pub(super) fn shares_little_with(&self, other: &Answer) -> bool {
        let shared = self.anchors.iter().filter(|anchor| other.anchors.contains(anchor));
        shared.count() * 2 <= self.anchors.len()
    }

    /// Returns whether it holds these records and no others.
    pub(super) fn is_same_as(&self, anchors: &[Anchor]) -> bool {
        self.anchors.len() == anchors.len() && anchors.iter().all(|anchor| self.anchors.contains(anchor))
    }

    /// Returns whether its first records are those of a smaller answer, but for records that are new there.
    pub(super) fn begins_with(&self, part: &Answer) -> bool {
        let first = &self.anchors[..part.count.min(self.anchors.len())];
        part.anchors
            .iter()
            .all(|anchor| first.contains(anchor) || !self.anchors.contains(anchor))
    }

    /// Returns whether it and a smaller answer both ascend, and hold the same records up to the newest moment of that: those of
    /// one moment may come in any order, and it ends within one.
    pub(super) fn ascends_beyond(&self, part: &Answer) -> bool {
        let Some(newest) = part.newest() else { return false };
        let before = |answer: &Answer| -> Vec<Anchor> {
            let anchors = answer.anchors.iter().filter(|anchor| anchor.time < newest);
            let mut anchors: Vec<Anchor> = anchors.copied().collect();
            anchors.sort_unstable();
            anchors
        };
        let shared = before(part);
        self.ascends && part.ascends && !shared.is_empty() && shared == before(self)
    }

    /// Returns whether none of its records that a smaller answer lacks is newer than one of that.
    pub(super) fn is_older_behind(&self, part: &Answer) -> bool {
        let rest = self.anchors.iter().filter(|anchor| !part.anchors.contains(anchor));
        rest.map(|anchor| anchor.time).max() <= part.oldest()
    }

    /// Returns how many of what an answer added may be of the time that was asked for: others say nothing of that.
    pub(super) fn asked_for_of(&self, added: Added) -> usize {
        let (Some(oldest), Some(newest)) = (added.oldest, added.newest) else {
            return added.new;
        };
        let is_elsewhere = newest < self.window.from - MOST_ABOVE || self.window.to + MOST_ABOVE < oldest;
        if is_elsewhere { 0 } else { added.new }
    }

    /// Returns how much time its records span.
    pub(super) fn span(&self) -> TimeDelta {
        match (self.oldest(), self.newest()) {
            (Some(oldest), Some(newest)) => newest - oldest,
            _ => TimeDelta::zero(),
        }
    }

    /// Returns whether it has several records, all of one millisecond.
    pub(super) fn is_of_one_moment(&self) -> bool {
        self.count > 1 && self.span().num_milliseconds() == 0
    }

    /// Returns whether it has one record, or several of one millisecond.
    pub(super) fn is_within_a_moment(&self) -> bool {
        self.count == 1 || self.is_of_one_moment()
    }

    /// Returns whether it may go on: it is full, or names a next page. Nothing else proves anything: a service may cap
    /// an answer as it likes.
    pub(super) fn may_go_on(&self) -> bool {
        self.is_full || self.next.is_some()
    }

    /// Returns how many records it has, if they are fewer than were asked for although it names another page: with fewer asked
    /// for, pages end elsewhere.
    pub(super) fn short_page(&self) -> Option<u32> {
        let is_short = !self.is_full && self.next.is_some() && self.count > 0;
        is_short
            .then_some(self.count)
            .and_then(|count| u32::try_from(count).ok())
    }

    /// Returns whether it lacks some of these records, though it has others of them: as far as it reaches, and no bound that is
    /// cut close to `base` explains it, since it parts none of one time.
    pub(super) fn lacks_some_of(&self, anchors: &[Anchor], base: DateTime<Utc>, depth: TimeDelta) -> bool {
        let Some(oldest) = self.oldest() else { return false };
        let in_reach = || anchors.iter().filter(|anchor| anchor.time > oldest + depth);
        let mut lacking = in_reach().filter(|anchor| !self.anchors.contains(anchor));
        let is_parted = |lacking: &Anchor| {
            let mut of_its_time = in_reach().filter(|anchor| anchor.time == lacking.time);
            of_its_time.any(|anchor| self.anchors.contains(anchor))
        };
        lacking.any(|lacking| lacking.time < base - ROUNDING || is_parted(lacking))
    }

    /// Returns whether it holds records of one moment only, and lacks some of these, though it has others of them: it may be cut
    /// too, wherever the service cuts answers.
    pub(super) fn lacks_some_of_its_moment(&self, anchors: &[Anchor]) -> bool {
        let Some(oldest) = self.oldest().filter(|_| self.is_of_one_moment() && !self.may_go_on()) else {
            return false;
        };
        let of_moment = || anchors.iter().filter(|anchor| anchor.time == oldest);
        of_moment().any(|anchor| self.anchors.contains(anchor))
            && of_moment().any(|anchor| !self.anchors.contains(anchor))
    }

    pub(super) fn holds_any(&self, anchors: &[Anchor]) -> bool {
        let times = || anchors.iter().map(|anchor| anchor.time);
        let (Some(oldest), Some(newest)) = (times().min(), times().max()) else {
            return false;
        };
        // Most answers are of another time than a page far from them, and both may be long.
        let mut of_their_time = self
            .anchors
            .iter()
            .filter(|anchor| oldest <= anchor.time && anchor.time <= newest);
        of_their_time.any(|anchor| anchors.contains(anchor))
    }
}

/// Returns the longest part of these times, in their order, that does not ascend.
fn longest_descent(times: &[DateTime<Utc>]) -> Vec<DateTime<Utc>> {
    // The index of the last time of the best part of each length, and of the time before each.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(times.len());
    for (index, time) in times.iter().enumerate() {
        let length = ends.partition_point(|end| times[*end] >= *time);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let mut longest = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(index) = next {
        longest.push(times[index]);
        next = before[index];
    }
    longest.reverse();
    longest
}

/// Returns by how much one of these times is later than an earlier one before it, at most.
fn disorder_of(times: &[DateTime<Utc>]) -> TimeDelta {
    let mut oldest: Option<DateTime<Utc>> = None;
    let mut disorder = TimeDelta::zero();
    for time in times {
        match oldest {
            Some(before) if before < *time => disorder = disorder.max(*time - before),
            _ => oldest = Some(*time),
        }
    }
    disorder
}
