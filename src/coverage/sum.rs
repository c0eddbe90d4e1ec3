//! What all runs of a stream have come to: the span that was ever to be asked for, and what of it is covered.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Purpose, day_span};
use super::day_counts::{Counted, LostDay, is_zero};
use super::gap::USUAL_PAUSE;
use super::reconciling::Reconciling;
use super::unproved::Unproved;
use super::{Covered, Gap, gap};
use crate::fetch::{Assumptions, Order};
use crate::source::Retention;
use crate::window::{TICK, Window};

/// After so many runs in a row that were told what contradicts itself, it is filed as the service gives it.
const MOST_CONTRADICTIONS: u32 = 3;

/// So long another order than newest first is believed without being found again: it costs more requests.
const BELIEVE_OTHER_ORDER_FOR: TimeDelta = TimeDelta::days(7);

/// What all runs of a stream have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    /// The oldest time that any run was to ask for, and that the service still had then.
    pub(crate) asked_from: Option<DateTime<Utc>>,
    pub(crate) covered: Covered,
    /// The time that a clock claimed that was ahead, until it has come.
    pub(crate) claimed_to: Option<DateTime<Utc>>,
    /// When the last run began that covered everything up to its start.
    pub(crate) last_complete: Option<DateTime<Utc>>,
    /// When the reconciling began that was last done.
    pub(crate) last_reconciled: Option<DateTime<Utc>>,
    /// A reconciling that is not done yet.
    pub(crate) reconciling: Option<Reconciling>,
    /// What was seen of the service, on which it rests that what is covered is complete; and when it was seen to answer in
    /// another order than newest first.
    pub(crate) assumptions: Assumptions,
    pub(crate) other_order_at: Option<DateTime<Utc>>,
    /// The days whose files have lost records that are not there again.
    pub(crate) lost: BTreeMap<NaiveDate, LostDay>,
    /// How many runs in a row were told what contradicts itself.
    pub(crate) contradictions: u32,
    /// Spans that were filed as the service gave them, since its answers contradicted each other run after run; oldest
    /// first.
    pub(crate) unproved: Vec<Unproved>,
    /// Days whose losses were accepted: they count as covered, and are not complete.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) accepted_losses: BTreeMap<NaiveDate, LostDay>,
    /// Gaps that the service had dropped when that was accepted.
    #[serde(default)]
    pub(crate) accepted: Covered,
    /// The days whose files were deleted for their age.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) expired_days: Covered,
    /// The days whose files are being deleted for their age, or were to be when that was interrupted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) expiring_days: BTreeSet<NaiveDate>,
    /// Whether the archive is sealed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) is_sealed: bool,
}

impl Sum {
    /// Returns the sum of an archive without a journal, whose first day file begins at `first`: nothing of what it holds
    /// is known to be covered.
    pub(crate) fn unknown(first: DateTime<Utc>) -> Self {
        Self {
            asked_from: Some(first),
            ..Self::default()
        }
    }

    /// Returns the gaps at `now`, oldest first.
    pub(crate) fn gaps(&self, retention: Retention, now: DateTime<Utc>) -> Vec<Gap> {
        let mut settled = self.covered.clone();
        self.unproved.iter().for_each(|unproved| settled.add(unproved.span()));
        let asked_from = self.above_the_line(self.asked_from_without_pause(retention.oldest(now)));
        let never_filed = settled.gaps(asked_from, now).into_iter();
        let never_filed = never_filed.flat_map(|span| self.accepted.cut(span)).collect();
        let never_filed = gap::gaps(never_filed, retention, now).into_iter();
        let unproved = self
            .unproved
            .iter()
            .filter(|unproved| !self.is_below_the_line(unproved.to));
        let unproved = unproved.flat_map(|unproved| {
            let gaps = gap::gaps(vec![unproved.span()], retention, now).into_iter();
            gaps.map(|gap| Gap {
                unproved: Some(unproved.reason.clone()),
                ..gap
            })
        });
        // What a clock that was ahead called gone may be there.
        let marked = never_filed.chain(unproved).map(|gap| Gap {
            is_accepted: gap.is_gone && self.accepted.holds(gap.span()),
            ..gap
        });
        let mut all: Vec<Gap> = marked.collect();
        all.sort_by_key(|gap| gap.from);
        all
    }

