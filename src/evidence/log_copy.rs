//! A log as a witness sees it: its newest checkpoint, and the leaves of its tree. It is read from an evidence folder, or from what
//! `evidence publish` has written.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::folder::{CHECKPOINT, ENTRIES, Folder, read_bytes, read_text};
use super::last_checkpoint::WitnessError;
use super::policy::Policy;
use super::tiles::leaf_tiles;
use super::tree::{Hash, leaf, root};
use crate::fs::FileError;

/// A log as somebody else sees it.
#[derive(Debug)]
pub(super) struct LogCopy {
    /// The newest checkpoint, as it stands.
    pub(super) checkpoint: String,
    folder: std::path::PathBuf,
}

impl LogCopy {
    /// Reads the checkpoint; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let checkpoint = read_text(&folder.join(CHECKPOINT))?;
        Ok(checkpoint.map(|checkpoint| Self {
            checkpoint,
            folder: folder.to_owned(),
        }))
    }

    /// Reads the newest checkpoint that a key of the policy has signed, and the leaves of its entries.
    ///
    /// # Errors
    /// If there is none, or the entries are others.
    pub(super) fn believed(folder: &Path, policy: &Policy) -> Result<(Self, Checkpoint, Vec<Hash>), WitnessError> {
        let shown = || folder.display().to_string();
        let copy = Self::read(folder)?.ok_or_else(|| WitnessError::NoLog(shown()))?;
        let (checkpoint, _) = Checkpoint::verify(&copy.checkpoint, policy.logs())?;
        let leaves = copy.leaves(checkpoint.size)?;
        let leaves = leaves.filter(|leaves| root(leaves) == checkpoint.root);
        let leaves = leaves.ok_or_else(|| WitnessError::NotAsSigned(shown()))?;
        Ok((copy, checkpoint, leaves))
    }

    /// Reads the first leaves, so many; `None` if there are fewer.
    ///
    /// # Errors
    /// If they cannot be read.
    fn leaves(&self, size: u64) -> Result<Option<Vec<Hash>>, FileError> {
        let leaves = if self.folder.join(ENTRIES).symlink_metadata().is_ok() {
            let content = Folder::new(&self.folder).read()?;
            content.map(|content| content.lines(size).map(leaf).collect())
        } else {
            self.published_leaves(size)?
        };
        Ok(leaves.filter(|leaves: &Vec<Hash>| leaves.len() as u64 == size))
    }

    fn published_leaves(&self, size: u64) -> Result<Option<Vec<Hash>>, FileError> {
        let mut leaves = Vec::new();
        for (path, width) in leaf_tiles(size) {
            let Some(bytes) = read_bytes(&self.folder.join(path))?.filter(|bytes| bytes.len() == width * 32) else {
                return Ok(None);
            };
            leaves.extend(bytes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)));
        }
        Ok(Some(leaves))
    }
}
