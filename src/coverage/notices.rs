//! What is to be told of a stream besides its gaps and losses: what would be wrong in silence.

use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::day_counts::may_be_deleted;
use super::entry::{End, Entry};
use super::fed::Fed;
use super::file_notices::{days, unread_sentence};
use super::gap::{Gap, GapCounts};
use super::journal::Journal;
use super::standing::Standing;
use crate::archive::{Location, Lock};
use crate::fs::FileError;
use crate::source::Retention;
use crate::window::bound;

/// By how much the clock of a service can be ahead, so that what is covered ends behind the start of the run that covered it.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);

/// An archive without a day file, which had records.
#[derive(Debug)]
pub(crate) struct Gone {
    folder: PathBuf,
    last: DateTime<Utc>,
    renamed: Option<String>,
    /// What begins anew.
    anew: &'static str,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, last) = (self.folder.display(), bound(self.last));
        write!(
            f,
            "there is no day file in {folder}, but there were records up to {last}: "
        )?;
        if let Some(renamed) = &self.renamed {
            write!(f, "{renamed}; else ")?;
        }
        write!(
            f,
            "restore the folder, or mount its disk; or begin anew with {}; if another program deletes old day files, set KEEP_DAYS",
            self.anew
        )
    }
}

impl Standing {
    /// Returns what is to be said of an archive that has no day file, and had some that nobody was to delete by `now`.
    pub(crate) fn gone(&self, location: &Location, keep: Option<TimeDelta>, now: DateTime<Utc>) -> Option<Gone> {
        let last = self.last_record_of_no_file()?;
        let is_deleted = may_be_deleted(last.date_naive(), keep, now) || self.sum.is_expired(last.date_naive());
        (!is_deleted).then(|| Gone {
            folder: location.folder().to_owned(),
            last,
            renamed: self.renamed.clone(),
            anew: match Fed::read(location) {
                Ok(Some(_)) => "archive --from-start, and the catalog and ARCHIVE_FOLDER empty",
                Ok(None) | Err(_) => "collect --start-over",
            },
        })
    }

    /// Returns what a run at `now` warns of, and does not mend.
    pub(crate) fn warnings(&self, now: DateTime<Utc>) -> Vec<String> {
        let future =
            days(self.future_days(now)).map(|days| format!("day files are dated in the future, and not read: {days}"));
        let unread = unread_sentence(self.listing.unread.values());
        [future, unread, self.renamed.clone()].into_iter().flatten().collect()
    }

    /// Says what a run at `now` forgets that starts over; `None` if that is nothing.
    pub(crate) fn forgotten(&self, retention: Retention, now: DateTime<Utc>) -> Option<String> {
        // The lost days are gaps too, and are named by themselves.
        let mut others = self.sum.clone();
        others.accept_losses(now);
        let gaps = others.gaps(retention, now);
        let gaps: Vec<_> = gaps.iter().filter(|gap| gap.to < now).collect();
        let lost: Vec<NaiveDate> = self.sum.lost.keys().copied().collect();
        let parts: Vec<String> = [gaps_part(&gaps), lost_part(&lost)].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| {
            format!(
                "--start-over forgets {}: what the service still has of them is asked for again as far as there are day files, \
                 and the rest is not named any more",
                parts.join(" and ")
            )
        })
    }

    /// Returns whether the newest run was to fetch what is new, and did not. As long as it is under way, this is said of the
    /// run before.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) fn has_missed_what_is_new(&self, location: &Location) -> Result<bool, FileError> {
        let Some(newest) = &self.newest else { return Ok(false) };
        if newest.end != End::Open || !is_running(location) {
            return Ok(!newest.has_fetched_what_is_new());
        }
        let before = Journal::of(location).run_before(newest)?;
        Ok(before.is_some_and(|before| !before.has_fetched_what_is_new()))
    }

    /// Returns whether what is covered up to this time ends where a run began that asked for everything up to then, and not where one
    /// was told to end.
    pub(crate) fn has_asked_up_to(&self, time: DateTime<Utc>) -> bool {
        let last = self.sum.last_complete;
        let is_newest = self.newest.as_ref().is_some_and(|newest| last == Some(newest.at));
        is_newest || last.is_some_and(|last| time <= last + CLOCKS_APART)
    }
}

impl Entry {
    /// Counts the gaps that there are when the run ends, as `coverage` would tell them.
    pub(crate) fn gap_counts(&self, retention: Retention) -> GapCounts {
        let gaps = self.sum.gaps(retention, self.at);
        let can_be_pause = self.has_fetched_what_is_new();
        GapCounts::of(gaps.iter().filter(|gap| !(can_be_pause && gap.is_pause(self.at))))
    }

    /// Returns whether the run has fetched and filed everything up to its start.
    fn has_fetched_what_is_new(&self) -> bool {
        match self.end {
            End::Exhausted | End::Nothing => true,
            End::Open | End::Stopped | End::Failed => self.has_completed_what_is_new(),
        }
    }
}

/// Returns whether the process is there that held the lock of the stream last.
fn is_running(location: &Location) -> bool {
    Lock::last_holder(location).is_some_and(|holder| holder.is_running() != Some(false))
}

fn gaps_part(gaps: &[&Gap]) -> Option<String> {
    let (first, last) = (gaps.first()?, gaps.last()?);
    let (from, to) = (bound(first.from), bound(last.to));
    Some(match gaps.len() {
        1 => format!("1 gap from {from} to {to}"),
        count => format!("{count} gaps from {from} to {to}"),
    })
}

fn lost_part(lost: &[NaiveDate]) -> Option<String> {
    let (first, last) = (lost.first()?, lost.last()?);
    Some(match lost.len() {
        1 => format!("1 lost day, {first}"),
        count => format!("{count} lost days from {first} to {last}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::{Asked, Purpose, Scope, Sum};
    use crate::window::Window;

    fn entry(end: End, purpose: Purpose, is_done: bool) -> Entry {
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut entry = Entry::new(at, Scope::sample(), Sum::default());
        let mut asked = Asked::new(Window::new(at - TimeDelta::hours(1), at), purpose);
        asked.is_done = is_done;
        entry.asked.push(asked);
        entry.end = end;
        entry
    }

    #[test]
    fn a_run_that_ended_early_has_fetched_what_is_new_only_if_it_came_to_its_end() {
        for (end, purpose, is_done, expected) in [
            (End::Exhausted, Purpose::New, true, true),
            (End::Nothing, Purpose::Range, true, true),
            (End::Failed, Purpose::New, false, false),
            // A gap is still missing, and is told as one.
            (End::Failed, Purpose::New, true, true),
            (End::Failed, Purpose::Gap, true, false),
            (End::Stopped, Purpose::New, false, false),
            (End::Open, Purpose::New, false, false),
        ] {
            let has_fetched = entry(end, purpose, is_done).has_fetched_what_is_new();
            assert_eq!(has_fetched, expected, "{end:?} {purpose:?} {is_done}");
        }
    }
}
