//! How complete the archive of a stream is for a span of time, by its journal.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::Serialize;

use crate::archive::Noted;
use crate::config::StreamPlace;
use crate::coverage::{Covered, Gap, Scope, Standing, Wanted, may_be_deleted};
use crate::fs::FileError;
use crate::output::table::rfc3339;
use crate::window::Window;

/// How complete the archive of a stream is for a span of time. `docs/json.md` says what the fields are.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Completeness {
    pub(super) covered: Covered,
    pub(super) gaps: Vec<RangeGap>,
    pub(super) wrong_days: Vec<WrongDay>,
    /// Why less is known than there might be.
    pub(super) problems: Vec<String>,
    pub(super) remarks: Vec<String>,
    pub(super) pending: u64,
    pub(super) rejected: u64,
    /// Of those, how many may be of that time, by when they came: no filter was applied to them.
    pub(super) rejected_of_that_time: u64,
    /// How many lines the files of each day of the span had when a run wrote to them.
    #[serde(skip)]
    held: BTreeMap<NaiveDate, u64>,
}

/// A part of the span that is not covered.
#[derive(Debug, Serialize)]
pub(super) struct RangeGap {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) kind: GapKind,
    pub(super) is_accepted: bool,
    pub(super) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum GapKind {
    /// No run of this program was to ask for it.
    NeverAsked,
    /// No run has fetched it whole, and the service still has it.
    Open,
    /// No run has fetched it whole, and the service has it no more.
    Gone,
    /// It was filed as the service gave it, whose answers contradict each other.
    Unproved,
    /// It was fetched, and its day has no file: another program may have deleted that, or it had no record.
    MayBeDeleted,
    /// It came after the last run, which fetched all that was new.
    SinceLastRun,
}

impl GapKind {
    /// Says it to who gets the bundle.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::NeverAsked => "the service was never asked for it",
            Self::Open => "not fetched whole; the service still has it",
            Self::Gone => "not fetched whole before the service dropped it",
            Self::Unproved => "filed as the service gave it, not proved to be complete",
            Self::MayBeDeleted => "days without a file, which may have been deleted because of their age",
            Self::SinceLastRun => "later than the last run",
        }
    }
}

/// A day whose files have lost records.
#[derive(Debug, Serialize)]
pub(super) struct WrongDay {
    pub(super) date: NaiveDate,
    pub(super) problem: &'static str,
    /// Whether it was accepted that it stays so.
    pub(super) is_accepted: bool,
    #[serde(skip)]
    pub(super) text: String,
}

impl RangeGap {
    fn new(span: Window, kind: GapKind) -> Self {
        Self {
            from: span.from,
            to: span.to,
            kind,
            is_accepted: false,
            reason: None,
        }
    }

    /// Whether nobody has said yet that it may be missing.
    fn is_alarming(&self) -> bool {
        !self.is_accepted && self.kind != GapKind::SinceLastRun
    }

    /// `from 2026-11-02T00:00:00Z to 2026-11-05T00:00:00Z: the service was never asked for it`
    pub(super) fn sentence(&self) -> String {
        let (from, to) = (rfc3339(self.from), rfc3339(self.to));
        format!("from {from} to {to}: {}", self.what_is_known())
    }

    /// Says what kind it is, why, and whether that was accepted.
    pub(super) fn what_is_known(&self) -> String {
        let reason = self.reason.iter().map(|reason| format!(" ({reason})"));
        let accepted = if self.is_accepted { "; accepted" } else { "" };
        format!("{}{}{accepted}", self.kind.sentence(), reason.collect::<String>())
    }
}

