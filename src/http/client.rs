//! The one place that knows reqwest: a request goes out, a whole answer of bounded size comes back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, redirect};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::request_stats::{Answer, RequestStats};
use super::retry::{AttemptError, server_wait};

/// No answer may be larger, after decompression: a page of these services holds a few megabytes at most.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// Of an error's body, enough for any message.
const LARGEST_ERROR_BODY: usize = 64 * 1024;

/// A host that does not take the connection in this time is down, whatever the time-out of a whole request is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may take where nothing else is said.
const USUAL_TIMEOUT: Duration = Duration::from_secs(60);

const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The client for one stream. Copies share their connections and the root certificates, which take a while to read, and
/// count their requests together; see [`Http::with_timeout`].
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    request_stats: Arc<Mutex<RequestStats>>,
    /// The `Date` of the last answer, in seconds since 1970; 0 while there is none.
    server_time: Arc<AtomicI64>,
    timeout: Duration,
}

/// The client cannot be set up; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SetupError(String);

impl Http {
    /// A client that gives up on a request, from connecting to the last byte of the body, after a minute.
    ///
    /// Redirects are not followed and no referrer is sent, so that a token goes to the configured host alone.
    ///
    /// # Errors
    /// The system's root certificates or proxy settings cannot be used.
    #[expect(clippy::disallowed_methods, reason = "this is the file that knows reqwest")]
    pub fn new() -> Result<Self, SetupError> {
        // An error only says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("trailkeeper/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| SetupError(describe(&error)))?;
        Ok(Self {
            client,
            timeout: USUAL_TIMEOUT,
            request_stats: Arc::default(),
            server_time: Arc::default(),
        })
    }

    /// A client for another stream, with a limit of its own for a whole request: it shares the connections, and counts
    /// for itself.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            client: self.client.clone(),
            timeout,
            request_stats: Arc::default(),
            server_time: Arc::default(),
        }
    }

    /// The requests so far.
    pub(crate) fn request_stats(&self) -> RequestStats {
        self.request_stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What time it was at the server when it answered last, by the `Date` of the answer (RFC 9110, section 6.6.1).
    pub(crate) fn server_time(&self) -> Option<DateTime<Utc>> {
        let seconds = self.server_time.load(Ordering::Relaxed);
        DateTime::from_timestamp(seconds, 0).filter(|_| seconds > 0)
    }

    /// The body of a successful answer to `GET`.
    ///
    /// # Errors
    /// See [`AttemptError`].
    pub(crate) async fn get(&self, url: Url, authorization: &SecretString) -> Result<Bytes, AttemptError> {
        let request = self.client.get(url).header(AUTHORIZATION, header(authorization)?);
        self.send(request).await
    }

    /// The body of a successful answer to `POST` with a JSON body; both hold secrets.
    ///
    /// # Errors
    /// As for [`Http::get`].
    pub(crate) async fn post_json(&self, url: Url, body: &SecretString) -> Result<Zeroizing<String>, AttemptError> {
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json");
        let answer = self.send(request.body(wiped_when_done(body))).await?;
        let text = String::from_utf8(Vec::from(answer)).map_err(|error| drop(Zeroizing::new(error.into_bytes())));
        text.map(Zeroizing::new).map_err(|()| not_text())
    }

    /// Sends a request and counts it.
    async fn send(&self, request: RequestBuilder) -> Result<Bytes, AttemptError> {
        let started = Instant::now();
        let mut answer = Answer::Nothing;
        let result = self.exchange(request, &mut answer).await;
        let mut request_stats = self.request_stats.lock().unwrap_or_else(PoisonError::into_inner);
        request_stats.note(answer, started.elapsed());
        result
    }

    /// One exchange; `answer` tells what came, whatever the result is.
    async fn exchange(&self, request: RequestBuilder, answer: &mut Answer) -> Result<Bytes, AttemptError> {
        let response = request.timeout(self.timeout).send().await.map_err(transport)?;
        *answer = Answer::Status(response.status().as_u16());
        if let Some(seconds) = date(response.headers()) {
            self.server_time.store(seconds, Ordering::Relaxed);
        }
        read_body(accepted(response).await?).await
    }

    /// Sends a body by `POST`; any success is enough, whatever the answer says.
    ///
    /// # Errors
    /// [`AttemptError::Transport`] and [`AttemptError::Status`].
    pub(crate) async fn post(
        &self,
        url: Url,
        content_type: &'static str,
        authorization: Option<&SecretString>,
        body: Vec<u8>,
    ) -> Result<(), AttemptError> {
        let mut request = self.client.post(url).header(CONTENT_TYPE, content_type).body(body);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, header(authorization)?);
        }
        let response = request.timeout(self.timeout).send().await.map_err(transport)?;
        accepted(response).await.map(drop)
    }
}

