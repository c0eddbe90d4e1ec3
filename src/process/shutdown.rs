//! Shutdown: asked for by Ctrl-C or SIGTERM, and observed wherever a run can end between two writes.

use tokio::sync::watch;

/// Observes whether a shutdown was asked for.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// Asks for a shutdown.
#[derive(Debug)]
pub struct ShutdownTrigger {
    requested: watch::Sender<bool>,
}

/// A trigger, and what observes it.
pub fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger { requested: sender }, Shutdown { requested: receiver })
}

impl ShutdownTrigger {
    /// Asks for the shutdown.
    pub(crate) fn trigger(&self) {
        self.requested.send_replace(true);
    }
}

impl Shutdown {
    /// Returns when a shutdown was asked for; never, where the trigger is gone.
    pub(crate) async fn requested(&self) {
        let mut requested = self.requested.clone();
        if requested.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether a shutdown was asked for.
    pub(crate) fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }
}
