//! The requests that are under way: when a walk fails, those of its other parts are let in, and no more are sent.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use futures::{Stream, StreamExt};

use crate::http::retry::AttemptError;

#[derive(Debug, Default)]
pub(super) struct UnderWay {
    requests: AtomicUsize,
    /// Whether no other is to be sent.
    is_over: AtomicBool,
}

/// One request, until it is dropped.
pub(super) struct Request<'a>(&'a UnderWay);

impl UnderWay {
    /// Begins a request.
    ///
    /// # Errors
    /// None is to be sent any more.
    pub(super) fn begin(&self) -> Result<Request<'_>, AttemptError> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(AttemptError::Transport("the walk has ended".into()));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Request(self))
    }

    /// Polls what sends requests until none is under way; it gets to send no others.
    pub(super) async fn let_in(&self, reading: &mut (impl Stream + Unpin)) {
        self.is_over.store(true, Ordering::Relaxed);
        poll_fn(|context| {
            while self.requests.load(Ordering::Relaxed) > 0 {
                match reading.poll_next_unpin(context) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => break,
                    Poll::Pending if self.requests.load(Ordering::Relaxed) > 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(())
        })
        .await;
        self.is_over.store(false, Ordering::Relaxed);
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
