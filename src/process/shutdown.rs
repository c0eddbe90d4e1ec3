//! Shutdown: requested by Ctrl-C or SIGTERM, and observed wherever a run can end between two writes.

use tokio::sync::watch;

/// Observes whether a shutdown was requested.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// Requests a shutdown.
#[derive(Debug)]
pub struct ShutdownTrigger {
    requested: watch::Sender<bool>,
}

/// Creates a trigger and its observer.
pub fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger { requested: sender }, Shutdown { requested: receiver })
}

impl ShutdownTrigger {
    /// Requests the shutdown.
    pub(crate) fn trigger(&self) {
        self.requested.send_replace(true);
    }
}

impl Shutdown {
    /// Returns when a shutdown was requested; never if the trigger is gone.
    pub(crate) async fn requested(&self) {
        let mut requested = self.requested.clone();
        if requested.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether a shutdown was requested.
    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }
}
