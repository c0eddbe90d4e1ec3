//! The undelivered file: lines that a sink will never take, with the reason.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::Value;

use super::batch::{Batch, Line};
use super::message::{Envelope, Message};
use crate::archive::{StateFile, WriteError};

/// Name of the undelivered file, after `<base>.`.
pub(super) const FILE: &str = "undelivered.jsonl";

/// The file `.trailkeeper/<base>.undelivered.jsonl`, with a JSON object in each line:
/// `{"noted_at": "…Z", "sink": "kafka", "reason": "…", "file": "…", "offset": 4711, "dedup_id": "…", "record": …}`.
#[derive(Debug)]
pub(crate) struct Undelivered {
    file: StateFile,
    sink: &'static str,
    envelope: Envelope,
    now: DateTime<Utc>,
    noted: HashSet<(NaiveDate, u64)>,
}

impl Undelivered {
    /// Returns the undelivered file of a stream; `now` is when the run began.
    pub(crate) fn new(envelope: Envelope, sink: &'static str, now: DateTime<Utc>) -> Self {
        Self {
            file: envelope.location.state(FILE),
            sink,
            envelope,
            now,
            noted: HashSet::new(),
        }
    }

    /// Returns whether a line of this run is undelivered.
    pub(super) fn has(&self, line: &Line) -> bool {
        self.noted.contains(&(line.day, line.offset))
    }

    /// Writes a line to the file, once, and syncs it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn add(&mut self, batch: &Batch, line: &Line, reason: &str) -> Result<(), WriteError> {
        if self.has(line) {
            return Ok(());
        }
        let mut message = Message::default();
        message.describe(&self.envelope, line);
        let quoted = |text: &str| Value::from(text).to_string();
        // The line is valid JSON: a record was read from it.
        let record = String::from_utf8_lossy(batch.bytes(line));
        let note = format!(
            "{{\"noted_at\": {}, \"sink\": {}, \"reason\": {}, \"file\": {}, \"offset\": {}, \"dedup_id\": {}, \"record\": {record}}}",
            quoted(&self.now.to_rfc3339_opts(SecondsFormat::Millis, true)),
            quoted(self.sink),
            quoted(reason),
            quoted(&message.file),
            line.offset,
            quoted(&message.dedup_id),
        );
        self.file.append_line(&note)?;
        self.noted.insert((line.day, line.offset));
        tracing::warn!(
            sink = self.sink,
            file = message.file,
            offset = line.offset,
            bytes = batch.bytes(line).len(),
            "cannot deliver a line, so it was written to {}: {reason}",
            self.file.path().display()
        );
        Ok(())
    }
}
