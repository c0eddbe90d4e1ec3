//! The HTTP client: sends a request and returns the whole answer, of bounded size. The only file that knows reqwest.

use std::panic;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::header::{AGE, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, RequestBuilder, Response, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;
use url::Url;
use zeroize::Zeroizing;

use super::clock::ServiceClock;
use super::proxy::{Proxies, Proxy, SYSTEM_HAS_PROXIES};
use super::request_stats::{Answer, RequestStats};
use super::retry::{AttemptError, server_wait};
use super::roots::bundle;

/// The largest answer, after decompression: a page of these services has a few megabytes at most.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// How much of an error's body is read, and of the answer to a `POST`: enough for any message.
const LARGEST_ERROR_BODY: usize = 64 * 1024;

/// How long the body of the answer to a `POST` is waited for: its status is what matters.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// A host that does not accept the connection in this time is down, whatever the timeout of the whole request is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The default timeout of a request.
const USUAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Splunk's header for the channel of a request.
const REQUEST_CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The client of one stream. Clones share the connections, the root certificates, which take a while to load, and the
/// request counts and what is known of the service's clock; see [`Http::with_timeout`].
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    /// The proxy for `https://`, to ask it why it did not connect.
    tunnel: Option<Proxy>,
    request_stats: Arc<Mutex<RequestStats>>,
    service_clock: Arc<Mutex<ServiceClock>>,
    timeout: Duration,
}

/// The authorities that are trusted instead of those of the system.
#[derive(Clone, Debug)]
pub(crate) struct Authorities(Vec<Certificate>);

impl Authorities {
    /// Reads certificates in the PEM form.
    ///
    /// # Errors
    /// If there is none, or one cannot be used; the text says why.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|error| describe(&error))?;
        if certificates.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        // They are parsed only when a client is made of them.
        install_provider();
        let client = builder().tls_certs_only(certificates.clone()).build();
        client.map_err(|error| describe(&error))?;
        Ok(Self(certificates))
    }
}

/// The answer to a `POST`, a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) status: u16,
    /// Without its parameters, in lower case; empty if there is none.
    pub(crate) content_type: String,
    /// Its start, or as much as came in time.
    pub(crate) body: Vec<u8>,
    /// Whether it ended without a body. One that broke off, or did not come in time, is none that is empty.
    pub(crate) is_empty: bool,
}

/// What mostly is missing where a client is not built.
const ROOTS_ADVICE: &str = ": it needs the root certificates of the system; install them (in Debian the package \
                            ca-certificates), or name their file with SSL_CERT_FILE";

/// The client cannot be set up; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SetupError(String);

impl Http {
    /// Creates a client for any address that gives up on a request, from connecting to the last byte of the body, after a
    /// minute.
    ///
    /// It follows no redirects and sends no referrer, so that a token goes only to the configured host.
    ///
    /// # Errors
    /// The system's root certificates or a proxy cannot be used.
    pub fn new(proxies: &Proxies) -> Result<Self, SetupError> {
        Self::trusting_system(proxies)
    }

