//! What a slice does at its end: where nothing older comes, it is looked whether that is true, and for what has to be below.

use chrono::{DateTime, TimeDelta, Utc};

use super::expected::Expected;
use super::{Descent, MOST_FAILED_LOOKS, SUSPICIOUS, Step, same_time};
use crate::fetch::answer::Answer;
use crate::fetch::learned::{Learned, Reach};
use crate::fetch::slice::floor::Floor;
use crate::fetch::warn_of_lost;
use crate::window::{TICK, floor_to_millisecond};

/// How often the end of a feed is looked at again, once an answer has shown nothing older.
pub(in crate::fetch::slice) const END_LOOKS: u32 = 3;

/// How often it is looked again for known records of the archive, which the service may have dropped or changed, and how
/// far below them.
pub(in crate::fetch::slice) const ARCHIVED_LOOKS: u32 = 2;
const BELOW_ARCHIVE: TimeDelta = TimeDelta::seconds(10);

/// How often it is looked strictly below that end.
const STRICT_LOOKS: u32 = 3;

/// In how many other ways the end is asked for where small answers were cut.
const MOST_VARIATIONS: i32 = 6;

/// A request that showed the end of the feed.
#[derive(Debug)]
pub(super) struct End {
    /// Where the end seems to be.
    pub(super) time: DateTime<Utc>,
    /// How far below it is looked whether there is more.
    pub(super) reach: Reach,
    /// Whether the service said that nothing is below it, behind pages of one moment.
    pub(super) is_told: bool,
    pub(super) upper: DateTime<Utc>,
    pub(super) expected: Expected,
}

impl Descent {
    /// Handles tokens that ended within a moment: nothing may be below it.
    pub(in crate::fetch::slice) fn end_within(&mut self, moment: DateTime<Utc>, learned: &mut Learned) -> Step {
        if self.fetched.holds_any(self.floor.anchors()) {
            return self.end(learned);
        }
        match self.floor {
            Floor::Awaited => Step::Pause,
            Floor::Known { is_archived, .. } => self.look_for_the_floor(None, is_archived, learned),
            Floor::Open { .. } => {
                self.end_looks = 0;
                self.look_strictly_below(moment, true, learned)
            }
        }
    }

    /// Handles an answer that has nothing new.
    pub(in crate::fetch::slice) fn look_for_the_end(&mut self, answer: Answer, learned: &mut Learned) -> Step {
        if answer.may_go_on() && answer.count > 0 {
            return Step::Stuck(Box::new(answer));
        }
        if answer.holds_any(self.floor.anchors()) {
            return self.end(learned);
        }
        match &self.floor {
            Floor::Awaited => Step::Pause,
            Floor::Open { is_last: false } if self.fetched.records.is_empty() => self.end_of_all(learned),
            Floor::Open { .. } => self.look_below(&answer, learned),
            Floor::Known { is_archived, .. } => {
                let is_archived = *is_archived;
                self.look_for_the_floor(Some(&answer), is_archived, learned)
            }
        }
    }

