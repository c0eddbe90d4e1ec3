//! What the host that seals asks of the one that has the key: the checkpoint that is to be signed, and the proof that it has grown out
//! of what was signed before. The form is that of a request to a witness (C2SP `tlog-witness`), but for the signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Checkpoint;
use super::consistency::{LONGEST, is_grown, prove};
use super::folder::{Folder, FolderContent};
use super::tree::{Hash, leaf, root};
use crate::fs::FileError;

/// No request is longer: a line for each hash, and a checkpoint.
pub(crate) const MAX_REQUEST: u64 = 16 * 1024;

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0} holds no log with a checkpoint, or entries that wait for one")]
    NoLog(String),
    #[error("the entries in {0} are not those that were signed, or wait for a signature")]
    NotAsSealed(String),
    #[error("{old} entries were signed, and the log has {size}: it was cut off, or is an old copy")]
    Older { old: u64, size: u64 },
    #[error("it is not a request to sign, as `evidence request` prints it")]
    Form,
}

impl RequestError {
    /// Whether the log is not what it should be.
    pub(super) fn is_of_the_log(&self) -> bool {
        !matches!(self, Self::File(_))
    }
}

/// What is to be signed, and how it has grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningRequest {
    pub(super) old: u64,
    proof: Vec<Hash>,
    pub(super) checkpoint: Checkpoint,
}

impl SigningRequest {
    /// Makes the request for all that is sealed. Without `old` it begins at the newest checkpoint.
    ///
    /// # Errors
    /// If there is no log, it is shorter than that, or not what was sealed.
    pub(crate) fn of(folder: &Folder, old: Option<u64>) -> Result<Self, RequestError> {
        let content = folder.read()?.ok_or_else(|| RequestError::NoLog(folder.shown()))?;
        let checkpoint = head(&content).ok_or_else(|| RequestError::NoLog(folder.shown()))?;
        let old = old.unwrap_or_else(|| Checkpoint::unverified(&content.checkpoint).map_or(0, |signed| signed.size));
        let leaves: Vec<Hash> = content.lines(checkpoint.size).map(leaf).collect();
        if leaves.len() as u64 != checkpoint.size || root(&leaves) != checkpoint.root {
            return Err(RequestError::NotAsSealed(folder.shown()));
        }
        if old > checkpoint.size {
            let size = checkpoint.size;
            return Err(RequestError::Older { old, size });
        }
        Ok(Self {
            old,
            proof: prove(&leaves, old as usize),
            checkpoint,
        })
    }

    /// Reads a request.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, RequestError> {
        let parsed = || {
            let (lines, checkpoint) = text.split_once("\n\n")?;
            let mut lines = lines.split('\n');
            let old = lines.next()?.strip_prefix("old ")?;
            let number: u64 = old.parse().ok().filter(|number: &u64| number.to_string() == old)?;
            let hash = |line: &str| Some(Hash(STANDARD.decode(line).ok()?.try_into().ok()?));
            let proof: Vec<_> = lines.map(hash).collect::<Option<_>>()?;
            let checkpoint = Checkpoint::of_text(checkpoint)?;
            // Other lines would be signed without anybody knowing what they say.
            let is_plain = checkpoint.text().len() == text.len() - text.find("\n\n")? - 2;
            (proof.len() <= LONGEST && is_plain).then_some(Self {
                old: number,
                proof,
                checkpoint,
            })
        };
        parsed().ok_or(RequestError::Form)
    }

    /// Returns whether it shows that the log has grown out of this checkpoint.
    pub(super) fn has_grown_out_of(&self, last: &Checkpoint) -> bool {
        let Checkpoint { size, root, .. } = self.checkpoint;
        is_grown((last.size, last.root), (size, root), &self.proof)
    }
}

/// The request as it is sent.
impl std::fmt::Display for SigningRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint.text())
    }
}

/// Returns the checkpoint of all that is sealed, signed or not.
fn head(content: &FolderContent) -> Option<Checkpoint> {
    let signed = Checkpoint::unverified(&content.checkpoint);
    let unsigned = content.unsigned.as_deref().and_then(Checkpoint::of_text);
    let is_behind = |unsigned: &Checkpoint| signed.as_ref().is_none_or(|signed| signed.size < unsigned.size);
    unsigned.filter(is_behind).or(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written_and_anything_else_is_none() {
        let leaves: Vec<Hash> = (0..7).map(|n: u8| leaf(&[n])).collect();
        let request = SigningRequest {
            old: 3,
            proof: prove(&leaves, 3),
            checkpoint: Checkpoint {
                origin: "example.org/audit".to_owned(),
                size: 7,
                root: root(&leaves),
            },
        };
        let text = request.to_string();
        assert_eq!(SigningRequest::parse(&text).unwrap(), request);
        let with = |from: &str, to: &str| text.replacen(from, to, 1);
        let line = format!("{}\n", STANDARD.encode(leaves[0].0));
        for other in [
            String::new(),
            with("old 3", "old 03"),
            with("old 3", "new 3"),
            with("\n\n", "\n"),
            with("old 3\n", &format!("old 3\n{}", line.repeat(LONGEST))),
            with("old 3\n", "old 3\nAAAA\n"),
            format!("{text}another line\n"),
            format!("{text}\n"),
        ] {
            assert!(
                matches!(SigningRequest::parse(&other), Err(RequestError::Form)),
                "{other}"
            );
        }
        for end in 0..text.len() {
            assert!(SigningRequest::parse(&text[..end]).is_err(), "{end}");
        }
    }
}
