//! The state of a bucket, as it stands in its partition of the topic of the state. Each message has a key:
//!
//! - `fleet`: how many buckets there are; `fleet init` writes it, and without it, or with another number, a bucket is not touched.
//! - `owner`: which member has the bucket, written when it takes it over, and every minute.
//! - `stream:ORGANIZATION/STREAM`: what is known of a stream; see [`StreamState`].
//! - `ids:ORGANIZATION/STREAM:HOUR:PART`: identities of its records; see [`super::identities`].
//!
//! All but the last are JSON with a `version`. One that is newer stops its bucket, and no other: a member of that version goes on with
//! it. Keys that are not known are left alone.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::identities::{Identities, Place};
use crate::coverage::{Covered, Entry, Scope};
use crate::record::Anchor;

/// Version of the messages that are JSON.
const VERSION: u32 = 1;

const FLEET: &str = "fleet";
const OWNER: &str = "owner";
const STREAM: &str = "stream:";
const IDENTITIES: &str = "ids:";

/// How a fleet was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FleetState {
    version: u32,
    pub(crate) fleet: String,
    pub(crate) buckets: i32,
}

/// Who has a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerState {
    version: u32,
    /// The name of the member, which it has made up.
    pub(crate) member: String,
    /// The version of the program.
    pub(crate) program: String,
    /// The version of its settings, in hexadecimal digits.
    pub(crate) config: String,
    /// When it took the bucket over.
    pub(crate) since: DateTime<Utc>,
    /// When it last said so.
    pub(crate) at: DateTime<Utc>,
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamState {
    version: u32,
    /// The version of the settings by which it was collected.
    pub(crate) config: String,
    /// The time of its last record.
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// Records from before the overlap, by which what is given is joined to what is known.
    pub(crate) below: Vec<Anchor>,
    /// How many records were ever kept of it.
    pub(crate) records: u64,
    /// Its last run, as a line of the journal: what was asked for, and what is covered.
    pub(crate) run: Entry,
    /// The catalog that the fleet has begun with, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Origin>,
    /// Whether it was given back to one machine: then it is collected no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_released: bool,
}

/// The catalog of one machine that a fleet has begun with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Which it is, by the note in it.
    pub(crate) id: String,
    /// What it had covered: no message has these records.
    pub(crate) covered: Covered,
    /// Where the partition of the stream ended then; all messages of it are behind that.
    pub(crate) offset: i64,
    /// Where the partitions of the topic of what is rejected did.
    pub(crate) aside: Vec<i64>,
}

impl FleetState {
    pub(crate) fn new(fleet: &str, buckets: i32) -> Self {
        Self {
            version: VERSION,
            fleet: fleet.to_owned(),
            buckets,
        }
    }

    /// Returns the key and the value of its message.
    pub(crate) fn message(&self) -> (Vec<u8>, Vec<u8>) {
        (FLEET.into(), json(self))
    }
}

impl OwnerState {
    pub(crate) fn new(member: &str, config: &str, since: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        Self {
            version: VERSION,
            member: member.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.to_owned(),
            since,
            at,
        }
    }

    /// Returns the key and the value of its message.
    pub(crate) fn message(&self) -> (Vec<u8>, Vec<u8>) {
        (OWNER.into(), json(self))
    }

    /// Returns the key of its message.
    pub(crate) fn key() -> Vec<u8> {
        OWNER.into()
    }
}

impl StreamState {
    /// Creates that of a stream which was never collected.
    pub(crate) fn new(scope: Scope, at: DateTime<Utc>) -> Self {
        Self {
            version: VERSION,
            config: String::new(),
            last_record: None,
            below: Vec::new(),
            records: 0,
            run: Entry::new(at, scope, Default::default()),
            origin: None,
            is_released: false,
        }
    }

    /// Returns the key and the value of its message.
    pub(crate) fn message(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        (format!("{STREAM}{name}").into(), json(self))
    }
}

/// What a message of the state says of a stream.
#[derive(Debug)]
pub(crate) enum SaidOfStream {
    /// What is known of it; `None` if nothing is any more.
    Known(Option<Box<StreamState>>),
    /// That cannot be read by this version.
    Unreadable(StateError),
}

