//! Chance that depends on nothing but a seed and what it is for, so that a case goes the same way each time.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A number that the seed and this determine.
pub(crate) fn roll(seed: u64, what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, what).hash(&mut hasher);
    hasher.finish()
}
