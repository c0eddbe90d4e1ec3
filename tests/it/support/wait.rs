//! Waiting with a bound: every test that waits says what for, and fails when it does not come.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything that a test waits for takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often is looked whether it is so.
const INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `is_so`, for `limit` at most; `what` completes "waited in vain until …".
#[track_caller]
pub(crate) fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    wait_for(what, limit, || is_so().then_some(()));
}

/// Waits until there is something, for `limit` at most; `what` completes "waited in vain until …".
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain until {what}");
        thread::sleep(INTERVAL);
    }
}

#[test]
#[should_panic(expected = "waited 50ms in vain until the sun is green")]
fn waiting_in_vain_ends_and_says_what_for() {
    wait_until("the sun is green", Duration::from_millis(50), || false);
}