    /// The same, for these addresses alone: the root certificates of the system are loaded only if something is encrypted.
    ///
    /// # Errors
    /// As for [`Http::new`].
    pub fn to<'a>(addresses: impl IntoIterator<Item = &'a Url>, proxies: &Proxies) -> Result<Self, SetupError> {
        let is_encrypted = addresses.into_iter().any(|address| address.scheme() == "https");
        if is_encrypted || proxies.may_be_encrypted() {
            Self::trusting_system(proxies)
        } else {
            Self::build(proxies, builder().tls_certs_only([]))
        }
    }

    /// The same, trusting these authorities and no others.
    ///
    /// # Errors
    /// As for [`Http::new`].
    pub(crate) fn trusting(Authorities(certificates): &Authorities, proxies: &Proxies) -> Result<Self, SetupError> {
        Self::build(proxies, builder().tls_certs_only(certificates.clone()))
    }

    /// Trusts the authorities of the system, those of its bundle if there is one: what the client finds by itself are hundreds
    /// of files.
    fn trusting_system(proxies: &Proxies) -> Result<Self, SetupError> {
        let of_bundle = bundle().and_then(|certificates| {
            let certificates = certificates.iter().map(|der| Certificate::from_der(der));
            certificates.collect::<reqwest::Result<Vec<_>>>().ok()
        });
        let client =
            of_bundle.and_then(|certificates| Self::build(proxies, builder().tls_certs_only(certificates)).ok());
        match client {
            Some(client) => Ok(client),
            None => Self::build(proxies, builder()),
        }
    }

    fn build(proxies: &Proxies, builder: ClientBuilder) -> Result<Self, SetupError> {
        install_provider();
        let client = with_proxies(builder, proxies)?
            .user_agent(concat!("trailkeeper/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| SetupError(format!("{}{ROOTS_ADVICE}", describe(&error))))?;
        Ok(Self {
            client,
            tunnel: proxies.https.clone(),
            timeout: USUAL_TIMEOUT,
            request_stats: Arc::default(),
            service_clock: unknown_clock(),
        })
    }

    /// Creates a client for another stream, with its own timeout for a whole request: it shares the connections, but
    /// has its own counts and its own clock.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            client: self.client.clone(),
            tunnel: self.tunnel.clone(),
            timeout,
            request_stats: Arc::default(),
            service_clock: unknown_clock(),
        }
    }

    /// Returns the counts of the requests so far.
    pub(crate) fn request_stats(&self) -> RequestStats {
        self.request_stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes this date of answers for none, since it was that of an answer some seconds ago.
    pub(crate) fn distrust_date(&self, stale: DateTime<Utc>) {
        let mut clock = self.service_clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.distrust(stale);
    }

    /// Returns what the answers so far say of the service's clock.
    pub(crate) fn service_clock(&self) -> ServiceClock {
        *self.service_clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a `GET` request and returns the body of the answer.
    ///
    /// # Errors
    /// See [`AttemptError`].
    pub(crate) async fn get(&self, url: Url, authorization: &SecretString) -> Result<Bytes, AttemptError> {
        let request = self.client.get(url).header(AUTHORIZATION, header(authorization)?);
        self.send(request).await
    }

    /// Sends a `POST` request with a JSON body and returns the body of the answer; both hold secrets.
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

    /// Makes one exchange; sets `answer` to what arrived, whatever the result is.
    async fn exchange(&self, request: RequestBuilder, answer: &mut Answer) -> Result<Bytes, AttemptError> {
        let sent = Instant::now();
        let response = self.response(request).await?;
        *answer = Answer::Status(response.status().as_u16());
        if let Some(date) = date(response.headers()) {
            let mut clock = self.service_clock.lock().unwrap_or_else(PoisonError::into_inner);
            clock.note(date, sent, Instant::now());
        }
        read_body(accepted(response).await?).await
    }

    /// Sends a body by `POST` and returns what a success says. Its body is read, within bounds, so that the connection can be
    /// used again.
    ///
    /// # Errors
    /// [`AttemptError::Transport`] and [`AttemptError::Status`].
    pub(crate) async fn post(&self, post: Post<'_>) -> Result<Receipt, AttemptError> {
        let mut request = self.client.post(post.url).header(CONTENT_TYPE, post.content_type);
        if let Some(authorization) = post.authorization {
            request = request.header(AUTHORIZATION, header(authorization)?);
        }
        if let Some(channel) = post.channel {
            request = request.header(REQUEST_CHANNEL, channel);
        }
        let (http, request) = (self.clone(), request.body(post.body));
        // On the thread that reads the connections: on another one the next request may begin before its connection is known to be
        // free, and make one more. What is dropped with the set is ended.
        let mut exchange = JoinSet::new();
        exchange.spawn(async move { http.receipt(request).await });
        match exchange.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
            _ => Err(AttemptError::Transport("the program is ending".to_owned())),
        }
    }

    async fn receipt(&self, request: RequestBuilder) -> Result<Receipt, AttemptError> {
        let response = accepted(self.response(request).await?).await?;
        let (status, content_type) = (response.status().as_u16(), content_type(response.headers()));
        let mut body = Vec::new();
        let reading = read_start(response, LARGEST_ERROR_BODY, &mut body);
        let has_ended = matches!(tokio::time::timeout(BODY_PATIENCE, reading).await, Ok(Ok(())));
        Ok(Receipt {
            status,
            content_type,
            is_empty: has_ended && body.is_empty(),
            body,
        })
    }

    /// Sends a request, and returns the beginning of the response.
    async fn response(&self, request: RequestBuilder) -> Result<Response, AttemptError> {
        match request.timeout(self.timeout).send().await {
            Ok(response) => Ok(response),
            Err(error) => Err(AttemptError::Transport(self.reason(error).await)),
        }
    }

    /// Says why there was no response.
    async fn reason(&self, error: reqwest::Error) -> String {
        let target = error.url().cloned();
        let text = describe(&error.without_url());
        let meaning = match &self.tunnel {
            Some(proxy) => {
                let authorization = self.authorization_at(proxy);
                let authorization = authorization.as_ref().and_then(|value| value.to_str().ok());
                proxy.meaning(&text, target.as_ref(), authorization).await
            }
            None => None,
        };
        meaning.unwrap_or(text)
    }

    /// Returns the header for the user and the password of a proxy, which the client makes of a URL.
    fn authorization_at(&self, proxy: &Proxy) -> Option<HeaderValue> {
        let request = self.client.get(proxy.address.url()?).build().ok()?;
        request.headers().get(AUTHORIZATION).cloned()
    }
}

/// Why nothing came for a request of another crate, or not all of it.
#[cfg(feature = "object-storage")]
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct ForeignError {
    text: String,
    /// It was not sent.
    pub(crate) is_unsent: bool,
}

#[cfg(feature = "object-storage")]
impl From<reqwest::Error> for ForeignError {
    fn from(error: reqwest::Error) -> Self {
        Self {
            is_unsent: error.is_connect(),
            text: describe(&error.without_url()),
        }
    }
}

