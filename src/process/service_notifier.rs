//! Word to the service manager that started the process: ready, what it does, still alive, ending.
//!
//! The protocol of sd_notify(3): lines `NAME=value` in one datagram.

use crate::env::ServiceManager;
use crate::output::printable::excerpt;

/// Of a status, as much as `systemctl status` shows well.
const LONGEST_STATUS: usize = 200;

/// Tells the service manager; without one it tells nobody.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    #[cfg(unix)]
    socket: Option<std::os::unix::net::UnixDatagram>,
}

impl Notifier {
    /// Ready to tell `manager`, if there is one. That it cannot be told is logged and stops nothing.
    #[must_use]
    pub(crate) fn new(manager: Option<&ServiceManager>) -> Self {
        #[cfg(unix)]
        if let Some(manager) = manager {
            return match connect(&manager.socket) {
                Ok(socket) => Self { socket: Some(socket) },
                Err(error) => {
                    tracing::warn!("the service manager cannot be told anything: {error}");
                    Self::default()
                }
            };
        }
        let _ = manager;
        Self::default()
    }

    /// The start is over.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", excerpt(status, LONGEST_STATUS)));
    }

    /// What it does, in one line for people.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", excerpt(status, LONGEST_STATUS)));
    }

    /// Still alive.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Ending, as somebody asked.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=ending after the write under way");
    }

    fn tell(&self, message: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket {
            // A manager that went away is no reason to stop, and the log would fill with it.
            if let Err(error) = socket.send(message.as_bytes()) {
                tracing::debug!("the service manager could not be told: {error}");
            }
        }
        #[cfg(not(unix))]
        let _ = message;
    }
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
        let length = socket.recv(&mut buffer).expect("waited in vain for a word");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn notifier(socket: &str) -> Notifier {
        Notifier::new(Some(&ServiceManager {
            socket: socket.to_owned(),
            watchdog: None,
        }))
    }

    #[test]
    fn the_manager_hears_every_word_on_a_socket_with_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(path.to_str().unwrap());
        notifier.ready("4 streams");
        notifier.alive();
        notifier.status("tfc: 3 new\nREADY=0");
        notifier.stopping();
        assert_eq!(received(&manager), "READY=1\nSTATUS=4 streams");
        assert_eq!(received(&manager), "WATCHDOG=1");
        assert_eq!(received(&manager), "STATUS=tfc: 3 new\\nREADY=0");
        assert!(received(&manager).starts_with("STOPPING=1\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_manager_hears_every_word_on_an_abstract_socket() {
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
        Notifier::new(None).ready("nobody hears it");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(path.to_str().unwrap());
        drop(manager);
        notifier.alive();
    }
}
