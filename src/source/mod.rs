//! The services: where a record has its time and identity, how a page is requested, how its body is parsed.
//!
//! Imports: env, http, json, record, window.
//!
//! A source is pure: it does no I/O and reads no clock. To add one, add a file here, a row in [`SOURCES`] and its
//! samples.

use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::env::StandingSecret;
use crate::http::retry::AttemptError;
use crate::json::{self, JsonError, List};
use crate::record::{Broken, Listed, ListedError, Reader, Record, Rejected};
use crate::window::Window;

mod columns;
mod kind;
mod port;
mod terraform;
mod yandex;
mod yandex360;
mod yandex_audit;

pub(crate) use columns::{ColumnReader, Columns, ReadRow, Row};
pub(crate) use kind::Outcome;
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

/// A service, for one stream.
pub trait Source: Send + Sync {
    /// Returns its row in [`SOURCES`].
    fn kind(&self) -> &'static Kind;

    /// Returns how its pages follow each other.
    fn paging(&self) -> Paging;

    /// Returns how many records a page usually holds at most.
    fn page_size(&self) -> u32;

    /// Returns how many records it can be asked for at most in one page.
    fn largest_page(&self) -> u32 {
        self.page_size()
    }

    /// Returns the rate limit that the service publishes, if any.
    fn requests_per_second(&self) -> Option<u32> {
        None
    }

    /// Returns how its requests are authorized.
    fn authorization(&self) -> &Authorization;

    /// Returns its address, without a query.
    fn address(&self) -> &Url;

    /// Returns the organization that the address names, if it does.
    fn organization(&self) -> Option<&str> {
        None
    }

    /// Returns the operator's query parameters: what is collected is less than everything.
    fn filter(&self) -> &[(String, String)] {
        &[]
    }

    /// Returns the address of one page.
    fn page_url(&self, request: &PageRequest) -> Url;

    /// Returns the member of an answer that holds the records; see [`read_page`].
    fn list(&self) -> &'static str;

    /// Parses an answer with status 200, without its records.
    ///
    /// # Errors
    /// The body has another form than documented; it may have been cut off, so a retry can help.
    fn read_envelope(&self, request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError>;

    /// Returns the service's own message in the body of an error answer.
    fn error_message(&self, body: &str) -> Option<String>;

    /// Returns what the operator should check after this status.
    fn advice(&self, status: u16) -> &'static str;

    /// Returns what the operator should know about this service even if everything works; fits a line of 100 columns.
    fn notice(&self) -> Option<&'static str> {
        None
    }

    /// Returns whether this status can mean that the window was too wide, and not that the service is in trouble: a gateway that
    /// waits for the service no longer says 504 (RFC 9110, 15.6.5).
    fn is_too_wide(&self, status: u16) -> bool {
        status == 504
    }
}

/// How the pages of a source follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Requested between two bounds; pages follow by token, if there are tokens.
    Bounded,
    /// Requested from a lower bound only, by page number; page 1 holds the newest.
    Numbered,
}

/// A request for one page of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The span; a source without an upper bound uses only its older end.
    pub window: Window,
    /// Which page of it.
    pub position: Position,
    /// How many records it may hold: at least 1, and no more than [`Source::largest_page`].
    pub size: u32,
}

/// Which page of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The newest.
    First,
    /// The one after this token.
    Token(String),
    /// The one with this number, from 1.
    Number(u32),
}

/// An answer without its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Its JSON; the list of records is empty, or whatever else was in its place.
    pub(crate) json: String,
    /// How many records were taken out.
    pub(crate) records: usize,
}

/// The list of an [`Envelope`]: empty, because its records were taken out, or not a list at all.
type EmptyList = [IgnoredAny; 0];

