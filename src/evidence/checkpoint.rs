//! Checkpoints (C2SP `tlog-checkpoint`): what a log says of itself, signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::{Note, NoteError, VerifierKey};
use super::policy::Policy;
use super::tree::Hash;

/// The state of a log: its name, how many entries it has, and the root of the tree over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The name of the log.
    pub(crate) origin: String,
    /// Number of entries.
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// Why a checkpoint is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("it is not a checkpoint")]
    Form,
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("it has not the cosignatures that the policy asks for, those of {0}")]
    NoQuorum(String),
    #[error("it is of the log {origin}, and signed by {signer}, which is the key of another one")]
    OtherOrigin { origin: String, signer: String },
}

impl Checkpoint {
    /// Reads a checkpoint that one of `keys` has signed for the log of its own name; returns these keys too.
    pub(crate) fn verify<'a>(
        text: &str,
        keys: &'a [VerifierKey],
    ) -> Result<(Self, Vec<&'a VerifierKey>), CheckpointError> {
        let note = Note::parse(text)?;
        let checkpoint = Self::parse(&note.text).ok_or(CheckpointError::Form)?;
        let signers = note.signers(keys)?;
        if let Some(other) = signers.iter().find(|key| key.name() != checkpoint.origin) {
            return Err(CheckpointError::OtherOrigin {
                origin: checkpoint.origin,
                signer: other.name().to_owned(),
            });
        }
        Ok((checkpoint, signers))
    }

    /// Reads a checkpoint that the policy takes: a log of it has signed it, and as many witnesses as it asks for.
    pub(crate) fn verify_by<'a>(
        text: &str,
        policy: &'a Policy,
    ) -> Result<(Self, Vec<&'a VerifierKey>), CheckpointError> {
        let verified = Self::verify(text, policy.logs())?;
        let note = Note::parse(text)?;
        let quorum = policy.quorum();
        if quorum.is_met(|key| note.cosigned_at(key).is_some()) {
            Ok(verified)
        } else {
            Err(CheckpointError::NoQuorum(
                quorum.needed().unwrap_or_default().to_owned(),
            ))
        }
    }

    /// Reads a checkpoint whose signatures nobody has verified.
    pub(crate) fn unverified(text: &str) -> Option<Self> {
        Self::parse(&Note::parse(text).ok()?.text)
    }

    /// Reads the checkpoint that is the text of a note.
    pub(super) fn of_note(note: &Note) -> Option<Self> {
        Self::parse(&note.text)
    }

    /// Reads a checkpoint that has no signatures.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    /// Reads the three lines; others below them are not known here, and mean nothing.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        let root = STANDARD.decode(root).ok()?;
        let is_whole = !origin.is_empty() && number.to_string() == size && lines.all(|line| !line.is_empty());
        is_whole.then_some(Self {
            origin: origin.to_owned(),
            size: number,
            root: Hash(root.try_into().ok()?),
        })
    }

    /// Returns what is signed.
    pub(super) fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Returns the checkpoint with the signatures of a key that is at hand.
    #[cfg(test)]
    pub(super) fn signed(&self, signer: &super::signer::Signer) -> String {
        let text = self.text();
        format!("{text}\n{}", signer.sign(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::signer::Signer;
    use super::super::tree::sha256;
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "example.org/audit".to_owned(),
            size: 7,
            root: sha256(b"root"),
        }
    }

    #[test]
    fn a_checkpoint_is_believed_for_its_own_log_only() {
        let signer = Signer::sample("example.org/audit");
        let keys = [signer.verifier().clone()];
        let text = checkpoint().signed(&signer);
        let (read, signers) = Checkpoint::verify(&text, &keys).unwrap();
        assert_eq!((read, signers), (checkpoint(), vec![&keys[0]]));
        let other = Checkpoint {
            origin: "example.org/other".to_owned(),
            ..checkpoint()
        };
        let error = Checkpoint::verify(&other.signed(&signer), &keys).unwrap_err();
        assert!(matches!(error, CheckpointError::OtherOrigin { .. }), "{error}");
    }

    #[test]
    fn a_number_has_one_form() {
        let signer = Signer::sample("example.org/audit");
        let root = STANDARD.encode(sha256(b"root").0);
        for size in ["07", "+7", "", " 7", "-1", "7 "] {
            let text = format!("example.org/audit\n{size}\n{root}\n");
            let note = format!("{text}\n{}", signer.sign(&text));
            let keys = [signer.verifier().clone()];
            assert_eq!(Checkpoint::verify(&note, &keys), Err(CheckpointError::Form), "{size:?}");
        }
    }
}
