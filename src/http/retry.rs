//! Which errors are retried, and after how long: the decisions, without the loop that acts on them.

use std::time::{Duration, SystemTime};

/// The longest wait, whatever a server asks for; a scheduled run comes again anyway.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Reset times at or above this are seconds since 1970 (Port), below it seconds from now (HCP Terraform).
const FIRST_EPOCH_SECOND: f64 = 1e9;

/// How often a request is retried, and after how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How many times a request is retried after its first failure.
    pub max_retries: u32,
    /// The wait before the first retry; it doubles with each one.
    pub delay: Duration,
}

/// Why one attempt failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum AttemptError {
    /// No complete answer arrived.
    #[error("{0}")]
    Transport(String),
    /// The answer has a status other than success.
    #[error("status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        body: String,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
    /// The answer is a success, but its body could not be parsed.
    #[error("{0}")]
    UnreadableBody(String),
    /// The answer was read, but most of its records do not have the form of records.
    #[error("{unfit} of {records} records cannot be filed, the first because {first}")]
    OtherForm {
        /// How many cannot be filed.
        unfit: usize,
        /// How many the answer has.
        records: usize,
        /// Why the first of them cannot.
        first: String,
    },
    /// The body exceeds a limit.
    #[error("the body has more than {limit} {unit}")]
    TooLarge {
        /// The limit, after decompression.
        limit: usize,
        /// What it counts.
        unit: &'static str,
    },
    /// No token could be had, so the request was not sent; it says nothing of what the request asks for.
    #[error("no token: {0}")]
    Token(Box<AttemptError>),
}

impl AttemptError {
    /// Returns whether the same request can succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            AttemptError::Token(failure) => failure.is_transient(),
            AttemptError::Transport(_) | AttemptError::UnreadableBody(_) | AttemptError::OtherForm { .. } => true,
            AttemptError::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            AttemptError::TooLarge { .. } => false,
        }
    }

    /// Returns whether the service asks for fewer requests, not only for a retry of this one.
    pub(crate) fn is_rate_limited(&self) -> bool {
        match self {
            AttemptError::Token(failure) => failure.is_rate_limited(),
            AttemptError::Status { status, wait, .. } => *status == 429 || wait.is_some(),
            _ => false,
        }
    }

    /// Returns how long the server asks to wait.
    fn asked_wait(&self) -> Option<Duration> {
        match self {
            AttemptError::Token(failure) => failure.asked_wait(),
            AttemptError::Status { wait, .. } => *wait,
            _ => None,
        }
    }
}

impl RetryPolicy {
    /// Returns how long to wait before the next attempt after `failed` failed ones (at least 1); `None` to give up.
    ///
    /// `jitter`, from 0 to 1, lengthens a wait that the server did not ask for by up to a half, so that collectors that
    /// failed together do not retry together.
    pub(crate) fn wait(&self, failed: u32, failure: &AttemptError, jitter: f64) -> Option<Duration> {
        if failed > self.max_retries || !failure.is_transient() {
            return None;
        }
        if let Some(wait) = failure.asked_wait() {
            return Some(wait.min(LONGEST_WAIT));
        }
        Some(self.backoff(failed, jitter))
    }

    /// Returns how long to wait after `failed` failed attempts (at least 1), if the server does not say it; see
    /// [`RetryPolicy::wait`].
    pub(crate) fn backoff(&self, failed: u32, jitter: f64) -> Duration {
        let doubled = self.delay.as_secs_f64() * 2_f64.powi(failed.saturating_sub(1).min(32) as i32);
        let seconds = (doubled * (1.0 + jitter / 2.0)).min(LONGEST_WAIT.as_secs_f64());
        Duration::from_secs_f64(seconds)
    }
}

/// Returns how long a server asks to wait, from its headers `Retry-After` (RFC 9110, section 10.2.3: seconds or an HTTP
/// date) and `X-RateLimit-Reset` (a count of seconds, or seconds since 1970).
///
/// Points in time are compared with the same answer's `Date`, so that a wrong local clock does no harm. `None` if the
/// headers are unusable, or the time has passed.
pub(crate) fn server_wait(date: Option<&str>, retry_after: Option<&str>, reset: Option<&str>) -> Option<Duration> {
    let answered = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let wait = retry_after
        .and_then(|text| read_retry_after(text.trim(), answered))
        .or_else(|| reset.and_then(|text| read_reset(text.trim(), answered)))?;
    (!wait.is_zero()).then_some(wait.min(LONGEST_WAIT))
}

