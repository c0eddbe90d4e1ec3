//! The records of one fetch, each once.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::repeats::Repeats;
use super::sightings::Sightings;
use crate::record::digests::{Digests, ShortDigests, Unhashed};
use crate::record::{Anchor, Form, Line, Record, Rejected, hold};

/// The most bytes held for one service: one that returns records without end must not exhaust the machine's memory.
pub(super) const MOST_BYTES: usize = 128 << 20;

/// What a map or a set takes for a hash and what it is for, up to twice its size.
const HASH_BYTES: usize = 4 * size_of::<u128>();

/// The capacity at the start: as many records as a slice usually brings.
const USUALLY_HELD: usize = 1_792;

#[derive(Debug)]
pub(crate) struct FetchedRecords {
    /// Later records are newer than the run: they are left for the next one, which asks for them again.
    possible_to: DateTime<Utc>,
    /// Which answers held which records.
    seen: Sightings,
    seen_rejected: Digests,
    seen_originals: Digests,
    /// Records that can be filed.
    pub(crate) records: Vec<Record>,
    /// Records that cannot.
    pub(crate) rejected: Vec<Rejected>,
    /// Records that were repaired, as they came.
    pub(crate) originals: Vec<Rejected>,
    /// How many the service returned: one that several answers hold, because they overlap, counts once.
    pub(crate) received: u64,
    /// How many are newer than the run, each counted once.
    pub(crate) left_for_next_run: u64,
    /// What all of that takes in memory, with the buffers that the lines are in.
    pub(crate) bytes: usize,
}

/// What one page added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// Records that no earlier page had.
    pub(crate) new: usize,
    /// The times of the oldest and of the newest of them.
    pub(crate) oldest: Option<DateTime<Utc>>,
    pub(crate) newest: Option<DateTime<Utc>>,
}

/// A record with an id, by what all of its versions share, and by its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    moment: u128,
    content: u128,
}

impl Version {
    pub(super) fn of(record: &Record) -> Option<Self> {
        record.identity.has_id().then(|| Self {
            moment: record.moment(),
            content: record.identity.content,
        })
    }
}

impl FetchedRecords {
    pub(crate) fn new(possible_to: DateTime<Utc>) -> Self {
        Self {
            possible_to,
            seen: Sightings::with_capacity(USUALLY_HELD),
            seen_rejected: Digests::default(),
            seen_originals: Digests::default(),
            records: Vec::new(),
            rejected: Vec::new(),
            originals: Vec::new(),
            received: 0,
            left_for_next_run: 0,
            bytes: 0,
        }
    }

