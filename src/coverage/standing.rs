//! How a stream stands: what its journal says, compared with its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::asked::day_span;
use super::day_counts::{Comparer, Comparison, Counted, Counts, Loss, LostDay, may_be_deleted};
use super::entry::Entry;
use super::file_notices::{days, renamed, unread_sentence};
use super::journal::{Journal, OtherScopes, Past};
use super::pending;
use super::scope::{Scope, Wanted};
use super::sum::Sum;
use crate::archive::{DayFile, Hold, Holds, LineCounter, Listing, Location, Takeover, Turn, newest_local_day};
use crate::fs::FileError;

/// How a stream stands.
#[derive(Debug)]
pub(crate) struct Standing {
    /// What its runs have come to; days whose files have lost records are not covered.
    pub(crate) sum: Sum,
    /// What the day files held when they were written to.
    pub(crate) counts: Arc<Counts>,
    /// The newest line of the journal in this scope.
    pub(crate) newest: Option<Entry>,
    /// Why less is known than there might be.
    pub(crate) doubt: Option<String>,
    /// The time of the archive's last record, by the journal.
    pub(crate) last_record: Option<DateTime<Utc>>,
    /// How many records are pending.
    pub(crate) pending: u64,
    /// Why that is not known.
    unread_pending: Option<String>,
    /// The day files; a run that goes on from here lists them no second time.
    pub(crate) listing: Arc<Listing>,
    /// Whether a run has begun the journal: what stands there without one was left by another program.
    pub(crate) is_begun: bool,
    /// Whether it is known that the last run has ended, with nothing torn.
    has_ended: bool,
    /// The days that are still to come in UTC, and whose files another program has named by local time.
    left_ahead: BTreeSet<NaiveDate>,
    /// How many lines of the journal have not all counts, since the last that has.
    pub(crate) lines_without_counts: usize,
    /// That the day files seem to have other names than the settings say.
    pub(super) renamed: Option<String>,
    /// The runs that were in other scopes, where only a stream was wanted.
    other_scopes: Option<OtherScopes>,
    /// Why days are not counted that are not.
    why_not_counted: &'static str,
    /// Of which days it is not known whether they have lost records, and why.
    unknown: BTreeMap<NaiveDate, String>,
    /// What is held, or why that is not known.
    pub(crate) holds: Result<Holds, String>,
    counter: LineCounter,
}

