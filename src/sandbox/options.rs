//! How a sandbox is set up: its streams and their behavior, its clock, its script.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::api::Api;
use super::behavior::{ARRIVALS, PortLogin, Records, StreamOptions};
use super::event::Event;
use super::script::Step;

/// Tells the sandbox what time it is.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How a sandbox is set up.
#[derive(Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// The seed of the generated records.
    pub(crate) seed: u64,
    /// The clock, for arrivals, retention and the life of minted tokens.
    pub(crate) clock: Clock,
    /// How long every answer is delayed.
    pub latency: Duration,
    /// The least length of a generated record, in bytes; a shorter one is padded.
    pub(crate) record_bytes: usize,
    /// Whether answers are compressed for clients that accept gzip.
    pub(crate) gzip: bool,
    /// The credentials that [`Sandbox::variables`](super::Sandbox::variables) returns for Port.
    pub port_login: PortLogin,
    /// How long a minted Port token is valid.
    pub port_token_life: TimeDelta,
    /// What happens at chosen requests.
    pub(crate) script: Vec<Step>,
    /// How each service behaves; index it by service, such as `options[Api::Mail]`.
    pub(crate) streams: [StreamOptions; Api::ALL.len()],
}

impl Options {
    /// Returns options with a free loopback port, 1000 generated records per stream, and a new one every few seconds.
    pub fn new(clock: Clock) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            clock,
            latency: Duration::ZERO,
            record_bytes: 0,
            gzip: false,
            port_login: PortLogin::Token,
            port_token_life: TimeDelta::hours(3),
            script: Vec::new(),
            streams: Api::ALL.map(|api| (api.service().behavior)()),
        }
    }

    /// Returns options without records and retention, for tests that give their own records.
    pub fn empty(clock: Clock) -> Self {
        Api::ALL
            .into_iter()
            .fold(Self::new(clock), |options, api| options.give(api, Vec::new()))
    }

    /// Generates `count` records for every stream, and new ones while the sandbox runs.
    pub(crate) fn records(self, count: usize) -> Self {
        self.generated(count, Some(ARRIVALS))
    }

    /// Generates `count` records for every stream, and none after them.
    pub(crate) fn still(self, count: usize) -> Self {
        self.generated(count, None)
    }

    fn generated(mut self, count: usize, arrivals: Option<Duration>) -> Self {
        for stream in &mut self.streams {
            stream.records = Records::Generated { count, arrivals };
        }
        self
    }

    /// Gives a stream exactly these records, in any order, without a retention.
    pub fn give(mut self, api: Api, events: Vec<Event>) -> Self {
        self[api].records = Records::Given(events);
        self[api].retention = None;
        self
    }

    /// Adds a step to the script.
    pub fn step(mut self, step: Step) -> Self {
        self.script.push(step);
        self
    }
}

impl Index<Api> for Options {
    type Output = StreamOptions;

    fn index(&self, api: Api) -> &StreamOptions {
        &self.streams[api as usize]
    }
}

impl IndexMut<Api> for Options {
    fn index_mut(&mut self, api: Api) -> &mut StreamOptions {
        &mut self.streams[api as usize]
    }
}
