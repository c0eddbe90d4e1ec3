//! Serves what others may look at over HTTP: `/metrics`, `/healthz` and, at `/`, a page. All of it is read-only.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::health::Health;
use super::page_cache::PageCache;

/// The media type of the text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

const HTML: &str = "text/html; charset=utf-8";

/// The page loads nothing and runs nothing, and no other page may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// A socket that listens for Prometheus and for people.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
}

/// What is served.
pub(crate) struct Served {
    /// The newest metrics.
    pub(crate) text: watch::Receiver<String>,
    /// How the last runs ended.
    pub(crate) health: watch::Receiver<Health>,
    /// None where there is no archive to show.
    pub(crate) page: Option<PageCache>,
    /// Returns the current time.
    pub(crate) clock: fn() -> DateTime<Utc>,
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

    /// Answers until `end`.
    ///
    /// # Errors
    /// If the socket fails.
    pub(crate) async fn serve(self, served: Served, end: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/", get(page))
            .with_state(Arc::new(served));
        if self.address()?.ip().is_loopback() {
            router = router.layer(from_fn(only_by_a_name_of_this_machine));
        }
        axum::serve(self.socket, router).with_graceful_shutdown(end).await
    }
}

/// Answers only who asks by a name of this machine: a page of a browser could have its own name resolved to this address, and
/// then read what is served here.
async fn only_by_a_name_of_this_machine(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let is_one = hosts.next().is_none();
    let is_local = host.is_some_and(is_of_this_machine) && request.uri().host().is_none_or(is_of_this_machine);
    if is_one && is_local {
        return next.run(request).await;
    }
    let advice = "This listener is for this machine alone: ask for 127.0.0.1 or localhost.\n";
    (StatusCode::MISDIRECTED_REQUEST, advice).into_response()
}

/// Returns whether a host, with or without a port, is `localhost` or a loopback address.
fn is_of_this_machine(host: &str) -> bool {
    let address = host.parse().map(|address: SocketAddr| address.ip());
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    match address.or_else(|_| bare.parse::<IpAddr>()) {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    let newest = served.text.borrow().clone();
    ([(CONTENT_TYPE, TEXT)], newest).into_response()
}

async fn healthz(State(served): State<Arc<Served>>) -> Response {
    let report = served.health.borrow().report((served.clock)());
    let status = if report.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

async fn page(State(served): State<Arc<Served>>) -> Response {
    let Some(page) = &served.page else {
        return (
            StatusCode::NOT_FOUND,
            "There is no archive here: ask for /metrics or /healthz.\n",
        )
            .into_response();
    };
    let Some(page) = page.page().await else {
        let later = "The page is being made: the day files are read for the first time. Ask again soon.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")], later).into_response();
    };
    let headers = [
        (CONTENT_TYPE, HTML),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page).into_response()
}
