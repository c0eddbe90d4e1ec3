//! Which new records are archived ones, seen again with other fields: revisions.
//!
//! A revision has the id and the time of an archived record. Since an id may not be unique, that alone does not make one:
//! of the records with one id and one time, those of the service and of the archive that are equal belong together
//! first. Each archived record that is left takes the new record that differs from it in the fewest values, if there
//! is one such; those that are taken are revisions, and all others are new events. What is ambiguous is filed: an event
//! twice rather than never. So an archived record takes none if it is nearer to one that the service still gives as it
//! was archived: then it is an older version of that one.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::io;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::batch::Batch;
use super::day::Day;
use super::dedup::Verdict;
use super::key::{Key, Moment};
use super::lines::Lines;
use super::storage::StoredFile;
use crate::record::Reader;

/// How many pairs of records with one id and one time are compared; more are not told apart.
const MOST_PAIRS: usize = 1 << 16;

/// New records with the id and time of archived ones.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    groups: HashMap<Moment, Group>,
}

/// The records with one id and one time.
#[derive(Debug, Default)]
struct Group {
    /// The places in the batch of the new records.
    new: Vec<usize>,
    /// The archived records that the service returned in this run.
    given: Vec<Key>,
    /// The other archived records.
    left: Vec<Key>,
}

/// The values of archived records.
pub(super) type ArchivedValues = HashMap<Key, Values>;

impl Suspects {
    /// Finds them in a batch; in most there are none. `given` are the archived records that earlier ranges of this run had.
    pub(super) fn find(batch: &Batch, verdicts: &[Verdict], day: &Day, given: impl IntoIterator<Item = Key>) -> Self {
        let mut suspects = Self::default();
        let records = batch.records().iter().zip(verdicts).enumerate();
        let new = records.filter(|(_, (record, verdict))| **verdict == Verdict::New && record.identity.has_id());
        for (place, (record, _)) in new {
            let moment = Key::of(record.identified()).moment();
            if day.archived_of(moment).next().is_some() {
                suspects.groups.entry(moment).or_default().new.push(place);
            }
        }
        if !suspects.groups.is_empty() {
            let archived = batch.records().iter().zip(verdicts);
            let archived = archived.filter(|(record, verdict)| **verdict == Verdict::Archived && !record.is_superseded);
            let given = given
                .into_iter()
                .chain(archived.map(|(record, _)| Key::of(record.identified())));
            suspects.add_archived(day, &given.collect());
        }
        suspects
    }

    fn add_archived(&mut self, day: &Day, given: &HashSet<Key>) {
        for (moment, group) in &mut self.groups {
            (group.given, group.left) = day.archived_of(*moment).partition(|key| given.contains(key));
        }
    }

    /// The places of those for whose groups the lines of the archive are needed.
    pub(super) fn contested(&self) -> impl Iterator<Item = usize> + '_ {
        let contested = self.groups.values().filter(|group| group.is_contested());
        contested.flat_map(|group| group.new.iter().copied())
    }

    /// Reads the values of the archived records in contested groups, from `start`, where a line begins.
    pub(super) fn read_values(
        &self,
        file: Box<dyn StoredFile>,
        start: u64,
        reader: &mut Reader,
    ) -> io::Result<ArchivedValues> {
        let mut values = ArchivedValues::default();
        let mut lines = Lines::from_offset(file, start)?;
        while let Some(line) = lines.next()? {
            let text = str::from_utf8(line.bytes).ok();
            let Some(key) = text.and_then(|text| reader.identify(text).ok()).map(Key::of) else {
                continue;
            };
            let group = self.groups.get(&key.moment());
            if group.is_some_and(Group::is_contested) {
                values.insert(key, Values::of(line.bytes));
            }
        }
        Ok(values)
    }

    /// Marks those that are revisions; returns the archived records that they are revisions of, with their places.
    pub(super) fn judge(
        &self,
        batch: &Batch,
        verdicts: &mut [Verdict],
        archived: &ArchivedValues,
    ) -> Vec<(Key, usize)> {
        let mut revised = Vec::new();
        for group in self.groups.values() {
            let pairs: Vec<_> = match (group.left.as_slice(), group.new.as_slice()) {
                (left, [only]) if group.given.is_empty() => left.iter().map(|key| (*key, *only)).collect(),
                _ if group.is_contested() => group.nearest(batch, archived),
                _ => Vec::new(),
            };
            pairs.iter().for_each(|(_, place)| verdicts[*place] = Verdict::Revision);
            revised.extend(pairs);
        }
        revised
    }
}

impl Group {
    /// Whether it depends on the values what is a revision of what.
    fn is_contested(&self) -> bool {
        let others = self.new.len() + self.given.len();
        !self.left.is_empty() && others > 1 && self.left.len() * others <= MOST_PAIRS
    }