fn read_retry_after(text: &str, answered: Option<SystemTime>) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_from(seconds);
    }
    httpdate::parse_http_date(text).ok()?.duration_since(answered?).ok()
}

fn read_reset(text: &str, answered: Option<SystemTime>) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    if seconds < FIRST_EPOCH_SECOND {
        return seconds_from(seconds);
    }
    let reset = SystemTime::UNIX_EPOCH.checked_add(seconds_from(seconds)?)?;
    reset.duration_since(answered?).ok()
}

fn seconds_from(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Mon, 09 Jun 2025 10:00:00 GMT";

    fn status(status: u16) -> AttemptError {
        AttemptError::Status {
            status,
            body: String::new(),
            wait: None,
        }
    }

    #[test]
    fn every_status_is_transient_or_final_as_documented() {
        for code in 100..=599 {
            let expected = code == 408 || code == 429 || code >= 500;
            assert_eq!(status(code).is_transient(), expected, "status {code}");
        }
    }

    #[test]
    fn a_service_that_says_how_long_to_wait_says_it_to_all() {
        assert!(status(429).is_rate_limited());
        assert!(!status(503).is_rate_limited());
        assert!(!AttemptError::Transport("reset".into()).is_rate_limited());
        let busy = AttemptError::Status {
            status: 503,
            body: String::new(),
            wait: Some(Duration::from_secs(1)),
        };
        assert!(busy.is_rate_limited());
        assert!(AttemptError::Token(Box::new(busy)).is_rate_limited());
    }

    #[test]
    fn waits_double_from_the_delay_and_stop_after_the_last_retry() {
        let policy = RetryPolicy {
            max_retries: 3,
            delay: Duration::from_secs(2),
        };
        let waits: Vec<_> = (1..=4).map(|failed| policy.wait(failed, &status(503), 0.0)).collect();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(waits, [seconds(2), seconds(4), seconds(8), None]);
        assert_eq!(policy.wait(1, &status(503), 1.0), seconds(3));
    }

    #[test]
    fn waits_never_exceed_five_minutes() {
        let policy = RetryPolicy {
            max_retries: 100,
            delay: Duration::from_secs(60),
        };
        assert_eq!(policy.wait(90, &status(500), 1.0), Some(LONGEST_WAIT));
        let asked = AttemptError::Status {
            status: 429,
            body: String::new(),
            wait: Some(Duration::from_secs(86_400)),
        };
        assert_eq!(policy.wait(1, &asked, 0.0), Some(LONGEST_WAIT));
    }

    #[test]
    fn the_servers_wait_goes_before_ours() {
        let policy = RetryPolicy {
            max_retries: 3,
            delay: Duration::from_secs(2),
        };
        let asked = AttemptError::Status {
            status: 429,
            body: String::new(),
            wait: Some(Duration::from_millis(1203)),
        };
        assert_eq!(policy.wait(2, &asked, 1.0), Some(Duration::from_millis(1203)));
        let token = AttemptError::Token(Box::new(asked));
        assert_eq!(policy.wait(2, &token, 1.0), Some(Duration::from_millis(1203)));
    }

    #[test]
    fn every_form_in_which_a_server_asks_to_wait_is_read() {
        let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
        type Header = Option<&'static str>;
        let table: [(Header, Header, Header, Option<Duration>); 13] = [
            (None, Some("7"), None, seconds(7.0)),
            (None, Some(" 7 "), Some("99"), seconds(7.0)),
            (Some(DATE), Some("Mon, 09 Jun 2025 10:00:30 GMT"), None, seconds(30.0)),
            (Some(DATE), Some("Mon, 09 Jun 2025 09:00:30 GMT"), None, None),
            (None, Some("Mon, 09 Jun 2025 10:00:30 GMT"), None, None),
            (None, None, Some("1.203"), seconds(1.203)),
            (Some(DATE), None, Some("1749463245"), seconds(45.0)),
            (None, None, Some("1749463245"), None),
            (Some(DATE), None, Some("99999999999"), seconds(300.0)),
            (None, Some("soon"), None, None),
            (None, Some("-5"), None, None),
            (None, Some("NaN"), Some("inf"), None),
            (None, Some("0"), None, None),
        ];
        for (date, retry_after, reset, expected) in table {
            assert_eq!(
                server_wait(date, retry_after, reset),
                expected,
                "{retry_after:?} {reset:?}"
            );
        }
    }
}
