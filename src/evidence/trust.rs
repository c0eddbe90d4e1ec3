//! Which keys are believed: those of the policy, and those that a believed key has handed over to.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::folder::FolderContent;
use super::ledger::Ledger;
use super::note::VerifierKey;
use super::tree::Hash;

/// Believed keys, and what they say.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) keys: Vec<VerifierKey>,
}

impl Trust {
    /// Begins with the keys of a policy, and follows the log from key to key: the next one is believed if a believed one has signed,
    /// together with it, a checkpoint that holds the entry which names it.
    pub(super) fn of(policy: &[VerifierKey], content: &FolderContent) -> Self {
        let mut trust = Self { keys: policy.to_vec() };
        loop {
            let known = trust.keys.len();
            for (_, text) in &content.checkpoints {
                let handed_over = trust.handed_over(text, content);
                trust.keys.extend(handed_over);
            }
            if trust.keys.len() == known {
                return trust;
            }
        }
    }

    /// Returns the keys that a checkpoint hands over to.
    fn handed_over(&self, text: &str, content: &FolderContent) -> Vec<VerifierKey> {
        let Ok((checkpoint, _)) = Checkpoint::verify(text, &self.keys) else {
            return Vec::new();
        };
        if root_of(content, checkpoint.size) != Some(checkpoint.root) {
            return Vec::new();
        }
        let ledger = Ledger::read(content.lines(checkpoint.size));
        let named = ledger.keys.into_iter().map(|(_, key)| key);
        let new = named.filter(|key| key.name() == checkpoint.origin && !self.keys.contains(key));
        new.filter(|key| Checkpoint::verify(text, std::slice::from_ref(key)).is_ok())
            .collect()
    }

    /// Reads a checkpoint that a believed key has signed; returns the first of these keys too.
    pub(super) fn verify(&self, text: &str) -> Result<(Checkpoint, VerifierKey), CheckpointError> {
        let (checkpoint, signers) = Checkpoint::verify(text, &self.keys)?;
        // There is one, or it would not be believed.
        let key = signers.last().copied().cloned().ok_or(CheckpointError::Form)?;
        Ok((checkpoint, key))
    }
}

/// Returns the root of the tree over the first entries; `None` if there are fewer.
pub(super) fn root_of(content: &FolderContent, size: u64) -> Option<Hash> {
    content.tree_of(size).map(|(tree, _)| tree.root())
}
