//! Anchors: records that are known to be there, by which a later answer is joined to what is known.

use chrono::{DateTime, Utc};

use super::{Identified, Record};

/// What tells a record again: its time, and its id where the source has ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Anchor {
    /// When it happened, according to the record.
    pub(crate) time: DateTime<Utc>,
    /// See [`super::Identity::mark`].
    mark: u128,
}

impl Anchor {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            time: record.time,
            mark: record.identity.mark,
        }
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
