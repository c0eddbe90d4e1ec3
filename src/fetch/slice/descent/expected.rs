//! What the next answer of a slice has to hold, so that nothing is between it and the one before.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::fetch::answer::Answer;
use crate::record::Anchor;

/// The most records that are remembered.
pub(in crate::fetch::slice) const MOST_ANCHORS: usize = 128;

/// Records that were given, of which the next answer has to hold some.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    anchors: Vec<Anchor>,
    /// From when on there are no others, where records are out of order. One that is older can be in the next answer too, although
    /// some are between the two, where the service has cut the bound.
    whole_from: Option<DateTime<Utc>>,
}

impl Expected {
    /// Returns those of an answer up to a time.
    pub(super) fn up_to(answer: &Answer, time: DateTime<Utc>) -> Self {
        let anchors = answer.anchors().iter().rev().filter(|anchor| anchor.time <= time);
        Self {
            anchors: anchors.copied().take(MOST_ANCHORS).collect(),
            whole_from: None,
        }
    }

    /// Returns those of these records up to a time, of which there are no others from another time on: what is older is out of
    /// order.
    pub(super) fn out_of_order(
        records: impl Iterator<Item = Anchor>,
        time: DateTime<Utc>,
        whole_from: DateTime<Utc>,
    ) -> Self {
        let mut anchors: Vec<_> = records.filter(|anchor| anchor.time <= time).collect();
        anchors.sort_unstable_by_key(|anchor| Reverse(anchor.time));
        anchors.truncate(MOST_ANCHORS);
        Self {
            anchors,
            whole_from: Some(whole_from),
        }
    }

    /// Adds records of another answer.
    pub(super) fn extend(&mut self, anchors: &[Anchor]) {
        self.anchors.extend(anchors);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    pub(super) fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Returns the time of the newest.
    pub(super) fn newest(&self) -> Option<DateTime<Utc>> {
        self.anchors.iter().map(|anchor| anchor.time).max()
    }

    /// Returns whether an answer holds what shows that nothing is between it and the one before.
    pub(super) fn are_shown_by(&self, answer: &Answer) -> bool {
        let is_telling = |anchor: &&Anchor| self.whole_from.is_none_or(|whole_from| whole_from <= anchor.time);
        let telling: Vec<_> = self.anchors.iter().filter(is_telling).copied().collect();
        answer.holds_any(if telling.is_empty() { &self.anchors } else { &telling })
    }
}
