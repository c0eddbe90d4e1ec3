//! Which keys are believed: those of the policy, and those that a believed key has handed over to. From then on the older one
//! signs nothing more.

use std::collections::BTreeMap;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::folder::FolderContent;
use super::note::VerifierKey;
use super::tree::Hash;

/// The keys that a log names, and which of them are believed.
#[derive(Debug)]
pub(super) struct Trust<'a> {
    /// Each from the entry with this number on.
    named: &'a [(u64, VerifierKey)],
    believed: Vec<VerifierKey>,
}

/// The roots of the trees over the first entries, by their number.
pub(super) type Roots = BTreeMap<u64, Hash>;

impl<'a> Trust<'a> {
    /// Begins with the keys of a policy, and follows the log from key to key: the next one is believed if the one before it is, and
    /// has signed, together with it, a checkpoint that holds the entry which names it.
    pub(super) fn of(
        policy: &[VerifierKey],
        named: &'a [(u64, VerifierKey)],
        content: &FolderContent,
        roots: &Roots,
    ) -> Self {
        let mut trust = Self {
            named,
            believed: Vec::new(),
        };
        for (index, (from, key)) in named.iter().enumerate() {
            let until = named.get(index + 1).map_or(u64::MAX, |(next, _)| *next);
            let before = index.checked_sub(1).map(|before| &named[before].1);
            let is_handed_over = || {
                before
                    .filter(|before| trust.believed.contains(before))
                    .is_some_and(|before| {
                        let sizes = from + 1..=until;
                        let mut joint = content.checkpoints.iter().filter(|(size, _)| sizes.contains(size));
                        joint.any(|(_, text)| is_signed_by_both(text, [before, key], roots))
                    })
            };
            if policy.contains(key) || is_handed_over() {
                trust.believed.push(key.clone());
            }
        }
        trust
    }

    /// Returns the key that signs a log of so many entries.
    fn key_at(&self, size: u64) -> Option<&VerifierKey> {
        let named = self.named.iter().rev().find(|(from, _)| *from < size);
        named.map(|(_, key)| key)
    }

    /// Reads the newest checkpoint, which the newest key has to have signed, and that has to be believed.
    pub(super) fn verify_newest(&self, text: &str, size: u64) -> Result<(Checkpoint, VerifierKey), CheckpointError> {
        let newest = self.key_at(size).filter(|key| self.believed.contains(key));
        let keys: Vec<_> = newest.into_iter().cloned().collect();
        let (checkpoint, signers) = Checkpoint::verify(text, &keys)?;
        let key = signers.first().copied().cloned().ok_or(CheckpointError::Form)?;
        Ok((checkpoint, key))
    }

    /// Reads another checkpoint, which the key of its time has to have signed: the log, which is believed, names it.
    pub(super) fn verify(&self, text: &str) -> Result<Checkpoint, CheckpointError> {
        let size = Checkpoint::unverified(text).ok_or(CheckpointError::Form)?.size;
        let keys: Vec<_> = self.key_at(size).into_iter().cloned().collect();
        Checkpoint::verify(text, &keys).map(|(checkpoint, _)| checkpoint)
    }
}

/// Returns whether each of two keys has signed a checkpoint of this log.
fn is_signed_by_both(text: &str, keys: [&VerifierKey; 2], roots: &Roots) -> bool {
    keys.into_iter().all(|key| {
        let verified = Checkpoint::verify(text, std::slice::from_ref(key));
        verified.is_ok_and(|(checkpoint, _)| roots.get(&checkpoint.size) == Some(&checkpoint.root))
    })
}