/// One parsed page.
#[derive(Debug)]
pub struct Page {
    /// The records, in the order of the answer.
    pub records: Vec<Result<Record, Rejected>>,
    /// Those that are not UTF-8, as they came; they are among the records with U+FFFD in the place of what is broken.
    pub originals: Vec<Rejected>,
    /// Whether there is a next page.
    pub next: Next,
    /// What the answer says about all pages.
    pub(crate) counts: Counts,
}

/// What an answer says about further pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// Whether and where there is a next page.
    pub(crate) next: Next,
    /// What the answer says about all pages.
    pub(crate) counts: Counts,
}

/// What an answer says about all pages of a window, as far as it says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of this page, from 1.
    pub(crate) page: Option<u32>,
    /// How many pages there are.
    pub(crate) pages: Option<u32>,
    /// How many records there are.
    pub(crate) records: Option<u64>,
}

/// What an answer says about the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is here.
    At(Position),
    /// This was the last.
    Last,
    /// Nothing: the answer may be cut off at its old end.
    Unknown,
}

/// How a request is authorized.
#[derive(Debug)]
pub enum Authorization {
    /// A token of the settings.
    Fixed(FixedToken),
    /// A token that the service mints for a limited time.
    Minted(TokenRequest),
}

impl Authorization {
    /// Returns the secret of the settings that it needs.
    pub(crate) fn secret(&self) -> &StandingSecret {
        match self {
            Authorization::Fixed(token) => &token.secret,
            Authorization::Minted(request) => &request.secret,
        }
    }
}

/// A token of the settings, and the scheme that the service expects before it.
#[derive(Debug)]
pub struct FixedToken {
    scheme: &'static str,
    secret: StandingSecret,
}

impl FixedToken {
    fn new(scheme: &'static str, secret: StandingSecret) -> Self {
        Self { scheme, secret }
    }

    /// Returns the value of the `Authorization` header.
    pub(crate) fn header(&self) -> SecretString {
        header(self.scheme, self.secret.current().expose_secret())
    }
}

/// How to mint a token: `POST` the JSON body, parse the answer.
#[derive(Debug)]
pub struct TokenRequest {
    /// The address.
    pub(crate) url: Url,
    /// The client's name.
    pub(crate) id: String,
    /// The client's secret.
    pub(crate) secret: StandingSecret,
    /// Returns the JSON body for a name and a secret, which it holds.
    pub(crate) body: fn(&str, &SecretString) -> Option<SecretString>,
    /// Parses the answer.
    pub read: fn(&str) -> Result<MintedToken, PageParseError>,
    /// Returns what to check after a status other than success.
    pub(crate) advice: fn(u16) -> &'static str,
}

/// A minted token.
#[derive(Debug)]
pub struct MintedToken {
    /// The value of the `Authorization` header.
    pub(crate) header: SecretString,
    /// How long it is valid, in seconds from the answer.
    pub(crate) expires_in: u64,
}

/// Why an answer cannot be read; the texts say what is wrong, without quoting records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageParseError {
    /// The body has another form than this source documents, or was cut off: a retry can help.
    #[error("{0}")]
    Unreadable(String),
    /// One record is not JSON in such a way that the records behind it cannot be told apart from it: an answer without
    /// it can be read, and so can one that holds nothing but it.
    #[error("record {index} of its list is broken, and where it ends cannot be told: {problem}")]
    BrokenRecord {
        /// Its place among the records of the answer, from 0.
        index: usize,
        /// What is wrong with it, and where in the body.
        problem: JsonError,
    },
    /// It holds more than is taken of one page: a smaller one may fit.
    #[error("the body has more than {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What it counts.
        unit: &'static str,
    },
}

impl From<PageParseError> for AttemptError {
    fn from(error: PageParseError) -> Self {
        match error {
            PageParseError::TooLarge { limit, unit } => Self::TooLarge { limit, unit },
            unreadable => Self::UnreadableBody(unreadable.to_string()),
        }
    }
}