impl Completeness {
    /// Reads it at `now`; `scope` is that of the settings, if they name one. If the span `is_up_to_now` because no end was asked for, the
    /// usual pause since the last run is no gap, where that run was within the span.
    ///
    /// # Errors
    /// If the folder, the journal or the rejected file cannot be read.
    pub(super) fn read(
        place: &StreamPlace,
        scope: Option<&Scope>,
        (span, is_up_to_now): (Window, bool),
        now: DateTime<Utc>,
    ) -> Result<Self, FileError> {
        let StreamPlace {
            kind, location, keep, ..
        } = place;
        let mut standing = Standing::read(location, Wanted::Stream(kind.name), *keep, now)?;
        let gone = standing.gone(location, *keep, now);
        let is_pause_usual = gone.is_none() && !standing.has_missed_what_is_new(location)?;
        let known = standing.sum.gaps(kind.retention, now);
        let rejected = Noted::rejected(location)?;
        let may_be_of_span = |came: &&Option<DateTime<Utc>>| {
            came.is_none_or(|came| span.from <= came && kind.retention.oldest(came) < span.to)
        };
        let held = standing.counts.iter().filter(|(date, _)| is_within(**date, span));
        let mut found = Self {
            covered: standing.sum.covered.within(span),
            pending: standing.pending,
            rejected: rejected.records(),
            rejected_of_that_time: rejected.times().iter().filter(may_be_of_span).count() as u64,
            held: held.map(|(date, counted)| (*date, counted.all())).collect(),
            ..Self::default()
        };
        let is_pause = |gap: &Gap| {
            let is_usual = is_up_to_now && is_pause_usual && gap.is_pause(now) && span.from < gap.from;
            is_usual && standing.has_asked_up_to(gap.from)
        };
        found.gaps = gaps(&found.covered, known, span, is_pause);
        found.lack_deleted_days(&standing, *keep, now);
        let wrong_days = standing.wrong_days(now).into_iter();
        let wrong_days = wrong_days.map(|(date, wrong)| WrongDay {
            date,
            problem: wrong.name(),
            is_accepted: false,
            text: wrong.to_string(),
        });
        let accepted = standing.accepted_losses().into_iter().map(|(date, loss)| WrongDay {
            date,
            problem: loss.name(),
            is_accepted: true,
            text: format!("{loss}; accepted"),
        });
        found.wrong_days = wrong_days
            .chain(accepted)
            .filter(|day| is_within(day.date, span))
            .collect();
        found.wrong_days.sort_by_key(|day| day.date);
        let change = scope.and_then(|scope| standing.change_to(scope));
        found.remarks = change.into_iter().chain(standing.remarks()).collect();
        found.problems = standing
            .doubt
            .into_iter()
            .chain(gone.map(|gone| gone.to_string()))
            .collect();
        Ok(found)
    }

    /// Takes days for gaps that were fetched, have no file, and are so old that another program may have deleted it.
    fn lack_deleted_days(&mut self, standing: &Standing, keep: Option<TimeDelta>, now: DateTime<Utc>) {
        let mut lacking = Covered::default();
        for span in self.covered.spans() {
            let days = span.from.date_naive().iter_days();
            let days = days.take_while(|date| midnight(*date) < span.to);
            let is_deleted = |date: &NaiveDate| may_be_deleted(*date, keep, now) || standing.sum.is_expired(*date);
            let kept: BTreeSet<_> = standing.listing.dates();
            for date in days.filter(|date| is_deleted(date) && !kept.contains(date)) {
                lacking.add(Window {
                    from: midnight(date).max(span.from),
                    to: midnight(date + Days::new(1)).min(span.to),
                });
            }
        }
        for span in lacking.spans() {
            self.covered.remove(*span);
            self.gaps.push(RangeGap::new(*span, GapKind::MayBeDeleted));
        }
        self.gaps.sort_by_key(|gap| gap.from);
    }

    /// Returns up to when the last run asked, if the span goes on behind it.
    pub(super) fn last_run(&self) -> Option<DateTime<Utc>> {
        let pause = self.gaps.iter().find(|gap| gap.kind == GapKind::SinceLastRun);
        pause.map(|gap| gap.from)
    }

    /// Compares how many lines were read of the files of each day with what they had when a run wrote to them.
    pub(super) fn note_lines(&mut self, read: &BTreeMap<NaiveDate, u64>) {
        for (date, lines) in read {
            let held = self.held.get(date).copied().unwrap_or_default();
            let is_told = self.wrong_days.iter().any(|day| day.date == *date && !day.is_accepted);
            if *lines < held && !is_told {
                self.wrong_days.push(WrongDay {
                    date: *date,
                    problem: "fewer-lines",
                    is_accepted: false,
                    text: format!("its files have {lines} lines, and had {held} when they were written"),
                });
            }
        }
        self.wrong_days.sort_by_key(|day| day.date);
    }

