//! The journal file: reads the newest line or the last ones, and appends a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::asked::start_of;
use super::completed_runs::CompletedRuns;
use super::covered::Covered;
use super::day_counts::{Counts, LostDay};
use super::entry::{End, Entry};
use super::scope::{Scope, Wanted};
use super::sum::Sum;
use crate::archive::{FileUse, Location, StateFile, WriteError};
use crate::fs::FileError;
use crate::window::{Window, bound};

/// Name of the journal, after `<base>.`.
pub(crate) const JOURNAL: &str = "coverage.jsonl";

/// Name of the one before it, after `<base>.`.
pub(crate) const PREVIOUS_JOURNAL: &str = "coverage.previous.jsonl";

/// The files of the journal, each as what follows `<base>.` and its use.
pub(crate) const JOURNAL_FILES: [(&str, FileUse); 2] =
    [(JOURNAL, FileUse::Append), (PREVIOUS_JOURNAL, FileUse::Replace)];

/// A journal that is longer than this, in bytes, is put aside, and another one begins.
pub(crate) const LONGEST_JOURNAL: u64 = 4 << 20;

/// What the journal says of earlier runs in a scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    /// The newest line of this scope.
    pub(crate) newest: Option<Entry>,
    /// Number of newer lines that cannot be read.
    unreadable: u64,
    /// In what the scope of a newer line differs.
    other_scope: Option<&'static str>,
    /// The oldest time that newer lines in other scopes had asked for.
    asked_from_elsewhere: Option<DateTime<Utc>>,
    /// What the day files hold, whatever the scope was.
    pub(super) counts: Counts,
    has_all_counts: bool,
    /// Whether there are lines that can be read, and such that cannot, back to the last that has all counts.
    has_lines: bool,
    has_unreadable_lines: bool,
    /// The days whose files have lost records, by the newest line, whatever its scope.
    lost: Option<BTreeMap<NaiveDate, LostDay>>,
    /// The days that were deleted for their age, those that were to be, and whether the archive is sealed, by the newest line, whatever
    /// its scope.
    expired: Option<(Covered, BTreeSet<NaiveDate>, bool)>,
    /// The time of the archive's last record, by the newest line that knows it, whatever its scope.
    pub(super) last_record: Option<DateTime<Utc>>,
    /// How many lines have not all counts, since the last that has.
    pub(super) lines_without_counts: usize,
}

impl Past {
    /// Takes a line, newest first.
    fn take(&mut self, mut entry: Entry, wanted: Wanted<'_>) {
        self.has_lines = true;
        self.take_counts(std::mem::take(&mut entry.counts), entry.has_all_counts);
        self.lost.get_or_insert_with(|| entry.sum.lost.clone());
        let Sum {
            expired_days,
            expiring_days,
            is_sealed,
            ..
        } = &entry.sum;
        let expired = || (expired_days.clone(), expiring_days.clone(), *is_sealed);
        self.expired.get_or_insert_with(expired);
        self.last_record = self.last_record.or(entry.last_record);
        if self.newest.is_none() {
            let difference = wanted.difference(&entry.scope);
            self.other_scope = self.other_scope.or(difference);
            if difference.is_some() {
                let asked_from = self.asked_from_elsewhere.into_iter().chain(entry.sum.asked_from);
                self.asked_from_elsewhere = asked_from.min();
            }
            self.newest = difference.is_none().then_some(entry);
        }
    }

    /// Takes what the day files hold by a line, newest first.
    fn take_counts(&mut self, counts: Counts, are_all: bool) {
        if self.has_all_counts {
            return;
        }
        let newer = std::mem::replace(&mut self.counts, counts);
        self.counts.extend(newer);
        self.has_all_counts = are_all;
        self.lines_without_counts += usize::from(!are_all);
    }

    /// Takes a line of which nothing is wanted but what the day files hold, newest first; returns whether it can be read.
    fn take_counts_of(&mut self, line: &str) -> bool {
        let read = Entry::read_counts(line);
        read.map(|read| self.take_counts(read.counts, read.has_all_counts))
            .is_some()
    }

