//! The services: where a record keeps its time and identity, how a page is asked for, how its body is read.
//!
//! Imports: env, http, json, record, window.
//!
//! A source is pure: it does no I/O and knows no clock. Adding one is a file beside these, a row in [`SOURCES`] and its
//! samples.

use secrecy::SecretString;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::http::retry::AttemptError;
use crate::json::List;
use crate::record::{Reader, Record, Rejected};
use crate::window::Window;

mod kind;
mod port;
mod terraform;
mod yandex;
mod yandex360;
mod yandex_audit;

pub use kind::{Configure, Kind, Retention};
pub(crate) use port::{PORT_API_URL, PORT_CLIENT_ID, PORT_CLIENT_SECRET};
pub(crate) use terraform::{TFC_API_URL, TFC_ORG_TOKEN};
pub(crate) use yandex::{OAUTH_TOKEN_ARG, ORGANIZATION_ID_ARG};

/// Every kind of stream, in the order in which they are shown.
pub const SOURCES: &[Kind] = &[
    yandex360::MAIL,
    yandex360::DISK,
    yandex_audit::AUDIT,
    port::PORT,
    terraform::TERRAFORM,
];

/// A service as one stream sees it.
pub trait Source: Send + Sync {
    /// Its row in [`SOURCES`].
    fn kind(&self) -> &'static Kind;

    /// How its pages follow each other.
    fn paging(&self) -> Paging;

    /// In which order they come.
    fn order(&self) -> PageOrder {
        PageOrder::NewestFirst
    }

    /// The number of records that a page usually holds at most.
    fn page_size(&self) -> u32;

    /// The limit that the service publishes, if any.
    fn requests_per_second(&self) -> Option<u32> {
        None
    }

    /// How a request proves who asks.
    fn authorization(&self) -> &Authorization;

    /// Where it is asked, without a query.
    fn address(&self) -> &Url;

    /// The address of one page.
    fn page_url(&self, request: &PageRequest) -> Url;

    /// The member of an answer that holds the records; see [`read_page`].
    fn list(&self) -> &'static str;

    /// Reads an answer with status 200, without its records.
    ///
    /// # Errors
    /// The body is not what the service documents; the answer may have been cut, so asking again can help.
    fn read_envelope(&self, request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError>;

    /// The service's own words in the body of an error answer.
    fn error_message(&self, body: &str) -> Option<String>;

    /// What the operator should check after this status.
    fn advice(&self, status: u16) -> &'static str;

    /// What the operator should know about this service although everything works; fits a line of 100 columns.
    fn notice(&self) -> Option<&'static str> {
        None
    }

    /// Whether this status says that the window was too wide, rather than that the service is in trouble.
    fn is_too_wide(&self, _status: u16) -> bool {
        false
    }
}

/// How the pages of a source follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Asked for between two bounds; pages follow by token, where there are tokens.
    Bounded,
    /// Asked for from a lower bound only, by page number; page 1 holds the newest.
    Numbered,
}

/// In which order the pages of a window come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// The newest records first, so that what lies below a page is older than it; not strict inside a page.
    NewestFirst,
    /// Not known: a page says nothing of what the pages behind it hold, and only the last one ends a window.
    Unknown,
}

/// What is asked of a source: one page of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The span; a source without an upper bound uses its older end alone.
    pub window: Window,
    /// Which page of it.
    pub position: Position,
    /// How large a page.
    pub size: PageSize,
}

/// The size of a page against the usual one, as a power of two: larger where more records than a page share one time,
/// smaller where a page is too large to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageSize(i8);

impl PageSize {
    /// The largest, 64 times the usual size.
    const LARGEST: PageSize = PageSize(6);

    /// Twice this size; `None` at the largest.
    pub(crate) fn doubled(self) -> Option<Self> {
        (self < Self::LARGEST).then_some(Self(self.0 + 1))
    }

    /// Half this size; `None` where a page of `usual` records is down to one.
    pub(crate) fn halved(self, usual: u32) -> Option<Self> {
        (self.of(usual) > 1).then_some(Self(self.0 - 1))
    }

