//! Where lines go: what a sink takes, and what it says came of it.

use std::time::Duration;

use super::batch::Batch;
use super::cursor::{CursorError, CursorState, Positions};
use super::undelivered::Undelivered;
use crate::archive::WriteError;

/// How long a sink may still take to confirm what is out when a shutdown is asked for.
pub(super) const AFTER_STOP: Duration = Duration::from_secs(5);

/// Takes batches in order and confirms them in order. It is used by one thread, which it may block.
pub(crate) trait Sink: Send {
    /// How many batches it works on at a time, at least 1.
    fn depth(&self) -> usize {
        1
    }

    /// The cursor to go on from, given the one that the archive keeps; asked once, before any batch. A sink that keeps
    /// one itself knows better where the archive's is provisional: then it only says where to begin. It also sees to it
    /// that its own can be right, see [`Positions::repair`].
    ///
    /// # Errors
    /// The sink cannot be reached, or does not know.
    fn restore(&mut self, local: &CursorState) -> Result<Positions, SinkError> {
        Ok(local.positions.clone())
    }

    /// Hands a batch over; what becomes of it says [`Sink::next_ack`].
    fn send(&mut self, batch: Batch);

    /// Waits until it is known what became of the oldest batch that was handed over.
    ///
    /// Lines that the sink will never take are kept as undelivered before it says that they are done.
    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck;
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct BatchAck {
    /// The batch.
    pub(crate) batch: Batch,
    /// How many of its lines, from the first on, are done: confirmed, or kept as undelivered.
    pub(crate) done: usize,
    /// How many of those were kept as undelivered.
    pub(crate) undelivered: u64,
    /// Why it is not all of them; then the sink takes nothing more.
    pub(crate) failure: Option<SinkError>,
}

impl BatchAck {
    /// All of it was confirmed.
    #[must_use]
    pub(crate) fn whole(batch: Batch, undelivered: u64) -> Self {
        Self {
            done: batch.lines.len(),
            batch,
            undelivered,
            failure: None,
        }
    }
}

/// Why lines were not forwarded. They stay in the day files, and the next run goes on with them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// The sink refused or could not be reached; the text is its own reason.
    #[error("{0}")]
    Refused(String),
    /// Another program forwards with the same transactional id.
    #[error(
        "another program has begun to forward with the transactional id `{id}`, so this one stopped: {reason}; \
             let only one run at a time, or give each archive an id of its own"
    )]
    Fenced {
        /// The id.
        id: String,
        /// The broker's words.
        reason: String,
    },
    /// Somebody asked the program to end.
    #[error("ended before everything was sent, as was asked for")]
    Stopped,
    /// Nobody reads any more.
    #[error("the reader has gone away")]
    Closed,
    /// A line could not be kept as undelivered.
    #[error(transparent)]
    Aside(#[from] WriteError),
    /// The cursor could not be read or written.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}
