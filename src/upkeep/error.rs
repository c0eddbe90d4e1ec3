//! Why days are not packed or deleted.

use crate::archive::{ExpireError, HoldsError, LockError, PackError, WriteError};
use crate::evidence::keeper::KeeperError;
use crate::forward::cursor::CursorError;
use crate::fs::FileError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum UpkeepError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Holds(#[from] HoldsError),
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error(transparent)]
    Evidence(#[from] KeeperError),
    #[error(transparent)]
    Journal(#[from] WriteError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("{day}: {error}")]
    OfDay { day: String, error: Box<UpkeepError> },
    /// A file cannot be read, and it would be the next to be deleted.
    #[error("nothing is deleted, since {0}")]
    Unread(FileError),
    #[error("nothing is deleted, since {0}")]
    Doubt(String),
    #[error(
        "nothing is deleted, since the journal says that this archive is sealed, and sealing is off: set EVIDENCE_FOLDER as runs have \
         it, or, if it is not sealed any more, run `trailkeeper expire --unsealed` once"
    )]
    Unsealed,
    /// Something speaks against deleting a day that nobody knew before.
    #[error("it stays, and all after it: {0}")]
    Stays(String),
    #[error(
        "nothing is deleted, since the journal has no line of this stream: run collect first, or archive in a fleet"
    )]
    NoLine,
}

impl UpkeepError {
    /// Names the day that it is about.
    pub(crate) fn of(day: impl Into<String>, error: impl Into<Self>) -> Self {
        Self::OfDay {
            day: day.into(),
            error: Box::new(error.into()),
        }
    }

    /// Returns whether another process holds what is needed, which may be tried again.
    pub(crate) fn is_held(&self) -> bool {
        match self {
            Self::Lock(error) => error.is_held(),
            Self::Holds(error) => error.is_held(),
            Self::Evidence(error) => error.is_held(),
            Self::OfDay { error, .. } => error.is_held(),
            _ => false,
        }
    }
}

impl From<ExpireError> for UpkeepError {
    fn from(error: ExpireError) -> Self {
        match error {
            ExpireError::File(error) => error.into(),
            ExpireError::Lock(error) => error.into(),
            ExpireError::Changed { .. } => Self::Stays(error.to_string()),
        }
    }
}
