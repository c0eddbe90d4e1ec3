//! The HTTP sink: posts lines to Logstash, Splunk, or anything else that takes JSON.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::batch::{Batch, Line};
use super::message::{Envelope, Message};
use super::sink::{AFTER_STOP, BatchAck, Sink, SinkError};
use super::splunk::{self, HecAnswer, Meaning};
use super::undelivered::Undelivered;
use crate::config::{HttpFormat, HttpSettings};
use crate::http::redaction::{without, without_any};
use crate::http::retry::{AttemptError, RetryPolicy};
use crate::http::{Http, Post, Receipt};
use crate::output::printable::excerpt;
use crate::process::shutdown::Shutdown;

/// How much of a listener's answer is shown, in characters.
const MAX_ANSWER: usize = 300;

/// A value in the query of an address that has fewer bytes is no token.
const SHORTEST_VALUE: usize = 8;

/// The status with which a listener asks for smaller requests (RFC 9110, section 15.5.14).
const TOO_LARGE: u16 = 413;

/// The wait before Splunk is asked again for acknowledgements, at first; it doubles.
const FIRST_ACK_PAUSE: Duration = Duration::from_millis(100);

/// The longest such wait.
const LONGEST_ACK_PAUSE: Duration = Duration::from_secs(5);

/// Why lines were not acknowledged.
enum PostError {
    /// The listener refused them or could not be reached.
    Failed(AttemptError),
    /// It answered with a success that confirms nothing.
    Unconfirmed(Unconfirmed),
    /// One of them will never be accepted: its number, and the reason.
    InvalidLine(usize, String),
    Stopped,
}

/// A success that confirms nothing.
struct Unconfirmed {
    reason: String,
    /// Whether the same request can be confirmed later.
    is_transient: bool,
    /// Whether the reason is the token.
    is_of_token: bool,
}

impl From<AttemptError> for PostError {
    fn from(failure: AttemptError) -> Self {
        Self::Failed(failure)
    }
}

impl Unconfirmed {
    fn permanent(reason: impl Into<String>) -> PostError {
        PostError::Unconfirmed(Self {
            reason: reason.into(),
            is_transient: false,
            is_of_token: false,
        })
    }
}

impl PostError {
    /// Returns whether a listener refuses the token; Splunk says 403.
    fn is_of_token(&self) -> bool {
        match self {
            Self::Failed(failure) => matches!(failure, AttemptError::Status { status: 401 | 403, .. }),
            Self::Unconfirmed(unconfirmed) => unconfirmed.is_of_token,
            Self::InvalidLine(..) | Self::Stopped => false,
        }
    }

    /// Returns how long to wait before the next attempt; `None` to give up.
    fn wait(&self, policy: &RetryPolicy, failed: u32) -> Option<Duration> {
        let jitter = fastrand::f64();
        match self {
            Self::Failed(failure) => policy.wait(failed, failure, jitter),
            Self::Unconfirmed(Unconfirmed { is_transient: true, .. }) if failed <= policy.max_retries => {
                Some(policy.backoff(failed, jitter))
            }
            _ => None,
        }
    }

    fn is_too_large(&self) -> bool {
        matches!(self, Self::Failed(AttemptError::Status { status: TOO_LARGE, .. }))
    }
}

/// Posts several lines in each request, one request at a time. A success that is the listener's acknowledges all lines of its
/// request, see [`confirm`].
pub(crate) struct HttpSink {
    http: Http,
    settings: HttpSettings,
    envelope: Envelope,
    runtime: Handle,
    shutdown: Shutdown,
    batch: Batch,
    /// Number of lines for each request: the setting, or fewer after the listener refused that many.
    lines: usize,
}