impl Standing {
    /// Reads how a stream stands at `now`. A day file older than `keep` may be missing.
    ///
    /// # Errors
    /// If the journal or the folder cannot be read.
    pub(crate) fn read(
        location: &Location,
        wanted: Wanted<'_>,
        keep: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Self, FileError> {
        Self::read_in_turn(location, wanted, keep, now, Turn::All)
    }

    /// The same; of the day files that are there, only those whose turn it is are compared with what they held.
    pub(crate) fn read_in_turn(
        location: &Location,
        wanted: Wanted<'_>,
        keep: Option<TimeDelta>,
        now: DateTime<Utc>,
        turn: Turn,
    ) -> Result<Self, FileError> {
        let listing = Arc::new(location.listing()?);
        let journal = Journal::of(location);
        let mut past = journal.past(wanted)?;
        let other_scopes = match (wanted, &past.newest) {
            (Wanted::Stream(_), Some(newest)) => journal.other_scopes(&newest.scope)?,
            _ => None,
        };
        let first_day = listing.first_date();
        let renamed = match first_day {
            None => renamed(location, wanted)?,
            Some(_) => None,
        };
        let pending = pending::count(location);
        let mut standing = Self {
            sum: past.sum(first_day),
            counts: Arc::new(std::mem::take(&mut past.counts)),
            doubt: past.doubt(first_day),
            last_record: past.last_record,
            pending: *pending.as_ref().unwrap_or(&0),
            unread_pending: pending.err().map(|error| error.to_string()),
            is_begun: past.is_begun(),
            has_ended: past.has_ended(),
            left_ahead: BTreeSet::new(),
            lines_without_counts: past.lines_without_counts,
            renamed,
            other_scopes,
            why_not_counted: past.why_not_counted(),
            newest: past.newest,
            listing,
            unknown: BTreeMap::new(),
            holds: Holds::read(location, wanted.stream()).map_err(|error| error.to_string()),
            counter: LineCounter::of(location),
        };
        standing.settle_expiring();
        if let Some(ahead) = standing.sum.line_ahead(now) {
            standing.doubt = Some(ahead);
        }
        standing.forget_what_is_back();
        standing.compare_days(keep, now, turn);
        standing.find_left_ahead(location, now)?;
        Ok(standing)
    }

    /// Returns what another program had left before the first run, or has if there was none yet.
    ///
    /// # Errors
    /// If the note of it cannot be read.
    pub(crate) fn takeover(&self, location: &Location, now: DateTime<Utc>) -> Result<Option<Takeover>, FileError> {
        if self.is_begun {
            Takeover::read(location)
        } else {
            Ok(Some(Takeover::of(&self.listing, now)))
        }
    }

    /// Finds the days after that of `now` which another program has named files after by local time.
    fn find_left_ahead(&mut self, location: &Location, now: DateTime<Utc>) -> Result<(), FileError> {
        let is_ahead = |date: &NaiveDate| *date <= newest_local_day(now);
        let mut ahead: BTreeSet<_> = self
            .listing
            .dates_after(now.date_naive())
            .into_iter()
            .filter(is_ahead)
            .collect();
        if !ahead.is_empty() {
            let takeover = self.takeover(location, now)?;
            ahead.retain(|date| takeover.as_ref().is_some_and(|takeover| takeover.has(*date)));
        }
        self.left_ahead = ahead;
        Ok(())
    }

    /// Returns the days of files that are dated in the future at `now`, by whatever local time.
    pub(super) fn future_days(&self, now: DateTime<Utc>) -> BTreeSet<NaiveDate> {
        let mut future = self.listing.dates_after(now.date_naive());
        future.retain(|date| !self.left_ahead.contains(date));
        future
    }

    /// Forgets the losses of days that hold as much again as they did: somebody put a file back.
    fn forget_what_is_back(&mut self) {
        let Self { listing, counter, .. } = self;
        let mut comparer = Comparer { listing, counter };
        let compared = self.sum.lost.iter();
        let compared: Vec<_> = compared
            .map(|(date, lost)| (*date, comparer.compare_lost(*date, lost.held)))
            .collect();
        for (date, comparison) in compared {
            match comparison {
                Comparison::Whole(held) => {
                    self.sum.lost.remove(&date);
                    Arc::make_mut(&mut self.counts).entry(date).or_insert(held);
                }
                Comparison::Lost(_) => {}
                Comparison::Unknown(error) => drop(self.unknown.insert(date, error.to_string())),
            }
        }
    }

    /// Returns the days whose losses were accepted, but for those that hold as much again as they did.
    pub(crate) fn accepted_losses(&mut self) -> BTreeMap<NaiveDate, Loss> {
        let Self { listing, counter, .. } = self;
        let mut comparer = Comparer { listing, counter };
        let accepted = self.sum.accepted_losses.iter();
        let mut is_back = |date: NaiveDate, held| matches!(comparer.compare_lost(date, held), Comparison::Whole(_));
        let still_lost =
            accepted.filter(|(date, lost)| !self.sum.lost.contains_key(date) && !is_back(**date, lost.held));
        still_lost.map(|(date, lost)| (*date, lost.loss)).collect()
    }

    /// Finds the days that have lost records by `now`. The files of one that is older than `keep` may be missing.
    fn compare_days(&mut self, keep: Option<TimeDelta>, now: DateTime<Utc>, turn: Turn) {
        let Self { listing, counter, .. } = self;
        let mut comparer = Comparer { listing, counter };
        let mut losses = BTreeMap::new();
        // What another program was to delete is not missed, and what comes late for its day begins a new file.
        let is_deleted = |date: &NaiveDate| may_be_deleted(*date, keep, now) && !listing.has(*date);
        let sum = &self.sum;
        let is_expired = |date: &NaiveDate| sum.is_expired(*date);
        // What is being deleted is counted until it is gone.
        let is_kept = |date: &NaiveDate| !is_expired(date) || sum.expiring_days.contains(date);
        if keep.is_some() || sum.expiry_line().is_some() {
            Arc::make_mut(&mut self.counts).retain(|date, _| !is_deleted(date) && is_kept(date));
        }
        let mut compared: BTreeSet<_> = turn.pick(self.counts.keys().copied().collect()).into_iter().collect();
        // What is missing is seen without it, and a loss is told until it is made good.
        compared.extend(listing.lacks(self.counts.keys().copied()));
        compared.extend(self.sum.lost.keys());
        for date in compared
            .into_iter()
            .filter(|date| !may_be_deleted(*date, keep, now) && !is_expired(date))
        {
            let Some(held) = self.counts.get(&date).copied().filter(|held| held.all() > 0) else {
                continue;
            };
            match comparer.compare(date, held) {
                Comparison::Whole(now) if now == held => {}
                Comparison::Whole(now) => drop(Arc::make_mut(&mut self.counts).insert(date, now)),
                // What is left is counted when it is written to.
                Comparison::Lost(loss) => {
                    losses.insert(date, LostDay::new(loss, held, now));
                    Arc::make_mut(&mut self.counts).remove(&date);
                }
                Comparison::Unknown(error) => drop(self.unknown.insert(date, error.to_string())),
            }
        }
        self.sum.lose(losses);
    }

    /// Compares a day with what it held.
    pub(super) fn compare(&mut self, date: NaiveDate, held: Counted) -> Comparison {
        let Self { listing, counter, .. } = self;
        Comparer { listing, counter }.compare(date, held)
    }

    /// Notes that a torn line that begins at `offset` of a day file was found at `now`: if it was whole when a run wrote it, the day
    /// has lost a record.
    pub(crate) fn note_torn(&mut self, date: NaiveDate, offset: u64, now: DateTime<Utc>) {
        if let Some(held) = self.counts.get(&date).copied().filter(|held| held.bytes > offset) {
            Arc::make_mut(&mut self.counts).remove(&date);
            self.sum.lose([(date, LostDay::new(Loss::Torn, held, now))].into());
        }
    }

    /// Stores how many lines the compressed files have, so that they are not read again.
    pub(crate) fn store_counts(&mut self) {
        self.counter.store(&self.listing);
    }

    /// Forgets what earlier runs have covered and counted.
    pub(crate) fn start_over(self) -> Self {
        let first_day = self.listing.first_date();
        let sum = Sum {
            expired_days: self.sum.expired_days.clone(),
            is_sealed: self.sum.is_sealed,
            ..Past::default().sum(first_day)
        };
        Self {
            sum,
            counts: Arc::default(),
            doubt: first_day.map(|first| format!("begun anew: everything since {first} is asked for again")),
            last_record: None,
            lines_without_counts: usize::MAX,
            ..self
        }
    }

    /// Lists the files anew if those of a day are no longer there as they were listed, since it was packed or unpacked; returns whether
    /// that is so.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn list_what_has_moved(&mut self, date: NaiveDate) -> Result<bool, FileError> {
        let has_moved = self.listing.has_moved(date);
        if has_moved {
            self.listing = Arc::new(self.counter.location().listing()?);
        }
        Ok(has_moved)
    }

