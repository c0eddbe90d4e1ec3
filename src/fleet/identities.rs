//! The identities of the records of a stream that may be given again: by them duplicates and revisions are known.
//!
//! They are kept by the hour of the record, in parts, each a message of the state: two 128-bit hashes for each record, of its id with
//! its time, and of its content. The last part of an hour is written anew until it holds [`FULL`]; so a message stays small, and
//! few bytes are written more than once. What is out of reach is taken out by tombstones.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::record::Record;

/// A part that holds so many identities gets no more.
const FULL: usize = 64;

/// The most identities that are added to one part at once.
const MOST: usize = 12_000;

/// Version of the form of a part: its first byte.
const VERSION: u8 = 1;

const HOUR: i64 = 3_600;

/// Two hashes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    /// Of its id and its time; see [`Record::moment`].
    pub(crate) moment: u128,
    pub(crate) content: u128,
}

/// The hour of a time, counted from 1970.
pub(crate) fn hour_of(time: DateTime<Utc>) -> i64 {
    time.timestamp().div_euclid(HOUR)
}

/// The place of a part in the state: the hour, and the number of the part.
pub(crate) type Place = (i64, u32);

/// What is known of a stream's records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    hours: BTreeMap<i64, Hour>,
    /// The parts that are to be written.
    changed: BTreeSet<Place>,
    /// The parts that are to be taken out.
    gone: BTreeSet<Place>,
}

#[derive(Clone, Debug, Default)]
struct Hour {
    known: BTreeSet<Pair>,
    parts: BTreeMap<u32, Vec<Pair>>,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// It was kept before, or came before in the same range.
    Duplicate,
    /// One that was kept before came with other fields.
    Revision,
}

impl Pair {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            moment: record.moment(),
            content: record.identity.content,
        }
    }

    /// Returns that of something that has no time and no id.
    pub(crate) fn of_content(content: u128) -> Self {
        Self {
            moment: content,
            content,
        }
    }
}

