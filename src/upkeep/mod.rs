//! What is done with days as they get old: they are packed, and in the end deleted, by `collect`, `pack` and `expire`.
//!
//! Imports: archive, config, coverage, evidence, forward, fs, output.
//!
//! A run that is no command asks nobody, and does nothing that the command would not do. It does some of the work, so that the next
//! run of the stream does not wait for long; what is left has its turn then.

mod error;
pub(crate) mod expiring;
mod expiry_checks;
mod expiry_rule;
mod kept;
pub(crate) mod packing;
#[cfg(test)]
#[cfg(unix)]
mod sequences;
pub(crate) mod settling;
pub(crate) mod taking_back;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::archive::{Lock, Packer};
use crate::config::{StreamPlace, UpkeepSettings};
pub(crate) use error::UpkeepError;
pub(crate) use expiry_rule::ExpiryRule;
pub(crate) use kept::Kept;
use packing::PackRule;

/// Younger days are not closed: records come late, and gaps are filled.
pub(crate) const YOUNGEST: TimeDelta = TimeDelta::days(2);

/// How much is done in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) days: usize,
    /// Of the files as they are stored. One day is done however long it is.
    pub(crate) bytes: u64,
}

impl Limit {
    /// No limit: for a command.
    pub(crate) const NONE: Self = Self {
        days: usize::MAX,
        bytes: u64::MAX,
    };

    /// Of a run: a few seconds for a usual disk.
    const OF_A_RUN: Self = Self {
        days: 31,
        bytes: 256 << 20,
    };

    /// Returns whether there is room for a day.
    fn has_room(&self, bytes: u64, is_first: bool) -> bool {
        self.days > 0 && (is_first || bytes <= self.bytes)
    }

    fn take(&mut self, bytes: u64) {
        self.days = self.days.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Deletes and packs what the settings say, under the lock of the stream; `None` if they say nothing.
pub(crate) fn keep_up(
    settings: &UpkeepSettings,
    place: &StreamPlace,
    lock: &Arc<Lock>,
    now: DateTime<Utc>,
    is_stopped: &dyn Fn() -> bool,
) -> Option<Kept> {
    if settings.pack_after.is_none() && settings.expire_after.is_none() {
        return None;
    }
    let mut kept = Kept::default();
    if let Some(older_than) = settings.expire_after {
        let rule = ExpiryRule {
            older_than,
            now,
            evidence: settings.evidence.as_ref(),
            unsealed: false,
        };
        if let Err(error) = expire(rule, place, lock, &mut kept) {
            kept.fail(&error);
        }
    }
    let older_than = settings.pack_after.filter(|_| !kept.is_held && !is_stopped());
    if let Some(older_than) = older_than
        && let Err(error) = pack(PackRule { older_than, now }, place, lock, &mut kept, is_stopped)
    {
        kept.fail(&error);
    }
    Some(kept)
}

fn expire(rule: ExpiryRule<'_>, place: &StreamPlace, lock: &Arc<Lock>, kept: &mut Kept) -> Result<(), UpkeepError> {
    if !rule.is_due(&place.location.listing()?) {
        return Ok(());
    }
    let mut plan = rule.plan(place, Limit::OF_A_RUN)?;
    kept.has_more = plan.has_more;
    for day in rule.carry_out(place, &mut plan, lock)? {
        kept.deleted += 1;
        tracing::info!(file = day.file, lines = day.lines, "deleted for its age");
    }
    kept.leave("not deleted", &plan.left);
    Ok(())
}

fn pack(
    rule: PackRule,
    place: &StreamPlace,
    lock: &Arc<Lock>,
    kept: &mut Kept,
    is_stopped: &dyn Fn() -> bool,
) -> Result<(), UpkeepError> {
    if !rule.is_due(&place.location.listing()?) {
        return Ok(());
    }
    let plan = rule.plan(place)?;
    let packed = plan.carry_out(&Packer::under(Arc::clone(lock)), Limit::OF_A_RUN, is_stopped);
    kept.has_more |= packed.has_more;
    kept.packed += packed.days.len() as u64;
    if !packed.days.is_empty() {
        tracing::info!(days = packed.days.len(), "packed");
    }
    kept.leave("not packed", &plan.left);
    for error in packed.failed.into_values().chain(packed.ended) {
        kept.fail(&error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lets_one_day_through_however_long_it_is() {
        let mut limit = Limit { days: 2, bytes: 10 };
        assert!(limit.has_room(99, true) && !limit.has_room(99, false));
        limit.take(4);
        assert!(limit.has_room(6, false) && !limit.has_room(7, false));
        limit.take(6);
        assert!(!limit.has_room(0, false) && !limit.has_room(0, true));
    }
}
