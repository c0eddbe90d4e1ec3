//! What a message of an audit topic, or of the topic of what is rejected, is for the archive.

use std::collections::BTreeMap;

use crate::env::EnvDir;
use crate::fleet::message::{FORM, PART, REASON, form};
use crate::forward::kafka::fleet::Taken;
use crate::forward::message::header;
use crate::record::{Form, ReadError, Reader, Record, Rejected};

/// The most bytes of what is put together of parts: no record is larger.
const MOST_BYTES: usize = 1 << 30;

/// What is to be filed.
#[derive(Debug)]
pub(super) enum Incoming {
    /// In a day file.
    Record(Record),
    /// In the rejected file.
    Rejected(Rejected),
    /// In the revised file.
    Revised(Rejected),
}

/// The most characters of the name of a stream, and of another one that is shown.
const LONGEST_NAME: usize = 60;

/// Why a message is no stream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// No header says of which stream it is.
    NoStream,
    /// It says of one with a name that none can have.
    UnnameableStream(String),
    /// None says of which organization, and the archive is of organizations.
    NoOrganization,
    /// The organization has a name that no file of settings can have.
    Unnameable(String),
    /// It is a tombstone: the topics of a fleet have none.
    NoValue,
}

impl Stray {
    /// Says that; with the name that it has, or without.
    pub(super) fn reason(&self, with_name: bool) -> String {
        match self {
            Self::NoStream => "it says of no stream".to_owned(),
            Self::UnnameableStream(name) if with_name => format!("no stream can have the name `{}`", cut(name)),
            Self::UnnameableStream(_) => "no stream can have the name that it says".to_owned(),
            Self::NoOrganization => "it says of no organization".to_owned(),
            Self::Unnameable(name) if with_name => {
                format!("no file can be named after its organization `{}`", cut(name))
            }
            Self::Unnameable(_) => "no file can be named after its organization".to_owned(),
            Self::NoValue => "it has no value".to_owned(),
        }
    }
}

/// Returns the beginning of a name, as it can be shown.
fn cut(name: &str) -> String {
    let beginning: String = name.chars().take(LONGEST_NAME).collect();
    beginning.escape_debug().to_string()
}

/// Returns whether there can be a stream of this name, now or in a later version: one that is not known yet is read when it is.
fn can_be_stream(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Returns the stream of a message, as `ORGANIZATION/STREAM` or `/STREAM`, and its value.
///
/// # Errors
/// If it is no stream's, as one that no fleet has sent: `of_organizations` says whether the archive is of organizations, which have names.
pub(super) fn stream_of<'a>(message: &Taken<'a>, of_organizations: bool) -> Result<(String, &'a [u8]), Stray> {
    let stream = message.header(header::STREAM).ok_or(Stray::NoStream)?;
    if !can_be_stream(stream) {
        return Err(Stray::UnnameableStream(stream.to_owned()));
    }
    let organization = message.header(header::ORGANIZATION).unwrap_or_default();
    if organization.is_empty() && of_organizations {
        return Err(Stray::NoOrganization);
    }
    if !organization.is_empty() && !EnvDir::can_have(organization) {
        return Err(Stray::Unnameable(organization.to_owned()));
    }
    let value = message.value.ok_or(Stray::NoValue)?;
    Ok((format!("{organization}/{stream}"), value))
}

/// Reads the value of a message of an audit topic.
pub(super) fn of_audit(value: &[u8], reader: &mut Reader) -> Incoming {
    record_or_rejected(value, reader)
}

/// Reads a message of the topic of what is rejected, or all parts of one.
pub(super) fn of_aside(message: &Whole, reader: &mut Reader) -> Option<Incoming> {
    let Whole { form, reason, value } = message;
    if form == form::REFUSED {
        return Some(record_or_rejected(value, reader));
    }
    let form = match form.as_str() {
        form::BYTES => Form::Bytes,
        form::ORIGINAL => Form::Original,
        _ => Form::Record,
    };
    let is_revision = message.form == form::REVISION;
    let rejected = match str::from_utf8(value).ok().and_then(|text| line_of(text, reader)) {
        Some((line, content)) => Rejected {
            reason: reason.clone(),
            content,
            line: line.into(),
            form,
        },
        None => Rejected::of_bytes(value, reason)?,
    };
    Some(if is_revision {
        Incoming::Revised(rejected)
    } else {
        Incoming::Rejected(rejected)
    })
}

