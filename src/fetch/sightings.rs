//! Sightings: which answers of a reading held which record.
//!
//! A service may fill in a part of a record while it is read, such as the name of a user: then one event is given in two
//! versions. Two records with one id and one time may as well be two events, whose id is not unique. The answers tell them
//! apart: of two events, an answer that reaches over their time holds both.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::record::Record;
use crate::record::digests::Unhashed;

/// Which answers held which record, by its content.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    records: HashMap<u128, Sighting, Unhashed>,
    /// The answers, in the order in which they came.
    answers: Vec<Option<Reach>>,
}

/// The first and the last answer that held a record, by their places.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    first: u32,
    last: u32,
}

/// How far an answer reaches.
#[derive(Clone, Copy, Debug)]
struct Reach {
    oldest: DateTime<Utc>,
    newest: DateTime<Utc>,
    /// Whether its newest records come first: then it is not cut among them.
    begins_newest: bool,
}

impl Reach {
    fn of(mut times: impl Iterator<Item = DateTime<Utc>>) -> Option<Self> {
        let first = times.next()?;
        let start = (first, first, first);
        let (oldest, newest, last) = times.fold(start, |(oldest, newest, _), time| {
            (oldest.min(time), newest.max(time), time)
        });
        Some(Self {
            oldest,
            newest,
            begins_newest: first == newest && last == oldest,
        })
    }

    /// Returns whether it has all records of a time.
    fn holds_all_of(self, time: DateTime<Utc>) -> bool {
        self.oldest < time && (time < self.newest || self.is_newest(time))
    }

    /// Returns whether a time is its newest, and it is not cut there.
    fn is_newest(self, time: DateTime<Utc>) -> bool {
        self.begins_newest && self.newest == time
    }
}

impl Sightings {
    pub(super) fn with_capacity(records: usize) -> Self {
        Self {
            records: HashMap::with_capacity_and_hasher(records, Default::default()),
            answers: Vec::new(),
        }
    }

    /// Begins an answer with records of these times.
    pub(super) fn begin_answer(&mut self, times: impl Iterator<Item = DateTime<Utc>>) {
        self.answers.push(Reach::of(times));
    }

    /// Notes that the answer holds a record; returns whether none before did.
    pub(super) fn note(&mut self, content: u128) -> bool {
        let answer = self.answers.len().saturating_sub(1) as u32;
        let mut is_new = false;
        let sighting = self.records.entry(content).or_insert_with(|| {
            is_new = true;
            Sighting {
                first: answer,
                last: answer,
            }
        });
        sighting.last = answer;
        is_new
    }

    pub(super) fn has(&self, content: u128) -> bool {
        self.records.contains_key(&content)
    }

