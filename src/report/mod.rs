//! Renders an archive as an HTML page without external files: what is in it, day by day, and what is missing.
//!
//! Imports: archive, coverage, forward, fs, json, output, source.

mod calendar;
mod chart;
mod html;
mod page;
mod survey;

use chrono::{DateTime, TimeDelta, Utc};

use crate::archive::Location;
use crate::coverage::{Entry, Gap, Standing, Wanted};
use crate::forward::lag::{Lag, lags};
use crate::fs::FileError;
use crate::source::Kind;

pub(crate) use page::{BEGINNING, render};
pub(crate) use survey::Survey;

/// One stream of the page.
#[derive(Debug)]
pub(crate) struct StreamReport {
    pub(crate) name: &'static str,
    /// The location of its day files.
    pub(crate) location: Location,
    pub(crate) survey: Survey,
    /// The newest line of the coverage journal; `None` if there is none.
    pub(crate) journal: Option<Entry>,
    /// The gaps by that journal.
    pub(crate) gaps: Vec<Gap>,
    /// How far each forwarder has got.
    pub(crate) forwarders: Vec<Lag>,
}

impl StreamReport {
    /// Reads everything about one stream.
    ///
    /// # Errors
    /// If the folder, a day file or the journal cannot be read.
    pub(crate) fn read(
        kind: &'static Kind,
        location: Location,
        keep: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Self, FileError> {
        let survey = Survey::read(kind, &location)?;
        let standing = Standing::read(&location, Wanted::Stream(kind.name), keep, now)?;
        let journal = standing.newest;
        let mut gaps = standing.sum.gaps(kind.retention, now);
        // What came since the last run is not a gap: the next run asks for it.
        gaps.retain(|gap| journal.as_ref().is_some_and(|entry| gap.from < entry.at));
        Ok(Self {
            name: kind.name,
            forwarders: lags(&location, kind.name, kind.shape, now),
            location,
            survey,
            journal,
            gaps,
        })
    }
}
