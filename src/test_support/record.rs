//! Records with a time and an id, as those of Terraform.

use chrono::{DateTime, Utc};

use crate::record::{Record, Shape};

/// Where they keep the two.
pub(crate) const SHAPE: Shape = Shape {
    time: &["timestamp"],
    id: &["id"],
};

/// A time in RFC 3339.
pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A record with this id and time.
pub(crate) fn record(id: &str, time: &str) -> Record {
    Record::read(&json(id, time), &SHAPE).unwrap()
}

/// This minute after ten o'clock of a day.
pub(crate) fn minute(minute: u32) -> DateTime<Utc> {
    time(&format!("2026-06-09T10:{minute:02}:00Z"))
}

/// A record of this minute, which is its id.
pub(crate) fn record_of_minute(number: u32) -> Record {
    record(&number.to_string(), &minute(number).to_rfc3339())
}

/// The line of such a record, newline included.
pub(crate) fn line(id: &str, time: &str) -> String {
    json(id, time) + "\n"
}

/// The line of a record of ten o'clock of this day.
pub(crate) fn line_of_day(day: &str, id: &str) -> String {
    line(id, &format!("{day}T10:00:00Z"))
}

fn json(id: &str, time: &str) -> String {
    format!(r#"{{"id": "{id}", "timestamp": "{time}"}}"#)
}
