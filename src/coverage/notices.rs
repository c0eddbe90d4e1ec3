//! What is to be told of a stream besides its gaps and losses: what would be wrong in silence.

use super::entry::{End, Entry};
use super::journal::Journal;
use super::standing::Standing;
use crate::archive::{Location, Lock};
use crate::fs::FileError;

impl Standing {
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
}

impl Entry {
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

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