/// Returns a JSON value as a line, and the hash of it.
pub(super) fn line_of(text: &str, reader: &mut Reader) -> Option<(String, u128)> {
    match reader.read(text) {
        Ok(record) => Some((record.line.to_string(), record.identity.content)),
        Err(ReadError::Rejected(rejected)) => Some((rejected.line.to_string(), rejected.content)),
        Err(ReadError::JsonError(_)) => None,
    }
}

fn record_or_rejected(value: &[u8], reader: &mut Reader) -> Incoming {
    const NOT_OF_A_FLEET: &str = "a message of an audit topic that is no JSON";
    let read = str::from_utf8(value).ok().map(|text| reader.read(text));
    match read {
        Some(Ok(record)) => Incoming::Record(record),
        Some(Err(ReadError::Rejected(rejected))) => Incoming::Rejected(rejected),
        Some(Err(ReadError::JsonError(_))) | None => {
            let bytes = &value[..value.len().min(1 << 20)];
            let rejected = Rejected::of_bytes(bytes, NOT_OF_A_FLEET);
            Incoming::Rejected(rejected.unwrap_or_else(|| Rejected {
                reason: NOT_OF_A_FLEET.to_owned(),
                content: 0,
                line: "null".to_owned().into(),
                form: Form::Record,
            }))
        }
    }
}

/// What is set aside, put together of its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    form: String,
    reason: String,
    value: Vec<u8>,
}

/// Parts of what is set aside, until all of each are there. Those of one have the same key, so they are in one partition, and in order.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<PartsKey, Collected>);

/// Of whom, and the key.
type PartsKey = (i32, String, Vec<u8>);

#[derive(Debug)]
struct Collected {
    /// Where the first one is.
    offset: i64,
    count: usize,
    parts: usize,
    value: Vec<u8>,
}

impl Parts {
    /// Takes a message of a stream, with its value; returns it, or what it completes, and where that begins.
    pub(super) fn take(&mut self, name: &str, value: &[u8], message: &Taken<'_>) -> Option<(i64, Whole)> {
        let whole = |value: Vec<u8>| Whole {
            form: message.header(FORM).unwrap_or(form::RECORD).to_owned(),
            reason: message.header(REASON).unwrap_or_default().to_owned(),
            value,
        };
        let Some((number, parts)) = message.header(PART).and_then(numbers) else {
            return Some((message.offset, whole(value.to_vec())));
        };
        let key = (message.partition, name.to_owned(), message.key.to_vec());
        let mut collected = match self.0.remove(&key) {
            Some(collected) if number > 1 => collected,
            // Those before were read by nobody, as of a transaction that was read from its middle: nothing is made of it.
            None if number > 1 => return None,
            _ => Collected {
                offset: message.offset,
                count: 0,
                parts,
                value: Vec::new(),
            },
        };
        if number != collected.count + 1 || parts != collected.parts || collected.value.len() + value.len() > MOST_BYTES
        {
            return None;
        }
        collected.count = number;
        collected.value.extend_from_slice(value);
        if collected.count == parts {
            return Some((collected.offset, whole(collected.value)));
        }
        self.0.insert(key, collected);
        None
    }

    /// Returns from where on a partition has to be read again, to have all parts of what is not whole yet.
    pub(super) fn first_of(&self, partition: i32) -> Option<i64> {
        let of_partition = self.0.iter().filter(|((found, ..), _)| *found == partition);
        of_partition.map(|(_, collected)| collected.offset).min()
    }
}