#[cfg(feature = "object-storage")]
impl Http {
    /// Sends a request that another crate has made, and returns what came, of whatever status; it is neither counted nor told of the
    /// service's clock.
    ///
    /// # Errors
    /// If no response came, or not all of it.
    pub(crate) async fn exchange_foreign(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, ForeignError> {
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = Some(self.timeout);
        let response = self.client.execute(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response).await.map_err(|error| ForeignError {
            text: error.to_string(),
            is_unsent: false,
        })?;
        let mut answer = http::Response::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the file that knows reqwest")]
fn builder() -> ClientBuilder {
    Client::builder()
}

fn install_provider() {
    // The error only says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Gives the client the proxies of the settings, and no others.
fn with_proxies(builder: ClientBuilder, proxies: &Proxies) -> Result<ClientBuilder, SetupError> {
    if proxies.is_empty() && SYSTEM_HAS_PROXIES {
        return Ok(builder);
    }
    let mut builder = builder.no_proxy();
    type Make = fn(Url) -> reqwest::Result<reqwest::Proxy>;
    let kinds: [(_, Make); 2] = [
        (&proxies.http, reqwest::Proxy::http),
        (&proxies.https, reqwest::Proxy::https),
    ];
    for (proxy, make) in kinds {
        let Some(address) = proxy.as_ref().and_then(|proxy| proxy.address.url()) else {
            continue;
        };
        let proxy = make(address).map_err(|error| SetupError(describe(&error.without_url())))?;
        builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&proxies.hosts_without())));
    }
    Ok(builder)
}

/// What is sent by `POST`.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    pub(crate) url: Url,
    pub(crate) content_type: &'static str,
    pub(crate) authorization: Option<&'a SecretString>,
    /// Splunk's channel, which its acknowledgements belong to.
    pub(crate) channel: Option<&'a str>,
    pub(crate) body: Vec<u8>,
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

fn header(secret: &SecretString) -> Result<HeaderValue, AttemptError> {
    let mut value = HeaderValue::from_maybe_shared(wiped_when_done(secret))
        .map_err(|_| AttemptError::Transport("the token holds characters that no header can carry".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Copies a secret for a request; the copy is wiped when the last part of the client drops it.
fn wiped_when_done(secret: &SecretString) -> Bytes {
    Bytes::from_owner(Zeroizing::new(secret.expose_secret().as_bytes().to_vec()))
}

fn unknown_clock() -> Arc<Mutex<ServiceClock>> {
    Arc::new(Mutex::new(ServiceClock::unknown()))
}

/// Returns when the service made its answer; `None` if a cache kept it (RFC 9111, section 5.1).
fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    if headers.contains_key(AGE) {
        return None;
    }
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?);
    date.ok().map(DateTime::from)
}

fn not_text() -> AttemptError {
    AttemptError::UnreadableBody("the body is not UTF-8".into())
}

/// Returns the response if it is a success.
async fn accepted(response: Response) -> Result<Response, AttemptError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let wait = asked_wait(response.headers());
    let mut body = Vec::new();
    // An error while reading must not hide the status.
    let _ = read_start(response, LARGEST_ERROR_BODY, &mut body).await;
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

/// Reads the whole body. Its bytes are counted after decompression, because a small answer can be a huge body.
async fn read_body(mut response: Response) -> Result<Bytes, AttemptError> {
    let announced = response.content_length();
    let Some(first) = next_chunk(&mut response, 0).await? else {
        return Ok(Bytes::new());
    };
    if announced == Some(first.len() as u64) {
        // Most pages arrive in one chunk, which need not be copied.
        return Ok(first);
    }
    // Do not trust the announced length: a lie about gigabytes must cost no memory.
    let expected = announced.unwrap_or(0).min(1024 * 1024) as usize;
    let mut body = Vec::with_capacity(expected.max(first.len()));
    body.extend_from_slice(&first);
    while let Some(chunk) = next_chunk(&mut response, body.len()).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// Reads the next chunk of a body of which `come` bytes have arrived.
async fn next_chunk(response: &mut Response, come: usize) -> Result<Option<Bytes>, AttemptError> {
    match response.chunk().await.map_err(transport)? {
        Some(chunk) if come + chunk.len() > LARGEST_BODY => Err(AttemptError::TooLarge {
            limit: LARGEST_BODY,
            unit: "bytes",
        }),
        chunk => Ok(chunk),
    }
}

/// Reads the first bytes of a body; what came before an error, or before the future is dropped, is in `body`.
async fn read_start(mut response: Response, limit: usize, body: &mut Vec<u8>) -> reqwest::Result<()> {
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
        if body.len() == limit {
            break;
        }
    }
    Ok(())
}

fn transport(error: reqwest::Error) -> AttemptError {
    AttemptError::Transport(describe(&error.without_url()))
}

/// Formats an error with its causes; reqwest's own text has only the outermost.
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
