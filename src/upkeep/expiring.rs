//! Which days of a stream are to be deleted for their age, and the deleting: first the journal says so, then the evidence, each
//! synced, and only then a file is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::Limit;
use super::error::UpkeepError;
use crate::archive::{DayFile, Expirer, Hold, Holds, Listing, Lock, Packer};
use crate::config::{EvidenceSettings, StreamPlace};
use crate::coverage::{Entry, ExpiredDay, Journal, Standing, Wanted, day_span};
use crate::evidence::expiry::SealedFiles;
use crate::evidence::keeper::Keeper;
use crate::forward::not_passed;
use crate::output::printable::printable;

/// Which days are too old.
#[derive(Clone, Copy)]
pub(crate) struct ExpiryRule<'a> {
    pub(crate) older_than: TimeDelta,
    pub(crate) now: DateTime<Utc>,
    /// Where the days have to be sealed before they go.
    pub(crate) evidence: Option<&'a EvidenceSettings>,
}

/// What is to be deleted of a stream.
pub(crate) struct ExpiryPlan {
    standing: Standing,
    /// Oldest first, with the length of their files as they are stored.
    pub(crate) days: BTreeMap<NaiveDate, u64>,
    /// Those that are old enough and stay, with the reason: held ones, and the first that holds up all after it.
    pub(crate) left: BTreeMap<NaiveDate, String>,
}

/// What decides whether a day may go.
struct Checks<'a> {
    place: &'a StreamPlace,
    standing: &'a Standing,
    waiting: BTreeMap<NaiveDate, &'static str>,
    sealed: Option<SealedFiles>,
    /// Where the oldest gap begins that can still be closed.
    oldest_gap: Option<DateTime<Utc>>,
}

