//! Cases that wait more than they work, side by side.

use std::sync::Mutex;
use std::thread;

/// How many cases are under way at a time: they wait for disks, timers and answers, not for processors.
const SIDE_BY_SIDE: usize = 6;

/// Checks every case, several at a time; fails when one of them does.
pub(crate) fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T, IntoIter: Send>, check: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases.into_iter());
    let next = || cases.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| std::iter::from_fn(next).for_each(&check));
        }
    });
}
