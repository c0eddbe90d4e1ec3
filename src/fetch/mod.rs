//! Fetching: one page with its retries here, the ranges of a window in `walk`: between bounds in `bounded` and `slice`, by page
//! number in `numbered`.
//!
//! Imports: env, http, output, record, source, window.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::Stream;
use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use url::Url;

use crate::http::Http;
use crate::http::clock::ServiceClock;
use crate::http::redaction::without_any;
use crate::http::request_stats::RequestStats;
use crate::http::retry::{AttemptError, RetryPolicy};
use crate::output::printable::excerpt;
use crate::record::{Anchor, Broken, Reader, Record, Rejected};
use crate::source::{self, Authorization, Next, Page, PageParseError, PageRequest, Position, Source};
use crate::window::{Window, bound};
use agreement::{Agreement, Certainty, Held};
use completed_range::CompletedRange;
use credentials::{Credentials, Minting};
use effort::{Effort, SoFar};
use form::{check_form, reject_those_in_the_future};
use given::Given;
pub(crate) use given::{LeftOver, WalkEnd};
use host::Share;
use learned::Learned;
pub(crate) use learned::{Assumptions, Order};
use plan::WalkPlan;
use rate_limiter::RateLimiter;
use under_way::UnderWay;

pub(crate) mod credentials;
mod agreement;
mod ahead;
mod answer;
pub(crate) mod as_given;
mod effort;
mod bounded;
mod completed_range;
mod fetched_records;
mod form;
mod frontier;
mod given;
pub(crate) mod host;
mod lapse;
mod learned;
mod numbered;
pub mod plan;
mod rate_limiter;
pub(crate) mod probe;
mod reading;
mod repeats;
mod sightings;
mod short_reach;
mod slice;
mod stopwatch;
mod survey;
mod turns;
mod under_way;
pub mod walk;

/// Records that happened no longer before an answer than this may have come after it: services are late by so much.
const LATENESS: TimeDelta = TimeDelta::minutes(2);

/// A run that asks for more than this takes more requests than one that goes on where the last one ended.
const LONG: TimeDelta = TimeDelta::days(1);

/// How often a status that can mean "too wide" comes until it is taken for that.
const TOO_WIDE: u32 = 2;

/// How many empty pages may come before the first one with records.
const MOST_EMPTY_PAGES: u32 = 1_000;

/// How often it is looked again for records where an empty page has named a next one, and that is empty too.
const LOOKS_WHERE_LED_ON: u32 = 3;

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
    host: Share,
    slots: Semaphore,
    rate_limiter: RateLimiter,
    reader: Mutex<Reader>,
    counters: Counters,
    learned: Mutex<Learned>,
    effort: Mutex<Effort>,
    given: Mutex<Given>,
    agreement: Mutex<Agreement>,
    under_way: UnderWay,
    pause: Pause,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    /// Answers that contradicted others.
    looks: AtomicU64,
    pages: AtomicU64,
}

/// How many requests a service was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests sent, including retries and requests for tokens.
    pub requests: u64,
    /// Retries, and requests that were sent again because their answers contradicted others.
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
    /// The page behind a token did not arrive, or the token was refused: it is not sent again, since a service may count
    /// the page as given.
    Lost(FetchError),
    /// The stream's run ends.
    Fatal(FetchError),
}