/// Returns the stream that a message of the state is about, and what it says; `None` if it is about something else.
pub(crate) fn said_of_stream(key: &[u8], value: Option<&[u8]>) -> Option<(String, SaidOfStream)> {
    let key = str::from_utf8(key).ok()?;
    let name = key.strip_prefix(STREAM)?.to_owned();
    Some((
        name,
        match read(key, value) {
            Ok(state) => SaidOfStream::Known(state),
            Err(error) => SaidOfStream::Unreadable(error),
        },
    ))
}

/// Returns the key of a part of the identities of a stream.
pub(crate) fn key_of_part(name: &str, (hour, part): Place) -> Vec<u8> {
    format!("{IDENTITIES}{name}:{hour}:{part}").into()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Every field can be written as JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

/// What was read of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptStream {
    /// `None` if it was never collected.
    pub(crate) state: Option<StreamState>,
    pub(crate) identities: Identities,
}

/// What was read of a bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketState {
    pub(crate) fleet: Option<FleetState>,
    pub(crate) owner: Option<OwnerState>,
    /// By `ORGANIZATION/STREAM`.
    pub(crate) streams: BTreeMap<String, KeptStream>,
    /// The keys whose values cannot be read, and why.
    wrong: BTreeMap<String, StateError>,
}

/// Why a bucket cannot be gone on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// A newer version of the program has written it.
    #[error(
        "its state (`{key}`) was written by a newer version of trailkeeper: update this member; the others go on with it"
    )]
    Newer {
        /// The key of the message.
        key: String,
    },
    /// It is not what any version writes.
    #[error(
        "its state (`{key}`) cannot be read: another program has written to the topic of the state, or it is damaged"
    )]
    Unreadable {
        /// The key of the message.
        key: String,
    },
    /// Nothing says how the fleet was made.
    #[error("it was not made by `trailkeeper fleet init`, or not to its end: run that")]
    NotMade,
    /// The topic has other partitions than it was made with.
    #[error(
        "the fleet was made with {made} buckets, and the topic of its state has {found} partitions: organizations would have two \
         owners; make another topic"
    )]
    OtherBuckets {
        /// How many it was made with.
        made: i32,
        /// How many partitions there are.
        found: i32,
    },
    /// The topic is that of another fleet.
    #[error("the topic of the state is that of the fleet `{0}`")]
    OtherFleet(String),
}

