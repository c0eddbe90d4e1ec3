//! Notifies the service manager that started the process: ready, status, still alive, reloading, stopping.
//!
//! The protocol of sd_notify(3): lines `NAME=value` in one datagram.

use crate::env::ServiceManager;
use crate::output::printable::excerpt;

/// How much of a status `systemctl status` shows well.
const LONGEST_STATUS: usize = 200;

/// Notifies the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    #[cfg(unix)]
    socket: Option<std::os::unix::net::UnixDatagram>,
}

impl Notifier {
    /// Connects to `manager`, if there is one. An error is logged and stops nothing.
    #[must_use]
    pub(crate) fn new(manager: Option<&ServiceManager>) -> Self {
        #[cfg(unix)]
        if let Some(manager) = manager {
            return match connect(&manager.socket) {
                Ok(socket) => Self { socket: Some(socket) },
                Err(error) => {
                    tracing::warn!("cannot connect to the service manager: {error}");
                    Self::default()
                }
            };
        }
        let _ = manager;
        Self::default()
    }

    /// Reports that the start is over.
    pub(crate) fn ready(&self, status: &str) {
        self.notify(&format!("READY=1\nSTATUS={}", excerpt(status, LONGEST_STATUS)));
    }

    /// Reports that the settings are being read again; [`Notifier::ready`] ends that.
    pub(crate) fn reloading(&self) {
        let now = monotonic_micros();
        self.notify(&format!(
            "RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reading the settings again"
        ));
    }

    /// Reports what the service does, in one line for people.
    pub(crate) fn status(&self, status: impl FnOnce() -> String) {
        #[cfg(unix)]
        if self.socket.is_some() {
            self.notify(&format!("STATUS={}", excerpt(&status(), LONGEST_STATUS)));
        }
        #[cfg(not(unix))]
        let _ = status;
    }

    /// Reports that the service is still alive.
    pub(crate) fn alive(&self) {
        self.notify("WATCHDOG=1");
    }

    /// Reports a shutdown.
    pub(crate) fn stopping(&self) {
        self.notify("STOPPING=1\nSTATUS=shutting down after the current write");
    }

    fn notify(&self, message: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket {
            // A manager that went away must not stop the service or fill the log.
            if let Err(error) = socket.send(message.as_bytes()) {
                tracing::debug!("cannot notify the service manager: {error}");
            }
        }
        #[cfg(not(unix))]
        let _ = message;
    }
}

/// Returns the time by which the manager orders reloads (`CLOCK_MONOTONIC`), in microseconds.
#[cfg(unix)]
fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000)
}

#[cfg(not(unix))]
fn monotonic_micros() -> i64 {
    0
}

#[cfg(unix)]
fn connect(name: &str) -> std::io::Result<std::os::unix::net::UnixDatagram> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    // A full queue must not hold up a run.
    socket.set_nonblocking(true)?;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        socket.connect_addr(&address)?;
        return Ok(socket);
    }
    socket.connect(name)?;
    Ok(socket)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::test_support::bound::PATIENCE;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = socket.recv(&mut buffer).expect("no message arrived");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn notifier(socket: &str) -> Notifier {
        Notifier::new(Some(&ServiceManager {
            socket: socket.to_owned(),
            watchdog: None,
        }))
    }

    #[test]
    fn the_manager_gets_every_message_on_a_socket_with_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(path.to_str().unwrap());
        notifier.ready("4 streams");
        notifier.alive();
        notifier.status(|| "tfc: 3 new\nREADY=0".to_owned());
        notifier.stopping();
        assert_eq!(received(&manager), "READY=1\nSTATUS=4 streams");
        assert_eq!(received(&manager), "WATCHDOG=1");
        assert_eq!(received(&manager), "STATUS=tfc: 3 new\\nREADY=0");
        assert!(received(&manager).starts_with("STOPPING=1\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_manager_gets_every_message_on_an_abstract_socket() {
        use std::os::linux::net::SocketAddrExt;

        let name = format!("trailkeeper-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        notifier(&format!("@{name}")).alive();
        assert_eq!(received(&manager), "WATCHDOG=1");
    }

    #[test]
    fn a_manager_that_is_missing_or_goes_away_stops_nothing() {
        notifier("/nowhere/notify").alive();
        Notifier::new(None).ready("no manager");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(path.to_str().unwrap());
        drop(manager);
        notifier.alive();
    }
}