    /// Returns the gaps that are to be asked for at `now`, oldest first: not what the service contradicted itself about
    /// of late.
    pub(crate) fn gaps_to_ask_for(&self, retention: Retention, now: DateTime<Utc>) -> Vec<Gap> {
        let mut settled = self.covered.clone();
        let recent = self.unproved.iter().filter(|unproved| unproved.was_asked_of_late(now));
        recent.for_each(|unproved| settled.add(unproved.span()));
        gap::gaps(settled.gaps(self.above_the_line(self.asked_from), now), retention, now)
    }

    /// Returns a time from which on is asked, but nothing below the expiry line; `None` is never.
    fn above_the_line(&self, from: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        from.map(|from| self.expiry_line().map_or(from, |line| from.max(line)))
    }

    /// Returns whether what ends at this time lies below the expiry line.
    pub(crate) fn is_below_the_line(&self, to: DateTime<Utc>) -> bool {
        self.expiry_line().is_some_and(|line| to <= line)
    }

    /// Returns whether what happened at a time was filed, proved to be complete or not.
    pub(crate) fn has_filed(&self, time: DateTime<Utc>) -> bool {
        let unproved = self.unproved.iter().map(Unproved::span);
        let mut filed = self.covered.spans().iter().copied().chain(unproved);
        filed.any(|span| span.from <= time && time <= span.to)
    }

    /// Returns whether a run after `now` asks for what happened at a time: it was to be asked for and was not filed, and the
    /// service still has it.
    pub(crate) fn awaits(&self, time: DateTime<Utc>, retention: Retention, now: DateTime<Utc>) -> bool {
        let was_to_be_asked = self.asked_from.is_none_or(|asked_from| asked_from <= time);
        was_to_be_asked
            && !self.is_below_the_line(time + TICK)
            && retention.oldest(now) <= time
            && !self.has_filed(time)
    }

    /// Returns what a run at `now` begins with.
    pub(crate) fn assumptions(&self, now: DateTime<Utc>) -> Assumptions {
        let is_old = self
            .other_order_at
            .is_some_and(|seen| (now - seen).abs() > BELIEVE_OTHER_ORDER_FOR);
        if is_old {
            Assumptions::default()
        } else {
            self.assumptions
        }
    }

    /// Returns whether what was seen in a run refutes that newer records come first, or are no further from where they belong than
    /// answers overlapped, on which rests what is covered. Where newer pages come first, each reaches down to its oldest record all
    /// the same, in whatever order its records are.
    pub(crate) fn is_refuted_by(&self, seen: Assumptions) -> bool {
        let is_newest_first = |assumed: Assumptions| assumed.order == Order::NewestFirst;
        let has_newest_first = matches!(seen.order, Order::NewestFirst | Order::NewestPageFirst);
        let has_overlapped = self
            .assumptions
            .overlap_ms
            .is_none_or(|overlap| seen.swapped_ms <= overlap);
        !self.covered.spans().is_empty()
            && self.other_order_at.is_none()
            && is_newest_first(self.assumptions)
            && !(has_newest_first && has_overlapped)
    }

    /// Notes what was seen in a run that began at `at`. If it refutes what was assumed, all that is covered is a gap again.
    pub(crate) fn learn(&mut self, seen: Assumptions, at: DateTime<Utc>) {
        let mut overlaps = [self.assumptions.overlap_ms, seen.overlap_ms];
        if self.is_refuted_by(seen) {
            self.covered = Covered::default();
            overlaps[0] = None;
        }
        if seen.order != Order::NewestFirst && seen.order != self.assumptions(at).order {
            self.other_order_at = Some(at);
        }
        self.assumptions = Assumptions {
            overlap_ms: overlaps.into_iter().flatten().min(),
            ..seen
        };
    }

    /// Whether what contradicts itself is filed as the service gives it: it did so in several runs.
    pub(crate) fn files_as_given(&self) -> bool {
        self.contradictions >= MOST_CONTRADICTIONS
    }

    /// Claims nothing after `now`: what was claimed there was claimed by a clock that was ahead.
    pub(super) fn end_at(&mut self, now: DateTime<Utc>) {
        self.claimed_to = self.claimed_to().filter(|claimed| *claimed > now + TICK);
        self.covered.end_at(now + TICK);
    }

