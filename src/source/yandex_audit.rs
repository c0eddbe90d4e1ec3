//! The unified audit log of Yandex 360: `GET {base}/v1/auditlog/organizations/{org}/events`. It has sign-ins, Disk,
//! Telemost, Messenger and administration events, and no mail.
//!
//! Facts: <https://yandex.ru/dev/api360/doc/ru/audit-logs/get-logs>. It documents neither the order of the records nor
//! whether the bounds belong to the window.

use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::yandex::{CREDENTIALS, OAUTH_TOKEN_ARG, ORGANIZATION_ID_ARG, VENDOR};
use super::{
    Authorization, Columns, Counts, EmptyList, Envelope, FixedToken, Kind, Next, Outcome, PageInfo, PageParseError,
    PageRequest, Paging, Position, Retention, Source, method, usual_advice,
};
use crate::env::{self, ConfigErrors, DefaultValue, Env, Parameters, Scope, Setting, Variable};
use crate::record::Shape;
use crate::window::bound;

/// The documented maximum.
const PAGE_SIZE: u32 = 100;

/// How long the service keeps records is not documented.
pub(super) const AUDIT: Kind = Kind {
    name: "yandex-audit",
    vendor: VENDOR,
    about: "the unified audit log: sign-ins, Disk, Telemost, Messenger, administration; no mail.",
    example: "yandex",
    prefix: "AUDIT",
    shape: SHAPE,
    retention: Retention {
        days: 184,
        is_documented: false,
    },
    legacy_prefix: Some("NEW"),
    lookback_days: 184,
    credentials: CREDENTIALS,
    variables: &[&AUDIT_API_QUERY, &YANDEX_CLOUD_API_URL],
    columns: Columns {
        event: &[&["event", "type"]],
        actor: &[&["user_login"], &["event", "uid"], &["user_name"]],
        address: &[&["event", "ip"]],
        object: &[
            &[&["event", "meta", "path"]],
            &[&["event", "meta", "subject"]],
            &[&["event", "meta", "conference_id"]],
            &[&["event", "meta", "device_name"]],
            &[&["event", "meta", "device_id"]],
            &[&["event", "meta", "client_id"]],
        ],
    },
    outcome: Some(Outcome {
        path: &["event", "status"],
        success: "Success",
    }),
    configure,
};

/// The operator's query parameters.
const AUDIT_API_QUERY: Setting<String> = Setting {
    variable: Variable {
        name: "AUDIT_API_QUERY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("types=id_cookie.set,id_account.changed_password"),
        doc: "The same for yandex-audit, which knows `types`, `include_uids`, `exclude_uids`, `ip` and `service`, and takes lists \
              with commas.",
    },
    parse: env::text,
};

const YANDEX_CLOUD_API_URL: Setting<Url> = Setting {
    variable: Variable {
        name: "YANDEX_CLOUD_API_URL",
        scope: Scope::Program,
        default: DefaultValue::Text("https://cloud-api.yandex.net"),
        example: None,
        doc: "The address of the API of yandex-audit, on another host.",
    },
    parse: env::address,
};

/// The whole item is the record: the event, and its user.
const SHAPE: Shape = Shape {
    time: &["event", "occurred_at"],
    id: &["event", "idempotency_id"],
};

const PARAMETERS: Parameters = Parameters {
    allowed: &["types", "include_uids", "exclude_uids", "ip", "service"],
    reserved: &["started_at", "ended_at", "count", "iteration_key"],
};

#[derive(Debug)]
struct YandexAudit {
    organization: String,
    address: Url,
    query: Vec<(String, String)>,
    authorization: Authorization,
}

fn configure(env: &Env, errors: &mut ConfigErrors) -> Option<Arc<dyn Source>> {
    let token = env.required_standing_secret(&OAUTH_TOKEN_ARG, errors);
    let organization = env.required(&ORGANIZATION_ID_ARG, errors);
    let base = env.or_default(&YANDEX_CLOUD_API_URL, errors);
    let query = env.query(&AUDIT_API_QUERY, PARAMETERS, errors);
    let organization = organization?;
    Some(Arc::new(YandexAudit {
        address: method(&base?, &format!("/v1/auditlog/organizations/{organization}/events")),
        organization: organization.to_string(),
        query: joined(query?),
        authorization: Authorization::Fixed(FixedToken::new("OAuth", token?)),
    }))
}

/// Joins lists: the service takes one parameter with commas, unlike the logs of mail and disk, which repeat it.
fn joined(query: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (name, value) in query {
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => joined.push((name, value)),
        }
    }
    joined
}

#[derive(Deserialize)]
struct Answer {
    // Required; `null` is an empty page.
    #[serde(rename = "items", deserialize_with = "super::present")]
    _items: Option<EmptyList>,
    #[serde(default)]
    iteration_key: Option<String>,
}

/// The error body of this host: a message for people, often in Russian, and its English counterpart.
#[derive(Deserialize)]
struct ErrorBody {
    message: Option<String>,
    description: Option<String>,
    error: Option<String>,
}

