//! An audit record as it was received: its time, its identity and its line.
//!
//! Imports: json, output.

mod anchor;
pub(crate) mod digests;
mod line;
mod list;
mod time;

use std::fmt;

use chrono::{DateTime, Utc};

use crate::json::{Found, JsonError, Scanner, push_bytes};
use crate::output::printable::excerpt;

pub(crate) use crate::json::KeyPath;
pub(crate) use anchor::{Anchor, AnchorSet};
pub(crate) use line::{Line, hold};
pub use list::Broken;
pub(crate) use list::{Listed, ListedError};

/// Midnight UTC of 2000-01-01, in Unix seconds. No source is that old: an earlier time is an error in the record, such
/// as a clock at its epoch, and would create a day file in the far past.
const EARLIEST_UNIX_SECONDS: i64 = 946_684_800;

/// How many characters of an unreadable time are shown.
const SHOWN_CHARS: usize = 60;

/// Where the records of a source have what the archive needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The record's time, an RFC 3339 string.
    pub time: KeyPath,
    /// The documented id of a record, a number or a non-empty string: for messages and keys, and to know a revision.
    pub id: KeyPath,
}

/// Two hashes by which records are known again; [`crate::json`] defines them.
///
/// Records are the same if their contents are. An id alone makes no two records the same: it may not be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Hash of the whole record as a JSON value.
    pub content: u128,
    /// Hash of the documented id, or of the content where there is none: with the time, it tells a record again although
    /// a part of it was filled in later.
    pub(crate) mark: u128,
}

impl Identity {
    /// Whether the record has an id that says something.
    pub(crate) fn has_id(self) -> bool {
        self.mark != self.content
    }
}

/// A record that can be filed: a JSON object with a time.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// When it happened, according to the record.
    pub time: DateTime<Utc>,
    /// Its hashes, for finding duplicates.
    pub identity: Identity,
    /// The one-line form, without the newline.
    pub line: Line,
    /// Whether the service gives a newer version of it by now.
    pub(crate) is_superseded: bool,
}

/// A record that has no day file, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why, for people.
    pub reason: String,
    /// Hash of its line as a JSON value.
    pub(crate) content: u128,
    /// The one-line form, without the newline; any JSON value.
    pub line: Line,
    /// What the line is.
    pub(crate) form: Form,
}

/// What the line of a rejected record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The record, which is JSON.
    Record,
    /// The bytes of a record that is not JSON, as a string; see [`crate::json`] for its escapes.
    Bytes,
    /// The bytes, as such a string, of a record that is not UTF-8. It was repaired, and is filed or rejected itself.
    Original,
}

/// Why a JSON value cannot be filed under a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecordError {
    /// It is a string, a number, an array, `true`, `false` or `null`.
    #[error("not a JSON object")]
    NotAnObject,
    /// There is no value at the time's path.
    #[error("no time at `{}`", path.join("."))]
    NoTime {
        /// The path of the time.
        path: KeyPath,
    },
    /// The value at the time's path is neither a string nor a number.
    #[error("the time at `{}` is neither a string nor a number", path.join("."))]
    TimeOfWrongType {
        /// The path of the time.
        path: KeyPath,
    },
    /// The time has an unknown format.
    #[error("the time at `{}` cannot be read: \"{shown}\"", path.join("."))]
    TimeUnreadable {
        /// The path of the time.
        path: KeyPath,
        /// Its first 60 characters, control characters escaped.
        shown: String,
    },
    /// The time is before the year 2000.
    #[error("the time at `{}`, {time:?}, is before the year 2000", path.join("."))]
    TimeTooEarly {
        /// The path of the time.
        path: KeyPath,
        /// The time.
        time: DateTime<Utc>,
    },
}

/// Why a text could not be read as a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON: part of a line, or something else.
    #[error(transparent)]
    JsonError(#[from] JsonError),
    /// It is a JSON value that cannot be filed under a day.
    #[error("{}", .0.reason)]
    Rejected(Rejected),
}

