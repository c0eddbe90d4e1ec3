//! What every service of the sandbox is: a row of facts and functions, which its own file fills in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::feed::View;
use super::generate::Recipe;
use super::habits::{PortLogin, StreamOptions};
use super::http::{Answer, Call};
use super::meter::Quota;
use super::minted::Minted;

/// A service, as its own file describes it.
pub(super) struct Service {
    /// The name of the stream that is collected from it.
    pub(super) name: &'static str,
    /// The parts of the path of its audit log; [`ANYTHING`] stands for what differs.
    pub(super) path: &'static [&'static str],
    /// How it mints tokens, if it does.
    pub(super) mint: Option<Mint>,
    /// Its usual behaviour.
    pub(super) habits: fn() -> StreamOptions,
    /// What its records are made from.
    pub(super) recipe: Recipe,
    /// The smallest record that is one of this service's: its time and its id.
    pub(super) minimal: fn(DateTime<Utc>, &str) -> String,
    /// The variables that point the collector at this address, with the credentials that it demands.
    pub(super) variables: fn(&str, PortLogin) -> Vec<(&'static str, String)>,
    /// Answers a request for its audit log.
    pub(super) answer: fn(&View<'_>, &Call) -> Answer,
    /// Answers a request that is no matter of the audit log, in the form of its errors.
    pub(super) refuse: fn(Refusal) -> Answer,
    /// Writes its rate limit into the headers of an answer.
    pub(super) mark: fn(Answer, Quota) -> Answer,
}

/// How a service mints tokens.
pub(super) struct Mint {
    /// The parts of the path.
    pub(super) path: &'static [&'static str],
    /// Answers a request for a token that is good for so long.
    pub(super) answer: fn(&Call, &mut Minted, DateTime<Utc>, TimeDelta) -> Answer,
}

/// Why a service does not look at a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    /// The method is another one than documented.
    MethodNotAllowed,
    /// The rate limit is reached; it starts anew after this time.
    TooManyRequests(Duration),
}

/// A wait as `Retry-After` has it: at least one second, and not too short.
pub(super) fn whole_seconds(wait: Duration) -> f64 {
    wait.as_secs_f64().ceil().max(1.0)
}

/// Stands for any part in the path of a service.
pub(super) const ANYTHING: &str = "*";

/// Whether an address has this path.
pub(super) fn is_at(path: &[&str], address: &str) -> bool {
    let parts: Vec<&str> = address.split('/').skip(1).collect();
    parts.len() == path.len()
        && path
            .iter()
            .zip(parts)
            .all(|(wanted, part)| [part, ANYTHING].contains(wanted))
}
