//! The key, time and headers of a line.

use std::fmt::Write;

use super::batch::Line;
use crate::archive::Location;
use crate::env::Organization;

/// The names of the headers.
pub(crate) mod header {
    /// The stream: `yandex-mail`.
    pub(crate) const STREAM: &str = "stream";
    /// Name of the day file of the line.
    pub(crate) const FILE: &str = "file";
    /// Its offset there, in bytes.
    pub(crate) const OFFSET: &str = "offset";
    /// Identifies the record: the same text whenever and from wherever it is sent again.
    pub(crate) const DEDUP_ID: &str = "dedup-id";
    /// The time of the record, if the message has another, because the broker does not take it.
    pub(crate) const TIME: &str = "time";
    /// The organization, if the installation has several; else the header is missing.
    pub(crate) const ORGANIZATION: &str = "organization";
    /// `true` on a replay; else the header is missing.
    pub(crate) const REPLAY: &str = "replay";
    /// `true` if the message is the strict copy of the line; else the header is missing.
    pub(crate) const REPAIRED: &str = "repaired";
}

/// What all messages of a stream share.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) stream: &'static str,
    /// Whose stream it is, if there are several organizations.
    pub(crate) organization: Option<Organization>,
    /// The location of its day files.
    pub(crate) location: Location,
    /// Whether this is a replay.
    pub(crate) is_replay: bool,
}

/// A line as a message. It is reused for each line, so that its memory is allocated once.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// Id of the record, or 32 hexadecimal digits of its content if it has none.
    pub(crate) key: String,
    /// Time of the record, in milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) file: String,
    /// Offset of the line in the file.
    pub(crate) offset: String,
    /// 32 hexadecimal digits of the record's content: an id may not be unique.
    pub(crate) dedup_id: String,
    /// Whether the strict copy of the line is sent.
    pub(crate) is_repaired: bool,
    day: Option<chrono::NaiveDate>,
}

impl Envelope {
    /// Returns the name of the stream in this process: those of two organizations differ.
    pub(crate) fn name(&self) -> &'static str {
        self.organization
            .map_or(self.stream, |organization| organization.stream(self.stream))
    }
}

impl Message {
    /// Sets the message for a line.
    pub(crate) fn describe(&mut self, envelope: &Envelope, line: &Line) {
        if self.day != Some(line.day) {
            self.file = envelope.location.day_name(line.day).unwrap_or_default();
            self.day = Some(line.day);
        }
        self.is_repaired = line.copy.is_some();
        self.timestamp = line.time.timestamp_millis();
        rewrite(&mut self.offset, format_args!("{}", line.offset));
        rewrite_hexadecimal(&mut self.dedup_id, line.identity.content);
        self.key.clear();
        self.key.push_str(line.id.as_deref().unwrap_or(&self.dedup_id));
    }

    /// Returns the headers, in the documented order.
    pub(crate) fn headers<'a>(&'a self, envelope: &'a Envelope) -> impl Iterator<Item = (&'static str, &'a str)> {
        let always = [
            (header::STREAM, envelope.stream),
            (header::FILE, self.file.as_str()),
            (header::OFFSET, self.offset.as_str()),
            (header::DEDUP_ID, self.dedup_id.as_str()),
        ];
        always
            .into_iter()
            .chain(
                envelope
                    .organization
                    .map(|organization| (header::ORGANIZATION, organization.name())),
            )
            .chain(envelope.is_replay.then_some((header::REPLAY, "true")))
            .chain(self.is_repaired.then_some((header::REPAIRED, "true")))
    }
}

fn rewrite(text: &mut String, value: std::fmt::Arguments<'_>) {
    text.clear();
    // Writing to a String does not fail.
    let _ = text.write_fmt(value);
}

/// Writes 32 digits; `format!` would take several times as long for each line.
fn rewrite_hexadecimal(text: &mut String, number: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = number.to_be_bytes();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.clear();
    text.extend(digits.map(|digit| char::from(DIGITS[usize::from(digit)])));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Identity;

    fn line(id: Option<&str>) -> Line {
        Line {
            range: 0..5,
            copy: None,
            day: "2025-06-09".parse().unwrap(),
            offset: 4711,
            time: "2025-06-09T10:11:12.345Z".parse().unwrap(),
            identity: Identity {
                content: 0xab,
                mark: 0xcd,
            },
            id: id.map(str::to_owned),
        }
    }

    fn envelope(is_replay: bool) -> Envelope {
        Envelope {
            stream: "tfc",
            organization: None,
            location: Location::new("/srv", "tfc_audit", "log").unwrap(),
            is_replay,
        }
    }

    #[test]
    fn a_message_says_what_and_where_the_record_is() {
        let mut message = Message::default();
        message.describe(&envelope(false), &line(Some("evt-1")));
        assert_eq!((message.key.as_str(), message.timestamp), ("evt-1", 1_749_463_872_345));
        let dedup_id = "000000000000000000000000000000ab";
        let headers: Vec<_> = message
            .headers(&envelope(false))
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        let expected = [
            ("stream", "tfc"),
            ("file", "tfc_audit_2025-06-09.log"),
            ("offset", "4711"),
            ("dedup-id", dedup_id),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
        message.describe(&envelope(false), &line(None));
        assert_eq!(message.key, dedup_id);
    }

    #[test]
    fn every_dedup_id_has_32_hexadecimal_digits() {
        let mut text = String::new();
        for number in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0fed_cba9_8765_4321] {
            rewrite_hexadecimal(&mut text, number);
            assert_eq!(text, format!("{number:032x}"));
        }
    }

    #[test]
    fn a_replay_is_marked() {
        let mut message = Message::default();
        message.describe(&envelope(true), &line(None));
        assert_eq!(message.headers(&envelope(true)).last(), Some(("replay", "true")));
        assert_eq!(message.headers(&envelope(false)).count(), 4);
    }

    #[test]
    fn a_strict_copy_is_marked_and_has_the_key_and_the_id_of_its_line() {
        let line = line(Some("evt-1"));
        let copied = Line {
            copy: Some(0..7),
            ..line.clone()
        };
        let described = |line: &Line| {
            let (mut message, envelope) = (Message::default(), envelope(false));
            message.describe(&envelope, line);
            let headers = message.headers(&envelope);
            let headers: Vec<_> = headers.map(|(name, value)| (name, value.to_owned())).collect();
            (message.key, message.timestamp, headers)
        };
        let mut expected = described(&line);
        expected.2.push(("repaired", "true".to_owned()));
        assert_eq!(described(&copied), expected);
    }
}
