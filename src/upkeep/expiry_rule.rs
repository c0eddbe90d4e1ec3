//! The rule by which days are too old, and what else it asks of them.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::archive::Listing;
use crate::config::EvidenceSettings;
use crate::coverage::day_span;

/// Which days are too old.
#[derive(Clone, Copy)]
pub(crate) struct ExpiryRule<'a> {
    pub(crate) older_than: TimeDelta,
    pub(crate) now: DateTime<Utc>,
    /// Where the days have to be sealed before they go.
    pub(crate) evidence: Option<&'a EvidenceSettings>,
    /// Whether an archive that was sealed is not sealed any more.
    pub(crate) unsealed: bool,
}

impl ExpiryRule<'_> {
    /// Returns whether the oldest day is old enough.
    pub(super) fn is_due(&self, listing: &Listing) -> bool {
        let dates = listing.dates();
        let oldest = dates.iter().chain(listing.odd.keys()).min();
        oldest.is_some_and(|date| self.is_too_old(*date))
    }

    /// Returns whether a day is old enough.
    pub(super) fn is_too_old(&self, date: NaiveDate) -> bool {
        day_span(date).to + self.older_than <= self.now
    }
}