impl HttpSink {
    /// Creates the sink for a stream. Call it inside a runtime.
    ///
    /// # Errors
    /// If the HTTP client cannot be set up.
    pub(crate) fn new(settings: &HttpSettings, envelope: &Envelope, shutdown: &Shutdown) -> Result<Self, SinkError> {
        let http = match &settings.authorities {
            Some(authorities) => Http::trusting(authorities, &settings.proxies),
            None => Http::to([&settings.url], &settings.proxies),
        };
        let http = http.map_err(|error| SinkError::Refused(error.to_string()))?;
        Ok(Self {
            http: http.with_timeout(settings.timeout),
            lines: settings.batch,
            settings: settings.clone(),
            envelope: envelope.clone(),
            runtime: Handle::current(),
            shutdown: shutdown.clone(),
            batch: Batch::default(),
        })
    }

    /// Posts lines in one request, with retries; returns the acknowledgement that Splunk promises.
    fn post(&self, lines: &[Line]) -> Result<Option<u64>, PostError> {
        let policy = RetryPolicy {
            max_retries: self.settings.max_retries,
            delay: self.settings.retry_delay,
        };
        let mut failed = 0;
        loop {
            let failure = match self.runtime.block_on(self.post_once(lines)) {
                Ok(promised) => return Ok(promised),
                Err(failure) => failure,
            };
            if failure.is_of_token() && self.reads_another_token() {
                continue;
            }
            failed += 1;
            let Some(wait) = failure.wait(&policy, failed) else {
                return Err(failure);
            };
            tracing::warn!(
                wait_ms = wait.as_millis() as u64,
                "{}; sending again",
                describe(&self.settings, &failure)
            );
            self.runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(wait) => Ok(()),
                    () = self.shutdown.requested() => Err(PostError::Stopped),
                }
            })?;
        }
    }

    /// Reads the file of the token again, if it stands in one; returns whether it holds another one now.
    fn reads_another_token(&self) -> bool {
        let token = self.settings.token.as_ref();
        token.is_some_and(|token| token.file().is_some_and(|file| token.take(file.read())))
    }

    /// Sends one request; returns the acknowledgement that Splunk promises. After a shutdown is requested it has a moment left to be acknowledged.
    async fn post_once(&self, lines: &[Line]) -> Result<Option<u64>, PostError> {
        let (settings, authorization) = (&self.settings, self.settings.authorization());
        let request = self.http.post(Post {
            url: settings.url.clone(),
            content_type: content_type(settings.format),
            authorization: authorization.as_ref(),
            channel: (settings.format == HttpFormat::SplunkHec).then_some(settings.channel.as_str()),
            body: body(settings.format, &self.envelope, &self.batch, lines),
        });
        let stopped = async {
            self.shutdown.requested().await;
            tokio::time::sleep(AFTER_STOP).await;
        };
        tokio::select! {
            result = request => match settings.format {
                HttpFormat::SplunkHec => confirm_hec(settings, result, lines.len()),
                HttpFormat::Array | HttpFormat::Ndjson => confirm(settings, &result?).map(|()| None),
            },
            () = stopped => Err(PostError::Stopped),
        }
    }

    /// Sends the batch, and waits for what Splunk promises to acknowledge; `progress` says how far it got when it fails.
    fn deliver(&mut self, undelivered_file: &mut Undelivered, progress: &mut Delivery) -> Result<(), SinkError> {
        let sent = self.send_all(undelivered_file, progress);
        let acknowledged = self.runtime.block_on(self.acknowledge(progress));
        sent.and(acknowledged)
    }

    fn send_all(&mut self, undelivered_file: &mut Undelivered, progress: &mut Delivery) -> Result<(), SinkError> {
        while let rest = &self.batch.lines[progress.sent..]
            && !rest.is_empty()
        {
            if self.shutdown.is_requested() {
                return Err(SinkError::Stopped);
            }
            let lines = &rest[..rest.len().min(self.lines)];
            match self.post(lines) {
                Ok(promised) => {
                    let first = progress.sent;
                    progress.promised.extend(promised.map(|id| Promise { id, first }));
                    progress.sent += lines.len();
                    // The request may have been refused for a few large lines only.
                    self.lines = (self.lines + self.lines.div_ceil(16)).min(self.settings.batch);
                }
                Err(PostError::Stopped) => return Err(SinkError::Stopped),
                // Those before it are sent alone first: whether they were taken is not said.
                Err(PostError::InvalidLine(number @ 1.., _)) => self.lines = number,
                Err(PostError::InvalidLine(_, reason)) => {
                    progress.keep(&self.batch, &redacted(&self.settings, &reason), undelivered_file)?;
                    self.lines = self.settings.batch;
                }
                Err(failure) if failure.is_too_large() && lines.len() > 1 => {
                    self.lines = lines.len() / 2;
                    tracing::info!(lines = self.lines, "the listener wants smaller requests");
                }
                Err(failure) if failure.is_too_large() => {
                    let reason = describe(&self.settings, &failure);
                    progress.keep(&self.batch, &reason, undelivered_file)?;
                }
                Err(failure) => return Err(SinkError::Refused(describe(&self.settings, &failure))),
            }
        }
        Ok(())
    }

    /// Waits until everything that Splunk promised to acknowledge is, within the time that a request may take.
    async fn acknowledge(&self, progress: &mut Delivery) -> Result<(), SinkError> {
        let deadline = Instant::now() + self.settings.timeout;
        let stopped = async {
            self.shutdown.requested().await;
            tokio::time::sleep(AFTER_STOP).await;
        };
        tokio::pin!(stopped);
        let mut pause = FIRST_ACK_PAUSE;
        while !progress.promised.is_empty() {
            let come = tokio::select! {
                come = self.ask_for_acks(progress) => come?,
                () = &mut stopped => return Err(SinkError::Stopped),
            };
            progress.promised.retain(|promise| !come.contains(&promise.id));
            if progress.promised.is_empty() {
                break;
            }
            if Instant::now() + pause > deadline {
                return Err(SinkError::Refused(format!(
                    "Splunk took the lines and has not acknowledged them in {} s (REQUEST_TIMEOUT_SECONDS): its indexers may be in \
                     trouble; they are sent again",
                    self.settings.timeout.as_secs()
                )));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut stopped => return Err(SinkError::Stopped),
            }
            pause = (pause * 2).min(LONGEST_ACK_PAUSE);
        }
        Ok(())
    }

    /// Asks once for the acknowledgements that are missing. What can be repeated has come to nothing.
    async fn ask_for_acks(&self, progress: &Delivery) -> Result<BTreeSet<u64>, SinkError> {
        let settings = &self.settings;
        let authorization = settings.authorization();
        let asked = self.http.post(Post {
            url: splunk::ack_address(&settings.url, &settings.channel),
            content_type: "application/json",
            authorization: authorization.as_ref(),
            channel: Some(&settings.channel),
            body: splunk::ask_for(progress.promised.iter().map(|promise| promise.id)),
        });
        let failure = match asked.await {
            Ok(receipt) => match splunk::acknowledged(&receipt.body) {
                Some(come) => return Ok(come),
                None => Unconfirmed::permanent("what it says of its acknowledgements is not what Splunk says"),
            },
            Err(failure) if failure.is_transient() => return Ok(BTreeSet::new()),
            Err(failure) => failure.into(),
        };
        Err(SinkError::Refused(describe(settings, &failure)))
    }
}

