//! A record as a service holds it.

use chrono::{DateTime, Utc};

/// A record as a service holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The time that the service sorts and selects it by.
    pub time: DateTime<Utc>,
    /// Its id, for tests; the service answers with the text alone.
    pub id: String,
    /// Its JSON, sent exactly like this.
    pub text: String,
}

impl Event {
    /// Creates a record with this JSON text.
    pub fn new(time: DateTime<Utc>, id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            time,
            id: id.into(),
            text: text.into(),
        }
    }
}
