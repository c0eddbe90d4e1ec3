//! Whether answers agree: two that reach over one time have to hold the same records of it.
//!
//! One that lacks what another one holds came from a replica that lags, or was cut and does not say so. Which of them is to be
//! believed is for the walk; here it only comes out that not each is, whatever both were asked for.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use crate::record::Record;
use crate::source::{Next, Page, PageRequest, Position};
use crate::window::Window;

/// So many of the last answers are compared with the next one: those of neighboring slices that are under way side by side.
const REMEMBERED: usize = 8;

/// The last answers that had records.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    answers: VecDeque<Held>,
    /// Where the window of the walk ends; `None` outside of walks.
    asked_to: Option<DateTime<Utc>>,
}

/// What is known about the times that answers reach over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certainty {
    /// Up to when the service has all records by now: later ones may still come.
    pub(super) settled_to: DateTime<Utc>,
    /// From when on a record is too young to have been removed for its age.
    pub(super) kept_from: DateTime<Utc>,
    /// How far from where it belongs a record may be given.
    pub(super) margin: TimeDelta,
    /// So many records of an answer have to come newest first until it counts as one that does; `None` where they do not.
    pub(super) in_order: Option<usize>,
}

/// What an answer holds.
#[derive(Debug)]
pub(super) struct Held {
    window: Window,
    position: Position,
    /// Whether it is the first page, and nothing says that there is another one.
    is_whole: bool,
    /// The times between which it has all records; neither is one of them.
    between: Option<(DateTime<Utc>, DateTime<Utc>)>,
    oldest: DateTime<Utc>,
    settled_to: DateTime<Utc>,
    /// Its records, in order.
    records: Vec<(DateTime<Utc>, u128)>,
}

impl Held {
    /// Returns what an answer to this request holds; `None` of one without records, which shows nothing.
    pub(super) fn of(page: &Page, request: &PageRequest, known: Certainty) -> Option<Self> {
        let window = request.window;
        // What is given from outside of the window is for other requests.
        let is_asked_for = |record: &&Record| window.from <= record.time && record.time <= window.to;
        let asked_for = page.records.iter().flatten().filter(is_asked_for);
        let mut records: Vec<(DateTime<Utc>, u128)> = asked_for.map(|record| (record.time, record.moment())).collect();
        let descends = records.is_sorted_by(|one, other| one.0 >= other.0);
        if descends {
            // Most answers do: only those of one time are left to be sorted.
            records.reverse();
            let of_one_time = records.chunk_by_mut(|one, other| one.0 == other.0);
            of_one_time.for_each(<[_]>::sort_unstable);
        } else {
            records.sort_unstable();
        }
        records.dedup();
        let ((oldest, _), (newest, _)) = (*records.first()?, *records.last()?);
        let is_first = request.position == Position::First;
        let may_go_on = page.records.len() >= request.size as usize || matches!(page.next, Next::At(_));
        // A page behind another one begins somewhere within a time.
        let top = if is_first { window.to } else { newest };
        let shows_order = descends && known.in_order.is_some_and(|least| least <= records.len());
        Some(Self {
            window,
            position: request.position.clone(),
            is_whole: is_first && !may_go_on,
            between: shows_order.then_some((oldest, top)),
            oldest,
            settled_to: known.settled_to,
            records,
        })
    }

    /// Returns its records from between these times that another one lacks, oldest first.
    fn not_in<'a>(
        &'a self,
        other: &'a Self,
        (after, before): (DateTime<Utc>, DateTime<Utc>),
    ) -> impl Iterator<Item = DateTime<Utc>> + 'a {
        let begin = self.records.partition_point(|(time, _)| *time <= after);
        let records = self.records[begin..].iter();
        let between = records.take_while(move |(time, _)| *time < before);
        between
            .filter(|record| other.records.binary_search(record).is_err())
            .map(|(time, _)| *time)
    }

    /// Returns whether it and a later one lack none of each other's records.
    fn agrees_with(&self, later: &Self, known: Certainty) -> bool {
        let settled_to = self.settled_to.min(later.settled_to);
        if self.is_whole && later.is_whole && self.window == later.window {
            return self.is_same_as(later, settled_to, known.kept_from);
        }
        let lacks = |one: &Self, other: &Self| {
            one.not_in(other, other.reach_beside(one, settled_to, known))
                .next()
                .is_some()
        };
        !lacks(self, later) && !lacks(later, self)
    }

    /// Returns the times between which it has to hold what another answer does.
    fn reach_beside(
        &self,
        other: &Self,
        settled_to: DateTime<Utc>,
        known: Certainty,
    ) -> (DateTime<Utc>, DateTime<Utc>) {
        let Some((after, before)) = self.between else {
            return (settled_to, settled_to);
        };
        // Services cut and exclude bounds, but the same one in the same way.
        let is_one_bound = other.window.to == before;
        let margin = if is_one_bound { TimeDelta::zero() } else { known.margin };
        (after + known.margin, (before - margin).min(settled_to))
    }

    /// Returns whether a later answer to the same request holds the same.
    fn is_same_as(&self, later: &Self, settled_to: DateTime<Utc>, kept_from: DateTime<Utc>) -> bool {
        let all = (DateTime::<Utc>::MIN_UTC, settled_to);
        let (mut gone, mut new) = (self.not_in(later, all).peekable(), later.not_in(self, all).peekable());
        if gone.peek().is_some() && new.peek().is_some() {
            // Where each has some that the other lacks, one may have been cut to make room.
            let both = (self.oldest.max(later.oldest), settled_to);
            return self.not_in(later, both).next().is_none() && later.not_in(self, both).next().is_none();
        }
        new.peek().is_none() && gone.all(|time| time < later.oldest && time < kept_from)
    }
}