    /// Returns whether of older lines nothing is wanted but what the day files hold.
    fn wants_only_counts(&self) -> bool {
        self.newest.is_some() && self.last_record.is_some()
    }

    fn note_unreadable(&mut self) {
        self.unreadable += u64::from(self.newest.is_none());
        self.has_unreadable_lines |= !self.has_all_counts;
    }

    /// Returns whether a run has begun the journal, whatever can be read of it.
    pub(crate) fn is_begun(&self) -> bool {
        self.has_lines || self.has_unreadable_lines
    }

    /// Returns whether it is known that the last run has ended by itself, in whatever scope.
    pub(super) fn has_ended(&self) -> bool {
        let is_newest = self.other_scope.is_none() && self.unreadable == 0;
        let end = self.newest.as_ref().filter(|_| is_newest).map(|newest| newest.end);
        matches!(end, Some(End::Exhausted | End::Stopped | End::Nothing))
    }

    /// Says of day files that are not counted why they are not.
    pub(super) fn why_not_counted(&self) -> &'static str {
        match (self.has_lines, self.has_unreadable_lines) {
            (false, false) => "there is no journal",
            (false, true) => "the journal cannot be read",
            (true, true) => "lines of the journal cannot be read",
            (true, false) => "no run in the journal has written to them",
        }
    }

    /// Returns the sum of all earlier runs of an archive whose first day file is that of `first_day`.
    ///
    /// What only an unreadable line said may have been any of it, so all of it counts as asked for. What runs in other scopes asked
    /// for is to be asked for in this one too.
    pub(crate) fn sum(&self, first_day: Option<NaiveDate>) -> Sum {
        let first = first_day.map(start_of);
        let lost = self.lost.clone().unwrap_or_default();
        let Some(newest) = &self.newest else {
            let mut sum = self.unknown_from(first_day).map_or_else(Sum::default, Sum::unknown);
            sum.lost = lost;
            (sum.expired_days, sum.expiring_days, sum.is_sealed) = self.expired.clone().unwrap_or_default();
            return sum;
        };
        let mut sum = newest.sum.clone();
        (sum.expired_days, sum.expiring_days, sum.is_sealed) = self.expired.clone().unwrap_or_default();
        sum.lose_as_noticed(lost, newest.at);
        if self.unreadable > 0 {
            sum.asked_from = sum.asked_from.into_iter().chain(first).min();
        }
        sum
    }

    /// Returns from when on nothing is known of an archive with day files.
    fn unknown_from(&self, first_day: Option<NaiveDate>) -> Option<DateTime<Utc>> {
        let first = start_of(first_day?);
        Some(
            self.asked_from_elsewhere
                .map_or(first, |asked_from| asked_from.min(first)),
        )
    }

    /// Says why nothing is known, or less than there might be, of an archive whose first day file is that of `first_day`.
    pub(crate) fn doubt(&self, first_day: Option<NaiveDate>) -> Option<String> {
        let first = self.unknown_from(first_day)?.date_naive();
        let again = format!("everything since {first} that the service still has is asked for again");
        match (&self.newest, self.other_scope, self.unreadable) {
            (None, Some(other), _) => Some(format!(
                "all earlier runs were with {other}, so what they covered does not count: {again}"
            )),
            (None, None, 0) => Some(format!(
                "there are day files, and no journal that says what of them is complete: {again}"
            )),
            (None, None, _) => Some(format!("the journal cannot be read: {again}")),
            (Some(newest), Some(other), _) => Some(format!(
                "the runs since {} were with {other}, so what they covered does not count",
                bound(newest.at)
            )),
            (Some(newest), None, 1..) => Some(format!(
                "the lines of the journal since {} cannot be read, so what they covered does not count",
                bound(newest.at)
            )),
            (Some(_), None, 0) => None,
        }
    }
}

/// The runs of a journal that were in other scopes than its newest: what they covered does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherScopes {
    runs: u64,
    oldest: DateTime<Utc>,
    newest: DateTime<Utc>,
    /// In what they differ.
    differences: BTreeSet<&'static str>,
}

