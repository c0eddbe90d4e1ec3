//! How a member begins with a partition, or goes on where messages are gone: what is never called complete of its streams.

use std::collections::BTreeMap;

use super::{Archivist, RoundEnd};
use crate::coverage::Covered;
use crate::fleet::bucket::bucket_of;
use crate::fleet::filing::member_note::Progress;
use crate::fleet::state::StreamState;
use crate::forward::kafka::fleet::{Bounds, Partition};

/// So many streams are named of a partition.
const MOST_NAMED: usize = 5;

impl Archivist {
    fn is_new(&self, partition: &Partition) -> bool {
        self.note.progress(partition).is_none()
    }

    /// Returns where the partitions begin with which this member begins, and the topic of what is rejected with them: before the state is
    /// read, so that what is gone by then is in it.
    pub(super) fn lows_of_new(&self) -> Result<BTreeMap<Partition, i64>, RoundEnd> {
        let new: Vec<_> = self
            .own
            .keys()
            .filter(|partition| self.is_new(partition))
            .cloned()
            .collect();
        let of_aside = (0..self.aside_count).map(|partition| (self.aside_topic(), partition));
        let asked = new.iter().cloned().chain(of_aside.filter(|_| !new.is_empty()));
        let low = |partition: Partition| {
            let bounds = self.reader.bounds(&partition.0, partition.1).map_err(RoundEnd::Kafka)?;
            Ok((partition, bounds.low))
        };
        asked.map(low).collect()
    }

    /// Begins with partitions that are new. What was covered before, and whose lines may be gone from Kafka, is never called complete.
    pub(super) fn begin(&mut self, lows: &BTreeMap<Partition, i64>) -> Result<(), RoundEnd> {
        let aside_topic = self.aside_topic();
        let of_aside = |(partition, _): &(&Partition, &i64)| partition.0 == aside_topic;
        let aside: BTreeMap<i32, i64> = lows
            .iter()
            .filter(of_aside)
            .map(|((_, partition), low)| (*partition, *low))
            .collect();
        let new = lows.iter().filter(|entry| !of_aside(entry));
        for (partition, low) in new {
            let mut progress = Progress {
                next: *low,
                ..Progress::default()
            };
            self.exclude(partition, (*low, &aside), &mut progress.excluded);
            if progress.excluded.is_empty() {
                tracing::info!(topic = partition.0, partition = partition.1, from = low, "begun with");
            } else {
                self.warnings
                    .push(begun_late(partition, *low, progress.excluded.keys()));
            }
            self.note.begin(partition, progress);
        }
        if lows.is_empty() { Ok(()) } else { self.store() }
    }

    /// Adds to what is never called complete of the streams of a partition what the fleet has covered by now, and their catalogs do not hold:
    /// nothing, if all messages of a stream are there from these offsets on.
    fn exclude(
        &self,
        partition: &Partition,
        (low, aside): (i64, &BTreeMap<i32, i64>),
        excluded: &mut BTreeMap<String, Covered>,
    ) {
        let count = self.counts.get(&partition.0).copied().unwrap_or(1);
        for (name, state) in self.known.all() {
            if bucket_of(name.trim_start_matches('/'), count) != partition.1 {
                continue;
            }
            let begun = state.origin.as_ref();
            let is_whole = low <= begun.map_or(0, |origin| origin.offset)
                && aside.iter().all(|(partition, low)| {
                    let begun = begun.and_then(|origin| origin.aside.get(*partition as usize));
                    low <= begun.unwrap_or(&0)
                });
            if !is_whole {
                let missing = self.not_here(name, state, &state.run.sum.covered);
                let all = excluded.entry(name.clone()).or_default();
                missing.spans().iter().for_each(|span| all.add(*span));
            }
        }
        excluded.retain(|_, covered| !covered.spans().is_empty());
    }

    /// Returns what of these spans the catalog of a stream does not hold, by its own journal. Of one that cannot be read nothing is known to
    /// be there; it holds up no other.
    fn not_here(&self, name: &str, state: &StreamState, spans: &Covered) -> Covered {
        let mut missing = spans.clone();
        match self.streams.covered_here(name, state) {
            Ok(here) => here.spans().iter().for_each(|span| missing.remove(*span)),
            Err(error) => tracing::warn!(
                stream = name.trim_start_matches('/'),
                "what its catalog has is a gap: {error}"
            ),
        }
        missing
    }

    /// Notes which streams the fleet has from the catalog of one machine: what that had covered is in no message, so it is complete only in
    /// that catalog.
    pub(super) fn note_origins(&mut self) -> Result<(), RoundEnd> {
        let mut news = Vec::new();
        for (name, state) in self.known.all() {
            let Some(origin) = &state.origin else { continue };
            let Some(home) = self.streams.home(name).filter(|home| self.own.contains_key(*home)) else {
                continue;
            };
            let noted = self.note.progress(home).and_then(|progress| progress.origins.get(name));
            if noted != Some(&origin.id) {
                let missing = self.not_here(name, state, &origin.covered);
                news.push((home.clone(), name.clone(), origin.id.clone(), missing));
            }
        }
        let has_news = !news.is_empty();
        for (home, name, id, missing) in news {
            let Some(progress) = self.note.progress_mut(&home) else {
                continue;
            };
            let all = progress.excluded.entry(name.clone()).or_default();
            missing.spans().iter().for_each(|span| all.add(*span));
            progress.origins.insert(name, id);
        }
        if has_news { self.store() } else { Ok(()) }
    }

    /// Goes on from here, although what was before may be gone: what the fleet has covered by now, and is not known to be here, is never
    /// called complete. From the very beginning of the topics nothing can be missing.
    pub(super) fn accept_missing(&mut self, partition: &Partition, (from, low): (i64, i64)) -> Result<(), RoundEnd> {
        let Some(mut progress) = self.note.progress(partition).cloned() else {
            return Ok(());
        };
        let aside = self.aside_lows.clone();
        self.exclude(partition, (low, &aside), &mut progress.excluded);
        progress.claimed.clear();
        progress.next = from;
        self.note.begin(partition, progress);
        self.store()
    }
}

/// Says that a member begins with a partition whose beginning is gone.
fn begun_late<'a>(partition: &Partition, low: i64, streams: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = streams.map(|name| name.trim_start_matches('/')).collect();
    let first = names.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    let others = match names.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        others => format!(" and {others} others"),
    };
    format!(
        "{}, partition {}: it is begun with at message {low}, and messages of {first}{others} that were before it, or in the topic of what \
         is rejected, are gone from Kafka: what the fleet had covered by now is a gap in this archive",
        partition.0, partition.1
    )
}

/// Says that messages are gone before they were read, if it is so.
pub(super) fn gone(start: i64, bounds: &Bounds) -> Option<String> {
    let advice =
        "restore what other archives have of them, and go on with --accept-missing: what they covered is a gap then";
    if start < bounds.low {
        let (first, last) = (start, bounds.low - 1);
        return Some(format!(
            "its messages {first} to {last} are gone from Kafka before they were read; {advice}"
        ));
    }
    (start > bounds.high).then(|| {
        format!(
            "it ends at {}, and was read up to {start}: the topic was made anew, and what it held is gone; {advice}",
            bounds.high
        )
    })
}
