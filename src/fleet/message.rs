//! Records as messages: those of an audit topic, and what is set aside since no audit topic can hold it.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};

use super::bucket::bucket_of;
use crate::config::{FleetStream, PartitionBy};
use crate::forward::kafka::fleet::Outgoing;
use crate::forward::message::header;
use crate::json::push_strict;
use crate::record::{Form, Reader, Record, Rejected};

/// The headers of what is set aside, beside those of a record: why, what it is, when the service gave it, and which part of it this is, as
/// `1/3`, where it is larger than one message may be.
pub(super) const REASON: &str = "reason";
pub(super) const FORM: &str = "form";
pub(super) const GIVEN_AT: &str = "given-at";
pub(super) const PART: &str = "part";

/// What something is that is set aside.
pub(super) mod form {
    /// A record that cannot be filed under a day.
    pub(in crate::fleet) const RECORD: &str = "record";
    /// Bytes that are not JSON.
    pub(in crate::fleet) const BYTES: &str = "bytes";
    /// What a record was repaired from.
    pub(in crate::fleet) const ORIGINAL: &str = "original";
    /// A record that came again with other fields.
    pub(in crate::fleet) const REVISION: &str = "revision";
    /// A record like those of its audit topic, whose broker will never take it.
    pub(in crate::fleet) const REFUSED: &str = "refused";
}

/// The most bytes of a message of what is set aside: brokers take about a million, with the headers.
const LONGEST: usize = 512 << 10;

/// Makes the messages of a stream.
pub(super) struct Messages {
    topic: Arc<str>,
    rejected_topic: Arc<str>,
    /// `None`: by the key.
    partition: Option<i32>,
    headers: Vec<(&'static str, String)>,
    is_strict: bool,
    reader: Reader,
}

impl Messages {
    /// Creates those of a stream whose topic has so many partitions. All records of a stream are in one partition, unless they are to be
    /// spread by their keys; streams are spread over all.
    pub(super) fn of(
        stream: &FleetStream,
        rejected_topic: Arc<str>,
        (partition_by, is_strict): (PartitionBy, bool),
        partitions: i32,
    ) -> Self {
        let settings = &stream.settings;
        let organization = settings.organization.map(|organization| organization.name().to_owned());
        let mut headers = vec![(header::STREAM, settings.kind.name.to_owned())];
        headers.extend(organization.map(|name| (header::ORGANIZATION, name)));
        Self {
            topic: stream.topic.as_str().into(),
            rejected_topic,
            partition: match partition_by {
                PartitionBy::Stream => Some(bucket_of(settings.name(), partitions)),
                PartitionBy::Key => None,
            },
            headers,
            is_strict,
            reader: Reader::new(settings.kind.shape),
        }
    }

    /// Returns the message of a record: its id as the key, or 32 hexadecimal digits of its content if it has none.
    pub(super) fn of_record(&mut self, record: &Record) -> Outgoing {
        let dedup_id = digits(record.identity.content);
        let mut strict = String::new();
        let is_repaired = self.is_strict && push_strict(&record.line, &mut strict);
        let payload = if is_repaired { strict } else { record.line.to_string() };
        let id = self.reader.identify_with_id(&record.line).ok().and_then(|(_, id)| id);
        let mut headers = self.headers.clone();
        headers.push((header::DEDUP_ID, dedup_id.clone()));
        headers.extend(is_repaired.then(|| (header::REPAIRED, "true".to_owned())));
        Outgoing {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            key: id.unwrap_or(dedup_id).into(),
            payload: Some(payload.into()),
            time: Some(record.time),
            headers,
        }
    }

    /// Returns the messages of what no audit topic can hold.
    pub(super) fn of_rejected(&self, rejected: &Rejected, given_at: DateTime<Utc>) -> Vec<Outgoing> {
        let form = match rejected.form {
            Form::Record => form::RECORD,
            Form::Bytes => form::BYTES,
            Form::Original => form::ORIGINAL,
        };
        self.set_aside((&rejected.line, rejected.content), (form, &rejected.reason), given_at)
    }

    /// Returns the messages of a record that came again with other fields.
    pub(super) fn of_revision(&self, record: &Record, given_at: DateTime<Utc>) -> Vec<Outgoing> {
        const REVISED: &str = "same id and time as a record that was kept, with other fields";
        self.set_aside(
            (&record.line, record.identity.content),
            (form::REVISION, REVISED),
            given_at,
        )
    }

    fn set_aside(
        &self,
        (line, content): (&str, u128),
        (form, reason): (&str, &str),
        given_at: DateTime<Utc>,
    ) -> Vec<Outgoing> {
        let mut headers = self.headers.clone();
        headers.extend([
            (header::DEDUP_ID, digits(content)),
            (FORM, form.to_owned()),
            (REASON, reason.to_owned()),
            (GIVEN_AT, given_at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ]);
        in_parts(&self.rejected_topic, digits(content).into(), line.as_bytes(), headers)
    }
}

/// Returns the messages of a record that the broker will never take in its own topic.
pub(super) fn of_refused(message: &Outgoing, reason: &str, rejected_topic: &Arc<str>) -> Vec<Outgoing> {
    let mut headers = message.headers.clone();
    headers.extend([(FORM, form::REFUSED.to_owned()), (REASON, reason.to_owned())]);
    let payload = message.payload.as_deref().unwrap_or_default();
    in_parts(rejected_topic, message.key.clone(), payload, headers)
}

fn in_parts(topic: &Arc<str>, key: Vec<u8>, bytes: &[u8], headers: Vec<(&'static str, String)>) -> Vec<Outgoing> {
    let count = bytes.len().div_ceil(LONGEST).max(1);
    let parts = (0..count).map(|number| {
        let end = bytes.len().min((number + 1) * LONGEST);
        let mut headers = headers.clone();
        headers.extend((count > 1).then(|| (PART, format!("{}/{count}", number + 1))));
        Outgoing {
            topic: Arc::clone(topic),
            partition: None,
            key: key.clone(),
            payload: Some(bytes[number * LONGEST..end].to_vec()),
            time: None,
            headers,
        }
    });
    parts.collect()
}

fn digits(content: u128) -> String {
    format!("{content:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_a_message_may_be_is_set_aside_in_parts() {
        let topic: Arc<str> = "trails.rejected".into();
        let mut message = Outgoing {
            topic: "tfc".into(),
            partition: Some(0),
            key: b"a".to_vec(),
            payload: Some(vec![b'x'; LONGEST + 1]),
            time: Some(DateTime::UNIX_EPOCH),
            headers: vec![(header::STREAM, "tfc".to_owned())],
        };
        let parts = of_refused(&message, "too large for Kafka", &topic);
        let sizes: Vec<_> = parts.iter().map(|part| part.payload.as_ref().unwrap().len()).collect();
        assert_eq!(sizes, [LONGEST, 1]);
        assert_eq!(parts[1].headers.last(), Some(&(PART, "2/2".to_owned())));
        assert!(
            parts
                .iter()
                .all(|part| part.topic == topic && part.time.is_none() && part.key == b"a")
        );
        message.payload = Some(Vec::new());
        let parts = of_refused(&message, "refused", &topic);
        assert_eq!((parts.len(), parts[0].headers.len()), (1, 3));
    }
}
