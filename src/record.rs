//! One audit record as it was received: its time, its identity and its line.

use chrono::{DateTime, Utc};

/// A path of object keys from the top of a record, such as `["trigger", "at"]`.
pub type KeyPath = &'static [&'static str];

/// Where the records of a source keep what the archive must know of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The record's time, an RFC 3339 string.
    pub time: KeyPath,
    /// The id that the service documents for a record, for messages and keys.
    pub id: KeyPath,
    /// What makes two records the same one.
    pub sameness: Sameness,
}

/// What makes two records of a source the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// The value at [`Shape::id`]; a record without one falls back to its whole content.
    Id,
    /// The whole record, compared as a JSON value.
    Content,
}

/// Two hashes that stand for a record when duplicates are looked for.
///
/// `key` says which record it is, `content` what it says. For [`Sameness::Content`] both are the same hash; for
/// [`Sameness::Id`] a record with a known key and another content is a conflict, which must not cost the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Hash of what makes the record this one.
    pub key: u128,
    /// Hash of the whole record as a JSON value.
    pub content: u128,
}

/// A record that can be filed: it is a JSON object and has a time.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// When it happened, by its own account.
    pub time: DateTime<Utc>,
    /// What it is compared by.
    pub identity: Identity,
    /// The one-line form, without the newline.
    pub line: Box<str>,
}

/// A record that cannot be filed under a day, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why, for people.
    pub reason: String,
    /// Hash of its content as a JSON value.
    pub content: u128,
    /// The one-line form, without the newline; any JSON value.
    pub line: Box<str>,
}
