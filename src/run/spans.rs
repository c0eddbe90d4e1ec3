//! Which spans a run asks for, and in which order: first what is new, then gaps, then what is asked for once more.

use chrono::{DateTime, TimeDelta, Utc};

use super::clocks::Clocks;
use crate::config::Limits;
use crate::coverage::{Asked, Purpose, Reconciling, Sum};
use crate::source::Retention;
use crate::window::{Range, ResolvedRange, TICK, Window, bound};

/// Spans overlap by this much at least, since services cut bounds to whole seconds and exclude them.
const LEAST_JOIN: TimeDelta = TimeDelta::seconds(1);

/// What decides which spans a run asks for.
pub(super) struct Question<'a> {
    /// What the user asked for.
    pub(super) range: Range,
    /// Whether the user asked for reconciling.
    pub(super) reconcile: bool,
    pub(super) limits: &'a Limits,
    pub(super) retention: Retention,
    pub(super) clocks: Clocks,
    /// The time of the archive's last record.
    pub(super) last: Option<DateTime<Utc>>,
    /// Whether another program has deleted its day file since, as it was to.
    pub(super) is_last_deleted: bool,
    /// What the runs before have come to.
    pub(super) sum: &'a Sum,
    /// Whether the journal does not say what of the archive is covered.
    pub(super) is_doubtful: bool,
}

impl Question<'_> {
    /// Returns the spans in the order in which they are asked for.
    pub(super) fn spans(&self) -> Vec<Asked> {
        let new = self.new_span();
        let older = self.older_span();
        let mut spans: Vec<Asked> = new.map(|new| Asked::new(new, Purpose::New)).into_iter().collect();
        if self.asks_for_what_is_new() || self.is_doubtful {
            let gaps = self.gaps(new).into_iter();
            let needed = gaps.filter(|gap| older.as_ref().is_none_or(|older| !older.span().holds(*gap)));
            spans.extend(needed.map(|gap| Asked::new(gap, Purpose::Gap)));
        }
        spans.extend(older);
        match self.sum.expiry_line() {
            Some(line) => spans.into_iter().filter_map(|asked| above(asked, line)).collect(),
            None => spans,
        }
    }

    /// Returns the span from the last record on.
    fn new_span(&self) -> Option<Window> {
        let range = Range {
            since: self
                .range
                .since
                .filter(|since| !self.is_older(*since) && !self.reconcile),
            ..self.range
        };
        // A first run reaches as far back by the earlier clock as by the later one.
        let lookback = self.limits.initial_lookback + self.clocks.distance();
        let last = self.last;
        let shown = || last.map_or_else(|| "none".to_owned(), bound);
        match range.window(self.clocks.later(), last, self.limits.overlap, lookback) {
            ResolvedRange::Window(window) => Some(self.without_what_is_deleted(window)),
            ResolvedRange::StartMoved(window) => {
                tracing::warn!(
                    last_record = shown(),
                    "--since is later than the last record, which would leave a gap: starting before that record"
                );
                Some(window)
            }
            ResolvedRange::Empty { from, to } => {
                if self.older_span().is_none() {
                    tracing::warn!(
                        from = bound(from),
                        to = bound(to),
                        "the range ends before it begins, so there is nothing to fetch; for an older range, add --since"
                    );
                }
                None
            }
        }
    }

    /// Returns a span without what was archived and is deleted: filed again, it would be deleted again.
    fn without_what_is_deleted(&self, window: Window) -> Window {
        let deleted_to = self.last.filter(|_| self.is_last_deleted && self.range.since.is_none());
        match deleted_to.filter(|last| window.from <= *last && *last < window.to) {
            Some(last) => Window::new(last + TICK, window.to),
            None => window,
        }
    }

    /// Returns the span before the last record that is asked for beside the gaps.
    fn older_span(&self) -> Option<Asked> {
        let (since, purpose) = match self.range.since {
            Some(since) if self.reconcile => (since, Purpose::Reconcile),
            Some(since) => (since, Purpose::Range),
            None if self.is_reconciling() => (self.reach(), Purpose::Reconcile),
            None => {
                return self
                    .reconciling()
                    .map(|begun| Asked::new(begun.span(), Purpose::Reconcile));
            }
        };
        let until = self.range.until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let to = until.min(self.new_begins()? + self.join());
        (self.is_older(since) && since <= to).then(|| Asked::new(Window::new(since, to), purpose))
    }

    /// Returns the reconciling that an earlier run began and this one goes on with.
    fn reconciling(&self) -> Option<Reconciling> {
        self.sum.reconciling.filter(|_| self.asks_for_what_is_new())
    }

    /// Whether a reconciling begins: the user asked for it, or it is due.
    fn is_reconciling(&self) -> bool {
        let is_due = |every| self.sum.is_reconciling_due(self.clocks.ours(), every);
        let is_due = self.asks_for_what_is_new() && self.limits.reconcile_every.is_some_and(is_due);
        self.reconcile || (is_due && self.sum.reconciling.is_none())
    }

    /// Returns where a reconciling begins.
    fn reach(&self) -> DateTime<Utc> {
        self.clocks.service() - self.limits.reconcile_reach
    }

    /// Returns the gaps before the new span that the service still has, oldest first, reaching beyond both of their ends.
    fn gaps(&self, new: Option<Window>) -> Vec<Window> {
        let now = self.clocks.service();
        let end = new.map(|new| new.from).or(self.last).unwrap_or(now);
        let gaps = self.sum.gaps_to_ask_for(self.retention, now).into_iter();
        gaps.filter(|gap| !gap.is_gone && gap.from < end)
            .map(|gap| {
                let to = (gap.to.min(end) + self.join()).min(now);
                Window::new(gap.from - self.join(), to.max(gap.from))
            })
            .collect()
    }

    /// Whether a time lies before what an ordinary run asks for.
    fn is_older(&self, time: DateTime<Utc>) -> bool {
        self.new_begins().is_some_and(|begins| time < begins)
    }

    /// Returns where an ordinary run begins, if there is a record.
    fn new_begins(&self) -> Option<DateTime<Utc>> {
        self.last.map(|last| last - self.limits.overlap)
    }

    /// Returns by how much spans overlap.
    fn join(&self) -> TimeDelta {
        self.limits.overlap.max(LEAST_JOIN)
    }

    /// Returns whether no range was given.
    fn asks_for_what_is_new(&self) -> bool {
        self.range == Range::default() && !self.reconcile
    }
}

