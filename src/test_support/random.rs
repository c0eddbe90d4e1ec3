//! Random tests: the seed that repeats them, and how many cases they try.

use std::sync::LazyLock;

use proptest::test_runner::{Config, RngSeed};

/// Names the seed of all random tests, so that what failed can be run again.
const SEED: &str = "TRAILKEEPER_TEST_SEED";

/// Names how many times as many cases as usual are tried, and how many times as long.
const TIMES: &str = "TRAILKEEPER_TEST_TIMES";

static SEED_OF_THIS_RUN: LazyLock<u64> = LazyLock::new(|| variable(SEED).unwrap_or_else(|| fastrand::u64(..)));

/// The settings of a random test with the usual number of its cases.
pub(crate) fn cases(usual: u32) -> Config {
    Config {
        cases: many(usual),
        max_global_rejects: many(1_024),
        rng_seed: RngSeed::Fixed(seed()),
        ..Config::default()
    }
}

/// So many, or as many times more as the variable says.
pub(crate) fn many<T: std::ops::Mul<u32, Output = T>>(usual: T) -> T {
    usual * variable(TIMES).unwrap_or(1)
}

/// The seed that the variable names, or this one; printed as [`seed`] is.
#[expect(clippy::print_stdout, reason = "what repeats a test stands beside its failure")]
#[allow(dead_code, reason = "used by the tests of the whole program")]
pub(crate) fn seed_or(usual: u64) -> u64 {
    let seed = variable(SEED).unwrap_or(usual);
    println!("{SEED}={seed}");
    seed
}

/// The seed of this run, which is printed: the harness shows it when the test fails.
#[expect(clippy::print_stdout, reason = "what repeats a test stands beside its failure")]
pub(crate) fn seed() -> u64 {
    let seed = *SEED_OF_THIS_RUN;
    println!("{SEED}={seed}");
    seed
}

#[expect(
    clippy::disallowed_methods,
    reason = "no setting of the program: the only place where tests read these"
)]
fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")))
}
