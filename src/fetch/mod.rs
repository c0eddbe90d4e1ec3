//! Fetching: one page with its retries here, the pages of a slice in `slice`, the ranges of a window in `walk`.
//!
//! Imports: http, output, record, source, window.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use url::Url;

use crate::http::Http;
use crate::http::request_stats::RequestStats;
use crate::http::retry::{AttemptError, RetryPolicy};
use crate::output::printable::excerpt;
use crate::record::Reader;
use crate::source::{self, Authorization, Page, PageParseError, PageRequest, Source};
use credentials::{Credentials, Minting};
use host::Host;
use rate_limiter::RateLimiter;

pub(crate) mod credentials;
mod fetched_records;
pub(crate) mod host;
mod numbered;
pub mod plan;
mod rate_limiter;
pub(crate) mod probe;
mod slice;
mod stopwatch;
pub mod walk;

/// How much of a server's message is shown.
const LONGEST_MESSAGE: usize = 300;

/// Waits for a duration; the runtime's timer, except in tests that record the waits.
pub(crate) type Pause = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// Fetches pages from one service.
pub struct Fetcher {
    source: Arc<dyn Source>,
    http: Http,
    policy: RetryPolicy,
    credentials: Credentials,
    host: Arc<Host>,
    slots: Semaphore,
    rate_limiter: RateLimiter,
    reader: Mutex<Reader>,
    counters: Counters,
    largest_answer: AtomicUsize,
    pause: Pause,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    pages: AtomicU64,
}

/// How many requests a service was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests sent, including retries and requests for tokens.
    pub requests: u64,
    /// Retries.
    pub retries: u64,
    /// Pages read.
    pub(crate) pages: u64,
}

/// Why a page could not be fetched.
#[derive(Debug)]
pub(crate) enum PageError {
    /// The service cannot answer for a window of this width.
    TooWide(FetchError),
    /// The answer exceeds the size limit; a smaller page may fit.
    TooLarge(FetchError),
    /// The stream's run ends.
    Fatal(FetchError),
}

/// Why a window could not be fetched completely. Ranges completed before stay valid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FetchError {
    /// The service refused the request.
    #[error("{address} answered {status}{said}{attempts}: {advice}")]
    Status {
        /// The request's address, without the query.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The service's message, in quotes, with a comma before them; or nothing.
        said: String,
        /// How many attempts were made, if more than one.
        attempts: Attempts,
        /// What to check.
        advice: &'static str,
    },
    /// No complete answer arrived.
    #[error("{address} could not be reached{attempts} ({reason}): check the address, the network and any proxy")]
    Unreachable {
        /// The request's address, without the query.
        address: String,
        /// The transport's message.
        reason: String,
        /// How many attempts were made, if more than one.
        attempts: Attempts,
    },
    /// Answers arrived, but none could be parsed.
    #[error("the answer of {address} cannot be read{attempts} ({problem}): check the address and any proxy")]
    Unreadable {
        /// The request's address, without the query.
        address: String,
        /// What was wrong with the last body.
        problem: String,
        /// How many attempts were made, if more than one.
        attempts: Attempts,
    },
    /// A single record exceeds the size limit.
    #[error("the answer of {address} is too large even for one record ({problem})")]
    TooLarge {
        /// The request's address, without the query.
        address: String,
        /// The limit.
        problem: String,
    },
    /// More records share one time than the service returns in one answer.
    #[error(
        "{count} records share the time {time} and the service returns no more of them: nothing newer is kept until it \
         does; raise the page limit if the service allows it, or ask its support"
    )]
    SameTime {
        /// The time, RFC 3339.
        time: String,
        /// How many arrived.
        count: usize,
    },
    /// The service keeps naming further pages, without new records or with more than fit in memory.
    #[error("the service returns pages without end ({pages} so far): it may be in trouble")]
    Endless {
        /// How many pages were read.
        pages: u32,
    },
}

/// How many attempts a request took, for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts(u32);

impl std::fmt::Display for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            attempts => write!(f, " in {attempts} attempts"),
        }
    }
}

impl Fetcher {
    /// Creates a fetcher that asks `source` through `http`, one page at a time.
    pub fn new(source: Arc<dyn Source>, http: Http, policy: RetryPolicy) -> Self {
        Self {
            rate_limiter: RateLimiter::new(source.requests_per_second()),
            reader: Mutex::new(Reader::new(source.kind().shape)),
            source,
            http,
            policy,
            credentials: Credentials::default(),
            host: Arc::new(Host::new(1)),
            slots: Semaphore::new(1),
            counters: Counters::default(),
            largest_answer: AtomicUsize::new(0),
            pause: Arc::new(|wait| Box::pin(tokio::time::sleep(wait))),
        }
    }

    /// Replaces the wait before a retry.
    #[must_use]
    pub fn with_pause(mut self, pause: Pause) -> Self {
        self.pause = pause;
        self
    }

    /// Allows `concurrency` pages at a time, from a host that other streams may use too.
    #[must_use]
    pub(crate) fn sharing(mut self, host: Arc<Host>, concurrency: usize) -> Self {
        self.host = host;
        self.slots = Semaphore::new(concurrency.max(1));
        self
    }

    /// Returns the counts so far.
    pub fn request_counts(&self) -> RequestCounts {
        RequestCounts {
            requests: self.counters.requests.load(Ordering::Relaxed),
            retries: self.counters.retries.load(Ordering::Relaxed),
            pages: self.counters.pages.load(Ordering::Relaxed),
        }
    }

