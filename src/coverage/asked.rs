//! A span that a run asks for, why, and how far it came.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use crate::window::{Window, floor_to_millisecond};

/// A span that a run asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Start of the span.
    pub(crate) from: DateTime<Utc>,
    /// End of the span.
    pub(crate) to: DateTime<Utc>,
    /// Why.
    pub(crate) purpose: Purpose,
    /// Up to where everything was asked for and filed; `None` if nothing was.
    pub(crate) covered_to: Option<DateTime<Utc>>,
    /// Whether it was asked for to its end.
    pub(crate) is_done: bool,
    /// Days in it whose file could not be read or written: nothing of them is covered.
    pub(crate) skipped: BTreeSet<NaiveDate>,
    /// Whether answers contradicted each other.
    pub(crate) is_contradicted: bool,
    /// Whether answers lacked records that others to the same request held: a later run reads it once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_lapsed: bool,
    /// From where on it was filed as the service gave it, although its answers contradict each other.
    pub(crate) as_given_from: Option<DateTime<Utc>>,
    /// Why it was not asked for to its end.
    pub(crate) error: Option<String>,
}

/// Why a span is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Purpose {
    /// It is what came since the last record.
    New,
    /// No run has covered it.
    Gap,
    /// The user asked for it.
    Range,
    /// It is asked for once more, for records that came late, or that answers lacked.
    Reconcile,
}

impl Asked {
    /// Creates a span of which nothing has been asked for yet.
    pub(crate) fn new(span: Window, purpose: Purpose) -> Self {
        Self {
            from: span.from,
            to: span.to,
            purpose,
            covered_to: None,
            is_done: false,
            skipped: BTreeSet::new(),
            is_contradicted: false,
            has_lapsed: false,
            as_given_from: None,
            error: None,
        }
    }

    pub(crate) fn span(&self) -> Window {
        Window {
            from: self.from,
            to: self.to,
        }
    }

    /// Returns whether it is what is new, and has not been read up to this time.
    pub(crate) fn is_being_read_at(&self, time: DateTime<Utc>) -> bool {
        let is_read = self.is_done || self.covered_to.is_some_and(|to| time <= to);
        self.purpose == Purpose::New && self.from <= time && time <= self.to && !is_read
    }

    /// Returns the part of it that was asked for and filed, but for the skipped days.
    pub(super) fn covered(&self) -> Option<Window> {
        self.covered_to.map(|to| Window { from: self.from, to })
    }

    /// Returns whether all of it was asked for, proved and filed.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_done && self.skipped.is_empty() && self.as_given_from.is_none()
    }

    /// Returns the skipped days as spans.
    pub(super) fn skipped_spans(&self) -> impl Iterator<Item = Window> + '_ {
        self.skipped.iter().map(|day| day_span(*day))
    }
}

/// Returns the span from the oldest to the newest time of these, but for gaps.
pub(crate) fn window(asked: &[Asked]) -> Option<Window> {
    let spans = asked.iter().filter(|asked| asked.purpose != Purpose::Gap);
    spans.map(Asked::span).reduce(|one, other| Window {
        from: one.from.min(other.from),
        to: one.to.max(other.to),
    })
}

/// Claims to have covered no time after this one, which had not come yet for the service.
pub(crate) fn claim_nothing_after(asked: &mut [Asked], time: DateTime<Utc>) {
    let time = floor_to_millisecond(time);
    for covered_to in asked.iter_mut().filter_map(|asked| asked.covered_to.as_mut()) {
        *covered_to = time.min(*covered_to);
    }
}

/// Returns a UTC day.
pub(crate) fn day_span(day: NaiveDate) -> Window {
    Window {
        from: start_of(day),
        to: start_of(day.checked_add_days(Days::new(1)).unwrap_or(day)),
    }
}

/// Returns when a UTC day begins.
pub(super) fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
