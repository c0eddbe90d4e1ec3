//! What a demo has kept of a stream: its day files, and its topic compared with them.

use std::collections::HashSet;

use super::{DemoError, topic};
use crate::archive::DayFile;
use crate::config::StreamSettings;
use crate::forward::kafka::MockKafka;

/// Counts of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) day_files: usize,
    /// Lines of the day files.
    pub(super) lines: usize,
    /// Lines of the day files, and messages of the topic, that are there once more.
    pub(super) repeated: usize,
    /// Messages of the topic.
    pub(super) messages: usize,
    /// Lines that are no message.
    pub(super) missing: usize,
}

impl Kept {
    /// Counts what is kept of each stream, in their order.
    pub(super) fn of_all(kafka: &MockKafka, streams: &[StreamSettings]) -> Result<Vec<Self>, DemoError> {
        let names: Vec<_> = streams.iter().map(topic).collect();
        let mut held = kafka.consume(&names)?;
        let mut topics = names.iter().map(|name| held.remove(name).unwrap_or_default());
        streams
            .iter()
            .map(|settings| Self::count(&settings.location.day_files()?, &topics.next().unwrap_or_default()))
            .collect()
    }

    fn count(files: &[DayFile], messages: &[Vec<u8>]) -> Result<Self, DemoError> {
        let sent: HashSet<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let mut kept = Self {
            day_files: files.len(),
            messages: messages.len(),
            ..Self::default()
        };
        let mut distinct = HashSet::new();
        for file in files {
            file.lines(|line| {
                kept.lines += 1;
                kept.missing += usize::from(!sent.contains(line.as_bytes()));
                distinct.insert(line.to_owned());
            })?;
        }
        kept.repeated = (kept.lines - distinct.len()) + (messages.len() - sent.len());
        Ok(kept)
    }
}
