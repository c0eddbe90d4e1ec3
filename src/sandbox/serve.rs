//! Receives requests over sockets and sends the answers, whole or broken as the script says.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, DATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::serve::IncomingStream;
use futures::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::http::{ServiceRequest, http_date};
use super::state::{Delivery, Reply, SharedState};

/// The largest request body that is read.
const MAX_REQUEST: usize = 1 << 16;

/// How long the bytes before a cut have to reach the client.
const CUT_DELAY: Duration = Duration::from_millis(20);

/// Serves until `stop` is sent or dropped.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<SharedState>,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let router = Router::new().fallback(handle).with_state(shared);
    axum::serve(
        Listener(listener),
        router.into_make_service_with_connect_info::<ConnectionHandle>(),
    )
    .with_graceful_shutdown(async {
        let _ = stop.await;
    })
    .await
}

/// Reads a request and answers it.
async fn handle(
    State(shared): State<Arc<SharedState>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request,
) -> Response {
    let accepted = request.headers().get(ACCEPT_ENCODING);
    let takes_gzip = accepted.is_some_and(|value| String::from_utf8_lossy(value.as_bytes()).contains("gzip"));
    let mut reply = shared.handle(&parse(request).await);
    if takes_gzip && shared.options().gzip && reply.delivery == Delivery::Whole {
        reply.answer = reply.answer.gzipped();
    }
    if !reply.wait.is_zero() {
        tokio::time::sleep(reply.wait).await;
    }
    let mut response = respond(reply, &connection);
    // The date of its own clock, unless the script says another.
    let date = http_date((shared.options().clock)());
    if let Ok(date) = HeaderValue::from_str(&date) {
        response.headers_mut().entry(DATE).or_insert(date);
    }
    response
}

/// Parses a request; a body that cannot be read counts as empty.
async fn parse(request: Request) -> ServiceRequest {
    let (parts, body) = request.into_parts();
    let mut parsed = ServiceRequest::new(parts.uri.path(), parts.uri.query().unwrap_or_default());
    let authorization = parts.headers.get(AUTHORIZATION);
    parsed.authorization = authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    parsed.is_post = parts.method == Method::POST;
    parsed.body = axum::body::to_bytes(body, MAX_REQUEST).await.unwrap_or_default();
    parsed
}

/// Sends an answer as the script says.
fn respond(reply: Reply, connection: &ConnectionHandle) -> Response {
    let Reply { answer, delivery, .. } = reply;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let body = Bytes::from(answer.body);
    let length = body.len();
    let response = match delivery {
        Delivery::Whole => response.body(Body::from(body)),
        Delivery::Closed => {
            connection.cut();
            response.body(Body::empty())
        }
        Delivery::CutAfter(bytes) => response
            .header(CONTENT_LENGTH, length)
            .body(cut_body(body.slice(..bytes.min(length)), connection.clone())),
        Delivery::Drip(bytes, pause) => response
            .header(CONTENT_LENGTH, length)
            .body(dripping_body(body, bytes, pause)),
    };
    response.unwrap_or_else(|_| {
        let mut broken = Response::new(Body::from(
            "the script asks for a status or header that HTTP does not have",
        ));
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}

/// Sends these bytes, then closes the connection.
fn cut_body(start: Bytes, connection: ConnectionHandle) -> Body {
    let end = stream::once(async move {
        tokio::time::sleep(CUT_DELAY).await;
        connection.cut();
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    Body::from_stream(stream::iter([Ok(start)]).chain(end))
}

/// Sends a body in parts, with a pause before each.
fn dripping_body(body: Bytes, bytes: usize, pause: Duration) -> Body {
    Body::from_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(bytes.clamp(1, rest.len()));
        Some((Ok::<_, Infallible>(piece), rest))
    }))
}

/// A listener whose connections a handler can cut.
struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (stream, addr) = axum::serve::Listener::accept(&mut self.0).await;
        // Else a small answer can wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        (
            CuttableStream {
                stream,
                connection: ConnectionHandle::default(),
            },
            addr,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Lets a handler cut its connection.
#[derive(Clone, Default)]
struct ConnectionHandle(Arc<AtomicBool>);

impl ConnectionHandle {
    /// Makes the next write fail, which closes the connection.
    fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }
}

impl Connected<IncomingStream<'_, Listener>> for ConnectionHandle {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().connection.clone()
    }
}

/// A connection whose writes fail once it is cut.
struct CuttableStream {
    stream: TcpStream,
    connection: ConnectionHandle,
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