impl ExpiryRule<'_> {
    /// Returns what is to be deleted. Whatever cannot be read, nothing is.
    ///
    /// # Errors
    /// If something of the stream cannot be read.
    pub(crate) fn plan(&self, place: &StreamPlace) -> Result<ExpiryPlan, UpkeepError> {
        let holds = Holds::read(&place.location)?;
        let standing = self.standing(place)?;
        let checks = self.checks(place, &standing)?;
        let (mut days, mut left) = (BTreeMap::new(), BTreeMap::new());
        let listing = &standing.listing;
        let by_service = self.by_the_service(&standing);
        let mut dates = listing.dates();
        dates.extend(listing.odd.keys().copied());
        for date in dates.into_iter().filter(|date| self.is_too_old(*date)) {
            if let Some(hold) = holds.iter().find(|hold| is_held(date, hold)) {
                left.insert(date, held_for(hold));
                continue;
            }
            if !by_service.is_too_old(date) {
                let reason = "it was not old enough when the service was heard of last: is this machine's clock ahead?";
                left.insert(date, reason.to_owned());
                break;
            }
            if let Some(reason) = checks.why_not(date) {
                left.insert(date, reason);
                break;
            }
            let files = listing.days.get(&date).into_iter().chain(listing.packed.get(&date));
            days.insert(date, files.map(DayFile::length).sum::<Result<u64, _>>()?);
        }
        Ok(ExpiryPlan { standing, days, left })
    }

    /// Returns whether a day is old enough.
    pub(super) fn is_due(&self, listing: &Listing) -> bool {
        let dates = listing.dates();
        let oldest = dates.iter().chain(listing.odd.keys()).min();
        oldest.is_some_and(|date| self.is_too_old(*date))
    }

    /// Returns the rule by the clock of the service, as far as that is known, if it is behind ours: a clock that is ahead would delete
    /// what is young, and is often found out only when somebody sets it.
    fn by_the_service(&self, standing: &Standing) -> Self {
        let newest = standing.newest.as_ref();
        let heard = newest.and_then(|entry| entry.service_date.or(entry.last_record));
        Self {
            now: heard.map_or(self.now, |heard| heard.min(self.now)),
            ..*self
        }
    }

    fn is_too_old(&self, date: NaiveDate) -> bool {
        day_span(date).to + self.older_than <= self.now
    }

    fn standing(&self, place: &StreamPlace) -> Result<Standing, UpkeepError> {
        let wanted = Wanted::Stream(place.kind.name);
        let standing = Standing::read(&place.location, wanted, place.keep, self.now)?;
        match &standing.doubt {
            Some(doubt) => Err(UpkeepError::Doubt(doubt.clone())),
            None if standing.newest.is_none() && !standing.listing.dates().is_empty() => Err(UpkeepError::NoLine),
            None => Ok(standing),
        }
    }

    fn checks<'s>(&self, place: &'s StreamPlace, standing: &'s Standing) -> Result<Checks<'s>, UpkeepError> {
        let gaps = standing.sum.gaps(place.kind.retention, self.now);
        let sealed = self.evidence.map(|evidence| SealedFiles::read(&evidence.folder));
        Ok(Checks {
            place,
            standing,
            waiting: not_passed(&place.location, place.kind.name)?,
            sealed: sealed.transpose()?,
            oldest_gap: gaps.iter().find(|gap| !gap.is_gone).map(|gap| gap.from),
        })
    }

    /// Deletes what is planned: what is on disk says so before.
    ///
    /// # Errors
    /// If something cannot be read, written or deleted, or is in use.
    pub(crate) fn carry_out(
        &self,
        place: &StreamPlace,
        plan: &mut ExpiryPlan,
        lock: &Arc<Lock>,
    ) -> Result<Vec<ExpiredDay>, UpkeepError> {
        // Who places a hold now waits until it is told what was there.
        let _kept = Holds::keep(&place.location, self.now)?;
        let holds = Holds::read(&place.location)?;
        let (days, left) = (&mut plan.days, &mut plan.left);
        days.retain(|date, _| match holds.iter().find(|hold| is_held(*date, hold)) {
            None => true,
            Some(hold) => {
                left.insert(*date, held_for(hold));
                false
            }
        });
        let expiring = self.describe(place, plan)?;
        let Some(newest) = plan.standing.newest.take().filter(|_| !expiring.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut sum = plan.standing.sum.clone();
        plan.days.keys().for_each(|date| sum.expire(*date));
        let mut counts = plan.standing.counts.clone();
        counts.retain(|date, _| !sum.is_expired(*date));
        let entry = Entry {
            sum,
            counts,
            has_all_counts: true,
            expiring: expiring.clone(),
            ..newest
        };
        let files: Vec<_> = expiring
            .iter()
            .map(|day| (day.file.clone(), day.reason.clone()))
            .collect();
        if let Some(evidence) = self.evidence {
            Keeper::new(evidence).check_before_expiry(place, &files, self.now)?;
        }
        lock.check()?;
        Journal::of(&place.location).append(&entry)?;
        if let Some(evidence) = self.evidence {
            Keeper::new(evidence).expire(place, &files, self.now)?;
        }
        let expirer = Expirer::under(lock);
        for date in plan.days.keys() {
            let deleted = expirer.delete(&plan.standing.listing, *date);
            deleted.map_err(|error| UpkeepError::of(date.to_string(), error))?;
        }
        Ok(expiring)
    }

    fn describe(&self, place: &StreamPlace, plan: &ExpiryPlan) -> Result<Vec<ExpiredDay>, UpkeepError> {
        let reason = format!("it ended more than {} days ago", self.older_than.num_days());
        let days = plan.days.keys().map(|date| {
            let content = plan.standing.listing.day_content(&place.location, *date);
            let content = content.map_err(UpkeepError::Unread)?;
            Ok(ExpiredDay {
                file: place.location.day_name(*date).unwrap_or_default(),
                lines: content.lines,
                bytes: content.bytes,
                sha256: content.sha256,
                reason: reason.clone(),
                at: self.now,
            })
        });
        days.collect()
    }
}

