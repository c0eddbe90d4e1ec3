//! What speaks against deleting a day: a hold, its age, what is lost or missing, who has not read it, what is not sealed.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::error::UpkeepError;
use super::expiry_rule::ExpiryRule;
use crate::archive::{DayTimes, Hold, Holds};
use crate::config::{EvidenceSettings, StreamPlace};
use crate::coverage::{Standing, day_span};
use crate::evidence::expiry::SealedFiles;
use crate::forward::not_passed;
use crate::output::printable::printable;

/// What decides whether a day may go.
pub(super) struct Checks<'a> {
    place: &'a StreamPlace,
    standing: &'a Standing,
    /// The rule by the clock of the service.
    by_service: ExpiryRule<'a>,
    waiting: BTreeMap<NaiveDate, &'static str>,
    sealed: Option<SealedFiles>,
    /// Where the oldest gap begins that can still be closed.
    oldest_gap: Option<DateTime<Utc>>,
}

impl<'a> Checks<'a> {
    /// Reads what they need.
    ///
    /// # Errors
    /// If something cannot be read.
    pub(super) fn of(
        rule: &ExpiryRule<'a>,
        place: &'a StreamPlace,
        standing: &'a Standing,
    ) -> Result<Self, UpkeepError> {
        let gaps = standing.sum.gaps(place.kind.retention, rule.now);
        Ok(Self {
            place,
            standing,
            by_service: by_the_service(rule, standing),
            waiting: not_passed(&place.location, place.kind.name)?,
            sealed: rule.evidence.map(sealed_files).transpose()?,
            oldest_gap: gaps.iter().find(|gap| !gap.is_gone).map(|gap| gap.from),
        })
    }

    /// Says why a day stays, and those after it go: what is lost of the time before which nothing is asked for comes back by nobody's
    /// asking.
    pub(super) fn why_passed_over(&self, date: NaiveDate) -> Option<String> {
        let sum = &self.standing.sum;
        let is_lost = sum.lost.contains_key(&date) && sum.is_below_the_line(day_span(date).to);
        is_lost.then(|| {
            "it has lost records: restore its file from a copy, or accept the loss with trailkeeper coverage --accept-missing".to_owned()
        })
    }

    /// Says why a day stays, and all after it.
    pub(super) fn why_not(&self, date: NaiveDate) -> Option<String> {
        let Standing { listing, sum, .. } = self.standing;
        let name = self.place.location.day_name(date).unwrap_or_default();
        let end = day_span(date).to;
        let mut lost = sum
            .lost
            .keys()
            .filter(|lost| !sum.is_below_the_line(day_span(**lost).to));
        if !self.by_service.is_too_old(date) {
            Some("it was not old enough when the service was heard of last: is this machine's clock ahead?".to_owned())
        } else if listing.odd.contains_key(&date) {
            Some("what is in the place of its file is no regular file".to_owned())
        } else if let Some(file) = listing.unread.get(&date) {
            Some(format!("it has two compressed files, {} among them", file.name()))
        } else if lost.next().is_some_and(|lost| *lost <= date) {
            Some("it, or a day before it, has lost records: trailkeeper coverage names it".to_owned())
        } else if self.oldest_gap.is_some_and(|from| from < end) {
            Some("it, or a day before it, has a gap that can still be filled".to_owned())
        } else if let Some(sink) = self.waiting.get(&date) {
            Some(format!("it is not all forwarded to {sink}"))
        } else if self
            .sealed
            .as_ref()
            .is_some_and(|sealed| !sealed.is_closed(self.place, &name))
        {
            Some("it is not sealed as the file of a closed day: trailkeeper seal does that".to_owned())
        } else {
            None
        }
    }

    /// Says that the files of a day stay since they hold records of other days, as another program has filed them, that are not old
    /// enough, or may not go themselves.
    pub(super) fn why_too_young(&self, date: NaiveDate, read: &DayTimes) -> Option<String> {
        let newest = read.days.last()?;
        if !self.by_service.is_too_old(*newest) {
            return Some(format!("it holds records of {newest}, which are not old enough"));
        }
        let others = read
            .days
            .iter()
            .filter(|day| **day != date && self.standing.listing.has(**day));
        let mut reasons = others.filter_map(|day| Some((day, self.why_not(*day)?)));
        let (day, reason) = reasons.next()?;
        Some(format!("it holds records of {day}, which stays: {reason}"))
    }
}

/// Says which hold keeps a day, or what was read of its files.
pub(super) fn why_held(date: NaiveDate, read: Option<&DayTimes>, holds: &Holds) -> Option<String> {
    let case = |hold: &Hold| printable(&hold.case).to_string();
    if let Some(hold) = holds.of(day_span(date)) {
        return Some(format!("it is held for the case {}", case(hold)));
    }
    let read = read?;
    let mut held = read
        .days
        .iter()
        .filter_map(|day| Some((day, holds.of(day_span(*day))?)));
    if let Some((day, hold)) = held.next() {
        return Some(format!(
            "it holds records of {day}, which is held for the case {}",
            case(hold)
        ));
    }
    let hold = holds.iter().next().filter(|_| read.untold > 0)?;
    Some(format!(
        "it holds {} lines whose time cannot be told, and may be held for the case {}",
        read.untold,
        case(hold)
    ))
}

/// Returns the rule by the clock of the service, as far as that is known, if it is behind ours: a clock that is ahead would delete
/// what is young, and is often found out only when somebody sets it.
fn by_the_service<'a>(rule: &ExpiryRule<'a>, standing: &Standing) -> ExpiryRule<'a> {
    let newest = standing.newest.as_ref();
    let heard = newest.and_then(|entry| entry.service_date.or(entry.last_record));
    ExpiryRule {
        now: heard.map_or(rule.now, |heard| heard.min(rule.now)),
        ..*rule
    }
}

fn sealed_files(evidence: &EvidenceSettings) -> Result<SealedFiles, UpkeepError> {
    let sealed = SealedFiles::read(&evidence.folder)?;
    sealed.ok_or_else(|| {
        let folder = evidence.folder.display();
        UpkeepError::Doubt(format!(
            "there is no log in the evidence folder {folder}: mount or restore it; `trailkeeper evidence keygen` begins one"
        ))
    })
}