impl From<Rejected> for ReadError {
    fn from(rejected: Rejected) -> Self {
        ReadError::Rejected(rejected)
    }
}

/// Why a text has no time and identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// It is not JSON: part of a line, or something else.
    #[error(transparent)]
    JsonError(#[from] JsonError),
    /// It is a JSON value that cannot be filed under a day.
    #[error(transparent)]
    InvalidRecordError(#[from] InvalidRecordError),
}

/// The time and the identity of a record, without its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    /// When it happened, according to the record.
    pub time: DateTime<Utc>,
    /// Its hashes, for finding duplicates.
    pub identity: Identity,
}

impl Identified {
    /// Returns a hash of the id and the time, the same for all versions of a record; of its content and its time where it has no id.
    pub(crate) fn moment(&self) -> u128 {
        Anchor::from(*self).moment()
    }
}

impl Record {
    /// Returns a hash of its id and its time, the same for all of its versions; of its content and its time where it has no id.
    pub(crate) fn moment(&self) -> u128 {
        Anchor::of(self).moment()
    }

    /// Returns its time and identity.
    pub(crate) fn identified(&self) -> Identified {
        Identified {
            time: self.time,
            identity: self.identity,
        }
    }

    /// Reads one record; for many, a [`Reader`] is cheaper.
    ///
    /// # Errors
    ///
    /// See [`Reader::read`].
    pub fn read(json: &str, shape: &Shape) -> Result<Self, ReadError> {
        Reader::new(*shape).read(json)
    }

    /// Turns it into a rejected record, for a reason that the record alone does not show, such as a time in the future.
    pub(crate) fn into_rejected(self, reason: impl Into<String>) -> Rejected {
        Rejected {
            reason: reason.into(),
            content: self.identity.content,
            line: self.line,
            form: Form::Record,
        }
    }
}

impl Rejected {
    /// Creates one of bytes that are no record; `None` if there are more of them than a page may have.
    pub(crate) fn of_bytes(bytes: &[u8], reason: &str) -> Option<Self> {
        let mut line = String::new();
        let content = push_bytes(bytes, &mut line, list::MOST_BYTES)?;
        Some(Self {
            reason: reason.to_owned(),
            content,
            line: line.into(),
            form: Form::Bytes,
        })
    }
}

/// Hides the line and the identity: records are personal data.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("time", &self.time)
            .field("line_bytes", &self.line.len())
            .finish_non_exhaustive()
    }
}

/// Hides the line, and the reason, which may quote it: records are personal data.
impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("line_bytes", &self.line.len())
            .finish_non_exhaustive()
    }
}

/// Reads the records of one source, from its answers and from the archive, by the same rules.
#[derive(Debug)]
pub struct Reader {
    shape: Shape,
    scanner: Scanner,
    line: String,
    /// Where the last scanned record starts in `line`.
    start: usize,
}

impl Reader {
    const TIME: usize = 0;
    const ID: usize = 1;
    const OTHERS: usize = 2;

    /// Creates a reader for records of this shape.
    pub fn new(shape: Shape) -> Self {
        Self::with_paths(shape, &[])
    }

    /// Creates a reader that also seeks the values at these paths; see [`Reader::text`].
    pub(crate) fn with_paths(shape: Shape, paths: &[KeyPath]) -> Self {
        let paths = [&[shape.time, shape.id], paths].concat();
        Self {
            shape,
            scanner: Scanner::new(&paths),
            line: String::new(),
            start: 0,
        }
    }

    /// Reads a record with its line.
    ///
    /// # Errors
    ///
    /// The text is not JSON, or a JSON value that cannot be filed: not an object, or without a readable time from the
    /// year 2000 on. The caller decides whether a time is too late; see [`Record::into_rejected`].
    pub fn read(&mut self, json: &str) -> Result<Record, ReadError> {
        let content = self.scan(json)?;
        let checked = self.time().map(|time| (time, self.identity(content)));
        Ok(record(Line::from(self.line.clone()), content, checked)?)
    }

