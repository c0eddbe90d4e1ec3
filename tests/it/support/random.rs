//! Random tests: the same seed and number of cases as those of the modules have.

use fastrand::Rng;

#[path = "../../../src/test_support/random.rs"]
mod shared;

pub(crate) use shared::{cases, many, seed, seed_or};

/// A generator with the seed of this run.
pub(crate) fn random() -> Rng {
    Rng::with_seed(shared::seed())
}
