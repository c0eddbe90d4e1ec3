//! How a service behaves: what its vendor documents, and what the vendor leaves open and a test can choose.

use std::time::Duration;

use chrono::TimeDelta;

use super::event::Event;

/// How a service behaves. What its vendor leaves open can be set either way.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Where its records come from.
    pub records: Records,
    /// Older records are dropped; `None` keeps all.
    pub(crate) retention: Option<TimeDelta>,
    /// Whether the lower bound is part of the window.
    pub includes_from: bool,
    /// Whether the upper bound is part of the window (not TFC, which has none).
    pub includes_to: bool,
    /// The largest page. Yandex refuses larger requests, Port and TFC return less.
    pub page_cap: Option<usize>,
    /// The order of the records (unified log of Yandex, which does not document it).
    pub sequence: Sequence,
    /// Shuffles the records inside each page.
    pub unsorted: bool,
    /// Answers 504 when the window is wider than this (not TFC).
    pub widest_window: Option<TimeDelta>,
    /// Refuses pages that start after this many records with 400 (Yandex).
    pub deepest_offset: Option<usize>,
    /// Writes an empty page as `null` (Yandex).
    pub null_events: bool,
    /// Puts an empty page with a token between every two pages (Yandex).
    pub empty_pages: bool,
    /// How the end of the feed is marked (Yandex).
    pub last_page: LastPage,
    /// Requests per second; further ones are answered with 429.
    pub rate_limit: Option<u32>,
}

impl StreamOptions {
    /// Returns a service with this retention, 1000 generated records and nothing unusual.
    pub(super) fn with_retention(retention: TimeDelta) -> Self {
        Self {
            records: Records::Generated {
                count: 1000,
                arrivals: Some(ARRIVALS),
            },
            retention: Some(retention),
            includes_from: true,
            includes_to: true,
            page_cap: None,
            sequence: Sequence::NewestFirst,
            unsorted: false,
            widest_window: None,
            deepest_offset: None,
            null_events: false,
            empty_pages: false,
            last_page: LastPage::EmptyToken,
            rate_limit: None,
        }
    }
}

/// The mean time between two generated records that appear while the sandbox runs.
pub const ARRIVALS: Duration = Duration::from_secs(4);

/// Where the records of a stream come from.
#[derive(Clone, Debug)]
pub enum Records {
    /// Generated from the sample pages and the seed, spread over the retention.
    Generated {
        /// How many there are when the sandbox starts.
        count: usize,
        /// The mean time between two new ones; `None` for no new ones.
        arrivals: Option<Duration>,
    },
    /// Exactly these.
    Given(Vec<Event>),
}

/// The order of the records of a window, over all of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// The newest first.
    NewestFirst,
    /// The oldest first.
    OldestFirst,
    /// In an arbitrary order that stays the same while the records do.
    Shuffled,
}

/// How the end of a Yandex feed is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastPage {
    /// An empty token, as mail and disk document.
    EmptyToken,
    /// `null`, as the unified log documents.
    NullToken,
    /// No token at all.
    NoToken,
    /// A token for one more page, which is empty and has no token.
    TokenThenEmpty,
}

/// How a client authenticates with Port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortLogin {
    /// With a token that does not expire.
    Token,
    /// With a client id and a secret, which mint tokens.
    Client,
}
