//! What `export` has written, as JSON and as a table.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::export::{Manifest, Part};
use crate::output::table::{Table, left, right};
use crate::process::exit::Exit;

/// What was written. The fields are those of `trailkeeper export --json`; `docs/json.md` says what they are.
#[derive(Debug, Serialize)]
pub(super) struct Exported<'a> {
    folder: &'a Path,
    records: u64,
    is_complete: bool,
    streams: Vec<Stream<'a>>,
    exit_code: u8,
    #[serde(skip)]
    exit: Exit,
}

#[derive(Debug, Serialize)]
struct Stream<'a> {
    stream: &'static str,
    file: &'a str,
    records: u64,
    repaired: u64,
    is_complete: bool,
    /// How many records have a proof, and how many have none; null if the bundle has no proofs.
    proved: Option<u64>,
    unproved: Option<u64>,
    missing: Vec<String>,
    remarks: &'a [String],
    #[serde(skip)]
    without_proof: Option<String>,
    #[serde(skip)]
    is_error: bool,
}

impl<'a> Exported<'a> {
    /// Returns what a manifest says.
    pub(super) fn of(folder: &'a Path, manifest: &'a Manifest, fails_on_gaps: bool) -> Self {
        let parts = manifest.streams();
        let has_failed = parts.iter().any(Part::has_failed);
        let is_alarming = fails_on_gaps && parts.iter().any(Part::is_alarming);
        let exit = if has_failed || is_alarming {
            Exit::StreamFailed
        } else {
            Exit::Complete
        };
        let streams = parts.iter().map(|part| Stream {
            stream: part.name(),
            file: part.file(),
            records: part.records(),
            repaired: part.repaired(),
            is_complete: part.is_complete(),
            proved: part.proved().map(|(proved, _)| proved),
            unproved: part.proved().map(|(_, unproved)| unproved),
            missing: part.sentences(),
            remarks: part.remarks(),
            without_proof: part.unproved_sentence(),
            is_error: part.has_failed() || fails_on_gaps && part.is_alarming(),
        });
        Self {
            folder,
            records: manifest.records(),
            is_complete: manifest.is_complete(),
            streams: streams.collect(),
            exit_code: exit as u8,
            exit,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Logs what is missing: as an error where the command fails for it, and as a warning elsewhere.
    pub(super) fn log_missing(&self) {
        for part in &self.streams {
            let stream = part.stream;
            for sentence in &part.missing {
                if part.is_error {
                    tracing::error!(stream, "not complete: {sentence}");
                } else {
                    tracing::warn!(stream, "not complete: {sentence}");
                }
            }
        }
    }

    /// Returns it for people.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new([left("STREAM"), right("RECORDS"), left("COMPLETE"), left("FILE")]);
        let mut notes = String::new();
        for stream in &self.streams {
            let complete = if stream.is_complete { "yes" } else { "NO" };
            table.row([stream.stream, &stream.records.to_string(), complete, stream.file]);
            for remark in stream.remarks.iter().chain(&stream.without_proof) {
                let _ = writeln!(notes, "{}: {remark}", stream.stream);
            }
            if stream.repaired > 0 {
                let _ = writeln!(
                    notes,
                    "{}: {} records were repaired; about.html says how",
                    stream.stream, stream.repaired
                );
            }
        }
        let (folder, records) = (self.folder.display(), self.records);
        format!("{table}{notes}{folder}: {records} records; about.html says what they are and how complete\n")
    }
}
