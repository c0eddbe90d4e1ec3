//! What a member tells of itself, for metrics and health.

use std::collections::BTreeSet;

use crate::run::follow::RunReport;

/// What has happened.
#[derive(Debug)]
pub(crate) enum News {
    /// The topics are as they have to be, and the group is joined, by this name.
    Joined {
        /// The name of the member, which it has made up.
        member: String,
    },
    /// The member has so many buckets, with these streams.
    Holds {
        /// How many.
        buckets: usize,
        /// By their names in all that is shown.
        streams: BTreeSet<&'static str>,
    },
    /// A bucket was taken over.
    TakenOver,
    /// Another member has taken a bucket over.
    Fenced,
    /// A bucket cannot be taken over, or not be kept.
    Failed,
    /// A stream has made a run.
    Ran(Box<RunReport>),
}