impl Checks<'_> {
    /// Says why a day stays, and all after it.
    fn why_not(&self, date: NaiveDate) -> Option<String> {
        let Standing { listing, sum, .. } = self.standing;
        let name = self.place.location.day_name(date).unwrap_or_default();
        let end = day_span(date).to;
        if listing.odd.contains_key(&date) {
            Some("what is in the place of its file is no regular file".to_owned())
        } else if let Some(file) = listing.unread.get(&date) {
            Some(format!("it has two compressed files, {} among them", file.name()))
        } else if sum.lost.keys().next().is_some_and(|lost| *lost <= date) {
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
}

fn held_for(hold: &Hold) -> String {
    format!("it is held for the case {}", printable(&hold.case))
}

fn is_held(date: NaiveDate, hold: &Hold) -> bool {
    let day = day_span(date);
    hold.since.is_none_or(|since| since < day.to) && hold.until.is_none_or(|until| day.from < until)
}

impl ExpiryPlan {
    /// Leaves only the oldest days in it; returns whether there are more.
    pub(super) fn limit_to(&mut self, mut limit: Limit) -> bool {
        let mut is_first = true;
        let last = self.days.iter().find(|(_, bytes)| {
            let has_room = limit.has_room(**bytes, is_first);
            limit.take(**bytes);
            is_first = false;
            !has_room
        });
        let Some(first_left) = last.map(|(date, _)| *date) else {
            return false;
        };
        drop(self.days.split_off(&first_left));
        true
    }
}

/// Takes the lock of a stream for `expire`, and ends what an interrupted packing has left there.
///
/// # Errors
/// If another process holds it, or a file cannot be read or removed.
pub(crate) fn lock(place: &StreamPlace, now: DateTime<Utc>) -> Result<Arc<Lock>, UpkeepError> {
    let lock = Arc::new(Lock::acquire_between_runs(&place.location, "expire", now)?);
    Packer::under(Arc::clone(&lock)).finish(&place.location.listing()?)?;
    Ok(lock)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::archive::faulty::Fault;
    use crate::coverage::{Counted, Scope, Sum};
    use crate::source::SOURCES;
    use crate::test_support::Catalog;
    use crate::window::Window;

    const DAYS: [&str; 4] = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"];

    fn now() -> DateTime<Utc> {
        "2026-01-20T00:00:00Z".parse().unwrap()
    }

    fn date(day: &str) -> NaiveDate {
        day.parse().unwrap()
    }

    /// Days of which the second is packed and has come late since, and a journal that covers and counts them.
    fn archive() -> (Catalog, StreamPlace) {
        let catalog = Catalog::with_state_folder().through_its_disk();
        let (mut sum, mut entry) = (Sum::default(), Entry::new(now(), Scope::sample(), Sum::default()));
        sum.asked_from = Some(day_span(date(DAYS[0])).from);
        sum.covered.add(Window::new(day_span(date(DAYS[0])).from, now()));
        for day in DAYS {
            catalog.write(day, "one\n");
            let counted = Counted {
                lines: 1,
                bytes: 4,
                compressed: 0,
            };
            entry.counts.insert(date(day), counted);
        }
        catalog.write_packed_by_us(DAYS[1], &["none\n"]);
        let journal = Journal::of(&catalog.location);
        journal
            .append(&Entry {
                sum,
                has_all_counts: true,
                ..entry
            })
            .unwrap();
        // All of this is on the disk.
        catalog.disk.cut_power(catalog.folder(), 255);
        let kind = SOURCES.iter().find(|kind| kind.name == "tfc").unwrap();
        let place = StreamPlace {
            kind,
            location: catalog.location.clone(),
            keep: None,
        };
        (catalog, place)
    }

    /// Three of the four days are too old.
    fn rule() -> ExpiryRule<'static> {
        ExpiryRule {
            older_than: TimeDelta::days(16),
            now: now(),
            evidence: None,
        }
    }

    fn expire(place: &StreamPlace) -> Result<usize, UpkeepError> {
        expire_by(rule(), place)
    }

    fn expire_by(rule: ExpiryRule<'_>, place: &StreamPlace) -> Result<usize, UpkeepError> {
        let lock = lock(place, now())?;
        let mut plan = rule.plan(place)?;
        rule.carry_out(place, &mut plan, &lock).map(|days| days.len())
    }

    fn hold(place: &StreamPlace, since: &str, until: &str) {
        let time = |text: &str| format!("{text}T12:00:00Z").parse().ok();
        let hold = Hold {
            case: "2026/17".to_owned(),
            since: time(since),
            until: time(until),
            note: None,
            at: now(),
        };
        assert!(Holds::add(&place.location, hold).unwrap());
    }

    fn there(place: &StreamPlace) -> Vec<String> {
        let dates = place.location.listing().unwrap().dates().into_iter();
        dates.map(|date| date.to_string()).collect()
    }

    fn standing(place: &StreamPlace) -> Standing {
        Standing::read(&place.location, Wanted::Stream("tfc"), None, now()).unwrap()
    }

    #[test]
    fn what_is_too_old_is_deleted_and_is_neither_lost_nor_a_gap() {
        let (_catalog, place) = archive();
        assert_eq!(expire(&place).unwrap(), 3);
        assert_eq!(there(&place), [DAYS[3]]);
        let standing = standing(&place);
        assert!(standing.sum.lost.is_empty(), "{:?}", standing.sum.lost);
        assert_eq!(standing.sum.gaps(place.kind.retention, now()), []);
        let remarks = standing.remarks().join("\n");
        assert!(
            remarks.contains("3 days from 2026-01-01 to 2026-01-03 were deleted for their age"),
            "{remarks}"
        );
        assert!(standing.expiry().has(date(DAYS[1])) && !standing.expiry().has(date(DAYS[3])));
        let entry = Journal::of(&place.location).newest().unwrap().unwrap();
        assert_eq!(entry.expiring[1].file, "mail_2026-01-02.log");
        assert_eq!((entry.expiring[1].lines, entry.expiring[1].bytes), (2, 9));
        assert!(
            entry.expiring[0].reason.contains("16 days"),
            "{}",
            entry.expiring[0].reason
        );
        assert_eq!(expire(&place).unwrap(), 0, "there is nothing more");
        assert!(
            !standing.start_over().sum.expired_days.spans().is_empty(),
            "it is never asked for again"
        );
    }

    #[test]
    fn a_clock_that_is_ahead_of_the_service_deletes_nothing_more() {
        let (_catalog, place) = archive();
        let journal = Journal::of(&place.location);
        let entry = journal.newest().unwrap().unwrap();
        let heard = "2026-01-18T12:00:00Z".parse().ok();
        for (service_date, last_record) in [(heard, None), (None, heard)] {
            let entry = Entry {
                service_date,
                last_record,
                ..entry.clone()
            };
            journal.append(&entry).unwrap();
            let ahead = ExpiryRule {
                now: now() + TimeDelta::days(730),
                ..rule()
            };
            let plan = ahead.plan(&place).unwrap();
            assert_eq!(plan.days.keys().copied().collect::<Vec<_>>(), [date(DAYS[0])]);
            assert!(plan.left[&date(DAYS[1])].contains("clock"), "{:?}", plan.left);
        }
        assert_eq!(expire(&place).unwrap(), 1);
    }

    #[test]
    fn what_is_held_stays_and_the_others_go() {
        let (_catalog, place) = archive();
        hold(&place, DAYS[1], DAYS[1]);
        assert_eq!(expire(&place).unwrap(), 2);
        assert_eq!(there(&place), [DAYS[1], DAYS[3]]);
        assert!(
            !standing(&place).expiry().has(date(DAYS[1])),
            "what comes late for it is kept"
        );
        assert_eq!(standing(&place).sum.lost.len(), 0);
        Holds::release(&place.location, "2026/17", now()).unwrap();
        assert_eq!(expire(&place).unwrap(), 1);
        assert_eq!(there(&place), [DAYS[3]]);
    }

    #[test]
    fn without_a_journal_or_holds_that_can_be_read_nothing_goes() {
        for what in ["holds.jsonl", "coverage.jsonl"] {
            let (_catalog, place) = archive();
            let path = place.location.state_file(what);
            let mut content = std::fs::read(&path).unwrap_or_default();
            content.extend(b"{damaged\n");
            std::fs::write(&path, content).unwrap();
            assert!(expire(&place).is_err(), "{what}");
            assert_eq!(there(&place), DAYS);
        }
        let (_catalog, place) = archive();
        std::fs::remove_file(place.location.state_file("coverage.jsonl")).unwrap();
        assert!(expire(&place).unwrap_err().to_string().contains("no journal"));
        assert_eq!(there(&place), DAYS);
    }

    #[test]
    fn a_day_with_a_gap_that_can_be_filled_or_that_is_lost_holds_up_those_after_it() {
        let (catalog, place) = archive();
        let journal = Journal::of(&place.location);
        let mut entry = journal.newest().unwrap().unwrap();
        entry.sum.covered.remove(day_span(date(DAYS[1])));
        journal.append(&entry).unwrap();
        let early = ExpiryRule {
            older_than: TimeDelta::days(6),
            now: "2026-01-10T00:00:00Z".parse().unwrap(),
            evidence: None,
        };
        assert_eq!(expire_by(early, &place).unwrap(), 1);
        assert_eq!(there(&place), DAYS[1..]);
        assert_eq!(expire(&place).unwrap(), 2, "the service has dropped it by now");
        drop((catalog, place));
        let (catalog, place) = archive();
        catalog.write(DAYS[0], "");
        let plan = rule().plan(&place).unwrap();
        assert!(plan.days.is_empty(), "{:?}", plan.days);
        assert!(plan.left[&date(DAYS[0])].contains("lost records"), "{:?}", plan.left);
    }

    /// Killed at each of its operations, with power cuts: a day is there, whole, or the journal says that it is expired; the next one ends it.
    #[test]
    fn wherever_it_is_killed_no_day_is_gone_that_the_journal_does_not_name() {
        for left in [None, Some(0), Some(255)] {
            for operation in 0.. {
                let (catalog, place) = archive();
                hold(&place, DAYS[2], DAYS[2]);
                catalog.disk.arm(operation, Fault::Killed(operation as usize * 7));
                let outcome = expire(&place);
                catalog.disk.restart();
                if let Some(left) = left {
                    catalog.disk.cut_power(catalog.folder(), left);
                }
                let when = format!("ended at {operation}, left {left:?}");
                let found = standing(&place);
                assert!(found.sum.lost.is_empty(), "{when}: {:?}", found.sum.lost);
                for day in DAYS {
                    let content = place
                        .location
                        .listing()
                        .unwrap()
                        .day_content(&place.location, date(day))
                        .unwrap();
                    let expected = if day == DAYS[1] { 9 } else { 4 };
                    assert!(
                        content.bytes == expected || found.sum.is_expired(date(day)),
                        "{when}: {day}"
                    );
                }
                assert_eq!(found.sum.gaps(place.kind.retention, now()), [], "{when}");
                if outcome.is_ok() {
                    assert!(operation > 4, "there are more operations than this");
                    break;
                }
                drop(found);
                expire(&place).unwrap_or_else(|error| panic!("{when}: {error}"));
                assert_eq!(there(&place), DAYS[2..], "{when}");
                assert!(standing(&place).sum.lost.is_empty(), "{when}");
            }
        }
    }
}
