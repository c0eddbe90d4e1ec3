//! Sets of digests, which need no further hashing.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// A set of 128-bit hashes.
pub(crate) type Digests = HashSet<u128, Unhashed>;

/// A set of hashes of which only the count matters: of two million of them, one is taken for another once in ten million times.
pub(crate) type ShortDigests = HashSet<u64, Unhashed>;

/// For maps and sets whose keys are already hashes.
///
/// The standard hasher resists keys that are chosen to collide. To choose the hash of a record, one would have to know
/// the ids and times that the service puts into it.
pub(crate) type Unhashed = BuildHasherDefault<LowHalf>;

/// Uses the lower half of a 128-bit hash, or the whole of a 64-bit one, as its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LowHalf(u64);

impl Hasher for LowHalf {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_again_and_others_are_not() {
        let mut digests = Digests::default();
        let low_half_alone = u128::from(u64::MAX);
        assert!(digests.insert(u128::MAX) && digests.insert(low_half_alone) && !digests.insert(u128::MAX));
        assert!(!digests.contains(&0));
    }
}
