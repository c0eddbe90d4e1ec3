//! What is known below a slice: an answer that holds it has reached down to the end of the slice.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::record::{Anchor, AnchorSet};
use crate::window::floor_to_millisecond;

/// What is known of the records below a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fetch) enum Floor {
    /// Nothing: that no more is left has to be seen several times.
    Open {
        /// Whether nothing asks for the slice again: not the next ones, as long as the service answers for windows so wide.
        /// Until then a slice without records proves nothing, and costs one request.
        is_last: bool,
    },
    /// Nothing yet: the slice before is still being fetched.
    Awaited,
    /// These records, newest first: an answer that reaches down holds one of them.
    Known {
        anchors: Vec<Anchor>,
        /// Whether they are from the archive: the service may have dropped or changed them.
        is_archived: bool,
        /// The records of the newest moment, if all of it was read.
        whole: Option<Arc<AnchorSet>>,
    },
}

impl Floor {
    /// Returns a floor of these records; of none, an open one.
    pub(in crate::fetch) fn of(mut anchors: Vec<Anchor>, is_archived: bool, is_last: bool) -> Self {
        if anchors.is_empty() {
            return Floor::Open { is_last };
        }
        anchors.sort_unstable_by(|one, other| other.cmp(one));
        Floor::Known {
            anchors,
            is_archived,
            whole: None,
        }
    }

    /// Returns it as one whose newest moment has these records and no other, if that is known.
    pub(in crate::fetch) fn with_whole(mut self, of_newest: Option<Arc<AnchorSet>>) -> Self {
        if let Floor::Known { whole, .. } = &mut self {
            *whole = of_newest;
        }
        self
    }

    /// Returns whether all of the newest moment was read, and nothing of it in an answer with these records is new: the answer
    /// that it was read from may have lacked some of it.
    pub(super) fn is_whole_with(&self, answer: &[Anchor]) -> bool {
        let (Floor::Known { whole: Some(whole), .. }, Some(newest)) = (self, self.newest()) else {
            return false;
        };
        let of_newest = |anchor: &&Anchor| floor_to_millisecond(anchor.time) == floor_to_millisecond(newest);
        answer.iter().filter(of_newest).all(|anchor| whole.contains(anchor))
    }

    pub(in crate::fetch) fn is_open(&self) -> bool {
        matches!(self, Floor::Open { .. })
    }

    /// Returns its records.
    pub(super) fn anchors(&self) -> &[Anchor] {
        match self {
            Floor::Known { anchors, .. } => anchors,
            Floor::Open { .. } | Floor::Awaited => &[],
        }
    }

    pub(in crate::fetch) fn newest(&self) -> Option<DateTime<Utc>> {
        self.anchors().first().map(|anchor| anchor.time)
    }

    pub(super) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.anchors().last().map(|anchor| anchor.time)
    }
}
