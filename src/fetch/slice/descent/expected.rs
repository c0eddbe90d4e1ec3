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
    /// How many of the first of them show that nothing is in between: of those before which some may be missing, where records are out
    /// of order, the next answer can hold one too, although its bound was cut below others.
    telling: usize,
}

impl Expected {
    /// Returns those of an answer up to a time.
    pub(super) fn up_to(answer: &Answer, time: DateTime<Utc>) -> Self {
        let anchors = answer.anchors().iter().rev().filter(|anchor| anchor.time <= time);
        let mut expected = Self::default();
        expected.extend(anchors.copied().take(MOST_ANCHORS));
        expected
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
        let telling = match anchors.partition_point(|anchor| whole_from <= anchor.time) {
            0 => anchors.len(),
            telling => telling,
        };
        Self { anchors, telling }
    }

    /// Adds records, each of which shows as much.
    pub(super) fn extend(&mut self, anchors: impl IntoIterator<Item = Anchor>) {
        self.anchors.extend(anchors);
        self.telling = self.anchors.len();
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
        answer.holds_any(&self.anchors[..self.telling])
    }
}