    /// Returns the latest time that any run has claimed to have covered.
    pub(crate) fn claimed_to(&self) -> Option<DateTime<Utc>> {
        let newest = self.covered.spans().last().map(|span| span.to);
        self.claimed_to.max(newest)
    }

    /// Notes what a run that began at `at` asks for.
    ///
    /// It does not count where the service had forgotten it when the run began.
    pub(super) fn note_asked(&mut self, asked: &[Asked], retention: Retention, at: DateTime<Utc>) {
        let kept = retention.oldest(at);
        // Gaps are asked for with a margin.
        let wanted = asked.iter().filter(|asked| asked.purpose != Purpose::Gap);
        let oldest = wanted.map(|asked| asked.from.max(kept)).min();
        self.asked_from = self.asked_from.into_iter().chain(oldest).min();
    }

    /// Adds what a run that began at `at` has covered: nothing that the service had forgotten when the run began, nor
    /// what lies after its start.
    pub(super) fn add_covered(&mut self, asked: &[Asked], retention: Retention, at: DateTime<Utc>) {
        for covered in asked
            .iter()
            .filter_map(Asked::covered)
            .filter(|covered| covered.from < covered.to)
        {
            self.covered.add(Window {
                from: covered.from.max(retention.oldest(at)),
                to: covered.to.min(at + TICK),
            });
        }
        for day in asked.iter().flat_map(Asked::skipped_spans) {
            self.covered.remove(day);
        }
        self.forgive_the_pause(retention.oldest(at));
    }

    /// Takes out days whose files have lost records. What is known of them already stays.
    pub(crate) fn lose(&mut self, lost: BTreeMap<NaiveDate, LostDay>) {
        for (day, lost) in lost {
            if self
                .lost
                .get(&day)
                .is_none_or(|known| known.held.all() < lost.held.all())
            {
                let covered = lost.covered.unwrap_or_else(|| self.covered.within(day_span(day)));
                self.covered.remove(day_span(day));
                let covered = Some(covered);
                self.lost.insert(day, LostDay { covered, ..lost });
            }
        }
    }

    /// Takes over what runs in other scopes have noticed since a run of this one at `since`.
    pub(super) fn lose_as_noticed(&mut self, lost: BTreeMap<NaiveDate, LostDay>, since: DateTime<Utc>) {
        self.lost = lost;
        for (day, lost) in self.lost.iter_mut().filter(|(_, lost)| lost.noticed_at > since) {
            lost.covered = Some(self.covered.within(day_span(*day)));
            self.covered.remove(day_span(*day));
        }
    }

    /// Forgets losses that were made good: the day holds as many records again, by what `counted` says of it.
    pub(crate) fn forget_what_is_there_again(&mut self, counted: impl Fn(NaiveDate) -> Option<Counted>) {
        self.lost
            .retain(|day, lost| counted(*day).map_or(0, Counted::all) < lost.held.all());
    }

    /// Says which days have lost records.
    pub(crate) fn lost_sentence(&self) -> Option<String> {
        let is_below = |date: &&NaiveDate| self.is_below_the_line(day_span(**date).to);
        let (below, above): (Vec<_>, Vec<_>) = self.lost.keys().partition(is_below);
        let above = have_lost(&above).map(|lost| format!("{lost}; {}", self.what_becomes_of_losses()));
        let below = have_lost(&below).map(|lost| {
            format!(
                "{lost}; days after them were deleted for their age, so nothing of them is asked for again: restore the files from a \
                 copy, or accept the loss with trailkeeper coverage --accept-missing"
            )
        });
        let sentences: Vec<_> = [below, above].into_iter().flatten().collect();
        (!sentences.is_empty()).then(|| sentences.join(". "))
    }