    /// Returns whether it holds more than an honest service returns at one time.
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes > MOST_BYTES
    }

    /// Returns whether it holds one of these.
    pub(crate) fn holds_any(&self, anchors: &[Anchor]) -> bool {
        self.records.iter().any(|record| anchors.contains(&Anchor::of(record)))
    }

    /// Adds the records of a page, and the originals of those that were repaired.
    pub(crate) fn add(&mut self, records: Vec<Result<Record, Rejected>>, originals: Vec<Rejected>) -> Added {
        self.seen
            .begin_answer(records.iter().flatten().map(|record| record.time));
        let before = (self.records.len(), self.rejected.len(), self.originals.len());
        let mut added = Added::default();
        let left_before = self.left_for_next_run;
        for item in records {
            let (time, is_new) = match item {
                Ok(record) => (Some(record.time), self.add_record(record)),
                Err(rejected) => (None, self.add_rejected(rejected)),
            };
            if is_new {
                added.new += 1;
                added.oldest = added.oldest.into_iter().chain(time).min();
                added.newest = added.newest.max(time);
            }
        }
        originals.into_iter().for_each(|original| self.add_original(original));
        self.bytes += self.hold_lines(before);
        self.received += (added.new as u64).saturating_sub(self.left_for_next_run - left_before);
        added
    }

    fn add_record(&mut self, record: Record) -> bool {
        let is_new = self.seen.note(record.identity.content);
        if is_new && record.time > self.possible_to {
            self.left_for_next_run += 1;
            self.bytes += HASH_BYTES;
        } else if is_new {
            self.bytes += HASH_BYTES + size_of::<Record>();
            self.records.push(record);
        }
        is_new
    }

    fn add_rejected(&mut self, rejected: Rejected) -> bool {
        let is_new = self.seen_rejected.insert(rejected.content);
        if is_new {
            self.bytes += HASH_BYTES + size_of::<Rejected>() + rejected.reason.len();
            self.rejected.push(rejected);
        }
        is_new
    }

    fn add_original(&mut self, original: Rejected) {
        if self.seen_originals.insert(original.content) {
            self.bytes += HASH_BYTES + size_of::<Rejected>() + original.reason.len();
            self.originals.push(original);
        }
    }

    /// Lets go of the rest of a page, whose lines come after so many others; returns how many bytes its lines hold.
    fn hold_lines(&mut self, (records, rejected, originals): (usize, usize, usize)) -> usize {
        let records = self.records[records..].iter_mut().map(|record| &mut record.line);
        let rejected = self.rejected[rejected..].iter_mut().map(|rejected| &mut rejected.line);
        let originals = self.originals[originals..]
            .iter_mut()
            .map(|original| &mut original.line);
        let mut lines: Vec<&mut Line> = records.chain(rejected).chain(originals).collect();
        hold(&mut lines)
    }

    /// Marks the records, and those of `others`, that are older versions of a record: the service gives that in their place.
    ///
    /// `others` were given by answers outside of this reading, which is whole.
    pub(super) fn mark_superseded(&mut self, others: &mut [Record]) {
        let places = self.repeated(others);
        let newest = self.newest_versions(&places);
        let is_superseded = |record: &Record| {
            let newer = newest.get(&record.moment()).map(|place| &self.records[*place]);
            newer.is_some_and(|newer| self.seen.is_superseded(record, newer))
        };
        for other in others.iter_mut() {
            other.is_superseded = is_superseded(other);
        }
        let superseded: Vec<bool> = places
            .iter()
            .map(|place| is_superseded(&self.records[*place]))
            .collect();
        for (place, is_superseded) in places.into_iter().zip(superseded) {
            self.records[place].is_superseded = is_superseded;
        }
    }

    /// Marks the records up to this time that are versions of one of `handed_out`, which the service gives no more: it has filled in
    /// something between two parts.
    pub(super) fn mark_versions_of(&mut self, handed_out: &[Version], to: Option<DateTime<Utc>>) {
        let Self { records, seen, .. } = self;
        let can_be_one = |record: &&mut Record| record.identity.has_id() && to.is_some_and(|to| record.time <= to);
        let mut candidates = records.iter_mut().filter(can_be_one).peekable();
        if candidates.peek().is_none() {
            return;
        }
        let before: HashMap<u128, u128, Unhashed> = handed_out.iter().map(|one| (one.moment, one.content)).collect();
        for record in candidates {
            let older = before.get(&record.moment());
            record.is_superseded |= older.is_some_and(|older| seen.reaches_over_without(record.time, *older));
        }
    }

    /// Returns the places of the records with an id that may be there more than once with one id and one time, here or among others.
    fn repeated(&self, others: &[Record]) -> Vec<usize> {
        let moment = |record: &Record| record.identity.has_id().then(|| record.moment());
        let moments: Vec<Option<u128>> = self.records.iter().map(moment).collect();
        let mut repeats = Repeats::with_capacity(moments.len());
        let all = moments.iter().flatten().copied();
        all.chain(others.iter().filter_map(moment))
            .for_each(|moment| repeats.note(moment));
        let places = moments.iter().enumerate();
        let repeated = places.filter(|(_, moment)| moment.is_some_and(|moment| repeats.may_have(moment)));
        repeated.map(|(place, _)| place).collect()
    }

    /// Returns which of the records at these places came last of those with one id and one time.
    fn newest_versions(&self, places: &[usize]) -> HashMap<u128, usize, Unhashed> {
        let mut newest = HashMap::default();
        for place in places.iter().copied() {
            let record = &self.records[place];
            let newer = newest.entry(record.moment()).or_insert(place);
            if self.seen.first_of(record) > self.seen.first_of(&self.records[*newer]) {
                *newer = place;
            }
        }
        newest
    }

    /// Leaves out the records that are later than `time`: they belong to what comes next.
    pub(crate) fn end_at(&mut self, time: DateTime<Utc>) {
        let before = self.records.len();
        let Self { records, seen, .. } = self;
        records.retain(|record| {
            let is_later = record.time > time;
            if is_later {
                seen.forget(record.identity.content);
            }
            !is_later
        });
        self.received -= (before - self.records.len()) as u64;
    }

    /// Returns the newest time of a record.
    pub(super) fn newest(&self) -> Option<DateTime<Utc>> {
        self.records.iter().map(|record| record.time).max()
    }

    /// Drops the records that `known` holds, none of which is later than `known_to`, and the rejected ones that `rejected` holds.
    pub(super) fn drop_known(&mut self, known: &Sightings, known_to: Option<DateTime<Utc>>, rejected: &Digests) {
        let before = self.records.len() + self.rejected.len();
        let is_later = |record: &Record| known_to.is_none_or(|to| record.time > to);
        self.records
            .retain(|record| is_later(record) || !known.has(record.identity.content));
        self.rejected.retain(|record| !rejected.contains(&record.content));
        self.received -= (before - self.records.len() - self.rejected.len()) as u64;
    }

    /// Returns whether it was given this record.
    pub(super) fn has_seen(&self, record: &Record) -> bool {
        self.seen.has(record.identity.content)
    }

    /// Returns whether it was given this record that cannot be filed, or this original.
    pub(super) fn has_seen_rejected(&self, rejected: &Rejected) -> bool {
        let seen = match rejected.form {
            Form::Record | Form::Bytes => &self.seen_rejected,
            Form::Original => &self.seen_originals,
        };
        seen.contains(&rejected.content)
    }

    /// Adds what of the content hashes of all records that it was given is enough to count them.
    pub(super) fn note_contents(&self, to: &mut ShortDigests) {
        let contents = self.seen.contents().chain(&self.seen_rejected);
        to.extend(contents.map(|content| *content as u64));
    }

    /// Returns which records it was given, and the content hashes of those that cannot be filed.
    pub(super) fn into_seen(self) -> (Sightings, Digests) {
        (self.seen, self.seen_rejected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::List;
    use crate::record::{Broken, Reader};
    use crate::test_support::record::{SHAPE, line};

    fn add(fetched: &mut FetchedRecords, records: &[String]) {
        let body = format!("{{\"list\":[{}]}}", records.join(","));
        let listed = Reader::new(SHAPE).read_list(&mut List::find(body.as_bytes(), "list"), Broken::Refuse);
        let listed = listed.unwrap();
        fetched.add(listed.records, listed.originals);
    }

    #[test]
    fn what_is_kept_of_a_page_is_counted_with_its_buffer_and_does_not_hold_the_rest() {
        let limit = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut fetched = FetchedRecords::new(limit);
        let record = |id: &str| line(id, "2025-06-09T10:00:00Z");
        let large = record(&"x".repeat(100_000));
        add(&mut fetched, &[large.clone(), record("a"), "[1]".into()]);
        let all = fetched.bytes;
        assert!((100_000..150_000).contains(&all), "{all}");
        for n in 0..10 {
            add(
                &mut fetched,
                &[large.clone(), record(&n.to_string()), format!("[\"{n}\"]")],
            );
        }
        let more = fetched.bytes - all;
        assert_eq!(
            (fetched.records.len(), fetched.rejected.len(), fetched.received),
            (12, 11, 23)
        );
        assert!((1_000..10_000).contains(&more), "{more}");
        assert!(fetched.records.iter().all(|record| record.line.contains("10:00:00")));
    }

    #[test]
    fn a_record_that_was_handed_out_in_an_older_version_is_no_second_event() {
        let at = |minute: u32| format!("2025-06-09T10:{minute:02}:00Z");
        let named =
            |id: &str, minute, name: &str| line(id, &at(minute)).replacen('{', &format!("{{\"name\": \"{name}\", "), 1);
        let mut before = FetchedRecords::new("2030-01-01T00:00:00Z".parse().unwrap());
        add(
            &mut before,
            &[named("b", 5, "old"), named("a", 5, "old"), named("z", 1, "old")],
        );
        let handed_out: Vec<Version> = before.records.iter().filter_map(Version::of).collect();
        let mut fetched = FetchedRecords::new("2030-01-01T00:00:00Z".parse().unwrap());
        add(
            &mut fetched,
            &[
                named("c", 9, "new"),
                named("b", 5, "old"),
                named("b", 5, "other"),
                named("a", 5, "new"),
                named("z", 1, "new"),
            ],
        );
        fetched.mark_versions_of(&handed_out, before.newest());
        let marked: Vec<bool> = fetched.records.iter().map(|record| record.is_superseded).collect();
        assert_eq!(
            marked,
            [false, false, false, true, false],
            "the last one may have been cut within its time"
        );
    }
}
