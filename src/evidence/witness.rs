//! A witness (C2SP `tlog-cosignature`): it keeps the last checkpoint that it has signed, and signs the next one only if the log has
//! grown out of that.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::checkpoint::CheckpointError;
pub(crate) use super::last_checkpoint::WitnessError;
use super::last_checkpoint::{LastCheckpoint, Signed};
use super::log_copy::LogCopy;
use super::note::Note;
use super::policy::Policy;
use super::signer::Signer;
use super::tree::root;

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
) -> Result<Signed, WitnessError> {
    let (copy, checkpoint, leaves) = LogCopy::believed(log, policy)?;
    let last = LastCheckpoint::open(state, is_first, now)?;
    last.check(&checkpoint, |last| root(&leaves[..last.size as usize]) == last.root)?;
    let text = Note::parse(&copy.checkpoint).map_err(CheckpointError::from)?.text;
    let note = format!("{}{}", copy.checkpoint, signer.cosign(&text, now));
    last.keep(&note)?;
    Ok(Signed { checkpoint, note })
}