    fn what_becomes_of_losses(&self) -> &'static str {
        let mut asked_again = self.covered.clone();
        self.lost.keys().for_each(|day| asked_again.remove(day_span(*day)));
        if asked_again == self.covered {
            "what the service still has of them is asked for again: trailkeeper coverage names them, until they are there or accepted"
        } else {
            "the service was asked again, and what it gave is filed: restore the files from a copy, ask once more with trailkeeper \
             reconcile --since, or accept the loss with trailkeeper coverage --accept-missing"
        }
    }

    /// Accepts that the files of these days have lost records: what was covered of them counts as covered again.
    pub(crate) fn accept_losses(&mut self, now: DateTime<Utc>) {
        for (day, lost) in std::mem::take(&mut self.lost) {
            // Of a day that has lost records twice, what it held at first is what it should hold.
            let accepted = self.accepted_losses.entry(day).or_insert_with(|| lost.clone());
            if accepted.held.all() < lost.held.all() {
                accepted.clone_from(&lost);
            }
            if let Some(covered) = lost.covered {
                covered.spans().iter().for_each(|span| self.covered.add(*span));
                continue;
            }
            let day = day_span(day);
            self.covered.add(Window {
                from: self.asked_from.map_or(day.from, |asked_from| day.from.max(asked_from)),
                to: day.to.min(now),
            });
        }
    }

    /// Returns the gaps at `now` that the service has dropped, and that nobody has accepted; lost days are told by themselves.
    pub(crate) fn gone_gaps(&self, retention: Retention, now: DateTime<Utc>) -> Vec<Gap> {
        let mut others = self.clone();
        others.accept_losses(now);
        let gaps = others.gaps(retention, now).into_iter();
        gaps.filter(|gap| gap.is_gone && !gap.is_accepted).collect()
    }

    /// Accepts that these gaps are gone.
    pub(crate) fn accept_gone(&mut self, gone: &[Gap]) {
        gone.iter().for_each(|gap| self.accepted.add(gap.span()));
    }

    /// Takes what the service forgot between the first runs, as it does all the time, for nothing that was asked for:
    /// `kept` is the oldest time that it still has.
    fn forgive_the_pause(&mut self, kept: DateTime<Utc>) {
        self.asked_from = self.asked_from_without_pause(kept);
    }

    fn asked_from_without_pause(&self, kept: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = self.covered.spans().first().map_or(kept, |span| span.from.min(kept));
        let asked_from = self.asked_from?;
        let is_pause = asked_from < first && first - asked_from < USUAL_PAUSE;
        Some(if is_pause { first } else { asked_from })
    }

    /// Notes what a run that began at `at` has filed as it was given, and whether it was told what contradicts itself.
    pub(super) fn note_contradictions(&mut self, asked: &[Asked], retention: Retention, at: DateTime<Utc>) {
        let mut is_news = false;
        for asked in asked.iter().filter(|asked| asked.is_contradicted) {
            is_news |= self.note_contradiction(asked, at);
        }
        let kept = retention.oldest(at);
        let Self { unproved, covered, .. } = self;
        unproved.retain_mut(|unproved| unproved.is_left_by(covered, kept));
        if is_news {
            self.contradictions = self.contradictions.saturating_add(1);
        } else if asked
            .iter()
            .any(|asked| asked.purpose == Purpose::New && asked.is_complete())
        {
            self.contradictions = 0;
        }
    }

    /// Notes that the answers for a span contradicted each other; returns whether that was not known.
    fn note_contradiction(&mut self, asked: &Asked, at: DateTime<Utc>) -> bool {
        if let Some(unproved) = Unproved::of(asked, at) {
            self.add_unproved(unproved);
            return true;
        }
        let is_gap = asked.purpose == Purpose::Gap;
        let known = self
            .unproved
            .iter_mut()
            .filter(|unproved| is_gap && unproved.touches(asked.span()));
        known.map(|unproved| unproved.note_repeat(at)).count() == 0
    }

    /// Adds a span that is not proved to those that it touches.
    fn add_unproved(&mut self, mut added: Unproved) {
        added.from = self
            .asked_from
            .map_or(added.from, |asked_from| added.from.max(asked_from));
        let span = added.span();
        // Covered before or not, it cannot be proved now.
        self.covered.remove(span);
        let (touched, mut apart): (Vec<_>, Vec<_>) = self.unproved.drain(..).partition(|other| other.touches(span));
        touched.iter().for_each(|other| added.join(other));
        apart.push(added);
        apart.sort_unstable_by_key(|unproved| unproved.from);
        self.unproved = apart;
    }

    /// Notes how far a run that began at `at` has reconciled, which is to reach back `reach` or more.
    pub(super) fn note_reconciled(&mut self, asked: &[Asked], at: DateTime<Utc>, reach: TimeDelta) {
        let rest = self.reconciling.and_then(|begun| Some((begun, begun.rest_in(asked)?)));
        let start = self.expiry_line().map_or(at - reach, |line| line.max(at - reach));
        let far = |asked: &&Asked| asked.purpose != Purpose::Gap && asked.from <= start;
        let Some((begun, asked)) = rest.or_else(|| {
            let asked = asked.iter().find(far)?;
            Some((Reconciling::new(asked, at), asked))
        }) else {
            return;
        };
        let left = begun.after(asked);
        if left.is_none() {
            self.reconciling = None;
            if begun.lapses == 0 {
                self.last_reconciled = Some(begun.at);
            }
        } else if asked.purpose == Purpose::Reconcile {
            self.reconciling = left;
        }
    }

    /// Notes what is to be read once more, since answers have lacked some of it in a run that began at `at`; `before` is the
    /// reconciling that the run went on with.
    pub(super) fn note_lapses(&mut self, asked: &[Asked], before: Option<Reconciling>, at: DateTime<Utc>) {
        let again = asked
            .iter()
            .filter_map(|asked| Reconciling::after_lapses(asked, before, at));
        self.reconciling = self.reconciling.into_iter().chain(again).reduce(Reconciling::joined);
    }

    /// Whether to reconcile: it was never done, was done `every` ago, or was noted by a clock ahead of this one.
    #[must_use]
    pub(crate) fn is_reconciling_due(&self, now: DateTime<Utc>, every: TimeDelta) -> bool {
        self.last_reconciled
            .is_none_or(|done| done > now || now - done >= every)
    }
}

