//! What `--since` and `--until` say together.

use std::ops::Range;

use chrono::{DateTime, Utc};

/// `--until` is not after `--since`: wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--since {since:?} must be before --until {until:?}")]
pub(crate) struct EmptyRangeError {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// The range from the one to the other.
///
/// # Errors
/// It would be empty.
pub(crate) fn range(since: DateTime<Utc>, until: DateTime<Utc>) -> Result<Range<DateTime<Utc>>, EmptyRangeError> {
    if since < until {
        Ok(since..until)
    } else {
        Err(EmptyRangeError { since, until })
    }
}