    /// Returns the number of lines of a day file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn count_lines(&mut self, file: &DayFile) -> Result<u64, FileError> {
        Ok(self.counter.count(file)?.lines)
    }

    /// Counts what the files of a day hold now, as far as they can be read.
    ///
    /// # Errors
    /// If one cannot be read although it is not damaged.
    pub(crate) fn count(&mut self, date: NaiveDate) -> Result<Counted, FileError> {
        let plain = self.listing.days.get(date).map(|file| self.counter.count(&file));
        let compressed = match self.listing.packed.get(&date).map(|file| self.counter.count(file)) {
            Some(Err(error)) if error.is_damaged() => None,
            counted => counted,
        };
        let plain = plain.transpose()?;
        Ok(Counted {
            lines: plain.map_or(0, |plain| plain.lines),
            bytes: plain.map_or(0, |plain| plain.bytes),
            compressed: compressed.transpose()?.map_or(0, |compressed| compressed.lines),
        })
    }

    /// Counts the days anew to which the last run wrote, if it was killed before it counted them.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn count_what_a_killed_run_wrote(&mut self) -> Result<Counts, FileError> {
        let spans = self.newest.as_ref().map_or_else(Vec::new, Entry::unfinished_spans);
        if spans.is_empty() {
            return Ok(Counts::new());
        }
        let can_be_longer = |(date, held): &(&NaiveDate, &Counted)| {
            let day = day_span(**date);
            if !spans.iter().any(|span| span.from < day.to && day.from < span.to) {
                return false;
            }
            let packed = self.listing.packed.get(date);
            let length = || self.listing.days.get(**date).and_then(|file| file.length().ok());
            packed.is_none_or(DayFile::is_packed_by_us)
                && (packed.is_some() || length().is_some_and(|length| held.bytes < length))
        };
        let days: Vec<_> = self
            .counts
            .iter()
            .filter(can_be_longer)
            .map(|(date, held)| (*date, *held))
            .collect();
        let mut recounted = Counts::new();
        for (date, held) in days {
            let counted = self.count(date)?;
            if held.all() < counted.all() {
                recounted.insert(date, counted);
            }
        }
        Ok(recounted)
    }

    /// Returns which day files a run at `now` looks at for a torn line: all of them, unless the last run has ended by itself.
    pub(crate) fn turn(&self, now: DateTime<Utc>) -> Turn {
        if self.has_ended { Turn::Of(now) } else { Turn::All }
    }

    /// Returns the time of the last record that the journal knows of an archive without any day file.
    pub(crate) fn last_record_of_no_file(&self) -> Option<DateTime<Utc>> {
        self.last_record.filter(|_| self.listing.is_empty())
    }

    /// Returns what is wrong with day files at `now`, by day: those that have lost records, what is in the place of one, and
    /// files that are dated in the future.
    pub(crate) fn wrong_days(&self, now: DateTime<Utc>) -> BTreeMap<NaiveDate, WrongDay> {
        let future = self.future_days(now).into_iter();
        let odd = self
            .listing
            .odd
            .keys()
            .map(|date| (*date, WrongDay::Lost(Loss::NotAFile)));
        let lost = self
            .sum
            .lost
            .iter()
            .map(|(date, lost)| (*date, WrongDay::Lost(lost.loss)));
        // What is there now counts for more than what was noticed once.
        lost.chain(odd)
            .chain(future.map(|date| (date, WrongDay::Future)))
            .collect()
    }

    /// Says that the next run asks with other settings than the last one, in this scope: then nothing that is covered counts.
    pub(crate) fn change_to(&self, scope: &Scope) -> Option<String> {
        let newest = self.newest.as_ref()?;
        let difference = newest.scope.difference(scope)?;
        Some(format!(
            "the settings are for {difference} than the last run had: what is covered here does not count for the next one, which \
             asks again for all that the runs before asked for"
        ))
    }

    /// Returns the days whose compressed file is not known to hold other records than the day file.
    fn in_both_forms(&self) -> impl Iterator<Item = NaiveDate> {
        let both = self
            .listing
            .packed
            .values()
            .filter(|file| !file.is_packed_by_us() && self.listing.days.has(file.date))
            .map(|file| &file.date);
        let is_known = |date: &NaiveDate| self.counts.get(date).is_some_and(|counted| counted.compressed > 0);
        both.filter(move |date| !is_known(date)).copied()
    }

    /// Says what is to be known of the day files, and is no fault.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let dates = self.listing.dates();
        // What is left of a lost day is counted when it is written to.
        let is_counted = |date: &NaiveDate| self.counts.contains_key(date) || self.sum.lost.contains_key(date);
        let not_counted = dates
            .iter()
            .copied()
            .filter(|date| !is_counted(date) && !self.sum.is_expired(*date));
        // An archive that is gone is told with it.
        let renamed = self.renamed.iter().filter(|_| self.last_record.is_none());
        let mut remarks: Vec<String> = renamed.cloned().collect();
        remarks.extend(self.other_scopes.iter().map(ToString::to_string));
        if self.pending > 0 {
            remarks.push(format!(
                "{} records that the service gave are pending: the run that fetches all of their time files them",
                self.pending
            ));
        }
        let unread_pending = self.unread_pending.iter();
        remarks.extend(unread_pending.map(|error| format!("not known how many records are pending: {error}")));
        if let Some(days) = days(not_counted) {
            let why = self.why_not_counted;
            remarks.push(format!(
                "not counted: {days}, since {why}; whether records are lost of them is not known"
            ));
        }
        let of_others = self.listing.packed.values().filter(|file| !file.is_packed_by_us());
        if let Some(days) = days(of_others.map(|file| file.date)) {
            remarks.push(format!(
                "compressed by another program: {days}; they are read, and not written to"
            ));
        }
        if let Some(days) = days(self.in_both_forms()) {
            remarks.push(format!(
                "in both forms, plain and compressed: {days}; a record that is in both files counts once"
            ));
        }
        remarks.extend(self.held().iter().map(Hold::sentence));
        remarks.extend(self.expiry_remarks());
        remarks.extend(unread_sentence(self.listing.unread.values()));
        remarks.extend(self.unknown_sentence());
        remarks
    }

    /// Returns what is held, as far as that is known.
    pub(crate) fn held(&self) -> Vec<Hold> {
        self.holds.iter().flat_map(Holds::iter).cloned().collect()
    }

    /// Says of which days it is not known whether they have lost records.
    pub(crate) fn unknown_sentence(&self) -> Option<String> {
        let (date, error) = self.unknown.first_key_value()?;
        let others = match self.unknown.len() {
            1 => String::new(),
            count => format!(" and {} more days", count - 1),
        };
        Some(format!("not known whether records are lost of {date}{others}: {error}"))
    }
}