impl Identities {
    /// Takes a part of the state; returns whether it is of a form that is known.
    pub(crate) fn take_part(&mut self, (hour, part): Place, bytes: &[u8]) -> Result<(), u8> {
        let Some((&VERSION, pairs)) = bytes.split_first() else {
            return Err(bytes.first().copied().unwrap_or_default());
        };
        let half = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().unwrap_or_default());
        let pairs: Vec<_> = pairs
            .chunks_exact(32)
            .map(|pair| Pair {
                moment: half(&pair[..16]),
                content: half(&pair[16..]),
            })
            .collect();
        self.drop_part((hour, part));
        let entry = self.hours.entry(hour).or_default();
        entry.known.extend(pairs.iter().copied());
        entry.parts.insert(part, pairs);
        Ok(())
    }

    /// Takes out a part of which there is a tombstone.
    pub(crate) fn drop_part(&mut self, (hour, part): Place) {
        if let Some(entry) = self.hours.get_mut(&hour) {
            for pair in entry.parts.remove(&part).unwrap_or_default() {
                entry.known.remove(&pair);
            }
            if entry.parts.is_empty() {
                self.hours.remove(&hour);
            }
        }
    }

    /// Returns whether something of this content without a time is known, whenever it came.
    pub(crate) fn has_content(&self, content: u128) -> bool {
        let pair = Pair::of_content(content);
        self.hours.values().any(|hour| hour.known.contains(&pair))
    }

    /// Adds an identity, in the hour of this time.
    pub(crate) fn add(&mut self, time: DateTime<Utc>, pair: Pair) {
        let number = hour_of(time);
        let hour = self.hours.entry(number).or_default();
        if !hour.known.insert(pair) {
            return;
        }
        let last = hour.parts.keys().next_back().copied().unwrap_or_default();
        // One that is to be written anyway takes more.
        let most = if self.changed.contains(&(number, last)) {
            MOST
        } else {
            FULL
        };
        let is_full = hour.parts.get(&last).is_some_and(|pairs| pairs.len() >= most);
        let part = if is_full { last + 1 } else { last };
        hour.parts.entry(part).or_default().push(pair);
        self.changed.insert((number, part));
    }

    /// Says what each of the records of a range is, which are in the order of their times. Of several that came with other fields than one
    /// that was kept, it is not known which it is: they are new, an event twice rather than never.
    pub(crate) fn verdicts(&self, records: &[Record]) -> Vec<Verdict> {
        let mut seen = BTreeSet::new();
        let mut verdicts: Vec<_> = records
            .iter()
            .map(|record| {
                let pair = Pair::of(record);
                if self.knows(record.time, pair) || !seen.insert(pair) {
                    Verdict::Duplicate
                } else {
                    Verdict::New
                }
            })
            .collect();
        let is_suspect = |(record, verdict): (&Record, &Verdict)| {
            *verdict == Verdict::New && record.identity.has_id() && self.of_moment(record).next().is_some()
        };
        if !records.iter().zip(&verdicts).any(is_suspect) {
            return verdicts;
        }
        let mut groups: BTreeMap<u128, Vec<usize>> = BTreeMap::new();
        for (place, record) in records.iter().enumerate() {
            groups.entry(record.moment()).or_default().push(place);
        }
        for group in groups.values() {
            let new: Vec<_> = group.iter().filter(|place| verdicts[**place] == Verdict::New).collect();
            let given = group
                .iter()
                .any(|place| self.knows(records[*place].time, Pair::of(&records[*place])));
            if let ([only], false) = (new.as_slice(), given)
                && is_suspect((&records[**only], &Verdict::New))
            {
                verdicts[**only] = Verdict::Revision;
            }
        }
        verdicts
    }

    fn knows(&self, time: DateTime<Utc>, pair: Pair) -> bool {
        self.hours
            .get(&hour_of(time))
            .is_some_and(|hour| hour.known.contains(&pair))
    }

    /// Returns what is known with the id and the time of a record.
    fn of_moment(&self, record: &Record) -> impl Iterator<Item = &Pair> {
        let moment = record.moment();
        let end = move |content| Pair { moment, content };
        let hour = self.hours.get(&hour_of(record.time));
        hour.into_iter()
            .flat_map(move |hour| hour.known.range(end(0)..=end(u128::MAX)))
    }

    /// Lets go of the hours before this one.
    pub(crate) fn forget_before(&mut self, hour: i64) {
        let kept = self.hours.split_off(&hour);
        for (number, entry) in std::mem::replace(&mut self.hours, kept) {
            self.gone.extend(entry.parts.keys().map(|part| (number, *part)));
        }
        self.changed = self.changed.split_off(&(hour, 0));
    }

    /// Returns the parts that have changed, to be written with what changed them; `None` is one that is gone.
    pub(crate) fn take_changes(&mut self) -> Vec<(Place, Option<Vec<u8>>)> {
        let gone = std::mem::take(&mut self.gone).into_iter().map(|place| (place, None));
        let changed = std::mem::take(&mut self.changed).into_iter();
        let changed = changed.filter_map(|(hour, part)| {
            let pairs = self.hours.get(&hour)?.parts.get(&part)?;
            let mut bytes = Vec::with_capacity(1 + pairs.len() * 32);
            bytes.push(VERSION);
            for Pair { moment, content } in pairs {
                bytes.extend_from_slice(&moment.to_be_bytes());
                bytes.extend_from_slice(&content.to_be_bytes());
            }
            Some(((hour, part), Some(bytes)))
        });
        gone.chain(changed).collect()
    }

    /// Returns how many identities are kept, and in how many messages.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let parts = || self.hours.values().flat_map(|hour| hour.parts.values());
        (parts().map(Vec::len).sum(), parts().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::record::{SHAPE, record};

    fn other(id: &str, time: &str, more: &str) -> Record {
        Record::read(
            &format!(r#"{{"id": "{id}", "timestamp": "{time}", "more": "{more}"}}"#),
            &SHAPE,
        )
        .unwrap()
    }

    const TIME: &str = "2025-06-09T10:11:12Z";

    fn stored(changes: Vec<(Place, Option<Vec<u8>>)>, state: &mut BTreeMap<Place, Vec<u8>>) {
        for (place, bytes) in changes {
            match bytes {
                Some(bytes) => drop(state.insert(place, bytes)),
                None => drop(state.remove(&place)),
            }
        }
    }

    fn read(state: &BTreeMap<Place, Vec<u8>>) -> Identities {
        let mut identities = Identities::default();
        for (place, bytes) in state {
            identities.take_part(*place, bytes).unwrap();
        }
        identities
    }

    #[test]
    fn what_was_kept_is_known_again_from_the_state() {
        let mut state = BTreeMap::new();
        let mut identities = Identities::default();
        for number in 0..1_000 {
            let record = record(&number.to_string(), TIME);
            assert_eq!(identities.verdicts(std::slice::from_ref(&record)), [Verdict::New]);
            identities.add(record.time, Pair::of(&record));
            if number % 7 == 0 {
                stored(identities.take_changes(), &mut state);
            }
        }
        stored(identities.take_changes(), &mut state);
        let identities = read(&state);
        assert_eq!(identities.sizes().0, 1_000);
        assert!((13..=18).contains(&identities.sizes().1), "{:?}", identities.sizes());
        for number in 0..1_000 {
            let record = record(&number.to_string(), TIME);
            assert_eq!(identities.verdicts(&[record]), [Verdict::Duplicate]);
        }
    }

    #[test]
    fn of_a_large_range_the_parts_stay_smaller_than_a_message_may_be() {
        let mut identities = Identities::default();
        for number in 0..30_000_u128 {
            identities.add(TIME.parse().unwrap(), Pair::of_content(number));
        }
        let changes = identities.take_changes();
        assert_eq!(changes.len(), 3);
        assert!(changes.iter().all(|(_, bytes)| bytes.as_ref().unwrap().len() < 500_000));
    }

    #[test]
    fn a_record_with_other_fields_is_a_revision_unless_the_one_before_is_given_too() {
        let first = record("a", TIME);
        let mut identities = Identities::default();
        identities.add(first.time, Pair::of(&first));
        let second = other("a", TIME, "x");
        assert_eq!(identities.verdicts(std::slice::from_ref(&second)), [Verdict::Revision]);
        assert_eq!(
            identities.verdicts(&[first.clone(), second.clone()]),
            [Verdict::Duplicate, Verdict::New]
        );
        let third = other("a", TIME, "y");
        assert_eq!(
            identities.verdicts(&[second.clone(), third]),
            [Verdict::New; 2],
            "ambiguous"
        );
        assert_eq!(
            identities.verdicts(&[second.clone(), second, other("b", TIME, "x")]),
            [Verdict::Revision, Verdict::Duplicate, Verdict::New]
        );
    }

    #[test]
    fn what_is_out_of_reach_is_taken_out_of_the_state() {
        let (mut state, mut identities) = (BTreeMap::new(), Identities::default());
        for time in ["2025-06-09T10:11:12Z", "2025-06-09T11:00:00Z", "2025-06-09T12:00:00Z"] {
            let record = record("a", time);
            identities.add(record.time, Pair::of(&record));
        }
        stored(identities.take_changes(), &mut state);
        assert_eq!(state.len(), 3);
        identities.forget_before(hour_of("2025-06-09T11:59:00Z".parse().unwrap()));
        stored(identities.take_changes(), &mut state);
        assert_eq!(state.len(), 2);
        assert_eq!(identities.take_changes(), []);
        assert_eq!(read(&state).verdicts(&[record("a", TIME)]), [Verdict::New]);
    }

    #[test]
    fn a_part_of_a_newer_form_is_told() {
        let mut identities = Identities::default();
        assert_eq!(identities.take_part((1, 0), &[2, 0]), Err(2));
        assert_eq!(identities.take_part((1, 0), &[]), Err(0));
        assert_eq!(identities.take_part((1, 0), &[1]), Ok(()));
    }
}