/// Says that the files of days, oldest first, have lost records; `None` if there are none.
fn have_lost(days: &[&NaiveDate]) -> Option<String> {
    let (first, last) = (days.first()?, days.last()?);
    let days = match days.len() {
        1 => format!("the day file of {first} has"),
        count => format!("{count} day files from {first} to {last} have"),
    };
    Some(format!("{days} lost records since they were written"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    const TWO_WEEKS: Retention = Retention {
        days: 14,
        is_documented: true,
    };

    const REACH: TimeDelta = TimeDelta::hours(36);

    /// Hours after some time.
    fn hour(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(490_000 + hours)
    }

    fn span(from: i64, to: i64) -> Window {
        let (from, to) = (hour(from), hour(to));
        Window { from, to }
    }

    fn asked(from: i64, to: i64, purpose: Purpose, covered_to: Option<i64>) -> Asked {
        Asked {
            covered_to: covered_to.map(hour),
            is_done: covered_to == Some(to),
            ..Asked::new(span(from, to), purpose)
        }
    }

    fn gaps(sum: &Sum, now: i64) -> Vec<Window> {
        sum.gaps(TWO_WEEKS, hour(now)).iter().map(Gap::span).collect()
    }

    #[test]
    fn a_time_is_awaited_that_was_to_be_asked_for_and_is_not_filed_as_long_as_the_service_has_it() {
        let mut sum = Sum {
            asked_from: Some(hour(10)),
            ..Sum::default()
        };
        sum.covered.add(span(20, 30));
        let now = hour(40);
        let awaits = |sum: &Sum, now| {
            let hours = [9, 10, 19, 20, 25, 30, 31, 45];
            hours.map(|at| i32::from(sum.awaits(hour(at), TWO_WEEKS, now)))
        };
        assert_eq!(awaits(&sum, now), [0, 1, 1, 0, 0, 0, 1, 1]);
        assert_eq!(awaits(&sum, hour(15) + TimeDelta::days(14)), [0, 0, 1, 0, 0, 0, 1, 1]);
        sum.add_unproved(Unproved {
            from: hour(30),
            to: hour(32),
            reason: String::new(),
            asked_at: now,
            repeats: 0,
        });
        assert_eq!(awaits(&sum, now), [0, 1, 1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn what_a_run_was_to_ask_for_and_did_not_is_a_gap() {
        let mut sum = Sum::default();
        sum.note_asked(&[asked(0, 100, Purpose::New, None)], TWO_WEEKS, hour(100));
        assert_eq!(gaps(&sum, 100), [span(0, 100)]);
        sum.add_covered(&[asked(0, 100, Purpose::New, Some(60))], TWO_WEEKS, hour(100));
        assert_eq!(gaps(&sum, 100), [span(60, 100)]);
        sum.note_asked(&[asked(-50, 60, Purpose::Range, None)], TWO_WEEKS, hour(100));
        assert_eq!(gaps(&sum, 100), [span(-50, 0), span(60, 100)]);
    }

    #[test]
    fn what_the_service_had_forgotten_was_not_asked_for() {
        let mut sum = Sum::default();
        sum.note_asked(&[asked(-9_000, 0, Purpose::Range, None)], TWO_WEEKS, hour(0));
        assert_eq!(gaps(&sum, 0), [span(-14 * 24, 0)]);
    }

    #[test]
    fn a_gap_that_is_gone_is_accepted_and_what_only_a_wrong_clock_called_gone_is_not() {
        let two_weeks = 14 * 24;
        let mut sum = Sum {
            covered: Covered::from(vec![span(0, 100), span(200, 300)]),
            ..Sum::default()
        };
        sum.accept_gone(&sum.gone_gaps(TWO_WEEKS, hour(150 + two_weeks)));
        assert_eq!(sum.gone_gaps(TWO_WEEKS, hour(150 + two_weeks)), []);
        let flags = |now| -> Vec<_> {
            let gaps = sum.gaps(TWO_WEEKS, hour(now)).into_iter();
            gaps.map(|gap| (gap.span(), gap.is_gone, gap.is_accepted))
                .take(2)
                .collect()
        };
        let parts = [(span(100, 150), true, true), (span(150, 200), true, false)];
        assert_eq!(flags(200 + two_weeks), parts);
        assert_eq!(
            flags(300),
            [(span(100, 150), false, false), (span(150, 200), false, false)]
        );
    }

    #[test]
    fn what_the_service_forgets_between_two_first_runs_is_no_gap_unless_they_are_days_apart() {
        let two_weeks = 14 * 24;
        let mut sum = Sum::default();
        let mut run = |from, at, covered_to| {
            let asked = [asked(from, at, Purpose::New, covered_to)];
            sum.note_asked(&asked, TWO_WEEKS, hour(at));
            sum.add_covered(&asked, TWO_WEEKS, hour(at));
            sum.asked_from
        };
        run(-two_weeks, 0, None);
        assert_eq!(run(1 - two_weeks, 1, None), Some(hour(1 - two_weeks)));
        assert_eq!(
            run(0, 2, None),
            Some(hour(2 - two_weeks)),
            "what is left of it is to be asked for"
        );
        assert_eq!(run(50 - two_weeks, 50, None), Some(hour(2 - two_weeks)));
        assert_eq!(run(51 - two_weeks, 51, Some(51)), Some(hour(2 - two_weeks)));
    }

    #[test]
    fn another_order_makes_what_was_covered_a_gap_again_but_once() {
        let with = |order| Assumptions {
            order,
            ..Assumptions::default()
        };
        let mut sum = Sum {
            asked_from: Some(hour(0)),
            ..Sum::default()
        };
        sum.covered.add(span(0, 10));
        sum.learn(with(Order::NewestFirst), hour(10));
        assert_eq!(gaps(&sum, 10), []);
        sum.learn(with(Order::OldestFirst), hour(11));
        assert_eq!(gaps(&sum, 11), [span(0, 11)]);
        assert_eq!(sum.assumptions(hour(12)).order, Order::OldestFirst);
        sum.covered.add(span(0, 11));
        // It is tried again whether newer records come first.
        assert_eq!(sum.assumptions(hour(11 + 8 * 24)), Assumptions::default());
        for order in [
            Order::NewestFirst,
            Order::Unknown,
            Order::NewestFirst,
            Order::OldestFirst,
        ] {
            sum.learn(with(order), hour(11 + 8 * 24));
            assert_eq!(gaps(&sum, 11), [], "what is covered now rests on no order");
        }
    }

    #[test]
    fn records_further_from_where_they_belong_than_answers_overlapped_make_what_was_covered_a_gap_again_but_once() {
        let seen = |swapped_ms, overlap_ms| Assumptions {
            swapped_ms,
            overlap_ms,
            ..Assumptions::default()
        };
        let mut sum = Sum {
            asked_from: Some(hour(0)),
            ..Sum::default()
        };
        sum.covered.add(span(0, 10));
        sum.learn(seen(0, Some(1_000)), hour(10));
        sum.learn(seen(0, Some(5_000)), hour(10));
        sum.learn(seen(1_000, None), hour(10));
        assert_eq!(gaps(&sum, 10), [], "the least overlap was a second");
        sum.learn(seen(1_001, Some(4_000)), hour(11));
        assert_eq!(gaps(&sum, 11), [span(0, 11)]);
        sum.covered.add(span(0, 11));
        sum.learn(seen(1_001, None), hour(12));
        assert_eq!(gaps(&sum, 11), [], "what is covered now was read with more");
    }

    #[test]
    fn what_is_not_proved_is_asked_for_again_less_and_less_often() {
        let mut sum = Sum {
            asked_from: Some(hour(0)),
            ..Sum::default()
        };
        let given = |from: i64, to| Asked {
            is_contradicted: true,
            as_given_from: Some(hour(from)),
            ..asked(from, to, Purpose::New, None)
        };
        sum.note_contradictions(&[given(0, 10)], TWO_WEEKS, hour(10));
        sum.note_contradictions(&[given(9, 11)], TWO_WEEKS, hour(11));
        assert_eq!((sum.contradictions, sum.unproved.len()), (2, 1));
        assert_eq!(
            sum.unproved[0].asked_at,
            hour(10),
            "the first of both is the one that is due"
        );
        let mut asked_at = Vec::new();
        for now in 11..120 {
            if !sum
                .gaps_to_ask_for(TWO_WEEKS, hour(now))
                .iter()
                .any(|gap| gap.from == hour(0))
            {
                continue;
            }
            asked_at.push(now);
            let gap = Asked {
                is_contradicted: true,
                ..asked(0, 11, Purpose::Gap, None)
            };
            let new = Asked {
                is_done: true,
                ..asked(now - 1, now, Purpose::New, Some(now))
            };
            sum.note_contradictions(&[new, gap], TWO_WEEKS, hour(now));
        }
        assert_eq!(asked_at, [11, 13, 17, 25, 41, 65, 89, 113]);
        assert_eq!(sum.contradictions, 0, "nothing else contradicts itself");
        sum.covered.add(span(0, 11));
        sum.note_contradictions(&[], TWO_WEEKS, hour(120));
        assert_eq!(sum.unproved, []);
    }

    #[test]
    fn what_a_clock_claimed_that_was_ahead_is_taken_back() {
        let mut sum = Sum::default();
        sum.add_covered(&[asked(0, 240, Purpose::New, Some(240))], TWO_WEEKS, hour(240));
        sum.end_at(hour(10));
        assert_eq!(sum.covered.spans().last().map(|span| span.to), Some(hour(10) + TICK));
        assert_eq!(
            sum.claimed_to,
            Some(hour(240)),
            "it is remembered until that time has come"
        );
        sum.end_at(hour(239));
        assert_eq!(sum.claimed_to(), Some(hour(240)));
        sum.end_at(hour(240));
        assert_eq!(sum.claimed_to, None);
    }

    #[test]
    fn a_skipped_day_is_a_gap_whatever_was_known_of_it() {
        let midnight: DateTime<Utc> = "2026-11-20T00:00:00Z".parse().unwrap();
        let around = Window {
            from: midnight - TimeDelta::days(1),
            to: midnight + TimeDelta::days(2),
        };
        let mut one = Asked::new(around, Purpose::Gap);
        one.covered_to = Some(around.to);
        one.skipped.insert(midnight.date_naive());
        let mut sum = Sum::default();
        sum.covered.add(around);
        sum.add_covered(&[one], TWO_WEEKS, around.to);
        let gap = Window {
            from: midnight,
            to: midnight + TimeDelta::days(1),
        };
        assert_eq!(sum.covered.gaps(None, around.to), [gap]);
    }

    #[test]
    fn reconciling_is_due_when_it_was_never_done_or_long_ago_or_by_a_clock_that_was_ahead() {
        let every = TimeDelta::hours(24);
        let after = |from, covered_to| {
            let mut sum = Sum::default();
            sum.note_reconciled(&[asked(from, 0, Purpose::New, covered_to)], hour(0), REACH);
            sum
        };
        assert!(
            after(-1, Some(0)).is_reconciling_due(hour(0), every),
            "a short run is none"
        );
        assert!(after(-48, None).is_reconciling_due(hour(0), every), "it failed");
        let done = after(-36, Some(0));
        for (hours, is_due) in [(0, false), (23, false), (24, true), (-1, true)] {
            assert_eq!(done.is_reconciling_due(hour(hours), every), is_due, "{hours}");
        }
    }

    #[test]
    fn a_reconciling_goes_on_where_it_was_interrupted_and_counts_from_its_start() {
        let mut sum = Sum::default();
        sum.note_reconciled(&[asked(-40, 0, Purpose::Reconcile, Some(-30))], hour(0), REACH);
        let left = sum.reconciling.unwrap();
        assert_eq!((left.at, left.span()), (hour(0), span(-30, 0)));
        assert_eq!(sum.last_reconciled, None);
        sum.note_reconciled(&[asked(-30, 0, Purpose::Reconcile, None)], hour(1), REACH);
        assert_eq!(sum.reconciling, Some(left));
        sum.note_reconciled(&[asked(-30, 0, Purpose::Reconcile, Some(0))], hour(2), REACH);
        assert_eq!((sum.reconciling, sum.last_reconciled), (None, Some(hour(0))));
    }

    #[test]
    fn what_was_read_through_answers_that_lacked_something_is_read_twice_more_and_puts_off_no_reconciling_that_is_due()
    {
        let mut sum = Sum::default();
        let run = |sum: &mut Sum, asked: &[Asked], at| {
            let before = sum.reconciling;
            sum.note_reconciled(asked, hour(at), REACH);
            sum.note_lapses(asked, before, hour(at));
            sum.reconciling.map(|next| (next.span(), next.lapses))
        };
        let lapsed = |from, to, purpose| Asked {
            has_lapsed: true,
            ..asked(from, to, purpose, Some(to))
        };
        assert_eq!(run(&mut sum, &[lapsed(0, 9, Purpose::New)], 9), Some((span(0, 9), 1)));
        let second = [lapsed(9, 10, Purpose::New), lapsed(0, 9, Purpose::Reconcile)];
        assert_eq!(run(&mut sum, &second, 10), Some((span(0, 10), 2)));
        let third = [asked(10, 11, Purpose::New, Some(11)), lapsed(0, 10, Purpose::Reconcile)];
        assert_eq!(
            run(&mut sum, &third, 11),
            None,
            "a service that goes on like that is not asked without end"
        );
        assert_eq!(sum.last_reconciled, None);
        run(&mut sum, &[lapsed(11, 12, Purpose::New)], 12);
        assert_eq!(run(&mut sum, &[asked(11, 12, Purpose::Reconcile, Some(12))], 13), None);
        assert_eq!(sum.last_reconciled, None);
    }

    #[test]
    fn what_a_failed_run_has_not_covered_is_not_read_once_more_but_for_the_first_time() {
        let mut sum = Sum::default();
        let failed = Asked {
            has_lapsed: true,
            ..asked(0, 9, Purpose::New, None)
        };
        sum.note_lapses(&[failed], None, hour(9));
        assert_eq!(sum.reconciling, None);
    }

    proptest! {
        #![proptest_config(cases(256))]

        /// Whatever runs there were, each hour that was to be asked for is covered or in a gap, and no other is.
        #[test]
        fn every_hour_that_was_to_be_asked_for_is_covered_or_in_a_gap(
            runs in prop::collection::vec((0_i64..100, 1_i64..60, prop::option::of(0_i64..60)), 1..8),
        ) {
            let (mut sum, mut covered, mut first) = (Sum::default(), [false; 200], i64::MAX);
            for (from, length, done) in runs {
                let done = done.map(|done| from + done.min(length));
                let asked = [asked(from, from + length, Purpose::Range, done)];
                sum.note_asked(&asked, TWO_WEEKS, hour(200));
                sum.add_covered(&asked, TWO_WEEKS, hour(200));
                first = first.min(from);
                (from..done.unwrap_or(from)).for_each(|hour| covered[hour as usize] = true);
            }
            let gaps = gaps(&sum, 200);
            for at in 0..200 {
                let is_gap = gaps.iter().any(|gap| gap.from <= hour(at) && hour(at + 1) <= gap.to);
                prop_assert_eq!(is_gap, at >= first && !covered[at as usize], "hour {}", at);
            }
        }
    }
}