    /// Reads only the time and the identity of a record.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::read`].
    pub fn identify(&mut self, json: &str) -> Result<Identified, IdentifyError> {
        let content = self.scanner.identify(json)?;
        let scanner = &self.scanner;
        let written = scanner.found_form(Self::TIME).map(|(written, _)| written);
        let time = time_written(&self.shape, scanner.is_object(), written)?;
        let id = scanner.found_form(Self::ID);
        let id = id.filter(|(written, _)| says_something(written));
        let mark = id.map_or(content, |(_, hash)| hash());
        let identity = Identity { content, mark };
        Ok(Identified { time, identity })
    }

    /// Reads the time, the identity and the id of a record in one pass; the id as text, or `None` if it
    /// has none that says something.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::read`].
    pub(crate) fn identify_with_id(&mut self, json: &str) -> Result<(Identified, Option<String>), IdentifyError> {
        let content = self.scan(json)?;
        let identified = Identified {
            time: self.time()?,
            identity: self.identity(content),
        };
        Ok((identified, self.scanned_id_text()))
    }

    #[cfg(test)]
    pub(crate) fn id_text(&mut self, json: &str) -> Option<String> {
        self.scan(json).ok()?;
        self.scanned_id_text()
    }

    /// Returns the documented id of the scanned record as text: a string's characters, or a number as it was written.
    ///
    /// A string with a lone surrogate, which UTF-8 cannot hold, stays as it is in the line. `None` if the id is missing,
    /// empty, or neither a string nor a number.
    fn scanned_id_text(&self) -> Option<String> {
        let written = &self.line[self.id()?.range.clone()];
        Some(serde_json::from_str(written).unwrap_or_else(|_| string_form(written).unwrap_or(written).to_owned()))
    }

    /// Returns the text or number at the path with this index of [`Reader::with_paths`] in the last record; `None` for anything
    /// else, and for an empty text. A text with a lone surrogate stays as it is in the line.
    pub(crate) fn text(&self, path: usize) -> Option<String> {
        let found = self.scanner.found(Self::OTHERS + path)?;
        let written = &self.line[found.range.clone()];
        if is_number(written) {
            return Some(written.to_owned());
        }
        let inner = string_form(written).filter(|inner| !inner.is_empty())?;
        Some(serde_json::from_str(written).unwrap_or_else(|_| inner.to_owned()))
    }

    /// Returns the last record in the form of a line, whatever white space and escapes it was written with.
    pub(crate) fn form(&self) -> &str {
        &self.line
    }

    fn scan(&mut self, json: &str) -> Result<u128, JsonError> {
        self.line.clear();
        self.start = 0;
        self.scanner.scan(json, &mut self.line)
    }

    /// Returns the time of the last scanned record.
    fn time(&self) -> Result<DateTime<Utc>, InvalidRecordError> {
        time_of(&self.shape, &self.scanner, &self.line, self.start)
    }

    /// Returns the identity of the last scanned record.
    fn identity(&self, content: u128) -> Identity {
        let mark = self.id().map_or(content, |found| found.hash(&self.line));
        Identity { content, mark }
    }

    /// Returns the non-empty id of the last scanned record.
    fn id(&self) -> Option<&Found> {
        let found = self.scanner.found(Self::ID)?;
        says_something(&self.line[found.range.clone()]).then_some(found)
    }
}

/// Returns whether an id in this form is one: a number, or a text that is not empty.
fn says_something(written: &str) -> bool {
    is_number(written) || string_form(written).is_some_and(|text| !text.is_empty())
}

/// Builds a record from its line, or a rejected one if it cannot be filed.
fn record(
    line: Line,
    content: u128,
    checked: Result<(DateTime<Utc>, Identity), InvalidRecordError>,
) -> Result<Record, Rejected> {
    match checked {
        Ok((time, identity)) => Ok(Record {
            time,
            identity,
            line,
            is_superseded: false,
        }),
        Err(error) => Err(Rejected {
            reason: error.to_string(),
            content,
            line,
            form: Form::Record,
        }),
    }
}