    /// Returns how the requests ended and how long they took.
    pub(crate) fn request_stats(&self) -> RequestStats {
        self.http.request_stats()
    }

    pub(crate) fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Notes how many records an answer held and returns the largest number before it.
    fn note_answer(&self, records: usize) -> usize {
        self.largest_answer.fetch_max(records, Ordering::Relaxed)
    }

    /// Fetches one page, with the retries of the policy.
    ///
    /// If `can_narrow`, a status that means "too wide" is not retried: the caller asks for a narrower window instead.
    pub(crate) async fn page(&self, request: &PageRequest, can_narrow: bool) -> Result<Page, PageError> {
        let mut failed = 0;
        loop {
            let failure = match self.attempt(request).await {
                Ok(page) => return Ok(page),
                Err(failure) => failure,
            };
            failed += 1;
            let is_rate_limited = failure.is_rate_limited();
            if can_narrow && self.is_too_wide(&failure) {
                return Err(PageError::TooWide(self.explain(failure, failed).await));
            }
            let Some(wait) = self.policy.wait(failed, &failure, fastrand::f64()) else {
                let is_too_large = matches!(failure, AttemptError::TooLarge { .. });
                let error = self.explain(failure, failed).await;
                return Err(if is_too_large {
                    PageError::TooLarge(error)
                } else {
                    PageError::Fatal(error)
                });
            };
            tracing::warn!(
                wait_ms = wait.as_millis() as u64,
                "{}; retrying",
                self.explain(failure, failed).await
            );
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            let _backoff = is_rate_limited.then(|| self.host.back_off());
            (self.pause)(wait).await;
        }
    }

    /// Makes one attempt. If a minted token is refused, mints one and tries once more. That holds for a fresh one too:
    /// the service returns the same token until it expires, so it may have had only a moment left.
    async fn attempt(&self, request: &PageRequest) -> Result<Page, AttemptError> {
        let header = self.header().await?;
        let result = self.get(request, &header).await;
        let is_minted = matches!(self.source.authorization(), Authorization::Minted(_));
        if !is_minted || !matches!(result, Err(AttemptError::Status { status: 401, .. })) {
            return result;
        }
        self.credentials.forget(&header).await;
        self.get(request, &self.header().await?).await
    }

    async fn header(&self) -> Result<SecretString, AttemptError> {
        let minting = Minting {
            http: &self.http,
            host: &self.host,
            requests: &self.counters.requests,
        };
        self.credentials.header(self.source.authorization(), minting).await
    }

    async fn get(&self, request: &PageRequest, header: &SecretString) -> Result<Page, AttemptError> {
        let url = self.source.page_url(request);
        let result = self.body(url.clone(), header).await;
        let result = result.and_then(|body| Ok((self.read(request, &body)?, body.len())));
        match result {
            Ok((page, bytes)) => {
                tracing::debug!(%url, bytes, records = page.records.len(), "read a page");
                self.counters.pages.fetch_add(1, Ordering::Relaxed);
                Ok(page)
            }
            Err(failure) => {
                tracing::debug!(%url, "a request failed");
                Err(failure)
            }
        }
    }

    /// Parses a page. All pages of a service share one reader, which learns their shape.
    fn read(&self, request: &PageRequest, body: &[u8]) -> Result<Page, PageParseError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        source::read_page(&*self.source, &mut reader, request, body)
    }

    /// Sends a request, when the host and the rate limiter allow it, and returns the body of the answer.
    async fn body(&self, url: Url, header: &SecretString) -> Result<Bytes, AttemptError> {
        // It is never closed.
        let _slot = self.slots.acquire().await;
        let _permit = self.host.permit().await;
        self.rate_limiter.acquire().await;
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.http.get(url, header).await
    }

    /// Makes a server's text fit for a message: short, printable, and without the secrets that were sent.
    async fn said(&self, text: &str) -> String {
        let text = self.credentials.conceal(self.source.authorization(), text).await;
        excerpt(&text, LONGEST_MESSAGE)
    }

    fn is_too_wide(&self, failure: &AttemptError) -> bool {
        matches!(failure, AttemptError::Status { status, .. } if self.source.is_too_wide(*status))
    }

    async fn explain(&self, failure: AttemptError, attempts: u32) -> FetchError {
        let address = address(&self.source);
        let attempts = Attempts(attempts);
        match failure {
            AttemptError::Transport(reason) => FetchError::Unreachable {
                address,
                reason: excerpt(&reason, LONGEST_MESSAGE),
                attempts,
            },
            AttemptError::UnreadableBody(problem) => FetchError::Unreadable {
                address,
                problem: self.said(&problem).await,
                attempts,
            },
            AttemptError::TooLarge { .. } => FetchError::TooLarge {
                address,
                problem: failure.to_string(),
            },
            AttemptError::Status { status, body, .. } => {
                let said = match self.source.error_message(&body) {
                    Some(message) => format!(", \"{}\"", self.said(&message).await),
                    None => String::new(),
                };
                let advice = match status {
                    300..=399 => "redirects are not followed; check the address",
                    _ => self.source.advice(status),
                };
                FetchError::Status {
                    address,
                    status,
                    said,
                    attempts,
                    advice,
                }
            }
        }
    }
}

/// Returns the address of a source without its query, which does not help in a message.
fn address(source: &Arc<dyn Source>) -> String {
    let mut url: Url = source.address().clone();
    url.set_query(None);
    url.to_string()
}
