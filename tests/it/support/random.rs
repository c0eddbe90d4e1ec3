//! Random tests: the same seed and number of cases as those of the modules have.

use fastrand::Rng;

#[path = "../../../src/test_support/random.rs"]
mod shared;

pub(crate) use shared::{cases, many, seed, seed_or};

/// A generator with the seed of this run.
pub(crate) fn random() -> Rng {
    Rng::with_seed(shared::seed())
}

/// The generator number `index` of this run: that of a run with a seed greater by `index` is the next one.
pub(crate) fn random_of(index: u64) -> Rng {
    Rng::with_seed(shared::seed().wrapping_add(index))
}
