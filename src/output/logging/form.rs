//! The form of a log line: `2023-10-01 12:00:00.123 INFO:`, a tab, the message, then its fields as `key=value`.

use std::fmt::{self, Write};

use chrono::{DateTime, Timelike, Utc};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::Clock;
use crate::output::printable::printable;

/// Writes each event as one line.
pub(super) struct Line {
    pub(super) clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = Text::default();
        event.record(&mut text);
        let time = Time((self.clock)());
        let level = word(*event.metadata().level());
        write!(
            writer,
            "{time} {level}:\t{}{}",
            printable(&text.message),
            printable(&text.fields)
        )?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(writer, "{}", printable(fields))?;
            }
        }
        writeln!(writer)
    }
}

/// Formats a line about the log itself, which is not an event.
pub(super) fn error_line(time: DateTime<Utc>, message: &str) -> String {
    format!("{} {}:\t{}\n", Time(time), word(Level::ERROR), printable(message))
}

/// A time as Python's logging writes it, with milliseconds. A format string would be parsed again for each line.
struct Time(DateTime<Utc>);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.time();
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let millisecond = self.0.timestamp_subsec_millis();
        write!(
            f,
            "{} {hour:02}:{minute:02}:{second:02}.{millisecond:03}",
            self.0.date_naive()
        )
    }
}

/// Writes the fields of a span as they appear in a line.
pub(super) struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = Text::default();
        fields.record(&mut text);
        writer.write_str(&text.fields)
    }
}

/// Returns the name of a level in Python's logging, which readers of these files expect.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// The message of an event, and its other fields, each after a space.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
            return;
        }
        let is_plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
        let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        // Writing to a String cannot fail.
        let _ = if is_plain || is_quoted {
            write!(self.fields, " {}={value}", field.name())
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}