/// How far a batch is delivered.
#[derive(Debug, Default)]
struct Delivery {
    /// Number of its first lines that were taken, or are undelivered.
    sent: usize,
    /// The acknowledgements that Splunk promised and that have not come.
    promised: Vec<Promise>,
}

/// An acknowledgement that Splunk promised.
#[derive(Debug)]
struct Promise {
    id: u64,
    /// The first of its lines.
    first: usize,
}

impl Delivery {
    /// Returns the number of the first lines that are done.
    fn done(&self) -> usize {
        let missing = self.promised.iter().map(|promise| promise.first);
        missing.min().unwrap_or(self.sent)
    }

    /// Keeps the next line, which will never be taken.
    fn keep(&mut self, batch: &Batch, reason: &str, undelivered_file: &mut Undelivered) -> Result<(), SinkError> {
        undelivered_file.add(batch, &batch.lines[self.sent], reason)?;
        self.sent += 1;
        Ok(())
    }
}

impl Sink for HttpSink {
    fn send(&mut self, batch: Batch) {
        self.batch = batch;
    }

    fn next_ack(&mut self, undelivered_file: &mut Undelivered) -> BatchAck {
        let mut progress = Delivery::default();
        let failure = self.deliver(undelivered_file, &mut progress).err();
        BatchAck {
            batch: std::mem::take(&mut self.batch),
            done: progress.done(),
            failure,
        }
    }
}

