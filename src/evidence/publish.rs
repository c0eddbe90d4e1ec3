//! Publishes a log as static files (C2SP `tlog-tiles`), which anybody can serve and mirror: tiles first, then the checkpoint.

use std::collections::BTreeSet;
use std::path::Path;

use super::checkpoint::Checkpoint;
use super::folder::{CHECKPOINT, ENTRIES, Folder, read_bytes, read_text};
use super::tiles::{entry_tiles, hash_tiles};
use super::tree::{Hash, leaf};
use crate::fs::{FileError, make_public_folder, replace};

/// Everybody can read what is published.
const MODE: u32 = 0o644;

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0} holds no log: `trailkeeper evidence keygen` begins one")]
    NoLog(String),
    #[error("the log in {0} is not as it was signed: `trailkeeper verify --evidence` says what is wrong")]
    NotAsSigned(String),
    #[error("{0} is an evidence folder itself: name another one")]
    Inside(String),
    #[error("entry {0} is longer than the 65 535 bytes that a tile can hold")]
    TooLong(usize),
    #[error("{0} holds another log, or another history of this one; nothing was published: name another folder")]
    Other(String),
}

/// What was published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) checkpoint: Checkpoint,
    /// How many files are new.
    pub(crate) written: u64,
}

/// Publishes what the newest checkpoint signs. Files that are there already are left as they are.
///
/// # Errors
/// If the log is not as it was signed, the folder holds something else, or the system refuses.
pub(crate) fn publish(folder: &Folder, to: &Path) -> Result<Published, PublishError> {
    let content = folder.read()?.ok_or_else(|| PublishError::NoLog(folder.shown()))?;
    let checkpoint = Checkpoint::unverified(&content.checkpoint);
    let is_as_signed = |checkpoint: &Checkpoint| {
        let tree = content.tree_of(checkpoint.size);
        tree.is_some_and(|(tree, _)| tree.root() == checkpoint.root)
    };
    let checkpoint = checkpoint.filter(is_as_signed);
    let checkpoint = checkpoint.ok_or_else(|| PublishError::NotAsSigned(folder.shown()))?;
    if to.join(ENTRIES).symlink_metadata().is_ok() {
        return Err(PublishError::Inside(to.display().to_string()));
    }
    let published = read_text(&to.join(CHECKPOINT))?;
    if let Some(published) = published.as_deref() {
        let earlier = Checkpoint::unverified(published);
        let is_ours = earlier.is_some_and(|earlier| {
            let roots = content.roots(&BTreeSet::from([earlier.size]));
            earlier.origin == checkpoint.origin
                && earlier.size <= checkpoint.size
                && roots.get(&earlier.size) == Some(&earlier.root)
        });
        if !is_ours {
            return Err(PublishError::Other(to.display().to_string()));
        }
    }
    let leaves: Vec<Hash> = content.lines(checkpoint.size).map(leaf).collect();
    let entries = entry_tiles(content.lines(checkpoint.size)).map_err(PublishError::TooLong)?;
    make_public_folder(to)?;
    let mut written = 0;
    for (path, bytes) in entries.into_iter().chain(hash_tiles(&leaves)) {
        written += u64::from(write(to, &path, &bytes)?);
    }
    let cosigned = content.cosigned_checkpoint();
    if published.as_deref() != Some(cosigned.as_str()) {
        replace(&to.join(CHECKPOINT), MODE, cosigned.as_bytes())?;
        written += 1;
    }
    Ok(Published { checkpoint, written })
}

/// Writes a file that never changes; returns whether it is new.
fn write(to: &Path, path: &str, bytes: &[u8]) -> Result<bool, PublishError> {
    let file = to.join(path);
    match read_bytes(&file)? {
        Some(found) if found == bytes => return Ok(false),
        Some(_) => return Err(PublishError::Other(to.display().to_string())),
        None => {}
    }
    let mut folder = to.to_owned();
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    for part in folders.split('/') {
        folder.push(part);
        make_public_folder(&folder)?;
    }
    replace(&file, MODE, bytes)?;
    Ok(true)
}
