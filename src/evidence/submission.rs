//! What a witness is asked by way of HTTP (C2SP `tlog-witness`): to cosign the newest checkpoint, with the proof that the log has grown
//! out of the one that it cosigned last. Its answer is kept beside what other witnesses have said.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Checkpoint;
use super::consistency::prove;
use super::folder::{ANCHORS, COSIGNATURE, Folder};
use super::last_checkpoint::{Signed, WitnessError};
use super::log_copy::LogCopy;
use super::note::{Note, VerifierKey};
use super::policy::Policy;
use super::tree::{Hash, leaf, root};
use crate::fs::{FileError, make_folder, replace};

/// Mode of what is kept.
const MODE: u32 = 0o640;

/// The newest signed checkpoint, and all that a witness may want to see of it.
#[derive(Debug)]
pub(crate) struct Submission {
    checkpoint: Checkpoint,
    /// The checkpoint as it stands.
    note: String,
    leaves: Vec<Hash>,
    /// What witnesses have said of this log, by the files of the folder.
    known: Vec<Note>,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmissionError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the entries in {0} are not those of its checkpoint")]
    NotAsSigned(String),
    #[error("the answer has no cosignature of this checkpoint by the key of {0}")]
    NoCosignature(String),
}

impl Submission {
    /// Reads the newest signed checkpoint; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is not one of the entries.
    pub(crate) fn newest(folder: &Folder) -> Result<Option<Self>, SubmissionError> {
        let Some(content) = folder.read()? else {
            return Ok(None);
        };
        let Some(checkpoint) = Checkpoint::unverified(&content.checkpoint) else {
            return Ok(None);
        };
        let leaves: Vec<Hash> = content.lines(checkpoint.size).map(leaf).collect();
        if leaves.len() as u64 != checkpoint.size || root(&leaves) != checkpoint.root {
            return Err(SubmissionError::NotAsSigned(folder.shown()));
        }
        let notes = content.anchors.iter().filter_map(|(_, text)| Note::parse(text).ok());
        Ok(Some(Self {
            known: notes.collect(),
            note: content.checkpoint,
            checkpoint,
            leaves,
        }))
    }

    /// Reads the newest checkpoint of a copy of a log, or of what was published of one, which a key of the policy has signed.
    ///
    /// # Errors
    /// If there is none, or the entries are others.
    pub(crate) fn of_copy(log: &Path, policy: &Policy) -> Result<Self, WitnessError> {
        let (copy, checkpoint, leaves) = LogCopy::believed(log, policy)?;
        let anchors = Folder::new(log).anchors()?;
        let notes = anchors.iter().filter_map(|(_, text)| Note::parse(text).ok());
        Ok(Self {
            known: notes.collect(),
            note: copy.checkpoint,
            checkpoint,
            leaves,
        })
    }

    /// Returns the checkpoint with the cosignature in the answer of one of these witnesses; `None` if it has none by their keys.
    pub(crate) fn cosigned<'a>(
        self,
        mut witnesses: impl Iterator<Item = &'a VerifierKey>,
        answer: &str,
    ) -> Option<Signed> {
        let note = witnesses.find_map(|witness| self.cosigned_note(witness, answer).ok())?;
        Some(Signed {
            note,
            checkpoint: self.checkpoint,
        })
    }

    /// Returns how many entries the checkpoint has.
    pub(crate) fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Returns how many entries of this log a witness has cosigned, as far as it is known here.
    pub(crate) fn cosigned_by(&self, witness: &VerifierKey) -> u64 {
        let notes = self.known.iter().filter(|note| note.cosigned_at(witness).is_some());
        let seen = notes.filter_map(Checkpoint::of_note);
        let of_this_log = seen.filter(|seen| seen.origin == self.checkpoint.origin);
        of_this_log.map(|seen| seen.size).max().unwrap_or(0)
    }

    /// Returns what is sent to a witness that has cosigned the first entries, so many; no more than there are.
    pub(crate) fn request(&self, old: u64) -> String {
        let proof = prove(&self.leaves, old as usize);
        let proof: String = proof
            .iter()
            .map(|hash| format!("{}\n", STANDARD.encode(hash.0)))
            .collect();
        format!("old {old}\n{proof}\n{}", self.note)
    }

    /// Keeps the cosignature in the answer of a witness, unless there is one of this checkpoint already. Returns whether it is new.
    ///
    /// # Errors
    /// If there is none by its key, or it cannot be written.
    pub(crate) fn keep(&self, folder: &Folder, witness: &VerifierKey, answer: &str) -> Result<bool, SubmissionError> {
        let kept = self.cosigned_note(witness, answer)?;
        if self.cosigned_by(witness) >= self.checkpoint.size {
            return Ok(false);
        }
        let anchors = folder.file(ANCHORS);
        make_folder(&anchors)?;
        let name = format!("{}.{}{COSIGNATURE}", self.checkpoint.size, witness.file_name());
        replace(&anchors.join(name), MODE, kept.as_bytes())?;
        Ok(true)
    }

    /// Returns the checkpoint with the cosignature of a witness in its answer; signatures by other keys are ignored, and what the
    /// checkpoint carried before is no answer.
    fn cosigned_note(&self, witness: &VerifierKey, answer: &str) -> Result<String, SubmissionError> {
        let cosigned = Note::parse(&self.note).ok().and_then(|own| {
            let given = Note::parse(&format!("{}\n{answer}", own.text)).ok()?;
            Some(own.with_line_of(witness, &given.cosignature_line(witness)?))
        });
        cosigned.ok_or_else(|| SubmissionError::NoCosignature(witness.name().to_owned()))
    }
}

/// Reads the size that a witness has cosigned last, which it answers to a request that begins elsewhere: a decimal number, and a
/// newline.
pub(crate) fn cosigned_size(answer: &str) -> Option<u64> {
    let digits = answer.strip_suffix('\n')?;
    digits.parse().ok().filter(|size: &u64| size.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::cosigned_size;

    #[test]
    fn the_size_that_a_witness_answers_has_one_form() {
        assert_eq!(cosigned_size("0\n"), Some(0));
        assert_eq!(cosigned_size("20852163\n"), Some(20_852_163));
        for other in [
            "",
            "\n",
            "7",
            "07\n",
            "+7\n",
            "7\n\n",
            "-1\n",
            "<html>7</html>\n",
            "99999999999999999999\n",
        ] {
            assert_eq!(cosigned_size(other), None, "{other:?}");
        }
    }
}
