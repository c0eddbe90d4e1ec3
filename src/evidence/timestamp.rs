//! Time stamps (RFC 3161) of checkpoints: the query is built here, and the answer is kept as it came. Whose signature it has and when
//! it was made is not checked here: `openssl ts` does that.

use super::checkpoint::Checkpoint;
use super::folder::{ANCHORS, CHECKPOINTS, Folder, TIMESTAMP, read_bytes};
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
        let is_stamped = folder.file(ANCHORS).join(name(size)).symlink_metadata().is_ok();
        Ok(content.filter(|_| !is_stamped).map(|content| Self {
            size,
            hash: sha256(&content),
        }))
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
        if memchr::memmem::find(answer, &self.hash.0).is_none() {
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

/// Returns the status of an answer: a sequence that begins with a sequence that begins with a small number.
fn status(answer: &[u8]) -> Option<u8> {
    let (content, _) = element(answer, 0x30).filter(|(_, rest)| rest.is_empty())?;
    let (information, _) = element(content, 0x30)?;
    match element(information, 0x02)?.0 {
        [status] => Some(*status),
        _ => None,
    }
}

/// Splits the content of the first element of this kind from what is behind it (DER).
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first().filter(|_| *found == kind)?;
    let (length, rest) = match first {
        length @ 0..0x80 => (usize::from(*length), rest),
        many => {
            let (length, rest) = rest
                .split_at_checked(usize::from(many - 0x80))
                .filter(|(length, _)| (1..=4).contains(&length.len()))?;
            (
                length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
                rest,
            )
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_read_and_anything_else_is_none() {
        assert_eq!(status(&[0x30, 5, 0x30, 3, 2, 1, 0]), Some(0));
        assert_eq!(status(&[0x30, 0x81, 5, 0x30, 3, 2, 1, 2]), Some(2));
        let all = [0x30, 5, 0x30, 3, 2, 1, 0];
        for end in 0..all.len() {
            assert_eq!(status(&all[..end]), None, "{end}");
        }
        for other in [
            &b"<html>"[..],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x30, 3, 0x30, 1, 2],
            &[0x30, 0xff],
        ] {
            assert_eq!(status(other), None, "{other:?}");
        }
    }
}