    /// Returns the archived records that take a new one, with the place of that.
    fn nearest(&self, batch: &Batch, archived: &ArchivedValues) -> Vec<(Key, usize)> {
        let lines = self.new.iter().map(|place| &batch.records()[*place].line);
        let new: Vec<Values> = lines.map(|line| Values::of(line.as_bytes())).collect();
        let given: Vec<&Values> = self.given.iter().filter_map(|key| archived.get(key)).collect();
        let taken = self.left.iter().filter_map(|key| {
            let place = nearest(archived.get(key)?, &new, &given)?;
            Some((*key, self.new[place]))
        });
        taken.collect()
    }
}

/// Returns which new record an archived one takes: the one that is nearer than all others, and not farther than one that
/// the service still gives.
fn nearest(archived: &Values, new: &[Values], given: &[&Values]) -> Option<usize> {
    let distances: Vec<usize> = new.iter().map(|values| archived.distance(values)).collect();
    let least = *distances.iter().min()?;
    let mut nearest = (0..new.len()).filter(|place| distances[*place] == least);
    let place = nearest.next()?;
    let is_ambiguous = nearest.next().is_some() || given.iter().any(|values| archived.distance(values) < least);
    (!is_ambiguous).then_some(place)
}

/// The values of a record that are neither objects nor arrays with something in them: hashes of their paths and of
/// themselves, in the order of the paths. `None` for a record that cannot be read like this, such as one with a lone
/// surrogate: it is as far as can be from all others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Values(Option<Vec<(u64, u64)>>);

impl Values {
    fn of(line: &[u8]) -> Self {
        Self(serde_json::from_slice(line).ok().map(|record: Value| {
            let mut values = Vec::new();
            add_values(&record, 0, &mut values);
            values.sort_unstable();
            values
        }))
    }

    /// Returns how many values differ, or are in one of the two records only.
    fn distance(&self, other: &Self) -> usize {
        let (Some(one), Some(other)) = (&self.0, &other.0) else {
            return usize::MAX;
        };
        let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
        let mut distance = 0;
        while let (Some((path, value)), Some((other_path, other_value))) = (one.peek(), other.peek()) {
            let order = path.cmp(other_path);
            distance += usize::from(order != Ordering::Equal || value != other_value);
            one.next_if(|_| order != Ordering::Greater);
            other.next_if(|_| order != Ordering::Less);
        }
        distance + one.count() + other.count()
    }
}

/// Adds the values inside of a value. The parser limits how deep they are.
fn add_values(value: &Value, path: u64, values: &mut Vec<(u64, u64)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                add_values(value, step(path, key.as_bytes()), values);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for (number, value) in elements.iter().enumerate() {
                add_values(value, step(path, &number.to_le_bytes()), values);
            }
        }
        value => values.push((path, xxh3_64(value.to_string().as_bytes()))),
    }
}

fn step(path: u64, key: &[u8]) -> u64 {
    xxh3_64(&[&path.to_le_bytes(), key].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(one: &str, other: &str) -> usize {
        let (one, other) = (Values::of(one.as_bytes()), Values::of(other.as_bytes()));
        assert_eq!(one.distance(&other), other.distance(&one));
        one.distance(&other)
    }

    #[test]
    fn the_distance_is_the_number_of_values_that_differ() {
        let record = r#"{"a": 1, "b": {"c": "x", "d": [1, 2]}}"#;
        for (other, expected) in [
            (record, 0),
            (r#"{"b": {"d": [1, 2], "c": "x"}, "a": 1}"#, 0),
            (r#"{"a": 2, "b": {"c": "x", "d": [1, 2]}}"#, 1),
            (r#"{"a": 1, "b": {"c": "x", "d": [2, 1]}}"#, 2),
            (r#"{"a": 1, "b": {"c": "x", "d": [1, 2]}, "e": {}}"#, 1),
            (r#"{"a": 1, "b": {"c": "x"}}"#, 2),
            (r#"{"a": 1}"#, 3),
            ("{}", 5),
            (r#"{"a": "\ud83d"}"#, usize::MAX),
        ] {
            assert_eq!(distance(record, other), expected, "{other}");
        }
    }

    #[test]
    fn what_is_as_near_as_another_is_not_taken_unless_the_other_was_there_before() {
        let of = |lines: &[&str]| -> Vec<Values> { lines.iter().map(|line| Values::of(line.as_bytes())).collect() };
        let archived = Values::of(br#"{"n": 1, "user": "old"}"#);
        let renamed = r#"{"n": 1, "user": "new"}"#;
        let (second, third) = (r#"{"n": 2, "user": "old"}"#, r#"{"n": 3, "user": "else"}"#);
        assert_eq!(nearest(&archived, &of(&[third, renamed]), &[]), Some(1));
        assert_eq!(nearest(&archived, &of(&[renamed, second]), &[]), None);
        assert_eq!(
            nearest(&archived, &of(&[renamed]), &[&Values::of(second.as_bytes())]),
            Some(0)
        );
        assert_eq!(
            nearest(&archived, &of(&[third]), &[&Values::of(renamed.as_bytes())]),
            None
        );
    }
}
