//! Forwards the day files: a reader sends the lines after the cursor to a sink, and acknowledgements move the cursor.
//!
//! Imports: archive, config, env, fs, http, json, output, process, record.
//!
//! The day files are the outbox. A sink outage, a kill or runs without forwarding lose nothing, and fetching never
//! waits for a sink. A cursor stands just after a newline, and never ahead of what its sink has acknowledged.

mod archive_id;
pub(crate) mod batch;
pub(crate) mod cursor;
pub(crate) mod day_lines;
pub(crate) mod forwarder;
pub(crate) mod http;
pub(crate) mod kafka;
pub(crate) mod lag;
pub(crate) mod message;
pub(crate) mod sink;
mod splunk;
pub(crate) mod stdout;
pub(crate) mod position;
pub(crate) mod reader;
pub(crate) mod target;
pub(crate) mod undelivered;

#[cfg(test)]
mod tests;

pub(crate) use archive_id::FILE as ARCHIVE_ID;
pub(crate) use forwarder::{Forwarded, StartPosition};
pub(crate) use lag::{Lag, cursor_problems, not_passed};
pub(crate) use target::{AppendNotifier, ForwardContext, Target, Targets};

use crate::archive::{FileUse, SINKS};

/// Returns the state files of forwarding, each as what follows `<base>.` and its use.
pub(crate) fn state_files() -> impl Iterator<Item = (String, FileUse)> {
    let of_sink = |sink| {
        [
            (format!("{sink}.lock"), FileUse::Lock),
            (format!("{sink}.json"), FileUse::Replace),
            (format!("{sink}.previous.json"), FileUse::Replace),
        ]
    };
    let others = [
        (undelivered::FILE.to_owned(), FileUse::Append),
        (archive_id::FILE.to_owned(), FileUse::Replace),
    ];
    SINKS.into_iter().flat_map(of_sink).chain(others)
}
