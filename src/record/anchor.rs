//! Anchors: records that are known to be there, by which a later answer is joined to what is known.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::digests::Unhashed;
use super::{Identified, Record};

/// A set of anchors.
pub(crate) type AnchorSet = HashSet<Anchor, Unhashed>;

/// What tells a record again: its time, and its id where the source has ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Anchor {
    /// When it happened, according to the record.
    pub(crate) time: DateTime<Utc>,
    /// See [`super::Identity::mark`].
    #[serde(with = "digits")]
    mark: u128,
}

/// A hash in hexadecimal digits: readers of JSON do not keep whole numbers of that size.
mod digits {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{hash:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

impl Anchor {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            time: record.time,
            mark: record.identity.mark,
        }
    }

    /// Returns a hash of its id and its time.
    pub(super) fn moment(self) -> u128 {
        let nanoseconds =
            i128::from(self.time.timestamp()) * 1_000_000_000 + i128::from(self.time.timestamp_subsec_nanos());
        self.mark ^ nanoseconds as u128
    }
}

impl Hash for Anchor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.moment());
    }
}

impl From<Identified> for Anchor {
    fn from(Identified { time, identity }: Identified) -> Self {
        Self {
            time,
            mark: identity.mark,
        }
    }
}
