//! A request for one record: does the service answer?

use chrono::{DateTime, Utc};

use super::{FetchError, Fetcher, PageError};
use crate::source::{PageRequest, Paging, Position};
use crate::window::Window;

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// How many records it returned: none if nothing happened in the window, otherwise one. Some services return more.
    pub(crate) records: usize,
    /// The time of the newest of them.
    pub(crate) newest: Option<DateTime<Utc>>,
    /// Why the first of them cannot be filed, if none can.
    pub(crate) unfit: Option<String>,
}

impl Fetcher {
    /// Asks for the newest record of a window.
    ///
    /// # Errors
    /// The service did not answer, or the answer could not be parsed.
    pub(crate) async fn probe(&self, window: Window) -> Result<Probe, FetchError> {
        let position = match self.source().paging() {
            Paging::Bounded => Position::First,
            Paging::Numbered => Position::Number(1),
        };
        let request = PageRequest {
            window,
            position,
            size: 1,
        };
        let page = self.page(&request, false).await.map_err(|error| match error {
            PageError::TooWide(error)
            | PageError::TooLarge(error)
            | PageError::Lost(error)
            | PageError::Fatal(error) => error,
        })?;
        let newest = page.records.iter().flatten().map(|record| record.time).max();
        let unfit = page.records.iter().find_map(|item| item.as_ref().err());
        Ok(Probe {
            records: page.records.len(),
            newest,
            unfit: unfit.filter(|_| newest.is_none()).map(|unfit| unfit.reason.clone()),
        })
    }
}