/// `2/3`
fn numbers(text: &str) -> Option<(usize, usize)> {
    let (number, parts) = text.split_once('/')?;
    let (number, parts) = (number.parse().ok()?, parts.parse().ok()?);
    (1..=parts).contains(&number).then_some((number, parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    fn reader() -> Reader {
        Reader::new(SOURCES.iter().find(|kind| kind.name == "tfc").unwrap().shape)
    }

    const RECORD: &str = r#"{"id":"a","timestamp":"2026-01-05T00:00:00Z"}"#;

    fn aside(value: &str, form: &str) -> Incoming {
        let headers = [("stream", "tfc"), (FORM, form), (REASON, "why")];
        let message = Taken::of(value, &headers);
        let whole = Parts::default().take("/tfc", value.as_bytes(), &message).unwrap().1;
        of_aside(&whole, &mut reader()).unwrap()
    }

    #[test]
    fn a_message_whose_stream_no_version_can_have_is_a_stray_and_one_of_a_later_version_is_not() {
        let of = |stream: &str| stream_of(&Taken::of(RECORD, &[("stream", stream)]), false).map(|(name, _)| name);
        assert_eq!(of("github-2"), Ok("/github-2".to_owned()));
        let long = "a".repeat(LONGEST_NAME + 1);
        for stream in ["", "../x", "Mail", "a b", "\u{1b}[0m", &long] {
            let stray = of(stream).unwrap_err();
            assert_eq!(stray, Stray::UnnameableStream(stream.to_owned()));
            assert!(stray.reason(true).len() < 2 * LONGEST_NAME, "{stray:?}");
        }
    }

    #[test]
    fn what_is_set_aside_goes_where_one_machine_would_put_it() {
        assert!(matches!(aside(RECORD, form::REFUSED), Incoming::Record(record) if record.line.contains("\"a\"")));
        assert!(matches!(aside(RECORD, form::REVISION), Incoming::Revised(revised) if revised.reason == "why"));
        for (form, kept) in [
            (form::RECORD, Form::Record),
            (form::BYTES, Form::Bytes),
            (form::ORIGINAL, Form::Original),
        ] {
            assert!(matches!(aside("\"x\"", form), Incoming::Rejected(rejected) if rejected.form == kept));
        }
        assert!(
            matches!(aside("{\n\"id\":", form::RECORD), Incoming::Rejected(rejected) if rejected.form == Form::Bytes)
        );
    }

    #[test]
    fn what_nobody_of_a_fleet_has_sent_is_rejected() {
        for value in ["no JSON", "[]", "{}"] {
            let read = of_audit(value.as_bytes(), &mut reader());
            assert!(matches!(read, Incoming::Rejected(_)), "{value}");
        }
    }

    #[test]
    fn a_message_is_of_a_stream_that_settings_can_have_or_of_none() {
        let of = |headers: &[(&'static str, &'static str)], of_organizations| {
            stream_of(&Taken::of(RECORD, headers), of_organizations).map(|(name, _)| name)
        };
        let (stream, acme) = (("stream", "tfc"), ("organization", "acme"));
        assert_eq!(of(&[stream, acme], true), Ok("acme/tfc".to_owned()));
        assert_eq!(of(&[stream], false), Ok("/tfc".to_owned()));
        assert_eq!(of(&[stream], true), Err(Stray::NoOrganization));
        assert_eq!(of(&[acme], true), Err(Stray::NoStream));
        for name in ["../../etc", "common", "a b", ".", "a\n"] {
            let unnameable = Err(Stray::Unnameable(name.to_owned()));
            assert_eq!(of(&[stream, ("organization", name)], false), unnameable);
        }
        let mut tombstone = Taken::of("", &[stream, acme]);
        tombstone.value = None;
        assert_eq!(stream_of(&tombstone, true), Err(Stray::NoValue));
    }

    #[test]
    fn parts_are_put_together_in_their_order_and_nothing_is_made_of_a_rest() {
        let take = |parts: &mut Parts, value: &'static str, part, offset| {
            let mut message = Taken::of(value, &[]).with(PART, part);
            message.offset = offset;
            parts.take("/tfc", value.as_bytes(), &message)
        };
        let mut parts = Parts::default();
        assert_eq!(
            take(&mut parts, "b", "2/3", 6),
            None,
            "its first one was read by nobody"
        );
        assert_eq!(take(&mut parts, "a", "1/3", 7), None);
        assert_eq!(take(&mut parts, "b", "2/3", 8), None);
        assert_eq!((parts.first_of(0), parts.first_of(1)), (Some(7), None));
        assert_eq!(take(&mut parts, "c", "3/3", 9).unwrap().1.value, b"abc");
        assert_eq!(parts.first_of(0), None);
        assert_eq!(take(&mut parts, "x", "1/1", 10).unwrap().1.value, b"x");
        assert_eq!(take(&mut parts, "y", "nonsense", 11).unwrap().1.value, b"y");
    }
}