impl From<PageError> for FetchError {
    /// For where nothing else can be asked for.
    fn from(error: PageError) -> Self {
        match error {
            PageError::TooWide(error)
            | PageError::TooLarge(error)
            | PageError::Lost(error)
            | PageError::Fatal(error) => error,
        }
    }
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
        advice: Box<str>,
    },
    /// No complete answer arrived.
    #[error("{address} could not be reached{attempts} ({reason}): {}", advice_for(.reason))]
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
    /// Answers arrived, but most of their records cannot be filed.
    #[error(
        "{unfit} of {records} records in an answer of {address} cannot be filed{attempts} (the first: {reason}): the form \
         of the records, or of their times, has changed; nothing is lost, and nothing newer is kept: the service still \
         has them, and the next run asks again; update trailkeeper, or tell its maintainers"
    )]
    OtherForm {
        /// The request's address, without the query.
        address: String,
        /// How many records cannot be filed.
        unfit: usize,
        /// How many the last answer had.
        records: usize,
        /// Why the first of them cannot be filed.
        reason: String,
        /// How many attempts were made, if more than one.
        attempts: Attempts,
    },
    /// A single record exceeds the size limit.
    #[error(
        "the answer of {address} is too large even for one record ({problem}): nothing newer is kept until it is smaller; ask the \
         service's support"
    )]
    TooLarge {
        /// The request's address, without the query.
        address: String,
        /// The limit.
        problem: String,
    },
    /// More records share one time than the service returns in one answer.
    #[error(
        "{count} records share the time {time} and the service returns no more of them: nothing newer is kept until it \
         does; raise PORT_PAGE_LIMIT if it is Port, or ask the service's support"
    )]
    SameTime {
        /// The time, RFC 3339.
        time: String,
        /// How many arrived.
        count: usize,
    },
    /// Answers contradict each other, and keep doing so.
    #[error(
        "the answers contradict each other: a record of {lacks} was given and is missing in the answer for {span}, in \
         {looks} looks: nothing newer is kept until it is there again; the service may be in trouble"
    )]
    Contradiction {
        /// The time of a record that an answer lacks, RFC 3339.
        lacks: String,
        /// The span that the last request was for.
        span: String,
        /// How often it was asked for.
        looks: u32,
    },
    /// The run has asked for more than it can need.
    #[error(
        "{address} was asked {requests} times for what should take {needed} requests: that is more than a run needs, so it ends \
         here; the service may be in trouble, and the next run continues from here"
    )]
    Effort {
        /// The request's address, without the query.
        address: String,
        /// How often it was asked.
        requests: u64,
        /// How many answers what was new can be in.
        needed: u64,
    },
    /// The service counts more records than it gives.
    #[error(
        "the service counts {total} records and gives {given}, also when it is asked again: those that it gave are \
         kept; ask its support what the others are"
    )]
    Miscounted {
        /// How many it counts.
        total: u64,
        /// How many it gave.
        given: u64,
    },
    /// The service keeps naming further pages, or gives more than fits in memory.
    #[error(
        "the service returns pages without end, or more than fits in memory: it may be in trouble; what is \
         complete is kept, and the next run asks again"
    )]
    Endless,
}

/// Returns what to do where no complete answer arrived, by the transport's own words for it.
fn advice_for(reason: &str) -> &'static str {
    if reason.contains("certificate") {
        "check the address, and who signed the certificate: it may be a proxy's; SSL_CERT_FILE names the file with the authorities"
    } else if reason.contains("timed out") {
        "check the address, the network and any proxy; REQUEST_TIMEOUT_SECONDS allows it more time"
    } else if reason.contains("InvalidContentType") {
        "what answers there does not speak TLS: check the address, its port and any proxy"
    } else {
        "check the address, the network and any proxy"
    }
}

impl FetchError {
    /// Says in what the answers contradict each other, if they do: the service answers, but what it says cannot all be so.
    pub(crate) fn contradiction(&self) -> Option<String> {
        match self {
            Self::SameTime { time, count } => Some(format!(
                "{count} records share the time {time} and the service returns no more of them"
            )),
            Self::Contradiction { lacks, span, .. } => Some(format!(
                "a record of {lacks} was given and is missing in the answer for {span}"
            )),
            Self::Miscounted { total, given } => Some(format!("the service counts {total} records and gives {given}")),
            Self::Effort { requests, .. } => Some(format!("{requests} requests did not show what all of it is")),
            _ => None,
        }
    }

    /// Returns whether the walk took more requests than it can need.
    pub(crate) fn is_of_effort(&self) -> bool {
        matches!(self, Self::Effort { .. })
    }

