//! What was read of a topic in a round and is not filed yet, and what could not be filed: a stream of which something could not be holds
//! back itself, and no other in its partition.

use std::collections::{BTreeMap, BTreeSet};

use super::filed_streams::{Loads, NotFiled};
use super::incoming::{Incoming, Parts};

/// What could not be filed of a topic, by partition. It is read again, and what came of other streams behind it is not filed twice.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<i32, HeldPartition>);

#[derive(Debug, Default)]
struct HeldPartition {
    /// By stream, the first message that is not filed.
    streams: BTreeMap<String, i64>,
    /// Up to here everything else is.
    read_to: i64,
}

impl Held {
    /// Returns whether a message was filed in an earlier round, although the partition is read again.
    fn has_filed(&self, partition: i32, offset: i64, name: &str) -> bool {
        self.0.get(&partition).is_some_and(|held| {
            let first = held.streams.values().min();
            let is_between = first.is_some_and(|first| *first <= offset) && offset < held.read_to;
            is_between && !held.streams.contains_key(name)
        })
    }

    fn hold(&mut self, partition: i32, name: &str, offset: i64) {
        let held = self.0.entry(partition).or_default();
        let first = held.streams.entry(name.to_owned()).or_insert(offset);
        *first = offset.min(*first);
    }

    fn first_of(&self, partition: i32) -> Option<i64> {
        self.0.get(&partition)?.streams.values().min().copied()
    }

    /// Returns the streams of which something could not be filed.
    pub(super) fn streams(&self) -> impl Iterator<Item = &String> {
        self.0.values().flat_map(|held| held.streams.keys())
    }

    /// Returns those that hold a partition back.
    pub(super) fn streams_of(&self, partition: i32) -> impl Iterator<Item = &String> {
        self.0.get(&partition).into_iter().flat_map(|held| held.streams.keys())
    }
}

/// What was read of a topic, and is not filed yet.
pub(super) struct Batch {
    pub(super) topic: String,
    pub(super) loads: Loads,
    /// Up to where each partition is read, and up to where it is filed.
    next: BTreeMap<i32, i64>,
    filed: BTreeMap<i32, i64>,
    /// What is set aside, in parts; `None` in an audit topic.
    pub(super) parts: Option<Parts>,
    /// What could not be filed in the round before, and in this one.
    before: Held,
    held: Held,
    /// The streams that are held in this round.
    stopped: BTreeSet<String>,
}

impl Batch {
    pub(super) fn of(topic: &str, starts: &BTreeMap<i32, i64>, parts: Option<Parts>, before: Held) -> Self {
        Self {
            topic: topic.to_owned(),
            loads: Loads::default(),
            next: starts.clone(),
            filed: starts.clone(),
            parts,
            before,
            held: Held::default(),
            stopped: BTreeSet::new(),
        }
    }

    /// Notes that a partition is read up to here.
    pub(super) fn note_read(&mut self, partition: i32, next: i64) {
        let read = self.next.entry(partition).or_insert(next);
        *read = next.max(*read);
    }

    /// Adds what came of a stream from this message on.
    pub(super) fn add(&mut self, name: &str, (partition, offset): (i32, i64), incoming: Incoming) {
        self.loads.add(name, (partition, offset), incoming);
    }

    /// Returns whether a message is to be passed over: what it says is filed, or something before it of its stream could not be.
    pub(super) fn passes_over(&mut self, name: &str, (partition, offset): (i32, i64)) -> bool {
        if self.stopped.contains(name) {
            self.held.hold(partition, name, offset);
            return true;
        }
        self.before.has_filed(partition, offset, name)
    }

    /// Notes that a stream is not filed from this message on.
    pub(super) fn hold(&mut self, name: &str, (partition, offset): (i32, i64)) {
        self.held.hold(partition, name, offset);
        if !self.stopped.contains(name) {
            self.stopped.insert(name.to_owned());
        }
    }

    /// Notes that what was read is filed, but for this; returns up to where the partitions are, where that is further.
    pub(super) fn note_filed(&mut self, not_filed: NotFiled) -> BTreeMap<i32, i64> {
        for (name, firsts) in not_filed {
            for place in firsts {
                self.hold(&name, place);
            }
        }
        let mut news = BTreeMap::new();
        for (partition, next) in &self.next {
            let whole = self.whole_to(*partition, *next);
            let next = self.held.first_of(*partition).map_or(whole, |first| first.min(whole));
            if self.filed.insert(*partition, next) != Some(next) {
                news.insert(*partition, next);
            }
        }
        news
    }

    /// Returns up to where nothing is in parts of which some are still to come.
    fn whole_to(&self, partition: i32, next: i64) -> i64 {
        let open = self.parts.as_ref().and_then(|parts| parts.first_of(partition));
        open.map_or(next, |open| open.min(next))
    }

    /// Returns what could not be filed, for the next round.
    pub(super) fn into_held(mut self) -> Held {
        let mut held = std::mem::take(&mut self.held);
        for (partition, of_partition) in &mut held.0 {
            let next = self.next.get(partition).copied().unwrap_or_default();
            of_partition.read_to = self.whole_to(*partition, next);
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_filed(name: &str, offset: i64) -> NotFiled {
        NotFiled::from([(name.to_owned(), BTreeMap::from([(0, offset)]))])
    }

    #[test]
    fn a_stream_that_cannot_be_filed_keeps_its_place_and_others_go_on_once() {
        let mut batch = Batch::of("audit", &BTreeMap::from([(0, 5)]), None, Held::default());
        assert!(!batch.passes_over("a/tfc", (0, 7)));
        batch.note_read(0, 10);
        assert_eq!(batch.note_filed(not_filed("a/tfc", 7)), BTreeMap::from([(0, 7)]));
        // The rest of the round is of the others alone.
        assert!(batch.passes_over("a/tfc", (0, 11)) && !batch.passes_over("b/tfc", (0, 11)));
        batch.note_read(0, 12);
        assert_eq!(batch.note_filed(NotFiled::new()), BTreeMap::new());
        let held = batch.into_held();
        assert_eq!(held.streams_of(0).collect::<Vec<_>>(), ["a/tfc"]);
        let mut next = Batch::of("audit", &BTreeMap::from([(0, 7)]), None, held);
        let passed: Vec<_> = [("a/tfc", 7), ("b/tfc", 8), ("b/tfc", 11), ("b/tfc", 12), ("b/tfc", 6)]
            .map(|(name, offset)| next.passes_over(name, (0, offset)))
            .into();
        assert_eq!(passed, [false, true, true, false, false]);
        next.note_read(0, 13);
        assert_eq!(next.note_filed(NotFiled::new()), BTreeMap::from([(0, 13)]));
        assert_eq!(next.into_held().streams().count(), 0);
    }
}
