//! The page that `--metrics-listen` serves: that of `report`, without what names people.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::config::StreamPlace;
use crate::output::progress::ReadProgress;
use crate::process::host_name::host_name;
use crate::report::{Page, People, StreamReport, Surveyor, UnreadableStream};

/// Makes the page again and again; a day file that has not grown is read once.
pub(super) struct ServedPage {
    places: watch::Receiver<Vec<StreamPlace>>,
    surveyors: BTreeMap<&'static str, Surveyor>,
    clock: fn() -> DateTime<Utc>,
}

impl ServedPage {
    /// Creates that of the newest places.
    pub(super) fn of(places: watch::Receiver<Vec<StreamPlace>>, clock: fn() -> DateTime<Utc>) -> Self {
        Self {
            places,
            surveyors: BTreeMap::new(),
            clock,
        }
    }

    /// Reads what is new, and renders the page.
    pub(super) fn make(&mut self) -> String {
        let (places, now) = (self.places.borrow().clone(), (self.clock)());
        let streams: Vec<_> = places.iter().map(|place| self.read(place, now)).collect();
        let host = host_name();
        let page = Page {
            streams: &streams,
            people: People::LeftOut,
            host: host.as_deref(),
            now,
        };
        page.render()
    }

    fn read(&mut self, place: &StreamPlace, now: DateTime<Utc>) -> Result<StreamReport, UnreadableStream> {
        let surveyor = self.surveyors.entry(place.name());
        let surveyor = surveyor.or_insert_with(|| Surveyor::repeated(place.kind));
        let report = StreamReport::read(surveyor, place, &ReadProgress::hidden(), now);
        report.map_err(|error| UnreadableStream {
            name: place.name(),
            error: error.to_string(),
        })
    }
}
