//! What systemd tells a service at its start: where to report to, and how often to show that it is alive.
//!
//! Facts: sd_notify(3), sd_watchdog_enabled(3).

use std::process;
use std::time::Duration;

use super::system::{NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC};
use super::{ConfigErrors, Env};

/// The service manager that started the process and expects reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceManager {
    /// Its datagram socket: a path, or an abstract name after `@`.
    pub(crate) socket: String,
    /// It kills the service after this much silence.
    pub(crate) watchdog: Option<Duration>,
}

impl Env {
    /// Returns the service manager, if there is one. An invalid value counts as none, since collecting must not depend
    /// on it.
    #[must_use]
    pub(crate) fn service_manager(&self) -> Option<ServiceManager> {
        let mut ignored = ConfigErrors::default();
        let socket = self.optional(&NOTIFY_SOCKET, &mut ignored)?;
        let watched = self.optional(&WATCHDOG_PID, &mut ignored);
        let micros = self.optional(&WATCHDOG_USEC, &mut ignored);
        let is_watched = watched.is_none_or(|pid| pid == process::id());
        Some(ServiceManager {
            socket,
            watchdog: micros.filter(|_| is_watched).map(Duration::from_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(pairs: &[(&str, &str)]) -> Option<ServiceManager> {
        Env::from_pairs(pairs.iter().copied()).service_manager()
    }

    #[test]
    fn a_process_that_no_service_manager_started_has_none() {
        assert_eq!(manager(&[]), None);
        assert_eq!(manager(&[("WATCHDOG_USEC", "1000")]), None);
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let own = process::id().to_string();
        let socket = ("NOTIFY_SOCKET", "/run/systemd/notify");
        for (pid, expected) in [(Some(own.as_str()), true), (None, true), (Some("1"), false)] {
            let mut pairs = vec![socket, ("WATCHDOG_USEC", "30000000")];
            pairs.extend(pid.map(|pid| ("WATCHDOG_PID", pid)));
            let found = manager(&pairs).unwrap();
            assert_eq!(found.socket, "/run/systemd/notify");
            assert_eq!(found.watchdog, expected.then(|| Duration::from_secs(30)), "{pid:?}");
        }
        assert_eq!(manager(&[socket, ("WATCHDOG_USEC", "often")]).unwrap().watchdog, None);
    }
}