fn header(secret: &SecretString) -> Result<HeaderValue, AttemptError> {
    let mut value = HeaderValue::from_maybe_shared(wiped_when_done(secret))
        .map_err(|_| AttemptError::Transport("the token holds characters that no header can carry".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A copy of a secret for a request, which is wiped when the last part of the client that needs it lets it go.
fn wiped_when_done(secret: &SecretString) -> Bytes {
    Bytes::from_owner(Zeroizing::new(secret.expose_secret().as_bytes().to_vec()))
}

fn date(headers: &HeaderMap) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(DateTime::<Utc>::from(date).timestamp())
}

/// The text of a body; the services answer in UTF-8 alone.
///
/// # Errors
/// [`AttemptError::UnreadableBody`] for anything else.
pub(crate) fn text(body: &[u8]) -> Result<&str, AttemptError> {
    simdutf8::basic::from_utf8(body).map_err(|_| not_text())
}

fn not_text() -> AttemptError {
    AttemptError::UnreadableBody("the body is not UTF-8".into())
}

/// The answer, if it is a success.
async fn accepted(response: Response) -> Result<Response, AttemptError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let wait = asked_wait(response.headers());
    let body = read_start(response, LARGEST_ERROR_BODY).await;
    Err(AttemptError::Status {
        status: status.as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
        wait,
    })
}

fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    server_wait(text(DATE), text(RETRY_AFTER), text(RATE_LIMIT_RESET))
}

/// The whole body; its bytes are counted as they come out of the decompressor, because a small answer can be a huge body.
async fn read_body(mut response: Response) -> Result<Bytes, AttemptError> {
    let announced = response.content_length();
    let Some(first) = next_chunk(&mut response, 0).await? else {
        return Ok(Bytes::new());
    };
    if announced == Some(first.len() as u64) {
        // Most pages come in one piece, which need not be copied.
        return Ok(first);
    }
    // What an answer announces is not yet there: a lie about gigabytes must cost no memory.
    let expected = announced.unwrap_or(0).min(1024 * 1024) as usize;
    let mut body = Vec::with_capacity(expected.max(first.len()));
    body.extend_from_slice(&first);
    while let Some(chunk) = next_chunk(&mut response, body.len()).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// The next bytes of a body of which so many have come.
async fn next_chunk(response: &mut Response, come: usize) -> Result<Option<Bytes>, AttemptError> {
    match response.chunk().await.map_err(transport)? {
        Some(chunk) if come + chunk.len() > LARGEST_BODY => Err(AttemptError::TooLarge { limit: LARGEST_BODY }),
        chunk => Ok(chunk),
    }
}

/// The first bytes of an error's body; a fault while it is read must not hide the status.
async fn read_start(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
        if body.len() == limit {
            break;
        }
    }
    body
}

fn transport(error: reqwest::Error) -> AttemptError {
    AttemptError::Transport(describe(&error.without_url()))
}

/// The error with its causes; reqwest's own text names only the outermost.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text
}
