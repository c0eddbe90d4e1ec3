//! What the state of the fleet says of its streams: how far each is covered, for what the archive may call complete.
//!
//! Only the messages of the streams are kept; the identities of their records are for those who collect.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::fleet::state::{SaidOfStream, StreamState, said_of_stream};
use crate::forward::kafka::fleet::{PartitionReader, ReadEnd};

/// The state of all streams, as it was read last.
pub(super) struct KnownStreams {
    reader: Option<PartitionReader>,
    topic: String,
    buckets: i32,
    /// From where on each partition is read next.
    positions: BTreeMap<i32, i64>,
    streams: BTreeMap<String, StreamState>,
    unreadable: BTreeMap<String, String>,
}

impl KnownStreams {
    /// Nothing so far of a topic with so many partitions.
    pub(super) fn of(reader: Option<PartitionReader>, (topic, buckets): (&str, i32)) -> Self {
        Self {
            reader,
            topic: topic.to_owned(),
            buckets,
            positions: BTreeMap::new(),
            streams: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        }
    }

    /// Reads on to the ends. It blocks.
    ///
    /// # Errors
    /// If Kafka cannot be read, or it is to stop. What was read counts; after an error of Kafka all is read anew.
    pub(super) fn read_on(&mut self, idle: impl FnMut() -> ControlFlow<()>) -> Result<(), ReadEnd> {
        let Some(reader) = self.reader.take() else {
            return Ok(());
        };
        let read = self.read_by(&reader, idle);
        self.reader = Some(reader);
        if let Err(ReadEnd::Kafka(_)) = &read {
            self.positions.clear();
        }
        read
    }

    fn read_by(&mut self, reader: &PartitionReader, idle: impl FnMut() -> ControlFlow<()>) -> Result<(), ReadEnd> {
        if self.positions.is_empty() {
            for bucket in 0..self.buckets {
                let bounds = reader.bounds(&self.topic, bucket).map_err(ReadEnd::Kafka)?;
                self.positions.insert(bucket, bounds.low);
            }
        }
        let (topic, starts) = (self.topic.clone(), self.positions.clone());
        reader.read_to_end(&topic, &starts, idle, |message| {
            self.positions.insert(message.partition, message.offset + 1);
            self.take(message.key, message.value);
            ControlFlow::Continue(())
        })
    }

    fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some((name, said)) = said_of_stream(key, value) else {
            return;
        };
        self.unreadable.remove(&name);
        match said {
            SaidOfStream::Known(Some(state)) => drop(self.streams.insert(name, *state)),
            SaidOfStream::Known(None) => drop(self.streams.remove(&name)),
            SaidOfStream::Unreadable(error) => {
                self.streams.remove(&name);
                self.unreadable.insert(name, error.to_string());
            }
        }
    }

    /// Returns what is known of a stream.
    pub(super) fn get(&self, name: &str) -> Option<&StreamState> {
        self.streams.get(name)
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &StreamState)> {
        self.streams.iter()
    }

    /// Returns why nothing is known of a stream, if it is not that it was never collected.
    pub(super) fn problem_with(&self, name: &str) -> Option<&str> {
        self.unreadable.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Scope;
    use crate::test_support::record::time;

    #[test]
    fn the_last_message_of_a_stream_counts_and_what_a_newer_version_has_written_is_no_state() {
        let mut known = KnownStreams::of(None, ("trails.state", 1));
        let mut state = StreamState::new(Scope::sample(), time("2026-01-05T00:00:00Z"));
        for records in [1, 2] {
            state.records = records;
            let (key, value) = state.message("acme/tfc");
            known.take(&key, Some(&value));
        }
        known.take(b"owner", Some(b"{}"));
        known.take(b"ids:acme/tfc:1:0", Some(&[1]));
        assert_eq!(known.get("acme/tfc").map(|state| state.records), Some(2));
        assert_eq!(known.all().count(), 1);
        let (key, _) = state.message("acme/tfc");
        known.take(&key, Some(br#"{"version":99}"#));
        assert!(known.get("acme/tfc").is_none());
        assert!(known.problem_with("acme/tfc").unwrap().contains("newer version"));
        known.take(&key, None);
        assert_eq!((known.get("acme/tfc"), known.problem_with("acme/tfc")), (None, None));
    }
}