impl OtherScopes {
    /// Adds a run, newest first; it has several lines.
    fn add(this: &mut Option<Self>, at: DateTime<Utc>, difference: &'static str) {
        let others = this.get_or_insert_with(|| Self {
            runs: 0,
            oldest: at,
            newest: at,
            differences: BTreeSet::new(),
        });
        others.runs += u64::from(others.runs == 0 || others.oldest != at);
        others.oldest = at;
        others.differences.insert(difference);
    }
}

/// `12 runs in the journal, 2026-11-02T10:00:00.000Z to 2026-11-05T10:00:00.000Z, were with another filter: …`
impl fmt::Display for OtherScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differences: Vec<_> = self.differences.iter().copied().collect();
        let (runs, oldest, newest) = (self.runs, bound(self.oldest), bound(self.newest));
        let differences = differences.join(" or ");
        if runs == 1 {
            write!(f, "the run of {newest} was with {differences} than the last one")?;
        } else {
            write!(
                f,
                "{runs} runs in the journal, {oldest} to {newest}, were with {differences} than the last one"
            )?;
        }
        f.write_str(": what they covered does not count")
    }
}

/// Whose line of a journal it is.
#[derive(Deserialize)]
struct Origin {
    at: DateTime<Utc>,
    scope: Scope,
}

/// The coverage journal of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    file: StateFile,
    /// The one before it.
    previous: StateFile,
}

impl Journal {
    /// Returns the journal of the stream at a location, whether it exists or not.
    #[must_use]
    pub(crate) fn of(location: &Location) -> Self {
        Self {
            file: location.state(JOURNAL),
            previous: location.state(PREVIOUS_JOURNAL),
        }
    }

    /// Returns the newest line, whatever its scope.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one has no lines.
    #[cfg(test)]
    pub(crate) fn newest(&self) -> Result<Option<Entry>, FileError> {
        self.newest_line(Entry::read)
    }

    /// Returns what the journal says of earlier runs.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one says nothing.
    pub(crate) fn past(&self, wanted: Wanted<'_>) -> Result<Past, FileError> {
        let mut past = Past::default();
        self.newest_line(|line| {
            if past.wants_only_counts() {
                if !past.take_counts_of(line) {
                    past.note_unreadable();
                }
            } else {
                match Entry::read(line) {
                    Some(entry) => past.take(entry, wanted),
                    None => past.note_unreadable(),
                }
            }
            (past.newest.is_some() && past.has_all_counts).then_some(())
        })?;
        Ok(past)
    }

    /// Returns the runs that were in other scopes than this one, in all of the journal.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one has none.
    pub(super) fn other_scopes(&self, scope: &Scope) -> Result<Option<OtherScopes>, FileError> {
        let mut others = None;
        let read = |line: &str| -> Option<()> {
            let Origin { at, scope: other } = serde_json::from_str(line).ok()?;
            OtherScopes::add(&mut others, at, scope.difference(&other)?);
            None
        };
        self.newest_line(read)?;
        Ok(others)
    }

    /// Returns the newest line of the run of this stream before that of `entry`.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one has none.
    pub(crate) fn run_before(&self, entry: &Entry) -> Result<Option<Entry>, FileError> {
        let is_before = |other: &Entry| other.at != entry.at && other.scope.stream == entry.scope.stream;
        self.newest_line(|line| Entry::read(line).filter(is_before))
    }

