//! A log as a witness sees it: its newest checkpoint, and the leaves of its tree. It is read from an evidence folder, or from what
//! `evidence publish` has written.

use std::path::Path;

use super::folder::{CHECKPOINT, ENTRIES, Folder, read_bytes, read_text};
use super::tiles::leaf_tiles;
use super::tree::{Hash, leaf};
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
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let checkpoint = read_text(&folder.join(CHECKPOINT))?;
        Ok(checkpoint.map(|checkpoint| Self {
            checkpoint,
            folder: folder.to_owned(),
        }))
    }

    /// Reads the first leaves, so many; `None` if there are fewer.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn leaves(&self, size: u64) -> Result<Option<Vec<Hash>>, FileError> {
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