/// Checks that a success confirms lines: with an expected status and content type, and not with an HTML page, as a proxy or a
/// login has.
fn confirm(settings: &HttpSettings, receipt: &Receipt) -> Result<(), PostError> {
    let Receipt {
        status, content_type, ..
    } = receipt;
    if let Some(expected) = &settings.expect_status
        && !expected.contains(status)
    {
        let reason = format!("it answered with status {status}, and HTTP_FORWARD_EXPECT_STATUS has another");
        return Err(Unconfirmed::permanent(reason));
    }
    let is_page = match content_type.as_str() {
        "text/html" | "application/xhtml+xml" => !receipt.is_empty,
        "" => begins_as_page(&receipt.body),
        _ => false,
    };
    match &settings.expect_content_type {
        Some(expected) if expected != content_type => Err(Unconfirmed::permanent(format!(
            "the content type of the answer is `{}`, and HTTP_FORWARD_EXPECT_CONTENT_TYPE is `{expected}`",
            excerpt(content_type, MAX_ANSWER)
        ))),
        None if is_page && content_type.is_empty() => Err(Unconfirmed::permanent(
            "the answer is an HTML page, as of a proxy or a login, without a content type",
        )),
        None if is_page => Err(Unconfirmed::permanent(
            "the answer is an HTML page, as of a proxy or a login; if it is the listener's, set \
             HTTP_FORWARD_EXPECT_CONTENT_TYPE=text/html",
        )),
        _ => Ok(()),
    }
}

/// Returns whether a body without a content type begins as HTML does.
fn begins_as_page(body: &[u8]) -> bool {
    let body = body
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(body)
        .trim_ascii_start();
    [b"<!doctype html".as_slice(), b"<html"].into_iter().any(|start| {
        let begin = body.get(..start.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    })
}

/// The same for Splunk, which says in the body of each answer what became of the events.
fn confirm_hec(
    settings: &HttpSettings,
    result: Result<Receipt, AttemptError>,
    lines: usize,
) -> Result<Option<u64>, PostError> {
    let body = match &result {
        Ok(receipt) => receipt.body.as_slice(),
        Err(AttemptError::Status { body, .. }) => body.as_bytes(),
        Err(_) => &[],
    };
    let Some(answer) = HecAnswer::read(body) else {
        confirm(settings, &result?)?;
        return Err(Unconfirmed::permanent(
            "the answer is not one of Splunk's HTTP Event Collector, which has a `code`; check HTTP_FORWARD_URL",
        ));
    };
    match (answer.meaning(), result) {
        (Meaning::Taken, Ok(receipt)) => confirm(settings, &receipt).map(|()| answer.ack_id),
        (Meaning::InvalidEvent(number), _) if number < lines => Err(PostError::InvalidLine(
            number,
            format!("Splunk says: {}", answer.words()),
        )),
        // Its status and its text say the same.
        (_, Err(failure)) => Err(failure.into()),
        (meaning, Ok(_)) => Err(PostError::Unconfirmed(Unconfirmed {
            reason: format!("Splunk says: {}{}", answer.words(), answer.advice()),
            is_transient: meaning == Meaning::Busy,
            is_of_token: meaning == Meaning::Token,
        })),
    }
}

fn content_type(format: HttpFormat) -> &'static str {
    match format {
        HttpFormat::Array | HttpFormat::SplunkHec => "application/json",
        HttpFormat::Ndjson => "application/x-ndjson",
    }
}