impl From<serde_json::Error> for PageParseError {
    /// Keeps the kind and place of the error, without serde's quotes from the body.
    fn from(error: serde_json::Error) -> Self {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "ends too early",
            serde_json::error::Category::Syntax => "is not JSON",
            serde_json::error::Category::Data | serde_json::error::Category::Io => "has another form than documented",
        };
        PageParseError::Unreadable(format!(
            "the body {what} (line {}, column {})",
            error.line(),
            error.column()
        ))
    }
}

/// Parses the body of an answer with status 200: the records in place, in one pass, then the rest.
///
/// A record that is not JSON is rejected, and one that is not UTF-8 repaired. Where the end of one cannot be told, `broken`
/// says what becomes of it.
///
/// # Errors
/// See [`PageParseError`].
pub fn read_page(
    source: &dyn Source,
    reader: &mut Reader,
    request: &PageRequest,
    body: &[u8],
    broken: Broken,
) -> Result<Page, PageParseError> {
    let mut list = List::find(body, source.list());
    let listed = reader.read_list(&mut list, broken)?;
    let envelope = Envelope {
        json: list.rest().ok_or_else(not_text)?,
        records: listed.records.len(),
    };
    match source.read_envelope(request, &envelope) {
        Ok(PageInfo { next, counts }) => Ok(Page {
            records: listed.records,
            originals: listed.originals,
            next,
            counts,
        }),
        Err(error) if list.is_whole() => Err(broken_record(&listed, &envelope).unwrap_or(error)),
        Err(error) => Err(error),
    }
}

/// Returns the error of an answer that is not JSON around its records either: one of them has taken its list for ended,
/// or has ended elsewhere itself.
fn broken_record(listed: &Listed, envelope: &Envelope) -> Option<PageParseError> {
    let problem = json::scan(&envelope.json, &[], &mut String::new()).err()?;
    let index = listed.first_not_json.unwrap_or(envelope.records.saturating_sub(1));
    Some(PageParseError::BrokenRecord { index, problem })
}

fn not_text() -> PageParseError {
    PageParseError::Unreadable("the body is not UTF-8, not only in its records".into())
}

impl From<ListedError> for PageParseError {
    fn from(error: ListedError) -> Self {
        match error {
            ListedError::CutOff(problem) => Self::Unreadable(format!("its list of records: {problem}")),
            ListedError::Broken { index, problem } => Self::BrokenRecord { index, problem },
            ListedError::TooLarge { limit, unit } => Self::TooLarge { limit, unit },
        }
    }
}

/// Returns the header `<scheme> <token>`, whether or not the token was written with its scheme.
///
/// It is allocated once: a text that grows, or shrinks to fit, leaves copies behind in memory.
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

/// Returns what to do about a status that means the same at every service.
fn usual_advice(status: u16) -> &'static str {
    match status {
        300..=399 => "redirects are not followed; check the address",
        402 => "the service asks for payment: check the organization's plan and its bills",
        404 | 405 => "what answers there is not this service: check the address, and any proxy",
        407 => "a proxy asks for a user and a password, or refuses those that it got: check HTTP_PROXY",
        408 => "the request took the service too long; nothing is lost, what is missing is asked for again",
        410 => "the service has removed this address: check it, and whether there is a newer trailkeeper",
        413 | 414 | 431 => {
            "the request is too long for the service: shorten the extra query parameters, and check any proxy"
        }
        429 => {
            "it is asked too often, perhaps by others with the same token: nothing is lost, what is missing is asked for again; lower \
             FETCH_CONCURRENCY, or run less often"
        }
        400..=499 => {
            "the service does not take the request: check the address and the extra query parameters, or ask its support"
        }
        _ => "the service may be in trouble; nothing is lost, what is missing is asked for again",
    }
}

/// Deserializes a required field: serde takes a missing one for `null`, and so an error object for an empty page.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    T::deserialize(value)
}

/// Returns the address of a method: its path below the base that the operator configured.
fn method(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}
