//! What happens at chosen requests: new records, lost records, faults.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::api::Api;
use super::event::Event;
use super::http::Answer;

/// A request that the sandbox has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The service; `None` for a path that none of them has.
    pub api: Option<Api>,
    /// Whether it asked to mint a Port token.
    pub is_mint: bool,
    /// Its number among those of its API, from 1; requests that mint tokens are counted separately.
    pub number: usize,
    /// Its path and query.
    pub path_and_query: String,
    /// Whether it had an `Authorization` header.
    pub(crate) authorization_present: bool,
    /// When it came, by the clock of the sandbox.
    pub(crate) at: DateTime<Utc>,
}

/// Something that happens before certain requests are answered.
#[derive(Clone, Debug)]
pub struct Step {
    pub(super) when: When,
    pub(super) action: Action,
}

impl Step {
    /// Creates a step at these requests.
    pub fn new(when: When, action: Action) -> Self {
        Self { when, action }
    }

    /// Creates a step at one request for the audit log of an API, counted from 1.
    pub fn at(api: Api, number: usize, action: Action) -> Self {
        Self::new(When::Requests(api, number..=number), action)
    }

    /// Creates a step at every request for the audit log of an API.
    pub fn always(api: Api, action: Action) -> Self {
        Self::new(When::Requests(api, 1..=usize::MAX), action)
    }
}

/// The requests of a step.
#[derive(Clone)]
pub enum When {
    /// Those for the audit log of an API with these numbers, from 1.
    Requests(Api, RangeInclusive<usize>),
    /// Those that mint a Port token with these numbers, from 1.
    Mints(RangeInclusive<usize>),
    /// Those that the function picks; it must not call the sandbox, which waits for it.
    Picked(Arc<dyn Fn(&Seen) -> bool + Send + Sync>),
}

impl When {
    pub(super) fn applies(&self, seen: &Seen) -> bool {
        match self {
            When::Requests(api, numbers) => seen.api == Some(*api) && !seen.is_mint && numbers.contains(&seen.number),
            When::Mints(numbers) => seen.is_mint && numbers.contains(&seen.number),
            When::Picked(picks) => picks(seen),
        }
    }
}

impl fmt::Debug for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Requests(api, numbers) => write!(formatter, "Requests({api:?}, {numbers:?})"),
            When::Mints(numbers) => write!(formatter, "Mints({numbers:?})"),
            When::Picked(_) => formatter.write_str("Picked(…)"),
        }
    }
}

/// What happens. Several steps can apply to one request; the first of several answers is sent.
#[derive(Clone, Debug)]
pub enum Action {
    /// These records arrive, of any time.
    Add(Api, Vec<Event>),
    /// This many of the oldest records of a feed are dropped.
    DropOldest(Api, usize),
    /// The minted Port token expires early.
    EndPortToken,
    /// This answer is sent instead.
    Answer(Answer),
    /// The service refuses one request too many, and says how long to wait.
    TooManyRequests(Duration),
    /// The service takes the token for a wrong one.
    RefuseToken,
    /// The answer comes from a replica that lacks what is newer than this.
    Lag(TimeDelta),
    /// The date of the answer is that of a clock that is this far ahead.
    ClockAhead(TimeDelta),
    /// The answer waits this much longer.
    Wait(Duration),
    /// The usual body, with another `Content-Type`.
    ContentType(String),
    /// The body ends after this many bytes, with a `Content-Length` that agrees: a complete answer of broken JSON.
    Truncate(usize),
    /// The connection is closed without an answer.
    Close,
    /// `Content-Length` is that of the whole body, and the connection is closed after this many bytes of it.
    CutBody(usize),
    /// The body comes in pieces of this many bytes with this pause before each.
    Drip(usize, Duration),
}
