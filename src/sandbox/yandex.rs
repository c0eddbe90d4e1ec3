//! Yandex 360 mail and disk: two bounds, pages of at most 100, tokens that look like offsets.

use chrono::{SecondsFormat, TimeDelta};

use super::behavior::{LastPage, StreamOptions};
use super::feed::{Selection, View, array};
use super::generate::{Digits, Recipe, Slot, time_like};
use super::http::{Answer, ServiceRequest};
use super::json::string_at;
use super::service::{ANY_PART, RequestError, Service, whole_seconds};

pub(super) const MAIL: Service = Service {
    name: "yandex-mail",
    path: &["security", "v1", "org", ANY_PART, "audit_log", "mail"],
    mint: None,
    behavior,
    recipe: Recipe {
        pages: &[
            (
                "samples/yandex-mail/page.json",
                include_str!("../../samples/yandex-mail/page.json"),
            ),
            (
                "samples/yandex-mail/last-page.json",
                include_str!("../../samples/yandex-mail/last-page.json"),
            ),
        ],
        slot,
        // Mostly milliseconds; sometimes a whole second, which is written without a fraction, or microseconds.
        precision: |draw| match draw {
            0..=3 => 1_000_000,
            4 => 1,
            _ => 1_000,
        },
    },
    minimal: |time, id| {
        let at = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!(r#"{{"eventType":"message_receive","date":"{at}","uniqId":"{id}","subject":"План"}}"#)
    },
    variables: |url, _| variables(url),
    answer: |view, request| answer(Log::Mail, view, request),
    error_answer,
    rate_limit_headers: |answer, _| answer,
};

pub(super) const DISK: Service = Service {
    name: "yandex-disk",
    path: &["security", "v1", "org", ANY_PART, "audit_log", "disk"],
    mint: None,
    behavior,
    recipe: Recipe {
        pages: &[
            (
                "samples/yandex-disk/page.json",
                include_str!("../../samples/yandex-disk/page.json"),
            ),
            (
                "samples/yandex-disk/last-page.json",
                include_str!("../../samples/yandex-disk/last-page.json"),
            ),
        ],
        slot,
        precision: |_| 1_000_000,
    },
    minimal: |time, id| {
        let at = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!(r#"{{"eventType":"fs-mkdir","date":"{at}","uniqId":"{id}","path":"/disk/a "}}"#)
    },
    variables: |url, _| variables(url),
    answer: |view, request| answer(Log::Disk, view, request),
    error_answer,
    rate_limit_headers: |answer, _| answer,
};

/// How long records are kept: the vendor does not document it; clients ask for this much.
pub(super) const RETENTION: TimeDelta = TimeDelta::days(184);

/// The organization that the sandbox knows.
pub(super) const ORGANIZATION: u64 = 1_000_001;

/// The OAuth token that the sandbox demands.
pub(super) const OAUTH_TOKEN: &str = "y0_sandbox-oauth-token";

/// The page size if no `pageSize` is given.
const USUAL_PAGE: usize = 100;

/// Which of the two logs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    Mail,
    Disk,
}

fn behavior() -> StreamOptions {
    StreamOptions {
        page_cap: Some(USUAL_PAGE),
        ..StreamOptions::with_retention(RETENTION)
    }
}

fn slot(key: &str, value: &str) -> Option<Slot> {
    match key {
        "date" => time_like(value, Digits::Needed),
        "uniqId" => Some(Slot::Decimal),
        _ => None,
    }
}

fn variables(url: &str) -> Vec<(&'static str, String)> {
    let mut variables = vec![("YANDEX_API_URL", url.to_owned())];
    variables.extend(credentials());
    variables
}

/// Returns the variables for the token and the organization, which all services of this vendor share.
pub(super) fn credentials() -> [(&'static str, String); 2] {
    [
        ("OAUTH_TOKEN_ARG", OAUTH_TOKEN.to_owned()),
        ("ORGANIZATION_ID_ARG", ORGANIZATION.to_string()),
    ]
}

/// Answers a request for the audit log of an organization.
fn answer(log: Log, view: &View<'_>, request: &ServiceRequest) -> Answer {
    if request.authorization.as_deref() != Some(&format!("OAuth {OAUTH_TOKEN}")) {
        return error(401, "unauthorized");
    }
    if request.path.split('/').nth(4) != Some(&ORGANIZATION.to_string()) {
        return error(404, "not_found");
    }
    page(log, view, request).unwrap_or_else(|error| error)
}

/// Returns the error body of this vendor; its codes are those of gRPC.
fn error(status: u16, message: &str) -> Answer {
    let code = match status {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        405 => 12,
        429 => 8,
        504 => 4,
        _ => 13,
    };
    Answer::json(
        status,
        format!(r#"{{"code":{code},"message":"{message}","details":[]}}"#),
    )
}

fn error_answer(problem: RequestError) -> Answer {
    match problem {
        RequestError::MethodNotAllowed => error(405, "method not allowed"),
        RequestError::TooManyRequests(reset) => {
            error(429, "too many requests").with("Retry-After", whole_seconds(reset))
        }
    }
}

/// Returns the page that is asked for, or the error.
fn page(log: Log, view: &View<'_>, request: &ServiceRequest) -> Result<Answer, Answer> {
    let invalid_parameter = |message: String| error(400, &message);
    if let Some(name) = unknown_parameter(log, request) {
        return Err(error(400, &format!("unknown parameter: {}", name.escape_default())));
    }
    let from = request.time("afterDate").map_err(invalid_parameter)?;
    let to = request
        .time("beforeDate")
        .map_err(invalid_parameter)?
        .unwrap_or(view.now);
    let size = request
        .number("pageSize")
        .map_err(invalid_parameter)?
        .unwrap_or(USUAL_PAGE);
    if view.options.page_cap.is_some_and(|cap| size > cap) {
        return Err(error(400, "invalid pageSize"));
    }
    if from.is_some_and(|from| from > to) {
        return Err(error(400, "afterDate is later than beforeDate"));
    }
    if view.is_too_wide(from, Some(to)) {
        return Err(error(504, "deadline exceeded"));
    }
    let token = request.value("pageToken").filter(|token| !token.is_empty());
    let start = token
        .map_or(Some(PageStart::START), PageStart::parse)
        .ok_or_else(|| error(400, "invalid pageToken"))?;
    if view
        .options
        .deepest_offset
        .is_some_and(|deepest| start.offset > deepest)
    {
        return Err(error(400, "pageToken is too deep"));
    }
    let selection = filtered(view.select(from, Some(to)), request);
    Ok(envelope(log, view, &selection, start, size))
}

/// Writes a page and the token of the next one.
fn envelope(log: Log, view: &View<'_>, selection: &Selection<'_>, start: PageStart, size: usize) -> Answer {
    let options = view.options;
    let size = if start.is_empty_page { 0 } else { size };
    let records = selection.newest(start.offset, size);
    let offset = start.offset + records.len();
    let more = offset < selection.len();
    let one_more_page = options.last_page == LastPage::TokenThenEmpty && !records.is_empty();
    let next = PageStart {
        offset,
        is_empty_page: options.empty_pages && !start.is_empty_page,
    };
    let events = match array(records, options.unsorted) {
        none if none.is_empty() && options.null_events => "null".to_owned(),
        some => format!("[{some}]"),
    };
    let token = if more || one_more_page {
        next.token(log)
    } else {
        String::new()
    };
    let rest = match options.last_page {
        LastPage::NoToken if token.is_empty() => String::new(),
        LastPage::NullToken if token.is_empty() => r#","nextPageToken":null"#.to_owned(),
        _ => format!(r#","nextPageToken":"{token}""#),
    };
    Answer::json(200, format!(r#"{{"events":{events}{rest}}}"#))
}

/// Applies the filters of the query.
fn filtered<'a>(selection: Selection<'a>, request: &ServiceRequest) -> Selection<'a> {
    let list = |name| request.values(name).collect::<Vec<_>>();
    let (included, excluded, types) = (list("includeUids"), list("excludeUids"), list("types"));
    if included.is_empty() && excluded.is_empty() && types.is_empty() {
        return selection;
    }
    selection.filter(|record| {
        let uid = string_at(record, &["userUid"]).unwrap_or_default();
        let kind = string_at(record, &["eventType"]).unwrap_or_default();
        (included.is_empty() || included.contains(&uid.as_str()))
            && !excluded.contains(&uid.as_str())
            && (types.is_empty() || types.contains(&kind.as_str()))
    })
}

/// Returns the name of a parameter that this API does not have.
fn unknown_parameter(log: Log, request: &ServiceRequest) -> Option<&str> {
    let known = [
        "afterDate",
        "beforeDate",
        "pageSize",
        "pageToken",
        "includeUids",
        "excludeUids",
    ];
    let is_known = |name: &str| known.contains(&name) || (name == "types" && log == Log::Mail);
    request
        .query
        .iter()
        .map(|(name, _)| name.as_str())
        .find(|name| !is_known(name))
}

/// Where a page starts.
#[derive(Clone, Copy)]
struct PageStart {
    /// Number of newer records of the window before it.
    offset: usize,
    /// Whether it is an empty page between two others.
    is_empty_page: bool,
}

impl PageStart {
    const START: PageStart = PageStart {
        offset: 0,
        is_empty_page: false,
    };

    /// Returns `100_0` for mail and `100` for disk; an empty page has a `g` in front.
    fn token(self, log: Log) -> String {
        let prefix = if self.is_empty_page { "g" } else { "" };
        let suffix = if log == Log::Mail { "_0" } else { "" };
        format!("{prefix}{}{suffix}", self.offset)
    }

    fn parse(token: &str) -> Option<Self> {
        let (is_empty_page, rest) = token.strip_prefix('g').map_or((false, token), |rest| (true, rest));
        let offset = rest.strip_suffix("_0").unwrap_or(rest).parse().ok()?;
        Some(Self { offset, is_empty_page })
    }
}