    /// Whether all of the span is there, up to the last run.
    pub(super) fn is_complete(&self) -> bool {
        let is_pause = |gap: &RangeGap| gap.kind == GapKind::SinceLastRun;
        let has_all = self.wrong_days.is_empty() && self.rejected_of_that_time == 0;
        has_all && self.gaps.iter().all(is_pause) && self.problems.is_empty()
    }

    /// Whether something is missing that nobody has accepted, or not known.
    pub(super) fn is_alarming(&self) -> bool {
        let has_wrong_days = self.wrong_days.iter().any(|day| !day.is_accepted);
        let is_missing = has_wrong_days || self.rejected_of_that_time > 0;
        is_missing || self.gaps.iter().any(RangeGap::is_alarming) || !self.problems.is_empty()
    }

    /// Says all that is missing, or not known.
    pub(super) fn sentences(&self) -> Vec<String> {
        let gaps = self.gaps.iter().filter(|gap| gap.kind != GapKind::SinceLastRun);
        let gaps = gaps.map(|gap| format!("a gap {}", gap.sentence()));
        let days = self.wrong_days.iter().map(|day| format!("{}: {}", day.date, day.text));
        let rejected = Some(self.rejected_of_that_time).filter(|count| *count > 0);
        let rejected = rejected.map(|count| match count {
            1 => "1 record is in the rejected file and may be of that time; no filter was applied to it".to_owned(),
            _ => format!(
                "{count} records are in the rejected file and may be of that time; no filter was applied to them"
            ),
        });
        let lacking = self.problems.iter().cloned().chain(gaps).chain(days);
        lacking.chain(rejected).collect()
    }
}

/// Names what of a span is not covered, oldest first.
fn gaps(covered: &Covered, known: Vec<Gap>, span: Window, is_pause: impl Fn(&Gap) -> bool) -> Vec<RangeGap> {
    let mut unnamed = Covered::from(covered.gaps(Some(span.from), span.to));
    let mut named = Vec::new();
    for gap in known {
        let kind = match () {
            () if is_pause(&gap) => GapKind::SinceLastRun,
            () if gap.unproved.is_some() => GapKind::Unproved,
            () if gap.is_gone => GapKind::Gone,
            () => GapKind::Open,
        };
        for part in Covered::from(vec![gap.span()]).within(span).spans() {
            unnamed.remove(*part);
            named.push(RangeGap {
                is_accepted: gap.is_accepted,
                reason: gap.unproved.clone(),
                ..RangeGap::new(*part, kind)
            });
        }
    }
    let unnamed = unnamed.spans().iter();
    named.extend(unnamed.map(|part| RangeGap::new(*part, GapKind::NeverAsked)));
    named.sort_by_key(|gap| gap.from);
    named
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

fn is_within(date: NaiveDate, span: Window) -> bool {
    midnight(date) < span.to && span.from < midnight(date + Days::new(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Retention;

    fn time(day: u32) -> DateTime<Utc> {
        midnight(NaiveDate::from_ymd_opt(2026, 11, day).unwrap())
    }

    fn span(from: u32, to: u32) -> Window {
        Window {
            from: time(from),
            to: time(to),
        }
    }

    #[test]
    fn every_part_of_a_span_is_covered_or_a_gap_with_its_name() {
        let retention = Retention {
            days: 14,
            is_documented: true,
        };
        let covered = Covered::from(vec![span(3, 5), span(8, 10), span(12, 20)]);
        let sum = crate::coverage::Sum {
            asked_from: Some(time(3)),
            covered: covered.clone(),
            ..Default::default()
        };
        let now = time(20) + TimeDelta::hours(2);
        let known = sum.gaps(retention, now);
        let whole = Window { from: time(1), to: now };
        let found = gaps(&covered.within(whole), known, whole, |gap| gap.is_pause(now));
        let found: Vec<_> = found.iter().map(|gap| (gap.from, gap.to, gap.kind)).collect();
        assert_eq!(
            found,
            [
                (time(1), time(3), GapKind::NeverAsked),
                (time(5), time(6) + TimeDelta::hours(2), GapKind::Gone),
                (time(6) + TimeDelta::hours(2), time(8), GapKind::Open),
                (time(10), time(12), GapKind::Open),
                (time(20), now, GapKind::SinceLastRun),
            ]
        );
    }
}
