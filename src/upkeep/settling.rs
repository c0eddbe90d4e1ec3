//! Writes down what an interrupted deletion has left, before something else decides what that is.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::error::UpkeepError;
use super::expiring::{lock, read_standing, settled};
use crate::config::StreamPlace;
use crate::coverage::Journal;

/// Settles which days are gone that were about to be deleted: those are expired, and not lost, whoever holds them from now on. A run that
/// is at work there has done so when it began.
///
/// # Errors
/// If the journal cannot be read or written, or the stream is in use.
pub(crate) fn settle(place: &StreamPlace, now: DateTime<Utc>) -> Result<(), UpkeepError> {
    let newest = read_standing(place, now)?.newest;
    if newest.is_none_or(|newest| newest.sum.expiring_days.is_empty()) {
        return Ok(());
    }
    let lock = lock(place, now)?;
    let mut standing = read_standing(place, now)?;
    if let Some(newest) = standing.newest.take() {
        lock.check()?;
        Journal::of(&place.location).append(&settled(newest, standing.sum, Arc::unwrap_or_clone(standing.counts)))?;
    }
    Ok(())
}
