//! A day whose files are deleted for their age, as a line of the journal names it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A day whose files are about to be deleted for their age, as the journal says it before they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpiredDay {
    pub(crate) file: String,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Of its content, in hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) reason: String,
    pub(crate) at: DateTime<Utc>,
}