/// What is wrong with a day file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrongDay {
    /// It has lost records, or is no file.
    Lost(Loss),
    /// It is dated in the future.
    Future,
}

impl WrongDay {
    /// Returns its name for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lost(loss) => loss.name(),
            Self::Future => "future",
        }
    }
}

impl fmt::Display for WrongDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(loss) => write!(f, "{loss}"),
            Self::Future => f.write_str("the day file is dated in the future, and is not read by a run"),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::archive::faulty::Faulty;
    use crate::archive::{Archive, Lock};
    use crate::coverage::{Asked, End, Purpose};
    use crate::test_support::Catalog;
    use crate::test_support::record::{SHAPE, line_of_day};
    use crate::window::Window;

    /// How often a run looks at files of an archive with so many days, all of them counted.
    fn looks(days: u64) -> u64 {
        let (now, disk) = (
            "2026-11-28T12:00:00Z".parse::<DateTime<Utc>>().unwrap(),
            Faulty::default(),
        );
        let catalog = Catalog::with_state_folder();
        let location = catalog.location.clone().on(disk.clone());
        let mut entry = Entry::new(now - TimeDelta::hours(1), Scope::sample(), Sum::default());
        let span = Window::new(now - TimeDelta::days(1), entry.at);
        entry.asked.push(Asked::new(span, Purpose::New));
        (entry.end, entry.has_all_counts) = (End::Exhausted, true);
        for date in now.date_naive().iter_days().rev().take(days as usize) {
            let line = line_of_day(&date.to_string(), "1");
            catalog.write(&date.to_string(), &line);
            let counted = Counted {
                lines: 1,
                bytes: line.len() as u64,
                compressed: 0,
            };
            entry.counts.insert(date, counted);
        }
        Journal::of(&location).append(&entry).unwrap();
        let lock = Lock::acquire(&location, now).unwrap();
        disk.looks();
        let wanted = Scope::sample();
        let read = Standing::read_in_turn(&location, Wanted::Scope(&wanted), None, now, Turn::Of(now));
        let mut standing = read.unwrap();
        assert_eq!((standing.counts.len() as u64, standing.sum.lost.len()), (days, 0));
        let (turn, listing) = (standing.turn(now), Arc::clone(&standing.listing));
        let mut archive = Archive::open_in_turn(lock, SHAPE, 0o640, now, turn, listing).unwrap();
        assert!(standing.count_what_a_killed_run_wrote().unwrap().is_empty());
        archive.recover(now, TimeDelta::hours(1)).unwrap();
        disk.looks()
    }

    #[test]
    fn a_run_looks_at_no_more_files_of_an_archive_with_more_days() {
        assert_eq!(looks(300), looks(60));
    }
}