    /// The number of records, where `usual` is the usual one.
    pub(crate) fn of(self, usual: u32) -> u32 {
        match self.0 {
            0.. => usual.saturating_mul(1 << self.0),
            _ => (usual >> self.0.unsigned_abs().min(31)).max(1),
        }
    }
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

/// An answer without the records that it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Its JSON; the list of records is an empty one, or whatever else stood there.
    pub(crate) json: String,
    /// How many records were taken out.
    pub(crate) records: usize,
}

/// The list of an [`Envelope`]: all that stood in it was taken out, or it was no list.
type Emptied = [IgnoredAny; 0];

/// One page as it was read.
#[derive(Debug)]
pub struct Page {
    /// The records, in the order of the answer.
    pub records: Vec<Result<Record, Rejected>>,
    /// What the answer says of a further page.
    pub next: Next,
    /// How many pages there are, where the answer says so.
    pub(crate) pages: Option<u32>,
}

/// What an answer says of further pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// Whether and where there is a next one.
    pub(crate) next: Next,
    /// How many pages there are, where the answer says so.
    pub(crate) pages: Option<u32>,
}

/// What an answer says of a further page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is one, here.
    At(Position),
    /// This was the last.
    Last,
    /// Nothing: the answer may be cut off at its old end.
    Unknown,
}

/// How a request proves who asks.
#[derive(Debug)]
pub enum Authorization {
    /// The value of the `Authorization` header.
    Fixed(SecretString),
    /// A token that the service mints for a while.
    Minted(TokenRequest),
}

/// How a token is minted: `POST` the JSON body, read the answer.
#[derive(Debug)]
pub struct TokenRequest {
    /// Where to.
    pub(crate) url: Url,
    /// The JSON body, which holds the client's secret.
    pub(crate) body: SecretString,
    /// The client's secret alone, so that a service which repeats it is not quoted with it.
    pub(crate) secret: SecretString,
    /// Reads the answer.
    pub read: fn(&str) -> Result<MintedToken, PageParseError>,
}

/// A minted token.
#[derive(Debug)]
pub struct MintedToken {
    /// The value of the `Authorization` header.
    pub(crate) header: SecretString,
    /// How long it is good for, in seconds from the answer.
    pub(crate) expires_in: u64,
}

/// The body is not what this source answers; the text says what was wrong with it, without quoting records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PageParseError(pub(crate) String);

impl From<PageParseError> for AttemptError {
    fn from(PageParseError(problem): PageParseError) -> Self {
        Self::UnreadableBody(problem)
    }
}

impl From<serde_json::Error> for PageParseError {
    /// Keeps the kind and place of the fault and leaves out serde's quotations from the body.
    fn from(error: serde_json::Error) -> Self {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "ends too early",
            serde_json::error::Category::Syntax => "is not JSON",
            serde_json::error::Category::Data | serde_json::error::Category::Io => "has another form than documented",
        };
        PageParseError(format!(
            "the body {what} (line {}, column {})",
            error.line(),
            error.column()
        ))
    }
}

/// Reads the body of an answer with status 200: the records where they stand, in one pass, and then what is left.
///
/// # Errors
/// The body is not what the service documents; the answer may have been cut, so asking again can help.
pub fn read_page(
    source: &dyn Source,
    reader: &mut Reader,
    request: &PageRequest,
    body: &str,
) -> Result<Page, PageParseError> {
    let mut list = List::find(body, source.list());
    let records = reader.read_all(&mut list);
    let records = records.map_err(|malformed| PageParseError(format!("its list of records: {malformed}")))?;
    let envelope = Envelope {
        json: list.rest(),
        records: records.len(),
    };
    let PageInfo { next, pages } = source.read_envelope(request, &envelope)?;
    Ok(Page { records, next, pages })
}

/// The header `<scheme> <token>`, whether or not the token was written with its scheme.
///
/// It is made in one piece: a text that grows, or shrinks to fit, leaves copies behind in memory.
fn header(scheme: &str, token: &str) -> SecretString {
    let token = token.trim();
    let without = token.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(' '));
    let bare = without.unwrap_or(token).trim();
    let mut value = String::with_capacity(scheme.len() + 1 + bare.len());
    value.push_str(scheme);
    value.push(' ');
    value.push_str(bare);
    SecretString::from(value)
}

/// Reads a field that has to be there: serde takes a missing one for `null`, and so an error object for an empty page.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    T::deserialize(value)
}

/// The address of a method: the base that the operator gives, and the method's path below it.
fn method(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}