/// Returns the body of a request with these lines.
fn body(format: HttpFormat, envelope: &Envelope, batch: &Batch, lines: &[Line]) -> Vec<u8> {
    let mut body = Vec::with_capacity(lines.iter().map(|line| batch.payload(line).len() + 1).sum::<usize>() + 2);
    let mut message = Message::default();
    for (number, line) in lines.iter().enumerate() {
        let text = batch.payload(line);
        match format {
            HttpFormat::Array => {
                body.push(if number == 0 { b'[' } else { b',' });
                body.extend_from_slice(text);
            }
            HttpFormat::Ndjson => {
                body.extend_from_slice(text);
                body.push(b'\n');
            }
            HttpFormat::SplunkHec => {
                message.describe(envelope, line);
                write_event(&mut body, envelope, &message, text);
            }
        }
    }
    if format == HttpFormat::Array {
        body.push(b']');
    }
    body
}

/// Writes an event for the HTTP Event Collector:
/// <https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector>.
fn write_event(body: &mut Vec<u8>, envelope: &Envelope, message: &Message, line: &[u8]) {
    let (seconds, milliseconds) = (message.timestamp.div_euclid(1000), message.timestamp.rem_euclid(1000));
    let source = serde_json::Value::from(message.file.as_str());
    let repaired = if message.is_repaired {
        ",\"repaired\":\"true\""
    } else {
        ""
    };
    // Its characters need no escapes.
    let organization = envelope
        .organization
        .map(|organization| format!(",\"organization\":\"{organization}\""));
    let organization = organization.unwrap_or_default();
    let head = format!(
        "{{\"time\":{seconds}.{milliseconds:03},\"source\":{source},\"sourcetype\":\"trailkeeper:{}\",\
         \"fields\":{{\"dedup_id\":\"{}\"{organization}{repaired}}},\"event\":",
        envelope.stream, message.dedup_id
    );
    // Writing to a Vec does not fail.
    let _ = body.write_all(head.as_bytes());
    body.extend_from_slice(line);
    body.extend_from_slice(b"}\n");
}

/// Returns what to check after a status, as the end of a sentence.
fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "; redirects are not followed, check HTTP_FORWARD_URL",
        401 | 403 => "; check HTTP_FORWARD_TOKEN",
        404 | 405 | 410 | 414 => "; check HTTP_FORWARD_URL",
        400 | 406 | 415 | 422 => "; check that HTTP_FORWARD_FORMAT is the one that it expects",
        402 => "; it asks for payment: check its plan",
        407 => "; a proxy asks for a user and a password, or refuses those that it got: check HTTP_PROXY",
        413 => "; it takes no line of this size: raise its limit",
        429 => "; it is sent too much at a time: lower HTTP_FORWARD_BATCH, or forward less often",
        500..=599 => "; it may be in trouble",
        _ => "",
    }
}

/// Removes what is secret from a listener's words: secrets, and the query of the address, whole or one of its values, since some
/// listeners take their token there.
fn redacted(settings: &HttpSettings, words: &str) -> String {
    let words = without_any(words, &settings.secrets.all());
    let query = settings.url.query().unwrap_or_default();
    let raw = query.split('&').filter_map(|pair| pair.split_once('='));
    let raw = raw.map(|(_, value)| value.to_owned());
    let decoded = settings.url.query_pairs().map(|(_, value)| value.into_owned());
    // Shorter ones are names, such as that of an index, which the message needs.
    let values = raw.chain(decoded).filter(|value| value.len() >= SHORTEST_VALUE);
    values.fold(without(&words, query), |words, value| without(&words, &value))
}