    /// Returns whether everything that the service gives was handed out all the same.
    pub(crate) fn is_of_what_was_given(&self) -> bool {
        matches!(self, Self::Miscounted { .. })
    }
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
            effort: Mutex::new(Effort::new(source.page_size())),
            source,
            http,
            policy,
            credentials: Credentials::default(),
            host: Share::alone(1),
            slots: Semaphore::new(1),
            counters: Counters::default(),
            learned: Mutex::default(),
            given: Mutex::default(),
            agreement: Mutex::default(),
            under_way: UnderWay::default(),
            pause: Arc::new(|wait| Box::pin(tokio::time::sleep(wait))),
        }
    }

    /// Replaces the wait before a retry.
    #[must_use]
    pub fn with_pause(mut self, pause: Pause) -> Self {
        self.pause = pause;
        self
    }

    /// Begins with what earlier runs have seen of the service.
    #[must_use]
    pub(crate) fn remembering(self, assumed: Assumptions) -> Self {
        Self {
            learned: Mutex::new(assumed.into()),
            ..self
        }
    }

    /// Returns what is known of the service by now, for the next run.
    pub(crate) fn assumptions(&self) -> Assumptions {
        self.learned().assumptions()
    }

    /// Returns what is to be known of the answers although nothing contradicts it.
    pub(crate) fn warning(&self) -> Option<String> {
        let (time, count) = self.learned().suspicious?;
        Some(format!(
            "{count} records share the time {}, and the service cannot show whether it has more of them: compare with its own \
             view of that moment",
            bound(time)
        ))
    }

    /// Allows `concurrency` pages at a time, from a host that other streams may use too.
    #[must_use]
    pub(crate) fn sharing(mut self, host: Share, concurrency: usize) -> Self {
        self.host = host;
        self.slots = Semaphore::new(concurrency.max(1));
        self
    }

    /// Says how much is going to be asked for: other organizations at the host do not wait for what takes long.
    pub(crate) fn expect(&self, asked: TimeDelta) {
        self.host.expect_long(asked > LONG);
    }

    /// Returns the counts so far.
    pub fn request_counts(&self) -> RequestCounts {
        RequestCounts {
            requests: self.counters.requests.load(Ordering::Relaxed),
            retries: self.retries() + self.counters.looks.load(Ordering::Relaxed),
            pages: self.counters.pages.load(Ordering::Relaxed),
        }
    }

    fn retries(&self) -> u64 {
        self.counters.retries.load(Ordering::Relaxed)
    }

    /// Returns how the requests ended and how long they took.
    pub(crate) fn request_stats(&self) -> RequestStats {
        self.http.request_stats()
    }

    /// Returns what the answers so far say of the service's clock.
    pub(crate) fn service_clock(&self) -> ServiceClock {
        self.http.service_clock()
    }

    pub(crate) fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// Returns what the answers so far have shown of the service.
    fn learned(&self) -> Learned {
        self.learn(|learned| *learned)
    }

    /// Returns how many records are asked for in one page.
    fn usual_size(&self) -> u32 {
        let usual = self.source.page_size();
        self.learned().page_limit.map_or(usual, |limit| limit.min(usual))
    }

    /// Does something with what was learned of the service, which it may change.
    fn learn<T>(&self, act: impl FnOnce(&mut Learned) -> T) -> T {
        act(&mut self.learned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns what answers gave and no completed range has yet.
    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back a range that nobody has filed.
    pub(crate) fn take_back(&self, range: CompletedRange) {
        self.given().take_back(LeftOver {
            records: range.records,
            rejected: range.rejected,
            originals: range.originals,
        });
    }

    /// Takes out what answers gave and no completed range has, at the end of a run.
    pub(crate) fn take_left_over(&self, end: WalkEnd) -> LeftOver {
        self.given().take_left_over(end)
    }

    fn effort(&self) -> MutexGuard<'_, Effort> {
        self.effort.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits before an answer that contradicts others is asked for again: not the first time, as the bound may be the
    /// reason.
    async fn pause_before_look(&self, looks: u32) {
        self.counters.looks.fetch_add(1, Ordering::Relaxed);
        if looks > 1 {
            (self.pause)(self.policy.backoff((looks - 1).min(2), fastrand::f64())).await;
        }
    }

    /// Fetches one page, with the retries of the policy.
    ///
    /// If `can_narrow`, a status that can mean "too wide" is retried once, or more often if as wide a window was answered for
    /// before: then the caller asks for a narrower window.
    pub(crate) async fn page(&self, request: &PageRequest, can_narrow: bool) -> Result<Page, PageError> {
        self.check_effort()?;
        let width = request.window.to - request.window.from;
        let mut failed = 0;
        // A broken record may come whole when it is asked for again, if it is.
        let mut can_come_whole = self.policy.max_retries > 0 && !matches!(request.position, Position::Token(_));
        loop {
            let broken = if can_come_whole {
                Broken::Refuse
            } else {
                Broken::SetAside
            };
            let failure = match self.attempt(request, broken).await {
                Ok(page) => {
                    self.note_answer(&page, request);
                    return self.check_given().map(|()| page);
                }
                Err(failure) => failure,
            };
            failed += 1;
            can_come_whole &= !matches!(failure, AttemptError::UnreadableBody(_)) && failed < self.policy.max_retries;
            let is_rate_limited = failure.is_rate_limited();
            let is_too_wide = can_narrow && self.is_too_wide(&failure);
            let wait = self.policy.wait(failed, &failure, fastrand::f64());
            // Shorter windows would take many requests: where as wide a one was answered for, one more is made in any case.
            let is_a_fault = is_too_wide && failed < TOO_WIDE && self.learned().has_answered(width);
            let wait = wait.or_else(|| is_a_fault.then(|| self.policy.backoff(failed, fastrand::f64())));
            if is_too_wide && (wait.is_none() || self.shows_too_wide(width, failed)) {
                let answered = self.learn(|learned| learned.note_refused(width));
                self.effort().note_widest(answered);
                return Err(PageError::TooWide(self.explain(failure, failed)));
            }
            if matches!(request.position, Position::Token(_)) && !is_rate_limited && may_be_lost(&failure) {
                return Err(PageError::Lost(self.explain(failure, failed)));
            }
            let Some(wait) = wait else {
                let is_too_large = matches!(failure, AttemptError::TooLarge { .. });
                self.effort().note_failure();
                let error = self.explain(failure, failed);
                return Err(if is_too_large {
                    PageError::TooLarge(error)
                } else {
                    PageError::Fatal(error)
                });
            };
            tracing::warn!(
                wait_ms = wait.as_millis() as u64,
                "{}; retrying",
                self.explain(failure, failed)
            );
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            let _backoff = is_rate_limited.then(|| self.host.back_off());
            (self.pause)(wait).await;
        }
    }

    fn note_answer(&self, page: &Page, request: &PageRequest) {
        self.compare(page, request);
        let width = request.window.to - request.window.from;
        let answered = self.learn(|learned| {
            let answered = learned.note_answered(width, !page.records.is_empty());
            learned.shortest_reach().map_or(answered, |reach| reach.min(answered))
        });
        let are_new = {
            let mut effort = self.effort();
            effort.note_widest(answered);
            effort.note_answer(&page.records)
        };
        if are_new.contains(&true) {
            self.given().take(only_new(&page.records, are_new), &page.originals);
        }
    }

    /// Compares an answer with those before it: where they do not agree, not each is to be believed.
    fn compare(&self, page: &Page, request: &PageRequest) {
        let learned = self.learned();
        let mut agreement = self.agreement();
        let Some(settled_to) = agreement.asked_to().map(|to| self.settled_to(to)) else {
            return;
        };
        let known = Certainty {
            settled_to,
            kept_from: settled_to - TimeDelta::days(self.source.kind().retention.days.into()) / 2,
            margin: learned.margin(),
            in_order: learned.shows_order_with(),
        };
        if page.records.is_empty() && agreement.knows_some_of(request, known) {
            self.learn(Learned::note_emptied);
        }
        let agrees = Held::of(page, request, known).is_none_or(|held| agreement.note(held, known));
        if !agrees {
            self.learn(Learned::note_lapse);
        }
    }

    fn agreement(&self) -> MutexGuard<'_, Agreement> {
        self.agreement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns up to when the service has all records by now, unless an answer lacks some; `to` is where the window ends, for a
    /// service that does not say its time.
    fn settled_to(&self, to: DateTime<Utc>) -> DateTime<Utc> {
        let now = self.service_clock().at(Instant::now());
        now.map_or(to, |now| now.earliest) - LATENESS
    }

    /// Ends a walk that is given more than fits in memory.
    fn check_given(&self) -> Result<(), PageError> {
        if self.given().is_too_large() {
            return Err(PageError::Fatal(FetchError::Endless));
        }
        Ok(())
    }

    /// Returns whether so many failures in a row show that a window is too wide: where as wide a one was answered for before,
    /// they are faults, until they do not end.
    fn shows_too_wide(&self, width: TimeDelta, failed: u32) -> bool {
        failed >= TOO_WIDE && !self.learned().has_answered(width)
    }

    /// Fetches the first page of a window that has records: a service may name a next page on one that is empty.
    pub(crate) async fn first_page(&self, request: &PageRequest, can_narrow: bool) -> Result<Page, PageError> {
        let mut request = request.clone();
        let (mut looks, mut is_led_on) = (0, false);
        for _ in 0..MOST_EMPTY_PAGES {
            let page = match self.page(&request, can_narrow).await {
                // Its token is not sent again: another cycle leads there.
                Err(PageError::Lost(error)) if looks < LOOKS_WHERE_LED_ON => {
                    looks += 1;
                    tracing::warn!("{error}; asking from the first page on");
                    request.position = Position::First;
                    self.pause_before_look(looks).await;
                    continue;
                }
                page => page?,
            };
            match &page.next {
                Next::At(position) if page.records.is_empty() && *position != request.position => {
                    request.position = position.clone();
                    is_led_on = true;
                }
                // An empty page names a next one because there are records.
                _ if page.records.is_empty() && is_led_on && looks < LOOKS_WHERE_LED_ON => {
                    looks += 1;
                    request.position = Position::First;
                    self.pause_before_look(looks).await;
                }
                _ => return Ok(page),
            }
        }
        Err(PageError::Fatal(FetchError::Endless))
    }

    /// Returns the latest time that a record of the walk can have, by the later of both clocks; `None` outside of walks.
    fn latest(&self) -> Option<DateTime<Utc>> {
        let possible_to = self.given().possible_to()?;
        let of_service = self.service_clock().at(Instant::now());
        Some(of_service.map_or(possible_to, |time| time.latest.max(possible_to)))
    }

    /// Begins another walk.
    fn begin_walk(&self, plan: WalkPlan) {
        self.given().begin(plan);
        self.agreement().begin(plan.window.to);
        self.begin_reading(plan.window);
    }

    /// Begins to count the requests of another reading.
    fn begin_reading(&self, window: Window) {
        let sent = self.request_counts().requests;
        self.effort().begin_walk(window.to - window.from, sent);
    }

    /// Begins to read what was walked as it is given.
    fn begin_as_given(&self, plan: WalkPlan) {
        let sent = self.request_counts().requests;
        self.effort().begin_as_given(plan.window.to - plan.window.from, sent);
    }

    /// Saves requests for another reading, as it is given, of what is read.
    pub(crate) fn expect_another_reading(&self) {
        self.effort().expect_another_reading();
    }

    /// Returns how many requests the walk has made.
    fn walk_requests(&self) -> u64 {
        let sent = self.request_counts().requests;
        self.effort().requests_of_walk(sent)
    }

    /// Ends a run that asks for more than it can need: a service in trouble is not helped by a storm of requests.
    fn check_effort(&self) -> Result<(), PageError> {
        let so_far = SoFar {
            requests: self.request_counts().requests,
            retries: self.retries(),
            lapses: self.learned().lapses.into(),
        };
        let effort = self.effort();
        if effort.allows(so_far) {
            return Ok(());
        }
        Err(PageError::Fatal(FetchError::Effort {
            address: address(&self.source),
            requests: so_far.requests,
            needed: effort.answers(),
        }))
    }

    /// Makes one attempt. If the token is refused and there is another one, tries once more. That holds for a freshly minted
    /// one too: the service returns the same token until it expires, so it may have had only a moment left.
    async fn attempt(&self, request: &PageRequest, broken: Broken) -> Result<Page, AttemptError> {
        let header = self.header().await?;
        let result = self.get(request, broken, &header).await;
        let is_refused = matches!(result, Err(AttemptError::Status { status: 401, .. }));
        if !is_refused || !self.credentials.renew(self.source.authorization(), &header).await {
            return result;
        }
        self.get(request, broken, &self.header().await?).await
    }

    async fn header(&self) -> Result<SecretString, AttemptError> {
        let minting = Minting {
            http: &self.http,
            host: &self.host,
            requests: &self.counters.requests,
        };
        self.credentials.header(self.source.authorization(), minting).await
    }

    async fn get(&self, request: &PageRequest, broken: Broken, header: &SecretString) -> Result<Page, AttemptError> {
        let url = self.source.page_url(request);
        let result = self.body(url.clone(), header).await;
        let result = result.and_then(|body| {
            let page = self.read(request, &body, broken);
            if broken == Broken::Refuse && page.is_err() {
                self.keep_what_is_whole(request, &body);
            }
            let mut page = page?;
            if let Some(latest) = self.latest() {
                page.records = reject_those_in_the_future(page.records, latest);
            }
            check_form(&page.records, |content| self.effort().has_seen(content))?;
            Ok((page, body.len()))
        });
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

    /// Keeps the records of an answer that is refused since it has a broken one: the service may not give them again, and of
    /// the broken one nothing better.
    fn keep_what_is_whole(&self, request: &PageRequest, body: &[u8]) {
        let (Ok(page), Some(latest)) = (self.read(request, body, Broken::SetAside), self.latest()) else {
            return;
        };
        self.compare(&page, request);
        let records = reject_those_in_the_future(page.records, latest);
        let (whole, broken): (Vec<_>, Vec<_>) = records.into_iter().partition(Result::is_ok);
        let are_new = self.effort().note_answer(&whole);
        let mut given = self.given();
        given.take(only_new(&whole, are_new), &[]);
        given.take_broken(broken.into_iter().filter_map(Result::err));
    }

    /// Parses a page. All pages of a service share one reader, which learns their shape.
    fn read(&self, request: &PageRequest, body: &[u8], broken: Broken) -> Result<Page, PageParseError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        source::read_page(&*self.source, &mut reader, request, body, broken)
    }

    /// Sends a request, when the host and the rate limiter allow it, and returns the body of the answer.
    async fn body(&self, url: Url, header: &SecretString) -> Result<Bytes, AttemptError> {
        // It is never closed.
        let _slot = self.slots.acquire().await;
        let _permit = self.host.permit().await;
        self.rate_limiter.acquire().await;
        let _request = self.under_way.begin()?;
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.http.get(url, header).await
    }

    /// Polls what reads other parts of a walk that has failed until none of its requests is under way. It sends no others.
    async fn let_in(&self, reading: &mut (impl Stream + Unpin)) {
        self.under_way.let_in(reading).await;
    }

    /// Makes a server's text fit for a message: short, printable, and without any secret of the run.
    fn said(&self, text: &str) -> String {
        let secrets = self.source.authorization().secret().secrets().all();
        excerpt(&without_any(text, &secrets), LONGEST_MESSAGE)
    }

    fn is_too_wide(&self, failure: &AttemptError) -> bool {
        matches!(failure, AttemptError::Status { status, .. } if self.source.is_too_wide(*status))
    }

    /// Says what failed, of the address that was asked: the token endpoint's if no token could be had.
    fn explain(&self, failure: AttemptError, attempts: u32) -> FetchError {
        match (failure, self.source.authorization()) {
            (AttemptError::Token(failure), Authorization::Minted(request)) => {
                let failure = match *failure {
                    // There is no smaller one to ask for.
                    AttemptError::TooLarge { .. } => AttemptError::UnreadableBody(failure.to_string()),
                    failure => failure,
                };
                self.explain_of(&request.url, failure, attempts, request.advice)
            }
            (failure, _) => {
                let advice = |status| self.source.advice(status);
                self.explain_of(self.source.address(), failure, attempts, advice)
            }
        }
    }

    fn explain_of(
        &self,
        address: &Url,
        failure: AttemptError,
        attempts: u32,
        advice: impl Fn(u16) -> &'static str,
    ) -> FetchError {
        let address = without_query(address);
        let attempts = Attempts(attempts);
        match failure {
            AttemptError::Transport(_) | AttemptError::Token(_) => FetchError::Unreachable {
                address,
                reason: excerpt(&failure.to_string(), LONGEST_MESSAGE),
                attempts,
            },
            AttemptError::UnreadableBody(problem) => FetchError::Unreadable {
                address,
                problem: self.said(&problem),
                attempts,
            },
            AttemptError::OtherForm { unfit, records, first } => FetchError::OtherForm {
                address,
                unfit,
                records,
                reason: self.said(&first),
                attempts,
            },
            AttemptError::TooLarge { .. } => FetchError::TooLarge {
                address,
                problem: failure.to_string(),
            },
            AttemptError::Status { status, body, .. } => FetchError::Status {
                address,
                status,
                said: self.quoted(&body),
                attempts,
                advice: self.source.authorization().secret().named_in(advice(status)).into(),
            },
        }
    }

    /// Returns the message in the body of an error, in quotes, with a comma before them; or nothing.
    fn quoted(&self, body: &str) -> String {
        match self.source.error_message(body) {
            Some(message) => format!(", \"{}\"", self.said(&message)),
            None => String::new(),
        }
    }
}

/// Returns the records of an answer that no other had of late.
fn only_new(
    records: &[Result<Record, Rejected>],
    are_new: Vec<bool>,
) -> impl Iterator<Item = &Result<Record, Rejected>> {
    let new = records.iter().zip(are_new).filter(|(_, is_new)| *is_new);
    new.map(|(item, _)| item)
}

/// Warns of records of the archive that the service does not give, however often it is asked.
fn warn_of_lost(anchors: &[Anchor]) {
    tracing::warn!(
        known = anchors.len(),
        newest = anchors.iter().map(|anchor| anchor.time).max().map(bound),
        "known records are no longer given: the service may have dropped or changed them"
    );
}

/// Returns whether the page behind a token may count as given, or will never be.
fn may_be_lost(failure: &AttemptError) -> bool {
    match failure {
        AttemptError::Status { status, .. } => !matches!(status, 401 | 403),
        AttemptError::Transport(_) | AttemptError::UnreadableBody(_) | AttemptError::OtherForm { .. } => true,
        // Without a token the page was not asked for.
        AttemptError::TooLarge { .. } | AttemptError::Token(_) => false,
    }
}

/// Formats a span for a message.
fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    format!("{} to {}", bound(from), bound(to))
}

/// Returns the address of a source without its query, which does not help in a message.
fn address(source: &Arc<dyn Source>) -> String {
    without_query(source.address())
}

fn without_query(address: &Url) -> String {
    let mut url = address.clone();
    url.set_query(None);
    url.to_string()
}
