//! What a sandbox is told before it starts: its streams, their quirks, its clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::feed::Event;
use super::script::Step;

/// Tells the sandbox what time it is.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// One of the four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Yandex 360, mail.
    Mail,
    /// Yandex 360, disk.
    Disk,
    /// Port.
    Port,
    /// HCP Terraform.
    Tfc,
}

impl Api {
    /// All four, in the order of their numbers.
    pub const ALL: [Api; 4] = [Api::Mail, Api::Disk, Api::Port, Api::Tfc];

    /// For how long the service keeps a record; for Yandex, which does not say, what clients ask for.
    pub fn retention(self) -> TimeDelta {
        match self {
            Api::Mail | Api::Disk => TimeDelta::days(184),
            Api::Port => TimeDelta::days(365),
            Api::Tfc => TimeDelta::days(14),
        }
    }
}

/// How a sandbox is set up.
#[derive(Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What the generated records are made from, besides the samples and the clock.
    pub seed: u64,
    /// What time it is, for arrivals, retention and the life of minted tokens.
    pub clock: Clock,
    /// How long every answer is held back.
    pub latency: Duration,
    /// Which credentials [`Sandbox::variables`](super::Sandbox::variables) gives out for Port.
    pub port_login: PortLogin,
    /// For how long a minted Port token is good.
    pub port_token_life: TimeDelta,
    /// What happens at which request.
    pub script: Vec<Step>,
    /// How each service behaves; more easily reached by its name, as in `options[Api::Mail]`.
    pub streams: [StreamOptions; 4],
}

impl Options {
    /// A free port of the loopback interface, 1000 generated records per stream, and a new one every few seconds.
    pub fn new(clock: Clock) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            clock,
            latency: Duration::ZERO,
            port_login: PortLogin::Token,
            port_token_life: TimeDelta::hours(3),
            script: Vec::new(),
            streams: Api::ALL.map(StreamOptions::new),
        }
    }

    /// No records at all and no retention: a start for tests that give their own.
    pub fn empty(clock: Clock) -> Self {
        Api::ALL
            .into_iter()
            .fold(Self::new(clock), |options, api| options.give(api, Vec::new()))
    }

    /// Generates `count` records for every stream.
    pub fn records(mut self, count: usize) -> Self {
        for stream in &mut self.streams {
            stream.records = Records::Generated {
                count,
                arrivals: Some(ARRIVALS),
            };
        }
        self
    }

    /// Gives a stream exactly these records, in any order, and keeps them however old they are.
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

/// How one service behaves. What its vendor leaves open can be set either way.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Where its records come from.
    pub records: Records,
    /// Records older than this are gone; `None` keeps all.
    pub retention: Option<TimeDelta>,
    /// Whether the lower bound is part of the window.
    pub includes_from: bool,
    /// Whether the upper bound is part of the window (not TFC, which has none).
    pub includes_to: bool,
    /// The largest page. Yandex refuses to be asked for more, Port and TFC answer with less.
    pub page_cap: Option<usize>,
    /// Shuffles the records inside each page.
    pub unsorted: bool,
    /// Answers 504 when the window is wider than this (not TFC).
    pub widest_window: Option<TimeDelta>,
    /// Refuses pages that start behind this many records with 400 (Yandex).
    pub deepest_offset: Option<usize>,
    /// Writes an empty page as `"events":null` (Yandex).
    pub null_events: bool,
    /// Puts an empty page with a token between every two pages (Yandex).
    pub empty_pages: bool,
    /// What stands behind the last record (Yandex).
    pub last_page: LastPage,
    /// Requests per second; those above it are answered with 429.
    pub rate_limit: Option<u32>,
}

impl StreamOptions {
    /// The usual behaviour of this service, with 1000 generated records.
    fn new(api: Api) -> Self {
        Self {
            records: Records::Generated {
                count: 1000,
                arrivals: Some(ARRIVALS),
            },
            retention: Some(api.retention()),
            includes_from: api != Api::Tfc,
            includes_to: true,
            page_cap: match api {
                Api::Mail | Api::Disk => Some(100),
                Api::Port => None,
                Api::Tfc => Some(1000),
            },
            unsorted: false,
            widest_window: None,
            deepest_offset: None,
            null_events: false,
            empty_pages: false,
            last_page: LastPage::EmptyToken,
            rate_limit: (api == Api::Tfc).then_some(30),
        }
    }
}

/// The mean time between two generated records that appear while the sandbox runs.
pub const ARRIVALS: Duration = Duration::from_secs(4);

/// Where the records of a stream come from.
#[derive(Clone, Debug)]
pub enum Records {
    /// Made from the sample pages and the seed, spread over the retention.
    Generated {
        /// How many there are when the sandbox starts.
        count: usize,
        /// The mean time between two new ones; `None` for no new ones.
        arrivals: Option<Duration>,
    },
    /// Exactly these.
    Given(Vec<Event>),
}

/// What stands behind the last record of a Yandex walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastPage {
    /// `"nextPageToken":""`, as documented.
    EmptyToken,
    /// No `nextPageToken` at all.
    NoToken,
    /// A token that leads to one more page, which is empty and has none.
    TokenThenEmpty,
}

/// How a client proves itself to Port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortLogin {
    /// With a token that does not end.
    Token,
    /// With an id and a secret that mint tokens.
    Client,
}