/// Returns what of a span lies above the expiry line; `None` if nothing does.
fn above(mut asked: Asked, line: DateTime<Utc>) -> Option<Asked> {
    if asked.from < line && asked.purpose == Purpose::Range {
        tracing::warn!(
            expired_to = bound(line),
            "days were deleted for their age: nothing before that is asked for"
        );
    }
    asked.from = asked.from.max(line);
    (asked.from < asked.to).then_some(asked)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::coverage::Entry;

    const RETENTION: Retention = Retention {
        days: 14,
        is_documented: true,
    };

    fn limits() -> Limits {
        Limits {
            max_pages: 20,
            overlap: TimeDelta::minutes(2),
            concurrency: 1,
            max_retries: 0,
            retry_delay: Duration::ZERO,
            request_timeout: Duration::from_secs(1),
            initial_lookback: TimeDelta::hours(24),
            reconcile_every: None,
            reconcile_reach: TimeDelta::hours(36),
        }
    }

    /// So many minutes before the run.
    fn ago(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) - TimeDelta::minutes(minutes)
    }

    fn covered(from: i64, to: i64) -> Sum {
        let mut sum = Sum {
            asked_from: Some(ago(from)),
            ..Sum::default()
        };
        sum.covered.add(Window::new(ago(from), ago(to)));
        sum
    }

    /// The purposes of the spans, and how many minutes ago they begin and end.
    fn spans(adjust: impl FnOnce(&mut Question<'_>), sum: &Sum, limits: &Limits) -> Vec<(Purpose, i64, i64)> {
        let mut question = Question {
            range: Range::default(),
            reconcile: false,
            limits,
            retention: RETENTION,
            clocks: Clocks::same(ago(0)),
            last: Some(ago(10)),
            is_last_deleted: false,
            sum,
            is_doubtful: false,
        };
        adjust(&mut question);
        let spans = question.spans().into_iter();
        let minutes = |time: DateTime<Utc>| (ago(0) - time).num_minutes();
        spans
            .map(|asked| (asked.purpose, minutes(asked.from), minutes(asked.to)))
            .collect()
    }

    #[test]
    fn a_first_run_looks_back_and_the_next_one_asks_from_the_last_record_on() {
        let (none, limits) = (Sum::default(), limits());
        assert_eq!(
            spans(|run| run.last = None, &none, &limits),
            [(Purpose::New, 24 * 60, 0)]
        );
        let sum = covered(24 * 60, 10);
        assert_eq!(spans(|_| {}, &sum, &limits), [(Purpose::New, 12, 0)]);
    }

    #[test]
    fn gaps_come_after_what_is_new_and_reach_beyond_their_ends() {
        let mut sum = covered(900, 800);
        sum.covered.add(Window::new(ago(700), ago(600)));
        let limits = limits();
        let expected = [
            (Purpose::New, 12, 0),
            (Purpose::Gap, 802, 698),
            // Up to what is asked for anyway.
            (Purpose::Gap, 602, 10),
        ];
        assert_eq!(spans(|_| {}, &sum, &limits), expected);
        let range = |run: &mut Question<'_>| run.range.until = Some(ago(20));
        assert_eq!(
            spans(range, &sum, &limits),
            [],
            "a range that ends in the past is all that is asked for"
        );
        let doubtful = |run: &mut Question<'_>| {
            run.range.until = Some(ago(20));
            run.is_doubtful = true;
        };
        let gaps = spans(doubtful, &sum, &limits);
        assert_eq!(
            gaps,
            [(Purpose::Gap, 802, 698), (Purpose::Gap, 602, 8)],
            "but where nothing is known"
        );
    }

    #[test]
    fn a_range_is_asked_for_up_to_the_last_record_after_what_is_new() {
        let (sum, limits) = (covered(24 * 60, 10), limits());
        let since = |minutes| move |run: &mut Question<'_>| run.range.since = Some(ago(minutes));
        assert_eq!(
            spans(since(500), &sum, &limits),
            [(Purpose::New, 12, 0), (Purpose::Range, 500, 10)]
        );
        assert_eq!(spans(since(11), &sum, &limits), [(Purpose::New, 11, 0)]);
        assert_eq!(
            spans(since(5), &sum, &limits),
            [(Purpose::New, 12, 0)],
            "it leaves no gap"
        );
        let between = |run: &mut Question<'_>| {
            run.range = Range {
                since: Some(ago(500)),
                until: Some(ago(400)),
            };
        };
        assert_eq!(spans(between, &sum, &limits), [(Purpose::Range, 500, 400)]);
    }

    #[test]
    fn nothing_below_the_expiry_line_is_asked_for() {
        let day = ago(2_000).date_naive();
        let mut sum = covered(9_000, 8_000);
        sum.expire(day);
        let line = (ago(0) - sum.expiry_line().unwrap()).num_minutes();
        let limits = limits();
        let expected = [(Purpose::New, 12, 0), (Purpose::Gap, line, 10)];
        assert_eq!(spans(|_| {}, &sum, &limits), expected);
        let since = |run: &mut Question<'_>| run.range.since = Some(ago(5_000));
        assert_eq!(spans(since, &sum, &limits)[1], (Purpose::Range, line, 10));
        let reconcile = |run: &mut Question<'_>| (run.reconcile, run.range.since) = (true, Some(ago(5_000)));
        assert_eq!(spans(reconcile, &sum, &limits)[1], (Purpose::Reconcile, line, 10));
        let below = |run: &mut Question<'_>| run.last = Some(ago(6_000));
        assert_eq!(spans(below, &sum, &limits)[0], (Purpose::New, line, 0));
    }

    #[test]
    fn a_gap_that_a_range_holds_is_asked_for_once() {
        let mut sum = covered(900, 800);
        sum.covered.add(Window::new(ago(700), ago(10)));
        let limits = limits();
        let wide = |run: &mut Question<'_>| {
            run.range.since = Some(ago(2_000));
            run.is_doubtful = true;
        };
        assert_eq!(
            spans(wide, &sum, &limits),
            [(Purpose::New, 12, 0), (Purpose::Range, 2_000, 10)]
        );
    }

    #[test]
    fn a_reconciling_comes_last_when_it_is_due_and_goes_on_where_it_was_interrupted() {
        let mut limits = limits();
        limits.reconcile_every = Some(TimeDelta::hours(24));
        let mut sum = covered(5 * 24 * 60, 10);
        let due = [(Purpose::New, 12, 0), (Purpose::Reconcile, 36 * 60, 10)];
        assert_eq!(spans(|_| {}, &sum, &limits), due);
        sum.last_reconciled = Some(ago(60));
        assert_eq!(spans(|_| {}, &sum, &limits), due[..1]);
        sum.reconciling = Some(Reconciling {
            at: ago(30),
            from: ago(300),
            to: ago(40),
            lapses: 0,
        });
        assert_eq!(spans(|_| {}, &sum, &limits), [due[0], (Purpose::Reconcile, 300, 40)]);
        let asked = spans(|run| run.reconcile = true, &sum, &limits);
        assert_eq!(asked, due, "whoever asks for it gets all of it");
    }

    #[test]
    fn what_a_run_asks_for_it_covers_without_a_gap() {
        // The journal of a run that did all of it has no gap but from its end on.
        let mut sum = covered(900, 800);
        let limits = limits();
        for _ in 0..2 {
            let question = Question {
                range: Range::default(),
                reconcile: false,
                limits: &limits,
                retention: RETENTION,
                clocks: Clocks::same(ago(0)),
                last: Some(ago(10)),
                is_last_deleted: false,
                sum: &sum,
                is_doubtful: false,
            };
            let mut entry = Entry::new(ago(0), crate::coverage::Scope::sample(), sum.clone());
            entry.asked = question.spans();
            for asked in &mut entry.asked {
                asked.covered_to = Some(asked.to);
            }
            entry.add_up(RETENTION, limits.reconcile_reach);
            sum = entry.sum;
            assert_eq!(sum.gaps(RETENTION, ago(0)), []);
        }
    }
}
