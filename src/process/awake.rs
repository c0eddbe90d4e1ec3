//! For how long this process was awake: neither stopped, as by SIGSTOP or a frozen container, nor on a machine that was suspended.
//! What others did not do meanwhile, they cannot be blamed for.

use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a thread looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// How much later it may look on a machine that is busy.
const MOST_LATE: Duration = Duration::from_secs(2);

static WATCH: Mutex<Watch> = Mutex::new(Watch {
    looked: Duration::ZERO,
    stopped: Duration::ZERO,
});

/// Notices that nobody has looked at the clock for long.
#[derive(Debug)]
struct Watch {
    /// When that was done last.
    looked: Duration,
    /// For how long the process was not awake, in all.
    stopped: Duration,
}

impl Watch {
    /// Looks at the clock; returns for how long the process was not awake.
    fn look(&mut self, now: Duration) -> Option<Duration> {
        let late = now.saturating_sub(self.looked).saturating_sub(TICK);
        self.looked = now;
        let stopped = (late > MOST_LATE).then_some(late)?;
        self.stopped += stopped;
        Some(stopped)
    }
}

/// Measures for how long this process was awake since it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    begun: Duration,
    /// For how long the process had not been awake then.
    stopped: Duration,
}

impl Stopwatch {
    #[must_use]
    pub(crate) fn start() -> Self {
        let stopped = stopped();
        Self { begun: now(), stopped }
    }

    /// Returns for how long the process was awake.
    #[must_use]
    pub(crate) fn awake(&self) -> Duration {
        // A stop that ends between the two makes it wait a moment longer.
        let now = now();
        now.saturating_sub(self.begun).saturating_sub(self.not_awake())
    }

    /// Returns for how long it was not.
    #[must_use]
    pub(crate) fn not_awake(&self) -> Duration {
        stopped().saturating_sub(self.stopped)
    }
}

/// Returns for how long the process was not awake, since this was asked first.
fn stopped() -> Duration {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        watch().looked = now();
        let watching = thread::Builder::new().name("awake".to_owned()).spawn(|| -> ! {
            loop {
                #[expect(clippy::disallowed_methods, reason = "a thread that does nothing else")]
                thread::sleep(TICK);
                stopped();
            }
        });
        if let Err(error) = watching {
            tracing::debug!("it will not be noticed that this process was stopped: {error}");
        }
    });
    let mut watch = watch();
    if let Some(stopped) = watch.look(now()) {
        let seconds = stopped.as_secs_f64().round();
        tracing::warn!("this process was stopped, or its machine was suspended, for {seconds} s");
    }
    watch.stopped
}

fn watch() -> MutexGuard<'static, Watch> {
    // A panic with the lock held cannot leave it half changed.
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the time of a clock that goes on while the machine is suspended.
#[cfg(target_os = "linux")]
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns the time of the clock that there is; some stand still while the machine is suspended, which then is not told.
#[cfg(not(target_os = "linux"))]
fn now() -> Duration {
    static BEGUN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGUN.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_clock_that_is_looked_at_late_was_not_looked_at_for_that_time() {
        let mut watch = Watch {
            looked: seconds(100.0),
            stopped: Duration::ZERO,
        };
        for now in [100.0, 101.0, 102.5, 105.5] {
            assert_eq!(watch.look(seconds(now)), None, "{now}");
        }
        assert_eq!(watch.look(seconds(116.5)), Some(seconds(10.0)));
        assert_eq!(watch.look(seconds(117.5)), None);
        assert_eq!(watch.look(seconds(3_718.5)), Some(seconds(3_600.0)));
        assert_eq!(watch.stopped, seconds(3_610.0));
    }

    #[test]
    fn who_is_awake_has_not_been_stopped() {
        let stopwatch = Stopwatch::start();
        assert_eq!(stopwatch.not_awake(), Duration::ZERO);
        assert!(stopwatch.awake() < MOST_LATE + TICK);
    }
}
