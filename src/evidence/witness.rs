//! A witness (C2SP `tlog-cosignature`): it keeps the last checkpoint that it has signed, and signs the next one only if the log has
//! grown out of that.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::folder::{Folder, read_text};
use super::log::{LogError, lock};
use super::log_copy::LogCopy;
use super::note::Note;
use super::policy::Policy;
use super::signer::Signer;
use super::tree::root;
use crate::fs::{FileError, make_folder, replace};

/// Mode of the state of a witness.
const MODE: u32 = 0o640;

/// The checkpoint that was signed last, as it was given away.
const LAST: &str = "last-checkpoint";

/// Why a witness signs nothing.
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
    #[error("nothing is signed: the entries in {0} are not those of its checkpoint")]
    NotAsSigned(String),
    #[error(
        "{0} has no checkpoint that was signed before: the first one is signed on faith, once, with --first; if the witness has lost \
         its state, find out what it signed last"
    )]
    NoState(String),
    #[error("{0} has a checkpoint that was signed before: --first is for a new witness")]
    Begun(String),
    #[error("the last checkpoint in {0} cannot be read: nothing is signed")]
    State(String),
    #[error("nothing is signed: this witness is for the log {known}, and this is {found}")]
    OtherLog { known: String, found: String },
    #[error(
        "nothing is signed: this witness has signed {signed} entries, and the log has {size}: it was cut off, or is an old copy"
    )]
    Older { signed: u64, size: u64 },
    #[error(
        "nothing is signed: the first {signed} entries are not those that this witness has signed: the log has another history. Keep \
         {state}, which shows it"
    )]
    Fork { signed: u64, state: String },
}

impl WitnessError {
    /// Whether the log is not what it should be.
    pub(crate) fn is_of_the_log(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Log(_) | Self::Begun(_))
    }
}

/// A checkpoint that a witness has signed.
#[derive(Debug)]
pub(crate) struct Cosigned {
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint with the signatures of the log and of the witness.
    pub(crate) note: String,
}

/// Signs the newest checkpoint of a log, if it is consistent with the one that was signed last. What is signed is on disk before
/// anybody gets it.
///
/// # Errors
/// If it is not, or something cannot be read or written.
pub(crate) fn cosign(
    log: &Path,
    policy: &Policy,
    signer: &Signer,
    (state, is_first): (&Path, bool),
    now: DateTime<Utc>,
) -> Result<Cosigned, WitnessError> {
    let shown = || log.display().to_string();
    let copy = LogCopy::read(log)?.ok_or_else(|| WitnessError::NoLog(shown()))?;
    let (checkpoint, _) = Checkpoint::verify(&copy.checkpoint, policy.logs())?;
    let leaves = copy.leaves(checkpoint.size)?;
    let leaves = leaves.filter(|leaves| root(leaves) == checkpoint.root);
    let leaves = leaves.ok_or_else(|| WitnessError::NotAsSigned(shown()))?;
    make_folder(state)?;
    let _lock = lock(&Folder::new(state), now)?;
    let path = state.join(LAST);
    let shown = || path.display().to_string();
    match (read_text(&path)?, is_first) {
        (None, false) => return Err(WitnessError::NoState(state.display().to_string())),
        (Some(_), true) => return Err(WitnessError::Begun(state.display().to_string())),
        (None, true) => {}
        (Some(last), false) => {
            let last = Checkpoint::unverified(&last).ok_or_else(|| WitnessError::State(shown()))?;
            if last.origin != checkpoint.origin {
                let (known, found) = (last.origin, checkpoint.origin);
                return Err(WitnessError::OtherLog { known, found });
            }
            if last.size > checkpoint.size {
                let (signed, size) = (last.size, checkpoint.size);
                return Err(WitnessError::Older { signed, size });
            }
            if root(&leaves[..last.size as usize]) != last.root {
                let signed = last.size;
                return Err(WitnessError::Fork { signed, state: shown() });
            }
        }
    }
    let text = Note::parse(&copy.checkpoint).map_err(CheckpointError::from)?.text;
    let note = format!("{}{}", copy.checkpoint, signer.cosign(&text, now));
    replace(&path, MODE, note.as_bytes())?;
    Ok(Cosigned { checkpoint, note })
}
