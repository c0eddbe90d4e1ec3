//! The wish that a run should end, from Ctrl-C or SIGTERM to every place that can heed it.

use tokio::sync::watch;

/// Hears the wish.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: watch::Receiver<bool>,
}

/// Utters the wish.
#[derive(Debug)]
pub struct Stopper {
    requested: watch::Sender<bool>,
}

/// A wish that can be uttered and heard.
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper { requested: sender }, Stop { requested: receiver })
}

impl Stopper {
    /// Asks everybody to stop.
    pub fn stop(&self) {
        self.requested.send_replace(true);
    }
}

impl Stop {
    /// Returns when somebody asked to stop; waits for ever when nobody can any more.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        if requested.wait_for(|requested| *requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether somebody asked to stop.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }
}