/// The version of a message.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl BucketState {
    /// Takes a message; a later one of the same key takes its place, and one without a value takes it out.
    pub(crate) fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Ok(key) = str::from_utf8(key) else { return };
        self.wrong.remove(key);
        let taken = if key == FLEET {
            read(key, value).map(|fleet| self.fleet = fleet)
        } else if key == OWNER {
            read(key, value).map(|owner| self.owner = owner)
        } else if let Some(name) = key.strip_prefix(STREAM) {
            read(key, value).map(|state| self.streams.entry(name.to_owned()).or_default().state = state)
        } else if let Some(rest) = key.strip_prefix(IDENTITIES) {
            self.take_part(key, rest, value)
        } else {
            Ok(())
        };
        if let Err(error) = taken {
            self.wrong.insert(key.to_owned(), error);
        }
    }

    fn take_part(&mut self, key: &str, rest: &str, value: Option<&[u8]>) -> Result<(), StateError> {
        let unreadable = || StateError::Unreadable { key: key.to_owned() };
        let mut parts = rest.rsplitn(3, ':');
        let part = parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?;
        let hour = parts.next().and_then(|hour| hour.parse().ok()).ok_or_else(unreadable)?;
        let name = parts.next().ok_or_else(unreadable)?;
        let identities = &mut self.streams.entry(name.to_owned()).or_default().identities;
        match value {
            None => identities.drop_part((hour, part)),
            Some(bytes) => identities
                .take_part((hour, part), bytes)
                .map_err(|version| match version {
                    0 => unreadable(),
                    _ => StateError::Newer { key: key.to_owned() },
                })?,
        }
        Ok(())
    }

    /// Checks that a member of this version may go on with it, in a fleet whose state has so many partitions.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check(&self, fleet: &str, partitions: i32) -> Result<(), StateError> {
        if let Some(error) = self.wrong.values().next() {
            return Err(error.clone());
        }
        let made = self.fleet.as_ref().ok_or(StateError::NotMade)?;
        if made.fleet != fleet {
            return Err(StateError::OtherFleet(made.fleet.clone()));
        }
        if made.buckets != partitions {
            return Err(StateError::OtherBuckets {
                made: made.buckets,
                found: partitions,
            });
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(key: &str, value: Option<&[u8]>) -> Result<Option<T>, StateError> {
    let Some(value) = value else { return Ok(None) };
    let unreadable = |_| StateError::Unreadable { key: key.to_owned() };
    let Versioned { version } = serde_json::from_slice(value).map_err(unreadable)?;
    if version > VERSION {
        return Err(StateError::Newer { key: key.to_owned() });
    }
    serde_json::from_slice(value).map(Some).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::identities::Pair;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn made() -> BucketState {
        let mut bucket = BucketState::default();
        let (key, value) = FleetState::new("trails", 8).message();
        bucket.take(&key, Some(&value));
        bucket
    }

    #[test]
    fn the_state_of_a_stream_is_read_as_it_was_written() {
        let now = at("2025-06-09T10:11:12Z");
        let mut state = StreamState::new(Scope::sample(), now);
        state.last_record = Some(now);
        state.run.sum.asked_from = Some(at("2025-06-08T10:11:12Z"));
        let record = crate::test_support::record::record("a", "2025-06-09T10:11:12.5Z");
        state.below.push(Anchor::of(&record));
        let mut bucket = made();
        let (key, value) = state.message("acme/tfc");
        bucket.take(&key, Some(&value));
        let mut identities = Identities::default();
        identities.add(now, Pair::of(&record));
        for (place, value) in identities.take_changes() {
            bucket.take(&key_of_part("acme/tfc", place), value.as_deref());
        }
        assert_eq!(bucket.check("trails", 8), Ok(()));
        let kept = &bucket.streams["acme/tfc"];
        assert_eq!(kept.state.as_ref(), Some(&state));
        assert_eq!(kept.identities.sizes(), (1, 1));
        bucket.take(&key, None);
        assert_eq!(bucket.streams["acme/tfc"].state, None);
    }

    #[test]
    fn what_a_newer_version_has_written_stops_the_bucket_until_it_is_replaced() {
        for key in ["stream:acme/tfc", "owner", "fleet"] {
            let mut bucket = made();
            bucket.take(key.as_bytes(), Some(br#"{"version": 2, "else": []}"#));
            assert_eq!(
                bucket.check("trails", 8),
                Err(StateError::Newer { key: key.to_owned() })
            );
            bucket.take(key.as_bytes(), None);
            assert_eq!(bucket.check("trails", 8).is_ok(), key != "fleet");
        }
        let mut bucket = made();
        bucket.take(b"ids:acme/tfc:485000:0", Some(&[2, 0, 0]));
        assert!(matches!(bucket.check("trails", 8), Err(StateError::Newer { .. })));
    }

    #[test]
    fn what_no_version_writes_stops_the_bucket_and_other_keys_do_not() {
        for (key, value) in [
            ("stream:acme/tfc", "{}"),
            ("owner", "junk"),
            ("ids:acme/tfc:x:0", "\u{1}"),
            ("ids:", "\u{1}"),
        ] {
            let mut bucket = made();
            bucket.take(key.as_bytes(), Some(value.as_bytes()));
            assert!(
                matches!(bucket.check("trails", 8), Err(StateError::Unreadable { .. })),
                "{key}"
            );
        }
        let mut bucket = made();
        bucket.take(b"later", Some(b"whatever"));
        bucket.take(b"\xff", Some(b"whatever"));
        assert_eq!(bucket.check("trails", 8), Ok(()));
    }

    #[test]
    fn a_bucket_of_another_fleet_or_of_other_buckets_is_not_touched() {
        assert_eq!(BucketState::default().check("trails", 8), Err(StateError::NotMade));
        assert_eq!(
            made().check("trails", 9),
            Err(StateError::OtherBuckets { made: 8, found: 9 })
        );
        assert_eq!(
            made().check("others", 8),
            Err(StateError::OtherFleet("trails".to_owned()))
        );
    }
}
