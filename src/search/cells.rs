//! The columns of a record as texts, each in its place.

use chrono::SecondsFormat;

use crate::source::{Kind, ReadRow};

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
