//! Forgets that days were deleted for their age, for a clock that was ahead: nothing below the expiry line would be asked for.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::error::UpkeepError;
use super::expiring::{lock, read_standing, settled};
use crate::config::StreamPlace;
use crate::coverage::Journal;

/// Takes back that days from this one on were deleted, and returns how many: what the service still has of them is asked for again.
///
/// # Errors
/// If the journal cannot be read or written, or the stream is in use.
pub(crate) fn take_back(place: &StreamPlace, from: NaiveDate, now: DateTime<Utc>) -> Result<u64, UpkeepError> {
    let lock = lock(place, now)?;
    let mut standing = read_standing(place, now)?;
    let newest = standing.newest.take().ok_or(UpkeepError::NoLine)?;
    let mut sum = standing.sum.clone();
    let days = sum.take_back(from);
    if days > 0 {
        lock.check()?;
        Journal::of(&place.location).append(&settled(newest, sum, Arc::unwrap_or_clone(standing.counts)))?;
    }
    Ok(days)
}
