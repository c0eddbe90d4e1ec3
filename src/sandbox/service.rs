//! The description of a service; the file of each service fills this in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::behavior::{PortLogin, StreamOptions};
use super::feed::View;
use super::generate::Recipe;
use super::http::{Answer, ServiceRequest};
use super::minted_token::MintedToken;
use super::rate_limit::Quota;

pub(super) struct Service {
    /// The name of the stream that is collected from it.
    pub(super) name: &'static str,
    /// The parts of the path of its audit log; [`ANY_PART`] stands for the organization.
    pub(super) path: &'static [&'static str],
    /// How it mints tokens, if it does.
    pub(super) mint: Option<Mint>,
    /// How it behaves unless a test says otherwise.
    pub(super) behavior: fn() -> StreamOptions,
    /// What its records are generated from.
    pub(super) recipe: Recipe,
    /// Creates the smallest record that it can have, with this time and id.
    pub(super) minimal: fn(DateTime<Utc>, &str) -> String,
    /// Returns the variables that point the collector at this address, with the credentials.
    pub(super) variables: fn(&str, PortLogin) -> Vec<(&'static str, String)>,
    /// Answers a request for its audit log.
    pub(super) answer: fn(&View<'_>, &ServiceRequest) -> Answer,
    /// Returns the error body for a request that does not reach the audit log.
    pub(super) error_answer: fn(RequestError) -> Answer,
    /// Writes its rate limit into the headers of an answer.
    pub(super) rate_limit_headers: fn(Answer, Quota) -> Answer,
}

/// How a service mints tokens.
pub(super) struct Mint {
    /// The parts of the path.
    pub(super) path: &'static [&'static str],
    /// Answers a request for a token with this lifetime.
    pub(super) answer: fn(&ServiceRequest, &mut MintedToken, DateTime<Utc>, TimeDelta) -> Answer,
}

/// Why a request does not reach the audit log.
#[derive(Clone, Copy, Debug)]
pub(super) enum RequestError {
    /// The method is not the documented one.
    MethodNotAllowed,
    /// The rate limit is reached; it resets after this time.
    TooManyRequests(Duration),
}

/// Returns a wait for `Retry-After`: rounded up, at least one second.
pub(super) fn whole_seconds(wait: Duration) -> f64 {
    wait.as_secs_f64().ceil().max(1.0)
}

/// Matches any part of a path.
pub(super) const ANY_PART: &str = "*";

/// Whether an address has this path.
pub(super) fn matches_path(path: &[&str], address: &str) -> bool {
    let parts: Vec<&str> = address.split('/').skip(1).collect();
    parts.len() == path.len()
        && path
            .iter()
            .zip(parts)
            .all(|(wanted, part)| [part, ANY_PART].contains(wanted))
}
