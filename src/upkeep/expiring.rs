//! Which days of a stream are to be deleted for their age, and the deleting: first the journal says so, then the evidence, each
//! synced, and only then a file is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::Limit;
use super::error::UpkeepError;
use super::expiry_checks::{Checks, why_held};
use super::expiry_rule::ExpiryRule;
use crate::archive::{DayTimes, ExpiredDay, ExpiredList, Expirer, Holds, Listing, Lock, Packer};
use crate::config::StreamPlace;
use crate::coverage::{Counts, Entry, Journal, Standing, Sum, Wanted};
use crate::evidence::expiry::ExpiringFile;
use crate::evidence::keeper::Keeper;
use crate::fs::FileError;

/// What is to be deleted of a stream.
pub(crate) struct ExpiryPlan {
    standing: Standing,
    /// Oldest first, with the length of their files as they are stored.
    pub(crate) days: BTreeMap<NaiveDate, u64>,
    /// What was read of them.
    times: BTreeMap<NaiveDate, DayTimes>,
    /// Those that are old enough and stay, with the reason: held ones, and the first that holds up all after it.
    pub(crate) left: BTreeMap<NaiveDate, String>,
    /// Whether there is more to delete than the limit allows.
    pub(super) has_more: bool,
}

impl ExpiryRule<'_> {
    /// Returns what is to be deleted, the oldest days as far as the limit goes. Whatever cannot be read, nothing is.
    ///
    /// # Errors
    /// If something of the stream cannot be read.
    pub(crate) fn plan(&self, place: &StreamPlace, limit: Limit) -> Result<ExpiryPlan, UpkeepError> {
        let holds = Holds::read(&place.location, place.kind.name)?;
        let mut plan = ExpiryPlan {
            standing: self.standing(place)?,
            days: BTreeMap::new(),
            times: BTreeMap::new(),
            left: BTreeMap::new(),
            has_more: false,
        };
        self.choose(place, &holds, limit, &mut plan)?;
        Ok(plan)
    }

    fn choose(
        &self,
        place: &StreamPlace,
        holds: &Holds,
        mut limit: Limit,
        plan: &mut ExpiryPlan,
    ) -> Result<(), UpkeepError> {
        let ExpiryPlan { standing, .. } = &*plan;
        let checks = Checks::of(self, place, standing)?;
        let listing = &standing.listing;
        let (mut days, mut times, mut left) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut dates = listing.dates();
        dates.extend(listing.odd.keys().copied());
        for date in dates.into_iter().filter(|date| self.is_too_old(*date)) {
            let passed_over = why_held(date, None, holds).or_else(|| checks.why_passed_over(date));
            if let Some(reason) = passed_over {
                left.insert(date, reason);
                continue;
            }
            if let Some(reason) = checks.why_not(date) {
                left.insert(date, reason);
                break;
            }
            let bytes = listing
                .files_of(date)
                .map(|file| file.length())
                .sum::<Result<u64, _>>()?;
            if !limit.has_room(bytes, days.is_empty()) {
                plan.has_more = true;
                break;
            }
            let read = read(place, listing, date)?;
            if let Some(reason) = why_held(date, Some(&read), holds).or_else(|| checks.why_too_young(date, &read)) {
                left.insert(date, reason);
                continue;
            }
            limit.take(bytes);
            days.insert(date, bytes);
            times.insert(date, read);
        }
        (plan.days, plan.times, plan.left) = (days, times, left);
        Ok(())
    }

    fn standing(&self, place: &StreamPlace) -> Result<Standing, UpkeepError> {
        let standing = read_standing(place, self.now)?;
        match &standing.doubt {
            Some(doubt) => Err(UpkeepError::Doubt(doubt.clone())),
            None if standing.newest.is_none() && !standing.listing.is_empty() => Err(UpkeepError::NoLine),
            None if standing.sum.is_sealed && self.evidence.is_none() && !self.unsealed => Err(UpkeepError::Unsealed),
            None => Ok(standing),
        }
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
        plan.leave_what_is_held(&Holds::read(&place.location, place.kind.name)?);
        let expiring = self.describe(place, plan)?;
        let Some(newest) = plan.standing.newest.take().filter(|_| !expiring.is_empty()) else {
            return Ok(Vec::new());
        };
        let files = plan.files(&expiring);
        if let Some(evidence) = self.evidence {
            Keeper::new(evidence).check_before_expiry(place, &files, self.now)?;
        }
        let announced = Entry {
            expiring: expiring.clone(),
            ..plan.announced(newest, self.evidence.is_some())?
        };
        lock.check()?;
        let journal = Journal::of(&place.location);
        ExpiredList::of(&place.location).add(&expiring)?;
        journal.append(&announced)?;
        if let Some(evidence) = self.evidence {
            Keeper::new(evidence).expire(place, &files, self.now)?;
        }
        let deleted = plan.delete(place, lock);
        // Whatever became of that, the journal says which days are gone.
        let Standing { sum, counts, .. } = read_standing(place, self.now)?;
        lock.check()?;
        journal.append(&settled(announced, sum, Arc::unwrap_or_clone(counts)))?;
        deleted?;
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

fn read(place: &StreamPlace, listing: &Listing, date: NaiveDate) -> Result<DayTimes, UpkeepError> {
    let read = listing.day_times(&place.location, place.kind.shape, date);
    read.map_err(UpkeepError::Unread)
}

pub(super) fn read_standing(place: &StreamPlace, now: DateTime<Utc>) -> Result<Standing, FileError> {
    Standing::read(&place.location, Wanted::Stream(place.kind.name), place.keep, now)
}

/// Returns the line that says what has become of the days that a line before has announced.
pub(super) fn settled(announced: Entry, sum: Sum, counts: Counts) -> Entry {
    Entry {
        sum,
        counts,
        has_all_counts: true,
        expiring: Vec::new(),
        ..announced
    }
}

impl ExpiryPlan {
    /// Leaves the days that are held by now.
    fn leave_what_is_held(&mut self, holds: &Holds) {
        let Self { days, times, left, .. } = self;
        days.retain(|date, _| match why_held(*date, times.get(date), holds) {
            None => true,
            Some(reason) => {
                left.insert(*date, reason);
                false
            }
        });
    }

    /// Returns what the evidence is to say of the days.
    fn files(&self, expiring: &[ExpiredDay]) -> Vec<ExpiringFile> {
        let days = expiring.iter().zip(self.days.keys());
        let files = days.map(|(day, date)| ExpiringFile {
            file: day.file.clone(),
            reason: day.reason.clone(),
            is_rest: self.standing.sum.is_expired(*date),
        });
        files.collect()
    }

    /// Returns the line that says which days are about to be deleted: until they are gone they are counted.
    fn announced(&mut self, newest: Entry, is_sealed: bool) -> Result<Entry, UpkeepError> {
        let dates: Vec<_> = self.days.keys().copied().collect();
        for date in &dates {
            if !self.standing.counts.contains_key(date) {
                let counted = self.standing.count(*date)?;
                Arc::make_mut(&mut self.standing.counts).insert(*date, counted);
            }
        }
        let mut sum = self.standing.sum.clone();
        sum.expiring_days.extend(dates);
        sum.is_sealed = is_sealed;
        Ok(Entry {
            sum,
            counts: Counts::clone(&self.standing.counts),
            has_all_counts: true,
            ..newest
        })
    }

    /// Deletes the days, each after everything is asked once more that can have changed.
    fn delete(&self, place: &StreamPlace, lock: &Arc<Lock>) -> Result<(), UpkeepError> {
        let expirer = Expirer::under(lock);
        for (date, read) in self.times.iter().filter(|(date, _)| self.days.contains_key(date)) {
            delete(&expirer, place, &self.standing.listing, *date, read)
                .map_err(|error| UpkeepError::of(date.to_string(), error))?;
        }
        Ok(())
    }
}

fn delete(
    expirer: &Expirer<'_>,
    place: &StreamPlace,
    listing: &Listing,
    date: NaiveDate,
    read: &DayTimes,
) -> Result<(), UpkeepError> {
    let holds = Holds::read(&place.location, place.kind.name)?;
    if let Some(reason) = why_held(date, Some(read), &holds) {
        return Err(UpkeepError::Stays(reason));
    }
    Ok(expirer.delete(listing, date, read)?)
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
    use chrono::TimeDelta;

    use super::*;
    use crate::archive::Hold;
    use crate::archive::faulty::Fault;
    use crate::coverage::day_span;
    use crate::coverage::{Counted, Scope};
    use crate::source::SOURCES;
    use crate::test_support::Catalog;
    use crate::test_support::record::line_of_day;
    use crate::window::Window;

    const DAYS: [&str; 4] = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"];

    fn now() -> DateTime<Utc> {
        "2026-01-20T00:00:00Z".parse().unwrap()
    }

    /// The line of a day; all are of one length.
    fn one(day: &str) -> String {
        line_of_day(day, "one")
    }

    /// What is packed of the second day.
    fn packed() -> String {
        line_of_day(DAYS[1], "packed")
    }

    /// How many bytes a day holds.
    fn bytes(day: &str) -> u64 {
        let packed = if day == DAYS[1] { packed() } else { String::new() };
        (one(day) + &packed).len() as u64
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
            catalog.write(day, &one(day));
            let counted = Counted {
                lines: 1,
                bytes: one(day).len() as u64,
                compressed: u64::from(day == DAYS[1]),
            };
            entry.counts.insert(date(day), counted);
        }
        catalog.write_packed_by_us(DAYS[1], &[&packed()]);
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
            organization: None,
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
            unsealed: false,
        }
    }

    fn expire(place: &StreamPlace) -> Result<usize, UpkeepError> {
        expire_by(rule(), place)
    }

    fn expire_by(rule: ExpiryRule<'_>, place: &StreamPlace) -> Result<usize, UpkeepError> {
        let lock = lock(place, now())?;
        let mut plan = rule.plan(place, Limit::NONE)?;
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
        assert!(Holds::add(&place.location, "tfc", hold).unwrap());
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
        assert_eq!(
            (entry.expiring.len(), entry.sum.expiring_days.len()),
            (0, 0),
            "they are gone"
        );
        let list = ExpiredList::of(&place.location).read();
        assert_eq!((list.len(), &*list[1].file), (3, "mail_2026-01-02.log"));
        assert_eq!((list[1].lines, list[1].bytes), (2, bytes(DAYS[1])));
        assert!(list[0].reason.contains("16 days"), "{}", list[0].reason);
        assert_eq!(expire(&place).unwrap(), 0, "there is nothing more");
        assert!(
            !standing.start_over().sum.expired_days.spans().is_empty(),
            "it is never asked for again"
        );
    }

    /// As a run leaves it that is killed when it has made the file.
    #[test]
    fn a_day_without_a_whole_line_is_expired_too() {
        const DAY: &str = "2025-12-31";
        for text in ["", r#"{"id": "#] {
            let (catalog, place) = archive();
            catalog.write(DAY, text);
            expire(&place).unwrap();
            let standing = standing(&place);
            assert_eq!(there(&place), [DAYS[3]], "{text}");
            assert!(standing.sum.is_expired(date(DAY)), "{text}");
            assert!(!standing.counts.contains_key(&date(DAY)), "{text}");
        }
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
            let plan = ahead.plan(&place, Limit::NONE).unwrap();
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
        Holds::release(&place.location, "tfc", "2026/17", now()).unwrap();
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
            unsealed: false,
        };
        assert_eq!(expire_by(early, &place).unwrap(), 1);
        assert_eq!(there(&place), DAYS[1..]);
        assert_eq!(expire(&place).unwrap(), 2, "the service has dropped it by now");
        drop((catalog, place));
        let (catalog, place) = archive();
        catalog.write(DAYS[0], "");
        let plan = rule().plan(&place, Limit::NONE).unwrap();
        assert!(plan.days.is_empty(), "{:?}", plan.days);
        assert!(plan.left[&date(DAYS[0])].contains("lost records"), "{:?}", plan.left);
    }

    fn write(catalog: &Catalog, day: &str, of: &[&str]) {
        let lines: Vec<_> = of.iter().map(|day| line_of_day(day, "other")).collect();
        catalog.write(day, &(one(day) + &lines.concat()));
    }

    fn left(place: &StreamPlace) -> Vec<(String, String)> {
        let left = rule().plan(place, Limit::NONE).unwrap().left.into_iter();
        left.map(|(date, reason)| (date.to_string(), reason)).collect()
    }

    #[test]
    fn a_file_that_holds_a_record_of_a_held_day_stays_whatever_its_name_is() {
        let (catalog, place) = archive();
        write(&catalog, DAYS[0], &[DAYS[1]]);
        hold(&place, DAYS[1], DAYS[1]);
        assert_eq!(expire(&place).unwrap(), 1);
        assert_eq!(there(&place), [DAYS[0], DAYS[1], DAYS[3]]);
        let why = left(&place).swap_remove(0);
        assert!(
            why.1
                .contains("holds records of 2026-01-02, which is held for the case 2026/17"),
            "{why:?}"
        );
        // What cannot be told may be held.
        let (catalog, place) = archive();
        catalog.append(DAYS[0], "{\"id\": 1}\n");
        hold(&place, DAYS[3], DAYS[3]);
        assert_eq!(expire(&place).unwrap(), 2);
        assert!(
            left(&place)[0].1.contains("1 lines whose time cannot be told"),
            "{:?}",
            left(&place)
        );
        Holds::release(&place.location, "tfc", "2026/17", now()).unwrap();
        assert_eq!(expire(&place).unwrap(), 1);
    }

    #[test]
    fn a_file_that_holds_a_record_which_is_not_old_enough_or_whose_day_stays_is_not_deleted() {
        let (catalog, place) = archive();
        write(&catalog, DAYS[0], &[DAYS[3]]);
        assert_eq!(expire(&place).unwrap(), 2);
        assert_eq!(there(&place), [DAYS[0], DAYS[3]]);
        assert!(
            left(&place)[0].1.contains("2026-01-04, which are not old enough"),
            "{:?}",
            left(&place)
        );
        let (catalog, place) = archive();
        write(&catalog, DAYS[0], &[DAYS[1]]);
        catalog.write(DAYS[1], "");
        assert_eq!(expire(&place).unwrap(), 0);
        assert!(
            left(&place)[0].1.contains("2026-01-02, which stays: it, or a day"),
            "{:?}",
            left(&place)
        );
    }

    #[test]
    fn what_is_written_to_while_it_is_looked_at_stays() {
        let (catalog, place) = archive();
        let lock = lock(&place, now()).unwrap();
        let mut plan = rule().plan(&place, Limit::NONE).unwrap();
        catalog.append(DAYS[2], &one(DAYS[2]));
        let error = rule().carry_out(&place, &mut plan, &lock).unwrap_err().to_string();
        assert!(
            error.contains("2026-01-03: it stays") && error.contains("was written to"),
            "{error}"
        );
        assert_eq!(there(&place), DAYS[2..]);
        assert!(standing(&place).counts.contains_key(&date(DAYS[2])));
    }

    /// An archive whose expiry is killed after it was written down, before a file is gone.
    fn interrupted() -> (Catalog, StreamPlace) {
        for operation in 0.. {
            let (catalog, place) = archive();
            catalog.disk.arm(operation, Fault::Killed(usize::MAX));
            drop(expire(&place));
            catalog.disk.restart();
            let entry = Journal::of(&place.location).newest().unwrap().unwrap();
            if !entry.sum.expiring_days.is_empty() && there(&place) == DAYS {
                return (catalog, place);
            }
        }
        unreachable!("it is written down before anything is gone")
    }

    #[test]
    fn after_an_interruption_the_days_that_are_left_are_guarded_as_before() {
        let (catalog, place) = interrupted();
        hold(&place, DAYS[1], DAYS[1]);
        catalog.write(DAYS[0], "");
        std::fs::remove_file(catalog.path(DAYS[1])).unwrap();
        let lost: Vec<_> = standing(&place).sum.lost.into_keys().collect();
        assert_eq!(lost, [date(DAYS[0]), date(DAYS[1])]);
        assert_eq!(expire(&place).unwrap(), 0, "a lost day holds up those after it");
        let remarks = standing(&place).remarks().join("\n");
        assert!(!remarks.contains("expire"), "{remarks}");
    }

    #[test]
    fn a_held_day_that_is_lost_below_the_line_is_told_and_holds_up_nothing() {
        let (catalog, place) = archive();
        hold(&place, DAYS[0], DAYS[0]);
        assert_eq!(expire(&place).unwrap(), 2);
        catalog.write(DAYS[0], "");
        let sentence = standing(&place).sum.lost_sentence().unwrap();
        assert!(
            sentence.contains("2026-01-01") && sentence.contains("nothing of them is asked for again"),
            "{sentence}"
        );
        Holds::release(&place.location, "tfc", "2026/17", now()).unwrap();
        let later = ExpiryRule {
            older_than: TimeDelta::days(15),
            ..rule()
        };
        assert_eq!(expire_by(later, &place).unwrap(), 1);
        assert_eq!(there(&place), [DAYS[0]]);
        assert!(
            left(&place)[0].1.contains("has lost records: restore"),
            "{:?}",
            left(&place)
        );
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
                    let (is_whole, is_expired) = (content.bytes == bytes(day), found.sum.is_expired(date(day)));
                    assert_eq!(is_whole, !is_expired, "{when}: {day}");
                    assert!(
                        is_expired || found.counts.contains_key(&date(day)),
                        "{when}: {day} is guarded"
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