impl Agreement {
    /// Begins another walk, up to this time: its answers have to agree with those of the walks before, too.
    pub(super) fn begin(&mut self, to: DateTime<Utc>) {
        self.asked_to = Some(to);
    }

    pub(super) fn asked_to(&self) -> Option<DateTime<Utc>> {
        self.asked_to
    }

    /// Returns whether an answer to this request had records that the service has to have still.
    pub(super) fn knows_some_of(&self, request: &PageRequest, known: Certainty) -> bool {
        let lasting = known.kept_from..known.settled_to;
        let is_same = |held: &&Held| held.window == request.window && held.position == request.position;
        let mut same = self.answers.iter().filter(is_same);
        same.any(|held| held.records.iter().any(|(time, _)| lasting.contains(time)))
    }

    /// Takes an answer into account; returns whether it agrees with those before.
    pub(super) fn note(&mut self, answer: Held, known: Certainty) -> bool {
        let agrees = self.answers.iter().all(|before| before.agrees_with(&answer, known));
        if self.answers.len() >= REMEMBERED {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
        agrees
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Counts;
    use crate::test_support::record::{record, time};

    fn at(minute: usize) -> String {
        format!("2026-06-09T10:{minute:02}:00Z")
    }

    /// An answer for these minutes, with records of some of them, newest first.
    fn answer(window: (usize, usize), minutes: &[usize], size: u32) -> (Page, PageRequest) {
        let records = minutes
            .iter()
            .map(|minute| Ok(record(&minute.to_string(), &at(*minute))));
        let page = Page {
            records: records.collect(),
            originals: Vec::new(),
            next: Next::Unknown,
            counts: Counts::default(),
        };
        let request = PageRequest {
            window: Window::new(time(&at(window.0)), time(&at(window.1))),
            position: Position::First,
            size,
        };
        (page, request)
    }

    /// Of an hour in which records are settled up to minute fifty, and young from this minute on.
    fn known(kept_from: usize) -> Certainty {
        Certainty {
            settled_to: time(&at(50)),
            kept_from: time(&at(kept_from)),
            margin: TimeDelta::seconds(1),
            in_order: Some(1),
        }
    }

    fn agree(answers: &[(Page, PageRequest)]) -> bool {
        let known = known(0);
        let mut agreement = Agreement::default();
        let held = answers.iter().map(|(page, request)| Held::of(page, request, known));
        held.flatten().all(|held| agreement.note(held, known))
    }

    #[test]
    fn answers_to_one_request_agree_if_they_hold_the_same_or_what_has_just_come() {
        let same = |one: &[usize], other: &[usize]| {
            let answers = [answer((0, 59), one, 100), answer((0, 59), other, 100)];
            let back = [answer((0, 59), other, 100), answer((0, 59), one, 100)];
            (agree(&answers), agree(&back))
        };
        assert_eq!(same(&[9, 5, 3], &[9, 5, 3]), (true, true));
        assert_eq!(same(&[9, 5, 3], &[9, 3]), (false, false), "one in the middle");
        assert_eq!(same(&[9, 5, 3], &[5, 3]), (false, false), "the newest");
        assert_eq!(same(&[9, 5, 3], &[9, 5]), (false, false), "the oldest");
        assert_eq!(same(&[55, 5, 3], &[5, 3]), (true, true), "it may have come in between");
        assert_eq!(same(&[9, 5, 3], &[12, 9, 5]), (false, false));
        assert_eq!(same(&[9, 5, 3], &[]), (true, true), "an empty one shows nothing");
        let outside = [answer((4, 59), &[9, 5, 3], 100), answer((4, 59), &[9, 5], 100)];
        assert!(agree(&outside), "it was given without being asked for");
    }

    #[test]
    fn an_answer_without_records_is_none_where_the_same_request_had_some() {
        let known = known(0);
        let (page, request) = answer((0, 59), &[9], 100);
        let mut agreement = Agreement::default();
        agreement.note(Held::of(&page, &request, known).unwrap(), known);
        assert!(agreement.knows_some_of(&request, known));
        let settled_to = time(&at(8));
        assert!(!agreement.knows_some_of(&request, Certainty { settled_to, ..known }));
        let behind = PageRequest {
            position: Position::Number(2),
            ..request
        };
        assert!(
            !agreement.knows_some_of(&behind, known),
            "the end of a feed may be empty"
        );
    }

    #[test]
    fn what_is_as_old_as_a_service_keeps_it_may_go_but_does_not_come_back() {
        let known = known(4);
        let held = |minutes: &[usize]| {
            let (page, request) = answer((0, 59), minutes, 100);
            Held::of(&page, &request, known).unwrap()
        };
        let mut agreement = Agreement::default();
        assert!(agreement.note(held(&[9, 5, 3]), known));
        assert!(agreement.note(held(&[9, 5]), known));
        assert!(!agreement.note(held(&[9, 5, 3]), known));
    }

    #[test]
    fn answers_to_other_requests_agree_where_both_reach_over_a_time() {
        let below = |minutes| agree(&[answer((0, 59), &[20, 15, 10], 3), answer((0, 16), minutes, 3)]);
        assert!(
            below(&[15, 10, 9]),
            "what is below a full answer is nothing that it lacks"
        );
        assert!(!below(&[15, 12, 10]));
        assert!(!below(&[15, 9]), "ten");
        let at_a_bound = [answer((0, 59), &[20, 15, 10], 3), answer((0, 15), &[10, 9], 3)];
        assert!(agree(&at_a_bound), "a bound may be excluded, and cut to whole seconds");
    }
}
