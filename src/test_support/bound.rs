//! Bounds of what a test waits for, and of the loops that it goes round in.

use std::time::Duration;

/// Longer than anything that a test waits for takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What comes of a future, which must not take longer than [`PATIENCE`]; `what` completes "waited in vain for …".
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// To be called in each round of a loop, which must end within the number of rounds that it was made with.
pub(crate) fn at_most(most: usize) -> impl FnMut() {
    let mut rounds = 0;
    move || {
        rounds += 1;
        assert!(rounds <= most, "the loop has no end after {most} rounds");
    }
}
