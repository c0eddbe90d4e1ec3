//! How much each day file held when a run had written to it: one that holds less has lost records.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::archive::Listing;

/// What a day file held when a run had written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Number of lines: as many as that, or more.
    pub(crate) lines: u64,
    /// Length in bytes.
    pub(crate) bytes: u64,
}

/// The counts of the day files, by day.
pub(crate) type Counts = BTreeMap<NaiveDate, Counted>;

/// How a day file has lost records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Loss {
    /// There is no file, compressed or not.
    Missing,
    /// It is shorter than it was.
    Shorter,
    /// A link, a folder or another thing is in its place.
    NotAFile,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the day file is missing",
            Self::Shorter => "the day file is shorter than it was",
            Self::NotAFile => "what is in the place of the day file is no regular file",
        })
    }
}

/// A day whose file has lost records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostDay {
    pub(crate) loss: Loss,
    /// What it held.
    pub(crate) held: Counted,
    /// When that was noticed.
    pub(crate) noticed_at: DateTime<Utc>,
}

/// Returns the days whose files have lost records by `now`. One that is older than `keep` may be missing, and one that is
/// compressed counts as whole.
pub(super) fn losses(
    counts: &Counts,
    listing: &Listing,
    keep: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> BTreeMap<NaiveDate, LostDay> {
    let is_kept = |date: &NaiveDate| !may_be_deleted(*date, keep, now);
    let counted = counts
        .iter()
        .filter(|(date, counted)| counted.lines > 0 && is_kept(date));
    let lost = counted.filter_map(|(date, held)| {
        let (loss, held) = (loss(*date, *held, listing)?, *held);
        let noticed_at = now;
        Some((*date, LostDay { loss, held, noticed_at }))
    });
    lost.collect()
}

/// Returns whether another program may have deleted the day file of a date by `now`, since it is older than `keep`.
pub(crate) fn may_be_deleted(date: NaiveDate, keep: Option<TimeDelta>, now: DateTime<Utc>) -> bool {
    keep.is_some_and(|keep| date < (now - keep).date_naive())
}

/// Returns whether a file that had lost records is as long again as it was, or is there compressed: somebody put it back.
pub(super) fn is_back(date: NaiveDate, lost: &LostDay, listing: &Listing) -> bool {
    loss(date, lost.held, listing).is_none()
}

fn loss(date: NaiveDate, counted: Counted, listing: &Listing) -> Option<Loss> {
    if listing.packed.contains_key(&date) {
        return None;
    }
    match listing.days.get(&date).map(|file| file.length()) {
        Some(Ok(length)) => (length < counted.bytes).then_some(Loss::Shorter),
        _ if listing.odd.contains_key(&date) => Some(Loss::NotAFile),
        _ => Some(Loss::Missing),
    }
}
