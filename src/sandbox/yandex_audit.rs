//! The unified audit log of Yandex 360: two bounds, pages of at most 100, and opaque keys. Its order is not documented,
//! so a test can choose it.

use chrono::SecondsFormat;

use super::behavior::{LastPage, StreamOptions};
use super::feed::{Selection, View, array};
use super::generate::{Digits, Recipe, Slot, time_like};
use super::http::{Answer, ServiceRequest};
use super::json::{string_at, text_at};
use super::service::{ANY_PART, RequestError, Service, whole_seconds};
use super::yandex::{OAUTH_TOKEN, ORGANIZATION, RETENTION, credentials};

pub(super) const AUDIT: Service = Service {
    name: "yandex-audit",
    path: &["v1", "auditlog", "organizations", ANY_PART, "events"],
    mint: None,
    behavior: || StreamOptions {
        page_cap: Some(100),
        last_page: LastPage::NullToken,
        ..StreamOptions::with_retention(RETENTION)
    },
    recipe: Recipe {
        pages: &[
            (
                "samples/yandex-audit/page.json",
                include_str!("../../samples/yandex-audit/page.json"),
            ),
            (
                "samples/yandex-audit/last-page.json",
                include_str!("../../samples/yandex-audit/last-page.json"),
            ),
        ],
        slot,
        // Mostly milliseconds, which are written with six digits; some whole seconds, some microseconds.
        precision: |draw| match draw {
            0..=15 => 1_000_000,
            16..=23 => 1,
            24..=27 => 100_000,
            _ => 1_000,
        },
    },
    minimal: |time, id| {
        let at = time.to_rfc3339_opts(SecondsFormat::AutoSi, false);
        format!(
            r#"{{"event":{{"type":"id_cookie.set","occurred_at":"{at}","idempotency_id":"{id}"}},"user_login":"a.petrova@example.org","user_name":"Анна Петрова"}}"#
        )
    },
    variables: |url, _| {
        let mut variables = vec![("YANDEX_CLOUD_API_URL", url.to_owned())];
        variables.extend(credentials());
        variables
    },
    answer,
    error_answer,
    rate_limit_headers: |answer, _| answer,
};

/// Parameters that a request must have.
const REQUIRED: [&str; 3] = ["started_at", "ended_at", "count"];

/// Parameters that it may have.
const OPTIONAL: [&str; 6] = [
    "iteration_key",
    "types",
    "include_uids",
    "exclude_uids",
    "ip",
    "service",
];

/// Ends every key, so that a client that does not percent-encode it fails.
const KEY_SUFFIX: &str = "+/=";

fn slot(key: &str, value: &str) -> Option<Slot> {
    match key {
        "occurred_at" => {
            let fraction = value.split_once('.').map_or("", |(_, fraction)| fraction);
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            time_like(value, Digits::AtLeast(digits))
        }
        "idempotency_id" => Some(Slot::Uuid),
        _ => None,
    }
}

/// Answers a request for the events of an organization.
fn answer(view: &View<'_>, request: &ServiceRequest) -> Answer {
    if request.authorization.as_deref() != Some(&format!("OAuth {OAUTH_TOKEN}")) {
        return error(401, "Не авторизован.", "Unauthorized", "UnauthorizedError");
    }
    if request.path.split('/').nth(4) != Some(&ORGANIZATION.to_string()) {
        return error(
            404,
            "Организация не найдена.",
            "Organization not found",
            "NotFoundError",
        );
    }
    page(view, request).unwrap_or_else(|error| error)
}

