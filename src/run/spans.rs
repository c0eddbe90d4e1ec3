//! Which spans a run asks for, and in which order: first what is new, then gaps, then what is asked for once more.

use chrono::{DateTime, TimeDelta, Utc};

use super::clocks::Clocks;
use crate::config::Limits;
use crate::coverage::{Asked, Purpose, Reconciling, Sum};
use crate::source::Retention;
use crate::window::{Range, ResolvedRange, Window, bound};

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
            let needed = gaps.filter(|gap| older.as_ref().is_none_or(|older| !holds(older, *gap)));
            spans.extend(needed.map(|gap| Asked::new(gap, Purpose::Gap)));
        }
        spans.extend(older);
        spans
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
            ResolvedRange::Window(window) => Some(window),
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

fn holds(asked: &Asked, span: Window) -> bool {
    asked.from <= span.from && span.to <= asked.to
}
