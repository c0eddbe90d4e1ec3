//! A log as its newest checkpoint has it, for who looks into it before it is verified. Nothing is verified here.

use super::checkpoint::Checkpoint;
use super::folder::Folder;
use super::ledger::Ledger;
use crate::fs::FileError;

/// A log as its newest checkpoint has it.
#[derive(Debug)]
pub(crate) struct SealedLog {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) ledger: Ledger,
}

impl SealedLog {
    /// Reads the log in a folder; `None` if there is none, or its checkpoint is not one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Folder) -> Result<Option<Self>, FileError> {
        let Some(content) = folder.read()? else {
            return Ok(None);
        };
        let checkpoint = Checkpoint::unverified(&content.checkpoint);
        Ok(checkpoint.map(|checkpoint| Self {
            ledger: Ledger::read(content.lines(checkpoint.size)),
            checkpoint,
        }))
    }
}