/// Returns the error body of this host: a message in Russian, the same in English, and a name.
fn error(status: u16, message: &str, description: &str, name: &str) -> Answer {
    Answer::json(
        status,
        format!(r#"{{"message":"{message}","description":"{description}","error":"{name}"}}"#),
    )
}

fn invalid(description: &str) -> Answer {
    let description = description.escape_default().to_string();
    error(400, "Ошибка проверки запроса.", &description, "FieldValidationError")
}

fn error_answer(problem: RequestError) -> Answer {
    match problem {
        RequestError::MethodNotAllowed => error(
            405,
            "Метод не поддерживается.",
            "Method Not Allowed",
            "MethodNotAllowedError",
        ),
        RequestError::TooManyRequests(reset) => error(
            429,
            "Слишком много запросов.",
            "Too Many Requests",
            "TooManyRequestsError",
        )
        .with("Retry-After", whole_seconds(reset)),
    }
}

/// Returns the page that is asked for, or the error.
fn page(view: &View<'_>, request: &ServiceRequest) -> Result<Answer, Answer> {
    let invalid_parameter = |message: String| invalid(&message);
    let known = |name: &str| REQUIRED.contains(&name) || OPTIONAL.contains(&name);
    if let Some((name, _)) = request.query.iter().find(|(name, _)| !known(name)) {
        return Err(invalid(&format!("unknown parameter {name}")));
    }
    if let Some(name) = REQUIRED.into_iter().find(|name| request.value(name).is_none()) {
        return Err(invalid(&format!("{name} is required")));
    }
    let from = request.time("started_at").map_err(invalid_parameter)?;
    let to = request.time("ended_at").map_err(invalid_parameter)?;
    let size = request.number("count").map_err(invalid_parameter)?.unwrap_or_default();
    if view.options.page_cap.is_some_and(|cap| size > cap) {
        return Err(invalid("count is too large"));
    }
    if view.is_too_wide(from, to) {
        return Err(error(
            504,
            "Время ожидания истекло.",
            "Gateway Timeout",
            "GatewayTimeoutError",
        ));
    }
    let start = match request.value("iteration_key") {
        Some(key) => PageStart::parse(key).ok_or_else(|| invalid("invalid iteration_key"))?,
        None => PageStart::START,
    };
    if view
        .options
        .deepest_offset
        .is_some_and(|deepest| start.offset > deepest)
    {
        return Err(invalid("iteration_key is too deep"));
    }
    Ok(envelope(view, &filtered(view.select(from, to), request)?, start, size))
}

/// Writes a page and the key of the next one.
fn envelope(view: &View<'_>, selection: &Selection<'_>, start: PageStart, size: usize) -> Answer {
    let options = view.options;
    let size = if start.is_empty_page { 0 } else { size };
    let records = selection.page(options.sequence, start.offset, size);
    let next = PageStart {
        offset: start.offset + records.len(),
        is_empty_page: options.empty_pages && !start.is_empty_page,
    };
    let more = next.offset < selection.len();
    let one_more_page = options.last_page == LastPage::TokenThenEmpty && !records.is_empty();
    let items = match array(records, options.unsorted) {
        none if none.is_empty() && options.null_events => "null".to_owned(),
        some => format!("[{some}]"),
    };
    let key = match options.last_page {
        _ if more || one_more_page => format!(r#","iteration_key":"{}""#, next.key()),
        LastPage::NoToken => String::new(),
        LastPage::NullToken => r#","iteration_key":null"#.to_owned(),
        LastPage::EmptyToken | LastPage::TokenThenEmpty => r#","iteration_key":"""#.to_owned(),
    };
    Answer::json(200, format!(r#"{{"items":{items}{key}}}"#))
}

/// Applies the filters of the query; a list is one value, separated by commas.
fn filtered<'a>(selection: Selection<'a>, request: &ServiceRequest) -> Result<Selection<'a>, Answer> {
    let list = |name| request.value(name).map(|value| value.split(',').collect::<Vec<_>>());
    let (types, included, excluded) = (list("types"), list("include_uids"), list("exclude_uids"));
    let (ip, service) = (request.value("ip"), request.value("service"));
    if included.is_some() && excluded.is_some() {
        return Err(invalid("include_uids and exclude_uids exclude each other"));
    }
    let is_plain = types.is_none() && included.is_none() && excluded.is_none() && ip.is_none() && service.is_none();
    if is_plain {
        return Ok(selection);
    }
    Ok(selection.filter(|record| {
        let field = |name| string_at(record, &["event", name]).unwrap_or_default();
        let holds = |list: &Option<Vec<&str>>, value: &str| list.as_ref().is_none_or(|list| list.contains(&value));
        let uid = text_at(record, &["event", "uid"]).unwrap_or_default();
        holds(&types, &field("type"))
            && holds(&included, uid)
            && !excluded.as_ref().is_some_and(|excluded| excluded.contains(&uid))
            && ip.is_none_or(|ip| field("ip").split('/').next() == Some(ip))
            && service.is_none_or(|service| field("service") == service)
    }))
}

/// Where a page starts.
#[derive(Clone, Copy)]
struct PageStart {
    /// Number of records of the window before it.
    offset: usize,
    /// Whether it is an empty page between two others.
    is_empty_page: bool,
}

impl PageStart {
    const START: PageStart = PageStart {
        offset: 0,
        is_empty_page: false,
    };

    fn key(self) -> String {
        let prefix = if self.is_empty_page { "g" } else { "" };
        format!("{prefix}{}{KEY_SUFFIX}", self.offset)
    }

    fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_suffix(KEY_SUFFIX)?;
        let (is_empty_page, rest) = rest.strip_prefix('g').map_or((false, rest), |rest| (true, rest));
        let offset = rest.parse().ok()?;
        Some(Self { offset, is_empty_page })
    }
}
