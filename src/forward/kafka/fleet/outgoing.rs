//! A message of a transaction, to any topic.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::forward::batch::Line;
use crate::record::Identity;

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) topic: Arc<str>,
    /// Without one, that of the key.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Vec<u8>,
    /// `None` is a tombstone: of the key, nothing is to be left.
    pub(crate) payload: Option<Vec<u8>>,
    /// The time of the record, which a broker may refuse; else it has the time at which it is sent.
    pub(crate) time: Option<DateTime<Utc>>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Outgoing {
    /// Returns what stands for it where it is learnt what a topic takes: its place among others, its time and its size.
    pub(super) fn as_line(&self, number: usize, now: DateTime<Utc>) -> Line {
        let time = self.time.unwrap_or(now);
        Line {
            range: 0..self.payload.as_ref().map_or(0, Vec::len),
            copy: None,
            day: time.date_naive(),
            offset: number as u64,
            time,
            identity: Identity { content: 0, mark: 0 },
            id: None,
        }
    }
}