    pub(super) fn forget(&mut self, content: u128) {
        self.records.remove(&content);
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = &u128> {
        self.records.keys()
    }

    /// When a record was given first; `None` for one that no answer held.
    pub(super) fn first_of(&self, record: &Record) -> Option<u32> {
        Some(self.records.get(&record.identity.content)?.first)
    }

    /// Returns whether a record of the same id and time is an older version of `newer`: no answer has held it since that one came,
    /// although one did that has all records of their time. Without any, the whole reading lacks it.
    pub(super) fn is_superseded(&self, older: &Record, newer: &Record) -> bool {
        let time = newer.time;
        let Some(newer) = self.records.get(&newer.identity.content) else {
            return false;
        };
        let Some(older) = self.records.get(&older.identity.content) else {
            return true;
        };
        // A page behind a token begins where the one before ended, which may be within a time.
        let can_be_at_an_edge = self.reach(older.last).is_some_and(|reach| reach.is_newest(time));
        let has_all = |reach: Reach| reach.holds_all_of(time) && (can_be_at_an_edge || !reach.is_newest(time));
        let later = [newer.first, newer.last].into_iter();
        older.last < newer.first && later.filter_map(|answer| self.reach(answer)).any(has_all)
    }

    /// Returns whether a reading without gaps gives something of this time in the place of a record of this content, which an
    /// earlier one was given: it reaches over that time, and none of its answers holds the record.
    pub(super) fn reaches_over_without(&self, time: DateTime<Utc>, content: u128) -> bool {
        let reaches = || self.answers.iter().flatten();
        let (is_below, is_above) = (
            reaches().any(|reach| reach.oldest < time),
            reaches().any(|reach| time < reach.newest),
        );
        is_below && is_above && !self.has(content)
    }

    fn reach(&self, answer: u32) -> Option<Reach> {
        self.answers.get(answer as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::record::{SHAPE, line};

    fn record(id: &str, minute: u32, name: &str) -> Record {
        let text = line(id, &format!("2025-06-09T10:{minute:02}:00Z"));
        let text = text.replacen('{', &format!("{{\"name\": \"{name}\", "), 1);
        Record::read(&text, &SHAPE).unwrap()
    }

    fn sightings(answers: &[&[&Record]]) -> Sightings {
        let mut sightings = Sightings::default();
        for answer in answers {
            sightings.begin_answer(answer.iter().map(|record| record.time));
            for record in *answer {
                sightings.note(record.identity.content);
            }
        }
        sightings
    }

    #[test]
    fn a_version_is_superseded_by_one_that_came_later_in_an_answer_that_reaches_over_their_time() {
        let (above, below) = (record("above", 9, ""), record("below", 1, ""));
        let (old, new) = (record("id", 5, "old"), record("id", 5, "new"));
        let changed = sightings(&[&[&above, &old, &below], &[&above, &new, &below]]);
        assert!(changed.is_superseded(&old, &new));
        assert!(!changed.is_superseded(&new, &old));
        // What no answer of the reading holds was given by another one.
        let elsewhere = sightings(&[&[&above, &new, &below]]);
        assert!(elsewhere.is_superseded(&old, &new));
        let at_the_top = sightings(&[&[&old, &below], &[&new, &below]]);
        assert!(at_the_top.is_superseded(&old, &new));
        // It is enough if one of the answers reaches over it.
        let at_a_border = sightings(&[&[&above, &old], &[&new, &below], &[&above, &new, &below]]);
        assert!(at_a_border.is_superseded(&old, &new));
    }

    #[test]
    fn what_an_earlier_reading_was_given_is_replaced_where_one_reaches_over_its_time_without_it() {
        let (above, below) = (record("above", 9, ""), record("below", 1, ""));
        let (old, new) = (record("id", 5, "old"), record("id", 5, "new"));
        let replaces = |answers: &[&[&Record]]| sightings(answers).reaches_over_without(new.time, old.identity.content);
        assert!(replaces(&[&[&above, &new, &below]]));
        assert!(replaces(&[&[&above, &new], &[&new, &below]]));
        assert!(!replaces(&[&[&above, &new, &old, &below]]), "they are two events");
        assert!(!replaces(&[&[&above, &new]]), "it may end within their time");
    }

    #[test]
    fn two_events_with_one_id_and_one_time_are_two() {
        let (above, below) = (record("above", 9, ""), record("below", 1, ""));
        let (one, other) = (record("id", 5, "one"), record("id", 5, "other"));
        for answers in [
            // Both in one answer.
            &[&[&above, &one, &other, &below][..]][..],
            &[&[&above, &one, &below], &[&above, &one, &other, &below]],
            &[
                &[&above, &one, &below],
                &[&above, &other, &below],
                &[&above, &one, &below],
            ],
            // An answer ends between them, whatever their order in it.
            &[&[&above, &one], &[&other, &below]],
            &[&[&above, &one], &[&other]],
            // A page behind a token begins between them.
            &[&[&above, &one], &[&other, &below], &[&other, &below]],
        ] {
            let sightings = sightings(answers);
            assert!(!sightings.is_superseded(&one, &other), "{answers:?}");
            assert!(!sightings.is_superseded(&other, &one), "{answers:?}");
        }
    }
}
