//! What a demo shows: half a screen.

use std::fmt::Write;
use std::path::Path;

use super::DemoError;
use super::kept::Kept;
use crate::config::StreamSettings;
use crate::output::printable::excerpt;
use crate::output::table::{Cell, Colour, Table, left, right};
use crate::run::summary::{Status, StreamSummary, Summary};

/// How many characters of a line are shown.
const LINE_WIDTH: usize = 78;

/// The two runs of a demo, and what they have kept.
pub(super) struct Shown<'a> {
    pub(super) first: &'a Summary,
    pub(super) second: &'a Summary,
    pub(super) kept: &'a [Kept],
    pub(super) with_colours: bool,
}

impl Shown<'_> {
    /// Returns a line for each stream, and what is wrong, if something is.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new([
            left("STREAM"),
            left("STATUS"),
            right("FIRST"),
            right("AGAIN"),
            right("DAY FILES"),
            right("LINES"),
            right("TWICE"),
            right("IN KAFKA"),
            right("MISSING"),
        ])
        .with_colours(self.with_colours);
        let runs = self.first.streams().iter().zip(self.second.streams());
        for ((first, second), kept) in runs.zip(self.kept) {
            let status = if first.error().is_some() {
                first.status()
            } else {
                second.status()
            };
            table.row([
                first.name().into(),
                cell(status),
                first.appended().to_string().into(),
                second.appended().to_string().into(),
                kept.day_files.to_string().into(),
                kept.lines.to_string().into(),
                kept.repeated.to_string().into(),
                kept.messages.to_string().into(),
                kept.missing.to_string().into(),
            ]);
        }
        table.to_string() + &self.problems()
    }

    fn problems(&self) -> String {
        let mut problems = String::new();
        let all = self.first.streams().iter().chain(self.second.streams());
        // Writing to a String cannot fail.
        for stream in all {
            if let Some(error) = stream.error() {
                let _ = writeln!(problems, "{}: {error}", stream.name());
            }
            if let rejected @ 1.. = StreamSummary::records(stream).rejected {
                let _ = writeln!(problems, "{}: {rejected} records were rejected", stream.name());
            }
        }
        problems
    }
}

fn cell(status: Status) -> Cell {
    match status {
        Status::Complete => Cell::coloured("complete", Colour::Green),
        Status::Failed => Cell::coloured("failed", Colour::Red),
    }
}

/// Returns the newest day file of a stream and its first line.
pub(super) fn one_line(dir: &Path, settings: &StreamSettings) -> Result<String, DemoError> {
    let Some(file) = settings.location.day_files()?.pop() else {
        return Ok(String::new());
    };
    let line = file.first_behind(0, |line| Some(excerpt(line, LINE_WIDTH)))?;
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let path = dir.join(settings.kind.name).join(&*name);
    Ok(format!("  {}\n  {}\n", path.display(), line.unwrap_or_default()))
}
