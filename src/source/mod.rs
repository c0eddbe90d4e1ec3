//! The services: where a record keeps its time and identity, how a page is asked for, how its body is read.
//!
//! A source is pure: it does no I/O and knows no clock.

mod kind;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::value::RawValue;
use url::Url;

pub use kind::{Configure, Kind};

use crate::record::Shape;
use crate::window::Window;

/// A service as one stream sees it.
pub trait Source: Send + Sync {
    /// Where its records keep time and identity.
    fn shape(&self) -> Shape;

    /// How its pages follow each other.
    fn paging(&self) -> Paging;

    /// How a request proves who asks.
    fn authorization(&self) -> &Authorization;

    /// The address of one page.
    fn page_url(&self, ask: &Ask) -> Url;

    /// Reads the body of an answer with status 200; the records are slices of it.
    fn read_page<'a>(&self, body: &'a str) -> Result<Page<'a>, BadPage>;

    /// The service's own words in the body of an error answer.
    fn error_message(&self, body: &str) -> Option<String>;

    /// What the operator should check after this status.
    fn advice(&self, status: u16) -> &'static str;
}

/// How the pages of a source follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Asked for between two bounds, newest first, page by page with tokens where there are any.
    Bounded,
    /// Asked for from a lower bound only, by page number; page 1 holds the newest.
    Numbered,
}

/// What is asked of a source: one page of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The span; a source without an upper bound uses its older end alone.
    pub window: Window,
    /// Which page of it.
    pub position: Position,
    /// How many times the usual page size; above 1 only where more records than a page share one time.
    pub scale: u32,
}

/// Which page of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The newest.
    First,
    /// The one behind this token.
    Token(String),
    /// The one with this number, from 1.
    Number(u32),
}

/// One page as it was read.
#[derive(Debug)]
pub struct Page<'a> {
    /// The records, in the order of the answer, as the text that was received.
    pub records: Vec<&'a RawValue>,
    /// What the answer says of a further page.
    pub next: Next,
}

/// What an answer says of a further page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is one, here.
    At(Position),
    /// This was the last.
    Last,
    /// Nothing: the answer may be cut off at its old end.
    Unsaid,
}

/// How a request proves who asks.
#[derive(Debug)]
pub enum Authorization {
    /// The value of the `Authorization` header.
    Fixed(SecretString),
}

/// The body is not what this source answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPage(pub String);

#[allow(dead_code)]
fn _unused(_: DateTime<Utc>) {}