    /// Returns the name of the stream whose journal it is; `None` if it is missing or has no line that can be read.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn newest_stream(&self) -> Result<Option<String>, FileError> {
        let newest = self.newest_line(|line| serde_json::from_str::<Origin>(line).ok())?;
        Ok(newest.map(|origin| origin.scope.stream))
    }

    /// Returns the completed runs that began at `since` or later.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one has none.
    pub(crate) fn completed_runs(&self, since: DateTime<Utc>) -> Result<CompletedRuns, FileError> {
        let mut newest_first = Vec::new();
        self.newest_line(|line| {
            let entry = Entry::read(line)?;
            if entry.at < since {
                return Some(());
            }
            newest_first.extend(entry.completed_run());
            None
        })?;
        Ok(CompletedRuns::from_newest(newest_first))
    }

    /// Returns the spans that runs were to write to which began at `since` or later and were killed, or are still at work: what they
    /// have written last is not counted.
    ///
    /// # Errors
    /// If the journal cannot be read; a missing one has none.
    pub(crate) fn unfinished_spans(&self, since: DateTime<Utc>) -> Result<Vec<Window>, FileError> {
        let (mut spans, mut ended_at) = (Vec::new(), None);
        self.newest_line(|line| {
            let entry = Entry::read(line)?;
            if entry.at < since {
                return Some(());
            }
            // The newest line of a run tells how it ended.
            if ended_at != Some(entry.at) {
                spans.extend(entry.unfinished_spans());
            }
            ended_at = Some(entry.at);
            None
        })?;
        Ok(spans)
    }

    /// Returns the result of `read` for the newest line for which it has one.
    fn newest_line<T>(&self, mut read: impl FnMut(&str) -> Option<T>) -> Result<Option<T>, FileError> {
        match self.file.newest_line(&mut read)? {
            Some(found) => Ok(Some(found)),
            None => self.previous.newest_line(read),
        }
    }

    /// Returns whether the next line begins another journal. It has to hold all counts then.
    pub(crate) fn is_full(&self) -> bool {
        self.file.length().is_ok_and(|length| length > LONGEST_JOURNAL)
    }

    /// Appends a line and syncs it. One that holds all counts begins another journal, if this one is full; the one before is
    /// kept.
    ///
    /// # Errors
    /// If the line cannot be written.
    pub(crate) fn append(&self, entry: &Entry) -> Result<(), WriteError> {
        let line = entry
            .to_line()
            .map_err(|error| FileError::io("write to", self.file.path(), error.into()))?;
        if entry.has_all_counts && self.is_full() {
            let content = line + "\n";
            return Ok(self.file.replace_keeping(&self.previous, content.as_bytes())?);
        }
        self.file.append_line(&line)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::coverage::{Asked, End, Purpose};
    use crate::window::Window;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(29_000_000 + minutes)
    }

    fn entry(at_minute: i64, end: End) -> Entry {
        let mut entry = Entry::new(at(at_minute), Scope::sample(), Sum::default());
        entry
            .asked
            .push(Asked::new(Window::new(at(at_minute - 10), at(at_minute)), Purpose::New));
        entry.end = end;
        entry.last_before = Some(at(at_minute - 8));
        entry
    }

    fn day(text: &str) -> Option<NaiveDate> {
        text.parse().ok()
    }

    #[test]
    fn what_another_scope_covered_does_not_count_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::of(&Location::new(folder.path(), "mail", "log").unwrap());
        let filtered = Scope {
            filter: Some("types=a".into()),
            ..Scope::sample()
        };
        let with_scope = |minute, scope: &Scope| {
            let mut entry = entry(minute, End::Exhausted);
            entry.scope = scope.clone();
            journal.append(&entry).unwrap();
        };
        with_scope(0, &filtered);
        let past = journal.past(Wanted::Scope(&Scope::sample())).unwrap();
        assert!(past.newest.is_none());
        assert_eq!(
            past.sum(day("2026-11-01")).asked_from,
            Some(start_of(day("2026-11-01").unwrap()))
        );
        let doubt = past.doubt(day("2026-11-01")).unwrap();
        assert!(
            doubt.contains("with another filter") && doubt.contains("since 2026-11-01"),
            "{doubt}"
        );
        with_scope(5, &Scope::sample());
        with_scope(10, &filtered);
        let past = journal.past(Wanted::Scope(&Scope::sample())).unwrap();
        assert_eq!(past.newest.as_ref().map(|entry| entry.at), Some(at(5)));
        assert!(past.doubt(day("2026-11-01")).is_some());
        let past = journal.past(Wanted::Stream("tfc")).unwrap();
        assert_eq!(past.newest.as_ref().map(|entry| entry.at), Some(at(10)));
        assert_eq!(past.doubt(day("2026-11-01")), None);
        let others = journal.other_scopes(&Scope::sample()).unwrap().unwrap();
        assert_eq!(
            others.to_string(),
            format!(
                "2 runs in the journal, {} to {}, were with another filter than the last one: what they covered does not count",
                bound(at(0)),
                bound(at(10))
            )
        );
        let others = journal.other_scopes(&filtered).unwrap().unwrap();
        assert_eq!((others.runs, others.oldest, others.newest), (1, at(5), at(5)));
        let past = journal.past(Wanted::Stream("port")).unwrap();
        assert!(past.newest.is_none());
        assert!(past.doubt(day("2026-11-01")).unwrap().contains("another stream"));
    }

    #[test]
    fn lines_that_cannot_be_read_put_everything_in_doubt_that_they_may_have_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        let journal = Journal::of(&location);
        assert_eq!(
            journal.past(Wanted::Stream("tfc")).unwrap().doubt(None),
            None,
            "an empty archive"
        );
        assert!(
            journal
                .past(Wanted::Stream("tfc"))
                .unwrap()
                .doubt(day("2020-01-01"))
                .is_some()
        );
        let mut whole = entry(0, End::Exhausted);
        whole.sum.asked_from = Some(at(-10));
        journal.append(&whole).unwrap();
        for damage in ["{\"version\":2", "\u{fffd}"] {
            location.state(JOURNAL).append_line(damage).unwrap();
        }
        let past = journal.past(Wanted::Stream("tfc")).unwrap();
        assert_eq!(past.unreadable, 2);
        assert_eq!(past.sum(None).asked_from, Some(at(-10)));
        assert_eq!(
            past.sum(day("2020-01-01")).asked_from,
            Some(start_of(day("2020-01-01").unwrap()))
        );
        assert!(past.doubt(day("2020-01-01")).unwrap().contains("cannot be read"));
    }

    #[test]
    fn a_long_journal_is_put_aside_and_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        let journal = Journal::of(&location);
        let long = |minute| {
            let mut entry = entry(minute, End::Exhausted);
            entry.error = Some("x".repeat(LONGEST_JOURNAL as usize));
            entry
        };
        journal.append(&long(0)).unwrap();
        assert!(journal.is_full());
        journal.append(&entry(5, End::Exhausted)).unwrap();
        assert!(!location.state_file(PREVIOUS_JOURNAL).exists(), "it has not all counts");
        let mut all = entry(10, End::Exhausted);
        all.has_all_counts = true;
        journal.append(&all).unwrap();
        assert!(!journal.is_full() && location.state_file(PREVIOUS_JOURNAL).exists());
        journal.append(&entry(15, End::Exhausted)).unwrap();
        let runs = journal.completed_runs(at(-1)).unwrap();
        let least = |minute| runs.least_overlap(at(minute), at(14)).map(|least| least.num_minutes());
        assert_eq!((least(3), least(-7)), (Some(4), Some(4)), "from both files");
        journal.append(&Entry { at: at(20), ..all }).unwrap();
        assert_eq!(journal.newest().unwrap().unwrap().at, at(20));
    }

    #[test]
    fn complete_runs_are_read_back_as_far_as_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::of(&Location::new(folder.path(), "mail", "log").unwrap());
        assert_eq!(journal.newest().unwrap(), None);
        assert_eq!(journal.completed_runs(at(0)).unwrap(), CompletedRuns::default());
        for (minute, end) in [
            (0, End::Exhausted),
            (5, End::Failed),
            (10, End::Exhausted),
            (15, End::Exhausted),
        ] {
            journal.append(&entry(minute, end)).unwrap();
        }
        assert_eq!(journal.newest().unwrap().unwrap().at, at(15));
        let least = |since| {
            let runs = journal.completed_runs(at(since)).unwrap();
            runs.least_overlap(at(3), at(14)).map(|least| least.num_minutes())
        };
        assert_eq!(
            least(-20),
            Some(4),
            "the run at 10 covered it, and the one at 15 asked from 7 on"
        );
        assert_eq!(least(14), None, "nothing that old was read");
    }
}
