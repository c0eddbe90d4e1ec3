//! Requests as the services read them, and answers as they send them.

use std::io::Write;

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use url::form_urlencoded;

/// A request, parsed.
#[derive(Clone)]
pub(super) struct ServiceRequest {
    /// The path, without the query.
    pub(super) path: String,
    /// The query as it was sent.
    pub(super) raw_query: String,
    /// The query, decoded.
    pub(super) query: Vec<(String, String)>,
    pub(super) authorization: Option<String>,
    /// Whether the method is POST; every other counts as GET.
    pub(super) is_post: bool,
    pub(super) body: Bytes,
}

impl ServiceRequest {
    /// Creates a request with this path and query and nothing else.
    pub(super) fn new(path: &str, raw_query: &str) -> Self {
        Self {
            path: path.to_owned(),
            raw_query: raw_query.to_owned(),
            query: form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect(),
            authorization: None,
            is_post: false,
            body: Bytes::new(),
        }
    }

    /// Returns the value of a parameter, if given.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns all values of a repeated parameter.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the time in a parameter, if given; the error names a parameter that is not a time.
    pub(super) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, String> {
        let Some(value) = self.value(name) else { return Ok(None) };
        parse_time(value).map(Some).ok_or_else(|| format!("invalid {name}"))
    }

    /// Returns the number in a parameter, if given; the error names a parameter that is not a number from 1.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, String> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value
            .parse()
            .ok()
            .filter(|&number| number > 0)
            .map(Some)
            .ok_or_else(|| format!("invalid {name}"))
    }
}

/// Formats a time as the `Date` header has it.
pub(super) fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Parses RFC 3339 with 0 to 6 fraction digits.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let digits = text
        .split_once('.')
        .map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    if digits > 6 || text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub(crate) status: u16,
    /// The headers, without `Content-Length`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Creates an answer of JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.into().into(),
        }
    }

    /// Creates an answer of HTML, as from a gateway in front of the service.
    pub fn html(status: u16, title: &str) -> Self {
        let body = format!("<html>\r\n<head><title>{title}</title></head>\r\n<body>{title}</body>\r\n</html>\r\n");
        Self {
            status,
            headers: vec![("content-type".into(), "text/html".into())],
            body: body.into(),
        }
    }

    /// Compresses the body; unchanged if that fails.
    pub(super) fn gzipped(self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        match encoder.write_all(&self.body).and_then(|()| encoder.finish()) {
            Ok(body) => Self { body, ..self }.with("content-encoding", "gzip"),
            Err(_) => self,
        }
    }

    /// Adds a header.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}