/// Describes a failure with the address, but without its query, which may hold a token, and without secrets that the
/// listener repeated.
fn describe(settings: &HttpSettings, failure: &PostError) -> String {
    let mut address = settings.url.clone();
    address.set_query(None);
    let (status, body) = match failure {
        PostError::Failed(AttemptError::Status { status, body, .. }) => (status, body),
        PostError::Failed(failure) => return format!("cannot send to {address}: {failure}"),
        PostError::Unconfirmed(Unconfirmed { reason, .. }) => {
            let reason = redacted(settings, reason);
            let reason = match settings.token.as_ref() {
                Some(token) => token.named_in(&reason),
                None => reason,
            };
            return format!("{address} has not confirmed the lines: {reason}");
        }
        PostError::InvalidLine(_, reason) => {
            return format!("{address} takes no such line: {}", redacted(settings, reason));
        }
        PostError::Stopped => return SinkError::Stopped.to_string(),
    };
    let answer = redacted(settings, body.trim());
    let answer = match excerpt(&answer, MAX_ANSWER) {
        answer if answer.is_empty() => answer,
        answer => format!(", \"{answer}\""),
    };
    let advice = match HecAnswer::read(body.as_bytes()).map_or("", |answer| answer.advice()) {
        "" => advice(*status),
        of_splunk => of_splunk,
    };
    let advice = match settings.token.as_ref() {
        Some(token) => token.named_in(advice),
        None => advice.to_owned(),
    };
    format!("{address} answered with status {status}{answer}{advice}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::archive::Location;
    use crate::env::StandingSecret;
    use crate::http::Proxies;
    use crate::record::Identity;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for text in lines {
            let start = batch.text.len();
            batch.text.extend_from_slice(text.as_bytes());
            batch.text.push(b'\n');
            batch.lines.push(Line {
                range: start..start + text.len(),
                copy: None,
                day: "2025-06-09".parse().unwrap(),
                offset: start as u64,
                time: "2025-06-09T10:11:12.045Z".parse().unwrap(),
                identity: Identity { content: 1, mark: 1 },
                id: None,
            });
        }
        batch
    }

    fn text(format: HttpFormat, lines: &[&str]) -> String {
        let envelope = Envelope {
            stream: "tfc",
            organization: None,
            location: Location::new("/srv", "tfc", "log").unwrap(),
            is_replay: false,
        };
        let batch = batch(lines);
        String::from_utf8(body(format, &envelope, &batch, batch.lines())).unwrap()
    }

    #[test]
    fn every_format_is_what_its_listener_documents() {
        let lines = ["{\"a\": 1}", "{\"b\": \"é\"}"];
        assert_eq!(text(HttpFormat::Array, &lines), "[{\"a\": 1},{\"b\": \"é\"}]");
        assert_eq!(text(HttpFormat::Ndjson, &lines), "{\"a\": 1}\n{\"b\": \"é\"}\n");
        let event = "{\"time\":1749463872.045,\"source\":\"tfc_2025-06-09.log\",\"sourcetype\":\"trailkeeper:tfc\",\
                     \"fields\":{\"dedup_id\":\"00000000000000000000000000000001\"},\"event\":{\"a\": 1}}\n";
        assert_eq!(text(HttpFormat::SplunkHec, &lines[..1]), event);
    }

    #[test]
    fn messages_name_the_address_without_its_query_and_repeat_no_secret() {
        let token = StandingSecret::fixed("swordfish");
        let settings = HttpSettings {
            url: "https://splunk.example.org/services?token=hunter2".parse().unwrap(),
            format: HttpFormat::SplunkHec,
            batch: 1,
            authorities: None,
            channel: String::new(),
            expect_status: None,
            expect_content_type: None,
            strict_json: false,
            max_retries: 0,
            retry_delay: std::time::Duration::ZERO,
            timeout: std::time::Duration::ZERO,
            proxies: Proxies::default(),
            secrets: Arc::clone(token.secrets()),
            token: Some(Arc::new(token)),
        };
        let failure = PostError::Failed(AttemptError::Status {
            status: 403,
            body: "no Splunk swordfish at /services?token=hunter2".into(),
            wait: None,
        });
        assert_eq!(
            describe(&settings, &failure),
            "https://splunk.example.org/services answered with status 403, \"no Splunk [secret] at \
             /services?[secret]\"; check HTTP_FORWARD_TOKEN"
        );
    }
}