impl Source for YandexAudit {
    fn kind(&self) -> &'static Kind {
        &AUDIT
    }

    fn paging(&self) -> Paging {
        Paging::Bounded
    }

    fn page_size(&self) -> u32 {
        PAGE_SIZE
    }

    fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    fn address(&self) -> &Url {
        &self.address
    }

    fn organization(&self) -> Option<&str> {
        Some(&self.organization)
    }

    fn filter(&self) -> &[(String, String)] {
        &self.query
    }

    fn page_url(&self, request: &PageRequest) -> Url {
        let mut url = self.address.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("started_at", &bound(request.window.from));
        query.append_pair("ended_at", &bound(request.window.to));
        query.append_pair("count", &request.size.to_string());
        if let Position::Token(key) = &request.position {
            query.append_pair("iteration_key", key);
        }
        query.extend_pairs(&self.query);
        drop(query);
        url
    }

    fn list(&self) -> &'static str {
        "items"
    }

    fn read_envelope(&self, _request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError> {
        let answer: Answer = serde_json::from_str(&envelope.json)?;
        // Null, empty or absent: each is the documented end, also after a full page.
        let key = answer.iteration_key.filter(|key| !key.is_empty());
        Ok(PageInfo {
            next: key.map_or(Next::Last, |key| Next::At(Position::Token(key))),
            counts: Counts::default(),
        })
    }

    fn error_message(&self, body: &str) -> Option<String> {
        let error: ErrorBody = serde_json::from_str(body).ok()?;
        error.message.or(error.description).or(error.error)
    }

    fn advice(&self, status: u16) -> &'static str {
        match status {
            400 => {
                "check that the organization's tariff has audit logs, and AUDIT_API_QUERY (include_uids and exclude_uids \
                 exclude each other)"
            }
            401 => "check that OAUTH_TOKEN_ARG holds a valid token that has not expired",
            403 => "check that the token's application has the scope ya360_security:read_auditlog",
            404 => "check ORGANIZATION_ID_ARG, and YANDEX_CLOUD_API_URL if it is set",
            _ => usual_advice(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Broken, Reader};
    use crate::source::read_page;
    use crate::window::Window;

    const SETTINGS: [(&str, &str); 2] = [
        ("OAUTH_TOKEN_ARG", "OAuth y0_invented"),
        ("ORGANIZATION_ID_ARG", "1000001"),
    ];

    fn source(query: &str) -> Arc<dyn Source> {
        let env = Env::from_pairs(SETTINGS.into_iter().chain([("AUDIT_API_QUERY", query)]));
        configure(&env, &mut ConfigErrors::default()).unwrap()
    }

    fn request(position: Position) -> PageRequest {
        let at = |time: &str| time.parse().unwrap();
        PageRequest {
            window: Window::new(at("2025-06-09T00:00:00Z"), at("2025-06-10T12:00:00.123Z")),
            position,
            size: PAGE_SIZE,
        }
    }

    fn next(body: &str) -> Next {
        let source = source("");
        read_page(
            &*source,
            &mut Reader::new(source.kind().shape),
            &request(Position::First),
            body.as_bytes(),
            Broken::Refuse,
        )
        .unwrap()
        .next
    }

    #[test]
    fn a_page_is_asked_for_between_two_bounds_and_by_its_key() {
        assert_eq!(
            source("").page_url(&request(Position::First)).as_str(),
            "https://cloud-api.yandex.net/v1/auditlog/organizations/1000001/events?\
             started_at=2025-06-09T00%3A00%3A00.000Z&ended_at=2025-06-10T12%3A00%3A00.123Z&count=100"
        );
        let url = source("").page_url(&request(Position::Token("MTAw+/=".into())));
        assert!(
            url.as_str().ends_with("&count=100&iteration_key=MTAw%2B%2F%3D"),
            "{url}"
        );
    }

    #[test]
    fn a_list_is_one_parameter_with_commas_however_the_operator_wrote_it() {
        for query in [
            "types=id_cookie.set&ip=192.0.2.7&types=a.b",
            "types=id_cookie.set,a.b&ip=192.0.2.7",
        ] {
            let url = source(query).page_url(&request(Position::First));
            assert!(
                url.as_str().ends_with("&types=id_cookie.set%2Ca.b&ip=192.0.2.7"),
                "{url}"
            );
        }
    }

    #[test]
    fn a_key_that_is_null_empty_or_absent_ends_the_walk() {
        assert_eq!(
            next(r#"{"items":[],"iteration_key":"k"}"#),
            Next::At(Position::Token("k".into()))
        );
        for last in [
            r#"{"items":[],"iteration_key":null}"#.to_owned(),
            r#"{"items":[],"iteration_key":""}"#.to_owned(),
            r#"{"items":null}"#.to_owned(),
            format!(r#"{{"items":[{}{{}}]}}"#, "{},".repeat(99)),
        ] {
            assert_eq!(next(&last), Next::Last, "{last}");
        }
    }

    #[test]
    fn an_error_object_is_not_an_empty_page() {
        let source = source("");
        let request = request(Position::First);
        for body in [r#"{"code":7,"message":"no"}"#, "{}", "[]", "<html>"] {
            assert!(
                read_page(
                    &*source,
                    &mut Reader::new(source.kind().shape),
                    &request,
                    body.as_bytes(),
                    Broken::Refuse
                )
                .is_err(),
                "{body}"
            );
        }
    }

    #[test]
    fn a_refusal_is_quoted_and_explained() {
        let source = source("");
        let body = r#"{"message":"Не авторизован.","description":"Unauthorized","error":"UnauthorizedError"}"#;
        assert_eq!(source.error_message(body).as_deref(), Some("Не авторизован."));
        assert_eq!(source.error_message(r#"{"error":"X"}"#).as_deref(), Some("X"));
        assert_eq!(source.error_message("<html>"), None);
        assert!(source.advice(403).contains("ya360_security:read_auditlog"));
    }
}
