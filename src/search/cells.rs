//! The columns of a record as texts, each in its place.

use chrono::SecondsFormat;

use crate::json::push_strict;
use crate::source::{ColumnReader, Kind, ReadRow};

/// The names of the columns.
pub(crate) const HEADINGS: [&str; 8] = ["time", "stream", "event", "user", "address", "object", "id", "failure"];

/// Returns the columns of a record; empty where it has nothing to say.
pub(crate) fn cells(kind: &Kind, record: &ReadRow) -> [String; HEADINGS.len()] {
    let row = &record.row;
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    [
        record.time.to_rfc3339_opts(SecondsFormat::Millis, true),
        kind.name.to_owned(),
        row.event(),
        text(row.actor()),
        text(row.address()),
        row.object(),
        text(row.id.as_deref()),
        text(row.failure.as_deref()),
    ]
}

/// Returns the columns of a record for those who read no JSON, and whether they had to be repaired: half a character, which no text can
/// hold, is U+FFFD.
pub(crate) fn repaired_cells(kind: &Kind, line: &str, record: &ReadRow) -> ([String; HEADINGS.len()], bool) {
    let written = cells(kind, record);
    let mut copy = String::new();
    let can_have_half = line.contains("\\ud") || line.contains("\\uD");
    if !can_have_half || !push_strict(line, &mut copy) {
        return (written, false);
    }
    let repaired = ColumnReader::new(kind).read(&copy);
    let repaired = repaired.map_or_else(|_| written.clone(), |record| cells(kind, &record));
    let is_other = repaired != written;
    (repaired, is_other)
}
