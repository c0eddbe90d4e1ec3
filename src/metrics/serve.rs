//! Serves `/metrics` over HTTP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The media type of the text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A socket that listens for Prometheus.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for --metrics-listen: {source}; choose another address, or end the program that uses it"
)]
pub(crate) struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl Listener {
    /// Listens; nothing is answered until [`Listener::serve`].
    ///
    /// # Errors
    /// If the address is in use, or is not one of this machine.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        match TcpListener::bind(address).await {
            Ok(socket) => Ok(Self { socket }),
            Err(source) => Err(ListenError { address, source }),
        }
    }

    /// Returns the address that it listens on, with the free port if port 0 was asked for.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers `GET /metrics` with the newest text until `end`.
    ///
    /// # Errors
    /// If the socket fails.
    pub(crate) async fn serve(
        self,
        text: watch::Receiver<String>,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let answer = move || {
            let newest = text.borrow().clone();
            async move { ([(CONTENT_TYPE, TEXT)], newest).into_response() }
        };
        let router = Router::new().route("/metrics", get(answer));
        axum::serve(self.socket, router).with_graceful_shutdown(end).await
    }
}
