//! Renders an archive as an HTML page without external files: how each stream stands, what is in it, and what is missing.
//!
//! Imports: archive, config, coverage, evidence, forward, fs, output, record, source.

mod bars;
mod calendar;
mod counts;
mod fields;
mod frame;
mod heat_map;
pub(crate) mod html;
mod overview;
mod page;
mod picture;
mod scale;
mod section;
mod survey;
mod texts;
mod verdict;

use chrono::{DateTime, Utc};

use crate::archive::{Location, Lock, Noted};
use crate::config::StreamPlace;
use crate::coverage::{Entry, Gap, Liveness, Standing, Wanted};
use crate::evidence::sealed_days::SealedDays;
use crate::forward::lag::{Lag, lags};
use crate::fs::FileError;
use crate::output::progress::ReadProgress;
use crate::source::Kind;

pub(crate) use counts::People;
pub(crate) use frame::frame;
pub(crate) use page::{BEGINNING, Page};
pub(crate) use survey::{Survey, Surveyor};

/// One stream of the page.
#[derive(Debug)]
pub(crate) struct StreamReport {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static Kind,
    /// The location of its day files.
    pub(crate) location: Location,
    pub(crate) survey: Survey,
    /// The newest line of the coverage journal; `None` if there is none.
    pub(crate) journal: Option<Entry>,
    /// Whether that run is under way, or was killed.
    pub(crate) liveness: Liveness,
    /// The gaps by that journal.
    pub(crate) gaps: Vec<Gap>,
    /// Number of days whose files have lost records.
    pub(crate) lost_days: usize,
    /// Number of torn lines in the day files that were repaired.
    pub(crate) repaired: u64,
    /// Number of records in the rejected file.
    pub(crate) rejected: u64,
    /// How far each forwarder has got.
    pub(crate) forwarders: Vec<Lag>,
    /// What of it is sealed; `None` if sealing is off, or nothing is yet.
    pub(crate) sealed: Option<SealedDays>,
}

/// A stream whose archive cannot be read.
#[derive(Debug)]
pub(crate) struct UnreadableStream {
    pub(crate) name: &'static str,
    pub(crate) error: String,
}

impl StreamReport {
    /// Reads everything about one stream.
    ///
    /// # Errors
    /// If the folder, a day file or the journal cannot be read.
    pub(crate) fn read(
        surveyor: &mut Surveyor,
        place: &StreamPlace,
        progress: &ReadProgress,
        now: DateTime<Utc>,
    ) -> Result<Self, FileError> {
        let StreamPlace {
            kind, location, keep, ..
        } = place;
        let survey = surveyor.survey(location, progress)?;
        let standing = Standing::read(location, Wanted::Stream(kind.name), *keep, now)?;
        let noted = Noted::rejected(location)?;
        let journal = standing.newest;
        let mut gaps = standing.sum.gaps(kind.retention, now);
        // What came since the last run is not a gap: the next run asks for it, or the one that is under way.
        gaps.retain(|gap| !gap.is_accepted && !gap.is_pause(now));
        Ok(Self {
            name: place.name(),
            kind,
            forwarders: lags(location, kind.name, kind.shape, now),
            location: location.clone(),
            liveness: Liveness::of(Lock::last_holder(location), journal.as_ref()),
            lost_days: standing.sum.lost.len(),
            repaired: repaired(location, &survey, &noted),
            rejected: noted.records(),
            survey,
            journal,
            gaps,
            sealed: None,
        })
    }
}

/// Counts the torn lines of the day files that were repaired.
fn repaired(location: &Location, survey: &Survey, noted: &Noted) -> u64 {
    let names = survey.days.keys().filter_map(|date| location.day_name(*date));
    names.map(|name| noted.repaired_on_day(&name)).sum()
}
