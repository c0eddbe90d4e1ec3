//! A survey: the answer for the whole of a long window, of which only the newest records came. The answers for its parts have
//! to hold what it held, and no more of that time.

use chrono::{DateTime, TimeDelta, Utc};

use crate::record::{Anchor, AnchorSet, Record};

#[derive(Debug)]
pub(super) struct Survey {
    given: AnchorSet,
    oldest: DateTime<Utc>,
    settled_to: DateTime<Utc>,
}

/// How a survey and a part of its window differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// The part lacks something, so that it may lack more.
    PartLacks,
    /// The survey lacked something.
    SurveyLacks,
}

impl Survey {
    /// Creates one of the records that came; later ones than `settled_to` may have come to the service after that.
    pub(super) fn new(records: &[Record], settled_to: DateTime<Utc>) -> Self {
        Self {
            given: records.iter().map(Anchor::of).collect(),
            oldest: records.iter().map(|record| record.time).min().unwrap_or(settled_to),
            settled_to,
        }
    }

    /// Compares it with what came for a part of its window, but for what lies closer than `margin` to an end of it.
    pub(super) fn compare(
        &self,
        records: &[Record],
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        margin: TimeDelta,
    ) -> Option<Difference> {
        let (after, before) = (self.oldest.max(from) + margin, self.settled_to.min(to - margin));
        if after >= before {
            return None;
        }
        let is_between = |anchor: &Anchor| after < anchor.time && anchor.time < before;
        let part: AnchorSet = records.iter().map(Anchor::of).filter(is_between).collect();
        let mut given = self.given.iter().filter(|anchor| is_between(anchor));
        if given.any(|anchor| !part.contains(anchor)) {
            Some(Difference::PartLacks)
        } else {
            (!part.is_subset(&self.given)).then_some(Difference::SurveyLacks)
        }
    }
}
