//! Ctrl-C and SIGTERM, which request a shutdown.

use super::shutdown::{self, Shutdown};

/// Returns a shutdown that the signals trigger from now on.
pub(crate) fn shutdown() -> Shutdown {
    let (trigger, shutdown) = shutdown::channel();
    let signal = received();
    tokio::spawn(async move {
        signal.await;
        tracing::warn!("shutting down after the current write");
        trigger.trigger();
    });
    shutdown
}

/// Returns at the first signal. Signals between the call and the first poll count.
#[cfg(unix)]
pub(crate) fn received() -> impl Future<Output = ()> {
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
            () = first(interrupt) => {}
            () = first(terminate) => {}
        }
    }
}

/// Returns at the first Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn received() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
