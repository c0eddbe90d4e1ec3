//! How far the walks of a run came: the notes that a writer makes of the spans that are asked for, wherever it keeps the records.

use super::collected::{CollectError, Collected};
use super::steps::Ending;
use crate::coverage::{Asked, Entry, asked};
use crate::fetch::FetchError;
use crate::window::bound;

impl Collected {
    /// Begins the walk over the span with this index; returns the span.
    pub(crate) fn begin_walk(&mut self, index: usize) -> Option<&Asked> {
        self.asked.get(index)?;
        self.walk = Some(index);
        self.asked.get(index)
    }

    /// Returns the span whose walk has begun and not ended.
    pub(crate) fn walking(&mut self) -> Option<&mut Asked> {
        self.asked.get_mut(self.walk?)
    }

    /// Notes of all spans that the run has asked for so far that their answers may lack something: they came from the same service.
    pub(crate) fn note_lapse(&mut self) {
        let begun = self.walk.map_or(0, |walk| walk + 1);
        self.asked
            .iter_mut()
            .take(begun)
            .for_each(|asked| asked.has_lapsed = true);
    }

    /// Notes that what follows of the walk is not proved to be everything.
    pub(crate) fn note_as_given(&mut self, contradiction: String, is_of_all: bool) {
        let Some(asked) = self.walking() else { return };
        asked.covered_to = asked.covered_to.filter(|_| !is_of_all);
        asked.as_given_from = Some(asked.covered_to.unwrap_or(asked.from));
        asked.is_contradicted = true;
        tracing::error!("filed as the service gives it, since that is so in run after run: {contradiction}");
        asked.error = Some(contradiction);
    }

    /// Notes how the walk ended; the caller ends it.
    pub(crate) fn note_end_of_walk(&mut self, result: Result<(), FetchError>) {
        let Some(asked) = self.walking() else { return };
        match result {
            Ok(()) => {
                asked.is_done = true;
                if asked.as_given_from.is_none() {
                    asked.covered_to = Some(asked.to);
                }
            }
            Err(cause) => {
                asked.is_contradicted |= cause.contradiction().is_some();
                // What is not counted can be anywhere.
                asked.covered_to = asked.covered_to.filter(|_| !cause.is_of_what_was_given());
                let (from, to) = (bound(asked.from), bound(asked.to));
                tracing::error!(from, to, "a span is still missing: {cause}");
                asked.error = Some(cause.to_string());
                // It stays noted for the next run, so it does not hold up anything else; but the run is not complete.
                let failure = CollectError::Older { from, to, cause };
                self.failure.get_or_insert(failure);
            }
        }
    }

    /// Ends the walk.
    pub(crate) fn end_walk(&mut self) {
        self.walk = None;
    }

    /// Takes over how the fetching ended, but for what was left over. An interrupted walk has covered what was filed of it, unless that
    /// is in doubt.
    pub(crate) fn take_ending(&mut self, ending: &mut Ending) {
        self.request_counts = ending.request_counts;
        self.request_stats = std::mem::take(&mut ending.request_stats);
        self.clock_offset = ending.clock_offset;
        self.service_date = ending.service_date;
        self.warnings.append(&mut ending.warnings);
        self.assumptions = ending.assumptions;
        // A failure here is the cause of one there, or weighs more: so it replaces one that held up nothing else.
        if let (
            None | Some(CollectError::Older { .. } | CollectError::Day { .. } | CollectError::Unusable { .. }),
            Some(failure),
        ) = (&self.failure, ending.failure.take())
        {
            self.failure = Some(failure);
        }
        self.note_interruption();
    }

    /// Claims to have covered nothing that had not come yet for the service.
    pub(crate) fn claim_nothing_after_the_service(&mut self, ending: &Ending) {
        if let Some(time) = ending.service_time {
            asked::claim_nothing_after(&mut self.asked, time);
        }
    }

    /// Notes why a walk has not come to its end.
    fn note_interruption(&mut self) {
        let failure = self.failure.as_ref();
        let cause = failure.and_then(|failure| match failure {
            CollectError::Fetch(cause) => Some(cause),
            _ => None,
        });
        let is_contradiction = cause.is_some_and(|cause| cause.contradiction().is_some());
        // A run that has filed something new goes on with the next one.
        let is_to_be_continued = cause.is_some_and(FetchError::is_of_effort) && self.appended > 0;
        let is_of_all = cause.is_some_and(FetchError::is_of_what_was_given);
        let error = failure.map(ToString::to_string);
        if let Some(asked) = self.walking() {
            asked.is_contradicted |= is_contradiction && !is_to_be_continued;
            asked.covered_to = asked.covered_to.filter(|_| !is_of_all);
            asked.error = error;
        }
    }

    /// Writes the figures of this run into a line of what was asked for and covered.
    pub(crate) fn note_in(&self, entry: &mut Entry) {
        entry.asked = self.asked.clone();
        entry.error = self.failure.as_ref().map(ToString::to_string);
        entry.requests = self.request_counts.requests;
        entry.retries = self.request_counts.retries;
        entry.pages = self.request_counts.pages;
        entry.received = self.received;
        entry.duplicates = self.duplicates;
        entry.appended = self.appended;
        entry.rejected = self.rejected;
        entry.revised = self.revised;
        entry.repaired = self.repaired;
        entry.expired = self.expired;
        entry.service_date = self.service_date;
    }
}
