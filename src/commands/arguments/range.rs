//! The range of `--since` and `--until`.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::window::bound;

/// `--until` is not after `--since`: wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--since {} must be before --until, or now: {}", bound(*since), bound(*until))]
pub(crate) struct EmptyRangeError {
    pub(crate) since: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
}

/// Returns the range between the two.
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