    /// Looks whether something is below the end that an answer shows: strictly below, since it may have been cut there.
    pub(super) fn look_below(&mut self, answer: &Answer, learned: &mut Learned) -> Step {
        self.end_looks += 1;
        let oldest = answer.oldest().or(self.end.as_ref().map(|end| end.time));
        let was_read = oldest.is_some_and(|oldest| self.was_read_before(oldest, learned));
        match (&mut self.end, answer.oldest()) {
            // The same request until it has surely been answered well, and once another one: a service may cut each answer
            // differently.
            (None, Some(_)) if self.end_looks < END_LOOKS && !was_read => {
                let is_told = std::mem::replace(&mut self.has_told_end, true);
                if is_told { Step::Ask } else { Step::Pause }
            }
            (None, Some(_)) if self.varied < variations(answer, learned) && !was_read => {
                self.varied += 1;
                Step::Ask
            }
            // Within such a moment the service was seen to cut answers.
            (None, Some(oldest)) if self.moment_looks.is_open(oldest) => self.same_moment(oldest),
            (None, Some(oldest)) => {
                self.end_looks = 0;
                self.varied = 0;
                self.warn_of_a_moment(answer, learned);
                self.look_strictly_below(floor_to_millisecond(oldest), false, learned)
            }
            (Some(_), None) if self.end_looks >= STRICT_LOOKS || was_read => self.end_of_all(learned),
            (None, None) if self.end_looks >= END_LOOKS => self.end_of_all(learned),
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

    /// Returns whether an answer seems to have all of its window, and goes down to where an earlier run has read.
    pub(super) fn ends_where_was_read(&self, answer: &Answer, learned: &Learned) -> bool {
        let oldest = answer.oldest().filter(|_| !answer.may_go_on());
        oldest.is_some_and(|oldest| self.was_read_before(oldest, learned))
    }

    /// Returns whether an earlier run has read what is below a time, and nothing has shown since that answers lack something: then
    /// it is only looked for what came late.
    pub(super) fn was_read_before(&self, time: DateTime<Utc>, learned: &Learned) -> bool {
        let is_doubtful = learned.doubts_answers() || learned.lapses > 0 || learned.may_be_cut(self.count_of(time));
        !is_doubtful && self.read_to.is_some_and(|read_to| time <= read_to)
    }

    /// Handles answers without records where nothing is known below.
    fn end_of_all(&self, learned: &Learned) -> Step {
        if self.may_end_above(learned) {
            tracing::info!("answers seem to end a while below their bound: asking for shorter spans");
            Step::TooWide
        } else {
            Step::Complete
        }
    }

    pub(super) fn look_strictly_below(&mut self, time: DateTime<Utc>, is_told: bool, learned: &Learned) -> Step {
        self.end = Some(End {
            time,
            reach: Reach::default(),
            is_told,
            upper: self.upper,
            expected: std::mem::take(&mut self.expected),
        });
        self.upper = time - TICK - learned.overshoot;
        self.base = self.upper;
        self.border = None;
        self.ask_if_there_is_room(learned)
    }

    /// Returns that nothing is left to be asked for, where the end is the end of the slice too.
    pub(super) fn ask_if_there_is_room(&self, learned: &Learned) -> Step {
        if self.upper > self.lower(learned) {
            Step::Ask
        } else {
            Step::Complete
        }
    }

    /// Asks again for the end of which an answer shows that it was none: the answers have to meet.
    pub(super) fn join_below(&mut self, end: End, answer: Answer) -> Step {
        self.floor = Floor::of(answer.anchors().to_vec(), false, true);
        self.below_end = Some(Box::new(answer));
        self.read_to = None;
        self.upper = end.upper;
        self.base = end.upper;
        self.expected = end.expected;
        Step::Ask
    }

    /// Looks again, and further below, for known records that have to be there.
    pub(super) fn look_for_the_floor(
        &mut self,
        answer: Option<&Answer>,
        is_archived: bool,
        learned: &mut Learned,
    ) -> Step {
        self.end_looks += 1;
        let is_empty = answer.is_some_and(|answer| answer.count == 0);
        self.failed_below = (!is_empty).then_some(self.below);
        if is_archived {
            return self.look_for_the_archive(is_empty, learned);
        }
        // The first time, the bound is the likely reason; of an answer without records, a fault is.
        if (self.end_looks % 2 == 1) != is_empty {
            match self.below.max(learned.below).longer() {
                Some(longer) => self.below = longer,
                // Earlier answers may have needed so long a reach already.
                None if self.end_looks <= MOST_FAILED_LOOKS => {}
                None => {
                    // The service gives no more of a moment than an answer holds.
                    let oldest = answer.and_then(Answer::oldest).map(floor_to_millisecond);
                    let is_moment = answer.is_some_and(Answer::is_of_one_moment);
                    let is_joining = self.below_end.is_some() && self.count_of(self.oldest) < SUSPICIOUS;
                    return match oldest {
                        Some(moment) if is_moment => same_time(moment, answer.map_or(0, |answer| answer.count)),
                        Some(moment) if is_joining => self.same_moment(moment),
                        _ => self.contradiction(learned),
                    };
                }
            }
        }
        Step::AskAgain(self.end_looks)
    }

    /// Looks again for records of the archive, some seconds below them, as bounds can be off by so much; after a few
    /// looks, the service has dropped or changed them.
    fn look_for_the_archive(&mut self, is_empty: bool, learned: &Learned) -> Step {
        if self.end_looks > ARCHIVED_LOOKS {
            warn_of_lost(self.floor.anchors());
            // What was looked for reaches further down than the slice, and so does what was read by now.
            self.open_from = self.open_from.min(self.lower(learned));
            self.floor = Floor::Open { is_last: true };
            self.read_to = None;
            self.end_looks = 0;
            return Step::Ask;
        }
        // Runs ask from well below the newest records, and then bounds have nothing to do with it.
        let lower = self.lower(learned);
        let is_by_bounds = self.floor.newest().is_none_or(|newest| newest - lower < BELOW_ARCHIVE);
        self.below = self.below.max(learned.below).at_least(BELOW_ARCHIVE);
        self.failed_below = (!is_empty && !is_by_bounds).then_some(self.below);
        Step::AskAgain(self.end_looks)
    }

    /// Notes a moment at the end of the feed of which the service may have more than an answer holds.
    pub(super) fn warn_of_a_moment(&self, answer: &Answer, learned: &mut Learned) {
        if answer.is_of_one_moment()
            && !answer.says_last
            && answer.count >= SUSPICIOUS
            && !learned.has_given_more_than(answer.count)
        {
            learned.suspicious = Some((self.oldest, answer.count));
        }
        learned.suspect_of_a_cut(self.oldest, self.count_of(self.oldest));
    }
}

/// Returns in how many other ways the end has to be asked for, since the answer may have been cut within a moment: in more of
/// them if as small answers were cut.
fn variations(answer: &Answer, learned: &Learned) -> i32 {
    if answer.is_within_a_moment() && learned.may_be_cut(answer.count) {
        MOST_VARIATIONS
    } else {
        i32::from(answer.is_of_one_moment())
    }
}
