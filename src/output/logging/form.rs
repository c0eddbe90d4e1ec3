//! The form of a log line. As text: `2023-10-01 12:00:00.123 INFO:`, a tab, the message, then its fields as `key=value`. As
//! JSON: an object with `logger`, `time`, `level`, `message` and the fields.
//!
//! On a stderr that is the systemd journal, a line begins with its priority (sd-daemon(3)), and text has no time of its own.

use std::fmt::{self, Display, Write};

use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::{Clock, JournalStream, LogOptions};
use crate::output::printable::{printable, printable_json};

/// What a line of JSON begins with, by which a log is known.
pub(super) const JSON_BEGINNING: &str = r#"{"logger":"trailkeeper","#;

/// Whether lines are for people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// The form of the lines that go to one place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    pub(super) format: LogFormat,
    /// Whether the place is the journal.
    pub(super) is_journal: bool,
}

/// A line, before it has a form.
struct Parts<'a> {
    time: DateTime<Utc>,
    level: Level,
    message: &'a str,
    /// In the format of the line.
    fields: &'a str,
}

impl Form {
    /// Returns the form of lines on stderr.
    pub(super) fn on_stderr(options: LogOptions<'_>) -> Self {
        Self {
            format: options.format,
            is_journal: options.journal.is_some_and(JournalStream::is_stderr),
        }
    }

    fn write(self, out: &mut impl Write, parts: &Parts<'_>) -> fmt::Result {
        let Parts {
            time,
            level,
            message,
            fields,
        } = *parts;
        if self.is_journal {
            write!(out, "<{}>", priority(level))?;
        }
        match self.format {
            LogFormat::Json => {
                let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
                let (level, message) = (word(level), json(message));
                writeln!(
                    out,
                    r#"{JSON_BEGINNING}"time":"{time}","level":"{level}","message":{message}{fields}}}"#
                )
            }
            LogFormat::Text if self.is_journal => writeln!(out, "{}{}", printable(message), printable(fields)),
            LogFormat::Text => {
                let (time, level) = (Time(time), word(level));
                writeln!(out, "{time} {level}:\t{}{}", printable(message), printable(fields))
            }
        }
    }

    /// Formats a line about the log itself, which is not an event.
    pub(super) fn error_line(self, time: DateTime<Utc>, message: &str) -> String {
        let (mut line, level) = (String::new(), Level::ERROR);
        let parts = Parts {
            time,
            level,
            message,
            fields: "",
        };
        // Writing to a String cannot fail.
        let _ = self.write(&mut line, &parts);
        line
    }
}

/// Writes each event as one line.
pub(super) struct Line {
    pub(super) clock: Clock,
    pub(super) form: Form,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut gathered = Gathered::new(self.form.format);
        event.record(&mut gathered);
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                gathered.fields.push_str(fields);
            }
        }
        let parts = Parts {
            time: (self.clock)(),
            level: *event.metadata().level(),
            message: &gathered.message,
            fields: &gathered.fields,
        };
        self.form.write(&mut writer, &parts)
    }
}

/// A time as Python's logging writes it, with milliseconds. A format string would be parsed again for each line.
struct Time(DateTime<Utc>);

impl Display for Time {
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
pub(super) struct Fields(pub(super) LogFormat);

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut gathered = Gathered::new(self.0);
        fields.record(&mut gathered);
        writer.write_str(&gathered.fields)
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

/// Returns the priority of a level, as syslog(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The message of an event, and its other fields: as text each after a space, as JSON each after a comma.
struct Gathered {
    format: LogFormat,
    message: String,
    fields: String,
}

impl Gathered {
    fn new(format: LogFormat) -> Self {
        Self {
            format,
            message: String::new(),
            fields: String::new(),
        }
    }

    /// Adds a number or a flag.
    fn add_plain(&mut self, field: &Field, value: impl Display + Serialize) {
        match self.format {
            LogFormat::Text => self.add(field, &value.to_string()),
            LogFormat::Json => self.add_json(field, &json(value)),
        }
    }

    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
            return;
        }
        if self.format == LogFormat::Json {
            return self.add_json(field, &json(value));
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

    fn add_json(&mut self, field: &Field, value: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.fields, ",\"{}\":{value}", field.name());
    }
}

impl Visit for Gathered {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add_plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_plain(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// Returns a value as JSON that drives no terminal.
fn json(value: impl Serialize) -> String {
    // A text, a number or a flag can always be written.
    let json = serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned());
    printable_json(&json).into_owned()
}
