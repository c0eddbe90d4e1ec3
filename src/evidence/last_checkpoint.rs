//! What was signed last, on a machine that signs what has grown out of that, and nothing else: a witness, or the key of a log that is
//! kept elsewhere.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::folder::{Folder, read_text};
use super::log::{LogError, lock};
use super::signing_request::RequestError;
use crate::archive::Lock;
use crate::fs::{FileError, list, make_folder, remove, replace};

/// Mode of the state.
const MODE: u32 = 0o640;

/// The checkpoint that was signed last, as it was given away.
const LAST: &str = "last-checkpoint";

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{0} holds no log with a checkpoint")]
    NoLog(String),
    #[error("nothing is signed: the checkpoint is not believed: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("nothing is signed: {0}")]
    Request(#[from] RequestError),
    #[error("nothing is signed: the entries in {0} are not those of its checkpoint")]
    NotAsSigned(String),
    #[error(
        "{0} has no checkpoint that was signed before: the first one is signed on faith, once, with --first; if that state is lost, find \
         out what was signed last"
    )]
    NoState(String),
    #[error("{0} has a checkpoint that was signed before: --first is for the first time")]
    Begun(String),
    #[error("the last checkpoint in {0} cannot be read: nothing is signed")]
    State(String),
    #[error("nothing is signed: the log that was signed before is {known}, and this is {found}")]
    OtherLog { known: String, found: String },
    #[error(
        "nothing is signed: {signed} entries were signed before, and the log has {size}: it was cut off, or is an old copy"
    )]
    Older { signed: u64, size: u64 },
    #[error(
        "nothing is signed: the first {signed} entries are not those that were signed before: the log has another history. Keep \
         {state}, which shows it"
    )]
    Fork { signed: u64, state: String },
    #[error(
        "nothing is signed: {signed} entries were signed before, and the request shows how the log has grown out of its first {old}: ask \
         for `evidence request --old {signed}`"
    )]
    OtherOld { signed: u64, old: u64 },
}

impl WitnessError {
    /// Whether the log is not what it should be.
    pub(crate) fn is_of_the_log(&self) -> bool {
        match self {
            Self::Request(error) => error.is_of_the_log(),
            Self::File(_) | Self::Log(_) | Self::Begun(_) => false,
            _ => true,
        }
    }
}

/// A checkpoint that was signed.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint with its signatures.
    pub(crate) note: String,
}

/// Removes what a kill has left of a checkpoint that was about to take its place: nobody was given that.
fn remove_left_over(state: &Path) -> Result<(), FileError> {
    for name in list(state)? {
        let shown = name.to_string_lossy();
        if shown.starts_with(&format!(".{LAST}.")) && shown.ends_with(".new") {
            remove(&state.join(&name))?;
        }
    }
    Ok(())
}

/// The checkpoint that was signed last, as long as nobody else signs with this state.
pub(super) struct LastCheckpoint {
    path: PathBuf,
    last: Option<Checkpoint>,
    _lock: Lock,
}

impl LastCheckpoint {
    /// Reads it from a folder, which is made if it is missing. There is none the first time, and only then.
    ///
    /// # Errors
    /// If there is none, or one the first time, or it cannot be read.
    pub(super) fn open(state: &Path, is_first: bool, now: DateTime<Utc>) -> Result<Self, WitnessError> {
        make_folder(state)?;
        let lock = lock(&Folder::new(state), now)?;
        remove_left_over(state)?;
        let path = state.join(LAST);
        let last = match (read_text(&path)?, is_first) {
            (None, false) => return Err(WitnessError::NoState(state.display().to_string())),
            (Some(_), true) => return Err(WitnessError::Begun(state.display().to_string())),
            (None, true) => None,
            (Some(last), false) => Some(Checkpoint::unverified(&last).ok_or_else(|| {
                let path = path.display().to_string();
                WitnessError::State(path)
            })?),
        };
        Ok(Self {
            path,
            last,
            _lock: lock,
        })
    }

    /// Returns how many entries were signed.
    pub(super) fn size(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.size)
    }

    /// Checks that a checkpoint is of the same log, not an older one, and has grown out of it as `has_grown` says.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn check(
        &self,
        next: &Checkpoint,
        has_grown: impl FnOnce(&Checkpoint) -> bool,
    ) -> Result<(), WitnessError> {
        let Some(last) = &self.last else { return Ok(()) };
        if last.origin != next.origin {
            return Err(WitnessError::OtherLog {
                known: last.origin.clone(),
                found: next.origin.clone(),
            });
        }
        if last.size > next.size {
            return Err(WitnessError::Older {
                signed: last.size,
                size: next.size,
            });
        }
        if has_grown(last) {
            return Ok(());
        }
        Err(WitnessError::Fork {
            signed: last.size,
            state: self.path.display().to_string(),
        })
    }

    /// Keeps what is signed now, before anybody gets it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn keep(&self, note: &str) -> Result<(), FileError> {
        replace(&self.path, MODE, note.as_bytes())
    }
}
