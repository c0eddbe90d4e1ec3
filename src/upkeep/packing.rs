//! Which days of a stream are to be packed, and the packing of all of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Limit;
use super::error::UpkeepError;
use crate::archive::{Listing, LockError, PackError, PackedDay, Packer};
use crate::config::StreamPlace;
use crate::coverage::{Gap, Standing, Wanted, day_span};
use crate::forward::not_passed;
use crate::fs::FileError;

/// Which days are old enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackRule {
    pub(crate) older_than: TimeDelta,
    pub(crate) now: DateTime<Utc>,
}

/// What is to be packed of a stream.
pub(crate) struct PackPlan {
    listing: Arc<Listing>,
    /// Oldest first, with the length of the plain file.
    pub(crate) days: BTreeMap<NaiveDate, u64>,
    /// Those that are old enough and stay as they are, with the reason.
    pub(crate) left: BTreeMap<NaiveDate, String>,
}

/// What was packed.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(crate) days: BTreeMap<NaiveDate, PackedDay>,
    /// Those that could not be.
    pub(crate) failed: BTreeMap<NaiveDate, UpkeepError>,
    /// Why it was not gone on after these.
    pub(crate) ended: Option<UpkeepError>,
    /// Whether days are left for the next run.
    pub(crate) has_more: bool,
}

impl PackRule {
    /// Returns whether a plain file is old enough.
    pub(super) fn is_due(&self, listing: &Listing) -> bool {
        let oldest = listing.days.dates().iter().chain(listing.odd.keys()).min();
        oldest.is_some_and(|date| self.is_old(*date))
    }

    fn is_old(&self, date: NaiveDate) -> bool {
        day_span(date).to + self.older_than <= self.now
    }

    /// Returns what is to be packed.
    ///
    /// # Errors
    /// If the journal, a cursor or the folder cannot be read.
    pub(crate) fn plan(&self, place: &StreamPlace) -> Result<PackPlan, UpkeepError> {
        let wanted = Wanted::Stream(place.kind.name);
        let standing = Standing::read(&place.location, wanted, place.keep, self.now)?;
        let waiting = not_passed(&place.location, place.kind.name)?;
        let gaps = standing.sum.gaps(place.kind.retention, self.now);
        let mut plan = PackPlan {
            listing: Arc::clone(&standing.listing),
            days: BTreeMap::new(),
            left: BTreeMap::new(),
        };
        for date in standing.listing.odd.keys().filter(|date| self.is_old(**date)) {
            let reason = "what is in the place of its file is no regular file";
            plan.left.insert(*date, reason.to_owned());
        }
        let old = standing.listing.days.files().filter(|file| self.is_old(file.date));
        for file in old {
            let date = file.date;
            let length = file.length()?;
            if length == 0 {
                continue;
            }
            match why_not(date, &standing, &gaps, &waiting) {
                Some(reason) => drop(plan.left.insert(date, reason)),
                None => drop(plan.days.insert(date, length)),
            }
        }
        Ok(plan)
    }
}

/// Says why a day is to stay as it is.
fn why_not(
    date: NaiveDate,
    standing: &Standing,
    gaps: &[Gap],
    waiting: &BTreeMap<NaiveDate, &'static str>,
) -> Option<String> {
    let day = day_span(date);
    let is_touched = gaps
        .iter()
        .filter(|gap| !gap.is_gone)
        .any(|gap| gap.span().from < day.to && day.from < gap.span().to);
    if is_touched || standing.sum.lost.contains_key(&date) {
        return Some("it has a gap that can still be filled".to_owned());
    }
    if let Some(sink) = waiting.get(&date) {
        return Some(format!("it is not all forwarded to {sink}"));
    }
    let Listing { packed, unread, .. } = standing.listing.as_ref();
    let of_another = packed.get(&date).filter(|file| !file.is_packed_by_us());
    let other = of_another.or(unread.get(&date));
    other.map(|file| format!("another program has compressed it to {}", file.name()))
}

impl PackPlan {
    /// Takes out what cannot be packed, and returns why not, as far as that can be told by reading.
    pub(crate) fn check(&mut self) -> BTreeMap<NaiveDate, UpkeepError> {
        let mut failed = BTreeMap::new();
        for date in self.days.keys() {
            let (plain, packed) = (self.listing.days.get(*date), self.listing.packed.get(date));
            if let Some(plain) = plain
                && let Err(error) = Packer::check(&plain, packed)
            {
                failed.insert(*date, UpkeepError::of(plain.name(), error));
            }
        }
        self.days.retain(|date, _| !failed.contains_key(date));
        failed
    }

    /// Packs the days, oldest first. One that cannot be packed holds up no other.
    pub(crate) fn carry_out(&self, packer: &Packer, mut limit: Limit, is_stopped: &dyn Fn() -> bool) -> Packed {
        let mut packed = Packed::default();
        for (date, bytes) in &self.days {
            let Some(plain) = self.listing.days.get(*date) else {
                continue;
            };
            if is_stopped() || !limit.has_room(*bytes, packed.days.is_empty()) {
                packed.has_more = true;
                break;
            }
            match packer.pack(&plain, self.listing.packed.get(date)) {
                Ok(day) => {
                    limit.take(*bytes);
                    packed.days.insert(*date, day);
                }
                Err(error) if is_of_all(&error) => {
                    packed.ended = Some(UpkeepError::of(plain.name(), error));
                    break;
                }
                Err(error) => drop(packed.failed.insert(*date, UpkeepError::of(plain.name(), error))),
            }
        }
        packed
    }
}

/// Whether no other day could be packed either.
pub(crate) fn is_of_all(error: &PackError) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};

    match error {
        PackError::Lock(LockError::Held { .. } | LockError::Lost { .. }) => true,
        PackError::Lock(LockError::File(error)) | PackError::File(error) => {
            let FileError::Io { cause, .. } = error else {
                return false;
            };
            matches!(cause.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
        }
        _ => false,
    }
}
