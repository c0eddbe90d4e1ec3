//! Time stamps (RFC 3161) of checkpoints: the query is built here, and the answer is kept as it came, if it is one of this checkpoint.

use super::checkpoint::Checkpoint;
use super::folder::{ANCHORS, CHECKPOINTS, Folder, TIMESTAMP, read_bytes};
use super::stamp::{Stamp, status};
use crate::fs::{FileError, Hash, make_folder, replace, sha256};

/// Mode of what is kept.
const MODE: u32 = 0o640;

/// What a query has before the hash: version 1, and that the hash is SHA-256.
const BEFORE: [u8; 24] = [
    0x30, 0x39, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01, 0x05, 0x00, 0x04, 0x20,
];

/// What a query has behind it: that the certificates are wanted too.
const BEHIND: [u8; 3] = [0x01, 0x01, 0xff];

/// A checkpoint that has no time stamp yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unstamped {
    pub(crate) size: u64,
    hash: Hash,
}

/// Why an answer is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimestampError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the answer is no time stamp")]
    Form,
    #[error("the service does not grant a time stamp (status {0})")]
    Refused(u8),
    #[error("the answer is about something else")]
    Other,
}

impl Unstamped {
    /// Returns the newest checkpoint if it has no time stamp yet: one of it is one of all that is in the log before it.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn newest(folder: &Folder) -> Result<Option<Self>, FileError> {
        let newest = folder.newest_checkpoint()?.as_deref().and_then(Checkpoint::unverified);
        let Some(Checkpoint { size, .. }) = newest else {
            return Ok(None);
        };
        let content = read_bytes(&folder.file(CHECKPOINTS).join(size.to_string()))?;
        let Some(hash) = content.as_deref().map(sha256) else {
            return Ok(None);
        };
        // One that is broken, or of something else, is none.
        let kept = read_bytes(&folder.file(ANCHORS).join(name(size)))?;
        let stamp = kept.as_deref().and_then(Stamp::parse);
        let is_stamped = stamp.is_some_and(|stamp| stamp.hash == hash);
        Ok((!is_stamped).then_some(Self { size, hash }))
    }

    /// Returns what is asked of a service.
    pub(crate) fn query(&self) -> Vec<u8> {
        [&BEFORE[..], &self.hash.0, &BEHIND].concat()
    }

    /// Keeps an answer, as it came.
    ///
    /// # Errors
    /// If it grants nothing, is about something else, or cannot be written.
    pub(crate) fn keep(&self, folder: &Folder, answer: &[u8]) -> Result<(), TimestampError> {
        match status(answer).ok_or(TimestampError::Form)? {
            0 | 1 => {}
            status => return Err(TimestampError::Refused(status)),
        }
        let stamp = Stamp::parse(answer).ok_or(TimestampError::Form)?;
        if stamp.hash != self.hash {
            return Err(TimestampError::Other);
        }
        let anchors = folder.file(ANCHORS);
        make_folder(&anchors)?;
        replace(&anchors.join(name(self.size)), MODE, answer)?;
        Ok(())
    }
}

fn name(size: u64) -> String {
    format!("{size}{TIMESTAMP}")
}