/// Returns what is between the quotes of a string's form; `None` for another value. A time has no character that is
/// escaped there, so it needs no decoding.
fn string_form(written: &str) -> Option<&str> {
    written.strip_prefix('"')?.strip_suffix('"')
}

/// Returns whether the form of a value is that of a number.
fn is_number(written: &str) -> bool {
    written.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Returns the time of the record that the scanner read last, into the line from `start` on.
fn time_of(shape: &Shape, scanner: &Scanner, line: &str, start: usize) -> Result<DateTime<Utc>, InvalidRecordError> {
    let written = scanner.found(Reader::TIME).map(|found| &line[found.range.clone()]);
    time_written(shape, line[start..].starts_with('{'), written)
}

/// Returns the time that is written so in a record.
fn time_written(shape: &Shape, is_object: bool, written: Option<&str>) -> Result<DateTime<Utc>, InvalidRecordError> {
    let path = shape.time;
    if !is_object {
        return Err(InvalidRecordError::NotAnObject);
    }
    let written = written.ok_or(InvalidRecordError::NoTime { path })?;
    let time = match string_form(written) {
        Some(text) => time::read(text),
        None if is_number(written) => time::read_number(written),
        None => return Err(InvalidRecordError::TimeOfWrongType { path }),
    };
    let Some(time) = time else {
        return Err(InvalidRecordError::TimeUnreadable {
            path,
            shown: excerpt(string_form(written).unwrap_or(written), SHOWN_CHARS),
        });
    };
    if time.timestamp() < EARLIEST_UNIX_SECONDS {
        return Err(InvalidRecordError::TimeTooEarly { path, time });
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    const SHAPE: Shape = Shape {
        time: &["trigger", "at"],
        id: &["id"],
    };

    fn at(time: &str) -> String {
        format!(r#"{{"id":"a1","trigger":{{"at":{time}}}}}"#)
    }

    fn read(json: &str) -> Record {
        Record::read(json, &SHAPE).unwrap()
    }

    fn rejected(json: &str) -> Rejected {
        match Record::read(json, &SHAPE) {
            Err(ReadError::Rejected(rejected)) => rejected,
            other => panic!("{json}: {other:?}"),
        }
    }

    fn mark(json: &str) -> u128 {
        read(json).identity.mark
    }

    #[test]
    fn a_time_is_read_as_rfc_3339_and_converted_to_utc() {
        for (text, utc) in [
            ("2025-06-09T10:11:12Z", "2025-06-09T10:11:12Z"),
            ("2025-06-09T10:11:12.5Z", "2025-06-09T10:11:12.500Z"),
            ("2025-06-09T10:11:12.123456789Z", "2025-06-09T10:11:12.123456789Z"),
            ("2025-06-10T00:30:00+03:00", "2025-06-09T21:30:00Z"),
            ("2025-06-09T23:30:00.000-05:30", "2025-06-10T05:00:00Z"),
            ("2025-06-09t10:11:12z", "2025-06-09T10:11:12Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
            ("1999-12-31T23:00:00-01:00", "2000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            (r"\u0032025-06-09T10:11:12Z", "2025-06-09T10:11:12Z"),
        ] {
            let utc: DateTime<Utc> = utc.parse().unwrap();
            assert_eq!(read(&at(&format!("\"{text}\""))).time, utc, "{text}");
        }
    }

    #[test]
    fn digits_beyond_nanoseconds_are_dropped_from_the_time_and_stay_in_the_line() {
        let json = at("\"2025-06-09T10:11:12.1234567899999Z\"");
        let record = read(&json);
        assert_eq!(
            record.time,
            "2025-06-09T10:11:12.123456789Z".parse::<DateTime<Utc>>().unwrap()
        );
        assert!(record.line.contains(".1234567899999Z"));
    }

    #[test]
    fn a_leap_second_belongs_to_the_day_that_it_ends() {
        let time = read(&at("\"2016-12-31T23:59:60Z\"")).time;
        assert_eq!(time.date_naive().to_string(), "2016-12-31");
    }

    #[test]
    fn what_cannot_be_filed_is_rejected_with_the_reason() {
        const UNREADABLE: &str = "the time at `trigger.at` cannot be read: ";
        let unreadable = |shown: &str| format!("{UNREADABLE}\"{shown}\"");
        let wrong_type = || "the time at `trigger.at` is neither a string nor a number".to_owned();
        for (json, reason) in [
            ("[]", "not a JSON object".into()),
            ("null", "not a JSON object".into()),
            ("\"{}\"", "not a JSON object".into()),
            ("{}", "no time at `trigger.at`".into()),
            (r#"{"at":"2025-06-09T10:11:12Z"}"#, "no time at `trigger.at`".into()),
            (
                r#"{"trigger":"2025-06-09T10:11:12Z"}"#,
                "no time at `trigger.at`".into(),
            ),
            (&at("null"), wrong_type()),
            (&at("-1749463872"), unreadable("-1749463872")),
            (&at("1.7e9"), unreadable("1.7e9")),
            (&at("[\"2025-06-09T10:11:12Z\"]"), wrong_type()),
            (&at("{\"at\":\"2025-06-09T10:11:12Z\"}"), wrong_type()),
            (&at("\"\""), unreadable("")),
            (&at("\"../../x\""), unreadable("../../x")),
            (&at("\"2025-02-30T00:00:00Z\""), unreadable("2025-02-30T00:00:00Z")),
            (&at("\"2025-06-09\""), unreadable("2025-06-09")),
            (
                &at("1749463"),
                "the time at `trigger.at`, 1970-01-21T05:57:43Z, is before the year 2000".into(),
            ),
            (&at("\" 2025-06-09T10:11:12Z\""), unreadable(" 2025-06-09T10:11:12Z")),
            (
                &at("\"2025-06-09T10:11:12Z\\n\""),
                unreadable("2025-06-09T10:11:12Z\\n"),
            ),
            (&at("\"+12025-06-09T10:11:12Z\""), unreadable("+12025-06-09T10:11:12Z")),
            (
                &at("\"\u{9b}31m\u{7f}\\u001b\\ud83d\""),
                unreadable("\\u{9b}31m\\u{7f}\\u001b\\ud83d"),
            ),
            (&at(&format!("\"{}\"", "é".repeat(60))), unreadable(&"é".repeat(60))),
            (
                &at(&format!("\"{}\"", "é".repeat(61))),
                unreadable(&("é".repeat(60) + "…")),
            ),
            (
                &at("\"1999-12-31T23:59:59.999Z\""),
                "the time at `trigger.at`, 1999-12-31T23:59:59.999Z, is before the year 2000".into(),
            ),
            (
                &at("\"0000-01-01T00:00:00+23:59\""),
                "the time at `trigger.at`, -0001-12-31T00:01:00Z, is before the year 2000".into(),
            ),
        ] {
            assert_eq!(rejected(json).reason, reason);
        }
    }

    #[test]
    fn a_rejected_value_keeps_its_line_and_the_hash_of_its_content() {
        let one = rejected(r#" {"b":1,"a":[ "\u0041" ]} "#);
        assert_eq!(&*one.line, r#"{"b": 1, "a": ["A"]}"#);
        assert_eq!(one.content, rejected(r#"{"a":["A"],"b":1.0}"#).content);
        assert_ne!(one.content, rejected("[]").content);
    }

    #[test]
    fn what_is_not_json_is_not_a_rejected_record() {
        let torn = &at("\"2025-06-09T10:11:12Z\"")[..30];
        for text in [torn, "", "junk", "{\"a\":1}{\"a\":1}"] {
            assert!(
                matches!(Record::read(text, &SHAPE), Err(ReadError::JsonError(_))),
                "{text}"
            );
            assert!(
                matches!(Reader::new(SHAPE).identify(text), Err(IdentifyError::JsonError(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_record_is_known_again_in_its_line() {
        let json = "{\"trigger\":{\"at\":\"2025-06-09T10:11:12+02:00\"},\n\"n\":1.10,\"id\":\"\\u0061\"}";
        let record = read(json);
        let Record {
            time,
            identity,
            ref line,
            ..
        } = record;
        assert_eq!(Reader::new(SHAPE).identify(line), Ok(Identified { time, identity }));
        assert_eq!(read(line), record);
    }

    #[test]
    fn the_mark_is_that_of_the_id_whatever_else_the_record_says() {
        let one = read(&at("\"2025-06-09T10:11:12Z\""));
        let other = read(&at("\"2025-06-09T10:11:13Z\""));
        assert_eq!(one.identity.mark, other.identity.mark);
        assert_ne!(one.identity.content, other.identity.content);
    }

    #[test]
    fn an_id_that_says_nothing_is_none() {
        let with = |id: &str| format!(r#"{{{id}"trigger":{{"at":"2025-06-09T10:11:12Z"}}}}"#);
        for id in [
            "",
            r#""id":null,"#,
            r#""id":"","#,
            r#""id":{},"#,
            r#""id":["a1"],"#,
            r#""id":true,"#,
        ] {
            assert!(!read(&with(id)).identity.has_id(), "{id}");
        }
        for id in [r#""id":"a","#, r#""id":7,"#, r#""id":-0,"#, r#""id":" ","#] {
            assert!(read(&with(id)).identity.has_id(), "{id}");
        }
        assert_ne!(mark(&with(r#""id":7,"#)), mark(&with(r#""id":"7","#)));
        assert_eq!(mark(&with(r#""id":7,"#)), mark(&with(r#""id":7.0,"#)));
    }

    #[test]
    fn an_id_is_shown_as_its_characters() {
        let mut reader = Reader::new(SHAPE);
        for (id, text) in [
            (r#""ae66-1""#, Some("ae66-1")),
            (r#""a\"\u00e9""#, Some("a\"é")),
            (r#""\ud83d\"""#, Some(r#"\ud83d\""#)),
            ("17", Some("17")),
            ("1.50", Some("1.50")),
            ("\"\"", None),
            ("null", None),
            ("{}", None),
        ] {
            assert_eq!(reader.id_text(&format!(r#"{{"id":{id}}}"#)).as_deref(), text, "{id}");
        }
        assert_eq!(reader.id_text("{\"id\":"), None);
    }

    #[test]
    fn a_record_can_be_rejected_for_a_reason_that_only_the_caller_knows() {
        let record = read(&at("\"9999-12-31T23:59:59Z\""));
        let rejected = record.clone().into_rejected("the time is after the end of the window");
        assert_eq!(rejected.reason, "the time is after the end of the window");
        assert_eq!(
            (rejected.content, rejected.line),
            (record.identity.content, record.line)
        );
    }

    #[test]
    fn debug_shows_nothing_of_the_content() {
        let record = read(&at("\"2025-06-09T10:11:12Z\""));
        assert_eq!(
            format!("{record:?}"),
            "Record { time: 2025-06-09T10:11:12Z, line_bytes: 55, .. }"
        );
        let rejected = rejected(&at("\"user@example.org\""));
        assert_eq!(format!("{rejected:?}"), "Rejected { line_bytes: 51, .. }");
        assert!(!format!("{:?}", Err::<Record, _>(ReadError::Rejected(rejected))).contains("user@"));
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn any_time_text_is_read_or_rejected(text in "[0-9]{0,5}[-0-9TZ:. +é\\u{2212}]{0,24}", any: String) {
            for text in [text, any] {
                let json = at(&serde_json::to_string(&text).unwrap());
                match Record::read(&json, &SHAPE) {
                    Ok(record) => prop_assert!(record.time.timestamp() >= EARLIEST_UNIX_SECONDS),
                    Err(error) => prop_assert!(matches!(error, ReadError::Rejected(_))),
                }
            }
        }
    }
}
