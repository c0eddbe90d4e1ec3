//! The interface of sinks: they take batches and acknowledge them.

use std::time::Duration;

use super::batch::Batch;
use super::cursor::CursorError;
use super::position::Positions;
use super::undelivered::Undelivered;
use crate::archive::WriteError;

/// How long a sink may wait for acknowledgements after a shutdown is requested.
pub(super) const AFTER_STOP: Duration = Duration::from_secs(5);

/// Takes batches in order and acknowledges them in order. It is used by one thread, which it may block.
pub(crate) trait Sink: Send {
    /// Returns how many batches may be in flight, at least 1.
    fn depth(&self) -> usize {
        1
    }

    /// Returns the cursor to go on from, or `None` if there is none; `local` is what is known without the sink. Called once,
    /// before any batch. A sink with a cursor of its own prefers that to one that only says where to start, and compares it
    /// with the day files, see [`Positions::compare`].
    ///
    /// # Errors
    /// If the sink cannot be reached, does not know, or has a cursor that does not agree with the day files.
    fn restore(&mut self, local: &LocalCursor) -> Result<Option<Positions>, SinkError> {
        Ok(local.positions().cloned())
    }

    /// Sends a batch; [`Sink::next_ack`] returns what became of it.
    fn send(&mut self, batch: Batch);

    /// Waits for the acknowledgement of the oldest batch in flight.
    ///
    /// Lines that the sink will never take are written to the undelivered file before they count as done.
    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck;

    /// Ends, and keeps what another round of this process can go on with.
    fn end(self: Box<Self>) {}
}

/// The cursor as it is known without asking the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocalCursor {
    /// What the sink has acknowledged.
    Acknowledged {
        positions: Positions,
        /// Where this run was told to start, with `--forward-from`: for a sink whose own cursor is not to be used.
        chosen: Option<Positions>,
    },
    /// Where to start.
    Start {
        positions: Positions,
        /// Whether this run was told so, with `--forward-from`.
        is_chosen: bool,
    },
    /// There is none, and there are lines.
    Missing,
}

impl LocalCursor {
    /// Returns its positions, if there is one.
    #[must_use]
    pub(crate) fn positions(&self) -> Option<&Positions> {
        match self {
            Self::Acknowledged { positions, .. } | Self::Start { positions, .. } => Some(positions),
            Self::Missing => None,
        }
    }

    /// Returns where this run was told to start, if it was.
    #[must_use]
    pub(crate) fn chosen(&self) -> Option<&Positions> {
        match self {
            Self::Acknowledged { chosen, .. } => chosen.as_ref(),
            Self::Start { positions, is_chosen } => is_chosen.then_some(positions),
            Self::Missing => None,
        }
    }
}

/// The acknowledgement of a batch.
#[derive(Debug)]
pub(crate) struct BatchAck {
    pub(crate) batch: Batch,
    /// Number of its first lines that are done: acknowledged, or kept in the undelivered file.
    pub(crate) done: usize,
    /// Why not all lines are done; the sink then takes no more batches.
    pub(crate) failure: Option<SinkError>,
}

impl BatchAck {
    /// Returns the acknowledgement of a whole batch.
    #[must_use]
    pub(crate) fn whole(batch: Batch) -> Self {
        Self {
            done: batch.lines.len(),
            batch,
            failure: None,
        }
    }
}

/// Why lines were not forwarded. They stay in the day files, and the next run sends them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// The sink refused them or could not be reached; the text is the reason.
    #[error("{0}")]
    Refused(String),
    /// Another program forwards with the same transactional id.
    #[error(
        "another program began to forward with the transactional id `{id}`, so this one stopped: {reason}; \
             run only one at a time, or give each archive its own id"
    )]
    Fenced {
        id: String,
        /// The reason of the broker.
        reason: String,
    },
    /// A shutdown was requested.
    #[error("stopped on request before everything was sent")]
    Stopped,
    /// The reader of standard output is gone.
    #[error("the reader closed standard output")]
    Closed,
    /// A line could not be written to the undelivered file.
    #[error(transparent)]
    Undelivered(#[from] WriteError),
    /// The cursor could not be read or written.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}
