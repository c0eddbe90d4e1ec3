//! The sessions of streams between the rounds of a process: a new one takes connections, and Kafka some requests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::client::Session;
use super::cursors::Cursors;
use super::limits::Limits;
use crate::forward::position::Positions;
use crate::process::shutdown::Shutdown;

/// After this time the session is begun anew, so that the cursor is committed again before it expires: by default after a week.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The sessions that nobody uses; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<BTreeMap<&'static str, Kept>>>);

/// A session without lines in flight, and without an open transaction.
pub(super) struct Kept {
    pub(super) session: Session,
    /// What is known of the topic.
    pub(super) limits: Limits,
    /// The cursor in Kafka, if it has one.
    pub(super) cursor: Option<KeptCursor>,
}

pub(super) struct KeptCursor {
    pub(super) cursors: Cursors,
    pub(super) committed: Positions,
}

impl Pool {
    /// Takes the session of a stream, if it has not failed meanwhile.
    pub(super) fn take(&self, stream: &'static str, shutdown: &Shutdown) -> Option<Kept> {
        let mut kept = self.lock().remove(stream)?;
        let is_young = kept.cursor.is_none() || kept.session.begun.elapsed() < LONGEST_LIFE;
        (is_young && kept.session.take_up(shutdown)).then_some(kept)
    }

    pub(super) fn keep(&self, stream: &'static str, kept: Kept) {
        kept.session.reports.rest();
        self.lock().insert(stream, kept);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Kept>> {
        // A panic while it was held cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().keys()).finish()
    }
}
