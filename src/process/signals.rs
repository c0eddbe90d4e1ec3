//! Signals: Ctrl-C and SIGTERM request a shutdown, SIGHUP has the settings read again, and some others end nothing.

use super::exit::Exit;
use super::shutdown::{self, Shutdown};

/// Takes the signals that would end the process for no reason of its own, for as long as it runs: SIGUSR1 and SIGUSR2, which
/// other programs take for a wish to reopen a log, and SIGXFSZ, so that a limit of the size of files is an error of writing, as
/// a full disk is.
#[cfg(unix)]
pub(crate) fn ignore_strays() {
    use rustix::process::Signal;
    use tokio::signal::unix::{SignalKind, signal};
    for stray in [Signal::USR1, Signal::USR2, Signal::XFSZ] {
        // A handler that does nothing. If the system refuses, collecting still works.
        let _ = signal(SignalKind::from_raw(stray.as_raw()));
    }
}

/// There are no such signals here.
#[cfg(not(unix))]
pub(crate) fn ignore_strays() {}

/// SIGHUP, which ends nothing from now on.
#[derive(Debug)]
pub(crate) struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Takes the signal.
    pub(crate) fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Takes the signal unless the process was started to ignore it, as by nohup.
    fn unless_ignored() -> Self {
        if is_hangup_ignored() {
            return Self {
                #[cfg(unix)]
                signal: None,
            };
        }
        Self::listen()
    }

    /// Returns at the next one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Returns whether SIGHUP, the first signal, is ignored (proc_pid_status(5)); where that cannot be told, it counts as ignored.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask & 1 == 1)
}

/// Returns a shutdown that Ctrl-C, SIGTERM, and the end of the terminal (SIGHUP) trigger from now on.
pub(crate) fn shutdown() -> Shutdown {
    let (ended, mut hangups) = (received(), Hangups::unless_ignored());
    triggered_by(async move {
        tokio::select! {
            _ = ended => {}
            () = hangups.next() => {}
        }
    })
}

/// Returns a shutdown that Ctrl-C and SIGTERM trigger: for a service, to which SIGHUP means something else.
pub(crate) fn shutdown_of_service() -> Shutdown {
    let ended = received();
    triggered_by(async {
        ended.await;
    })
}

fn triggered_by(signal: impl Future<Output = ()> + Send + 'static) -> Shutdown {
    let (trigger, shutdown) = shutdown::channel();
    tokio::spawn(async move {
        signal.await;
        tracing::warn!("shutting down after the current write");
        trigger.trigger();
    });
    shutdown
}

/// Returns at the first signal, with the exit code of what it ends. Signals between the call and the first poll count.
#[cfg(unix)]
pub(crate) fn received() -> impl Future<Output = Exit> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    async fn first(signal: std::io::Result<Signal>) {
        let received = match signal {
            Ok(mut signal) => signal.recv().await,
            Err(_) => None,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
    }
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        tokio::select! {
            () = first(interrupt) => Exit::Interrupted,
            () = first(terminate) => Exit::Terminated,
        }
    }
}

/// Returns at the first Ctrl-C, with the exit code of what it ends.
#[cfg(not(unix))]
pub(crate) async fn received() -> Exit {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    Exit::Interrupted
}
