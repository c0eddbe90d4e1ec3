//! Yandex 360 audit logs, mail and disk: `GET {base}/security/v1/org/{org}/audit_log/{mail|disk}`.
//!
//! Facts: <https://yandex.ru/dev/api360/doc/ru/ref/AuditLogService/AuditLogService_Mail> and `…_Disk`.

use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::yandex::{CREDENTIALS, OAUTH_TOKEN_ARG, ORGANIZATION_ID_ARG, VENDOR};
use super::{
    Authorization, Columns, Counts, EmptyList, Envelope, FixedToken, Kind, Next, PageInfo, PageParseError, PageRequest,
    Paging, Position, Retention, Source, method, usual_advice,
};
use crate::env::{self, ConfigErrors, DefaultValue, Env, Parameters, Scope, Setting, Variable};
use crate::record::{KeyPath, Shape};
use crate::window::bound;

/// The documented maximum.
const PAGE_SIZE: u32 = 100;

/// How long the service is assumed to keep records.
const LOOKBACK_DAYS: u32 = 184;

/// The service does not document it; its clients use 90 to 184 days.
const RETENTION: Retention = Retention {
    days: LOOKBACK_DAYS,
    is_documented: false,
};

/// The records of both logs; `uniqId` is documented as unique, but that is not relied on.
const SHAPE: Shape = Shape {
    time: &["date"],
    id: &["uniqId"],
};

/// The login comes first; it is empty for some records, and then the number counts.
const ACTOR: &[KeyPath] = &[&["userLogin"], &["userUid"], &["userName"]];

pub(super) const MAIL: Kind = Kind {
    name: "yandex-mail",
    vendor: VENDOR,
    about: "what happens in the mailboxes.",
    example: "mail",
    prefix: "MAIL",
    shape: SHAPE,
    retention: RETENTION,
    legacy_prefix: None,
    lookback_days: LOOKBACK_DAYS,
    credentials: CREDENTIALS,
    variables: &[&MAIL_API_QUERY, &YANDEX_API_URL],
    columns: Columns {
        event: &[&["eventType"]],
        actor: ACTOR,
        address: &[&["clientIp"]],
        object: &[&[&["subject"]], &[&["msgId"]], &[&["mid"]]],
    },
    outcome: None,
    configure: |env, errors| configure(Log::Mail, env, errors),
};

pub(super) const DISK: Kind = Kind {
    name: "yandex-disk",
    vendor: VENDOR,
    about: "what happens on the Disk. The vendor calls this log superseded: yandex-audit has the events of the Disk too.",
    example: "disk",
    prefix: "DISK",
    shape: SHAPE,
    retention: RETENTION,
    legacy_prefix: None,
    lookback_days: LOOKBACK_DAYS,
    credentials: CREDENTIALS,
    variables: &[&DISK_API_QUERY, &YANDEX_API_URL],
    columns: Columns {
        event: &[&["eventType"]],
        actor: ACTOR,
        address: &[&["clientIp"]],
        object: &[&[&["path"]], &[&["resourceFileId"]]],
    },
    outcome: None,
    configure: |env, errors| configure(Log::Disk, env, errors),
};

/// The operator's query parameters for mail.
const MAIL_API_QUERY: Setting<String> = Setting {
    variable: Variable {
        name: "MAIL_API_QUERY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("types=mailbox_send&types=message_receive"),
        doc: "Collect less than everything: query parameters as in a URL, percent-encoded. A record that is filtered out here is \
              not in the archive. Mail knows `types`, `includeUids` and `excludeUids`.",
    },
    parse: env::text,
};

/// The operator's query parameters for disk.
const DISK_API_QUERY: Setting<String> = Setting {
    variable: Variable {
        name: "DISK_API_QUERY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("excludeUids=1130000000000001"),
        doc: "The same for yandex-disk, which knows `includeUids` and `excludeUids`.",
    },
    parse: env::text,
};

const YANDEX_API_URL: Setting<Url> = Setting {
    variable: Variable {
        name: "YANDEX_API_URL",
        scope: Scope::Program,
        default: DefaultValue::Text("https://api360.yandex.net"),
        example: None,
        doc: "The address of the API of yandex-mail and yandex-disk.",
    },
    parse: env::address,
};

/// Parameters that the program sets itself.
const RESERVED: &[&str] = &["afterDate", "beforeDate", "pageSize", "pageToken"];

/// One of the two logs of an organization.
#[derive(Debug)]
struct Yandex360 {
    log: Log,
    organization: String,
    address: Url,
    query: Vec<(String, String)>,
    authorization: Authorization,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Mail,
    Disk,
}

impl Log {
    fn path(self, organization: u64) -> String {
        let log = match self {
            Log::Mail => "mail",
            Log::Disk => "disk",
        };
        format!("/security/v1/org/{organization}/audit_log/{log}")
    }

    fn query(self) -> &'static Setting<String> {
        match self {
            Log::Mail => &MAIL_API_QUERY,
            Log::Disk => &DISK_API_QUERY,
        }
    }

    fn parameters(self) -> Parameters {
        let allowed: &[&str] = match self {
            Log::Mail => &["includeUids", "excludeUids", "types"],
            Log::Disk => &["includeUids", "excludeUids"],
        };
        Parameters {
            allowed,
            reserved: RESERVED,
        }
    }
}

fn configure(log: Log, env: &Env, errors: &mut ConfigErrors) -> Option<Arc<dyn Source>> {
    let token = env.required_standing_secret(&OAUTH_TOKEN_ARG, errors);
    let organization = env.required(&ORGANIZATION_ID_ARG, errors);
    let base = env.or_default(&YANDEX_API_URL, errors);
    let query = env.query(log.query(), log.parameters(), errors);
    let organization = organization?;
    Some(Arc::new(Yandex360 {
        log,
        address: method(&base?, &log.path(organization)),
        organization: organization.to_string(),
        query: query?,
        authorization: Authorization::Fixed(FixedToken::new("OAuth", token?)),
    }))
}

#[derive(Deserialize)]
struct Answer {
    // Required; `null` is an empty page.
    #[serde(rename = "events", deserialize_with = "super::present")]
    _events: Option<EmptyList>,
    #[serde(rename = "nextPageToken", default)]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

impl Source for Yandex360 {
    fn kind(&self) -> &'static Kind {
        match self.log {
            Log::Mail => &MAIL,
            Log::Disk => &DISK,
        }
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
        query.append_pair("afterDate", &bound(request.window.from));
        query.append_pair("beforeDate", &bound(request.window.to));
        query.append_pair("pageSize", &request.size.to_string());
        if let Position::Token(token) = &request.position {
            query.append_pair("pageToken", token);
        }
        query.extend_pairs(&self.query);
        drop(query);
        url
    }

    fn list(&self) -> &'static str {
        "events"
    }

    fn read_envelope(&self, request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError> {
        let answer: Answer = serde_json::from_str(&envelope.json)?;
        let next = match answer.next_page_token {
            Some(token) if !token.is_empty() => Next::At(Position::Token(token)),
            Some(_) => Next::Last,
            // A full page that does not say that it is the last one may not be.
            None if envelope.records >= request.size as usize => Next::Unknown,
            None => Next::Last,
        };
        Ok(PageInfo {
            next,
            counts: Counts::default(),
        })
    }

    fn error_message(&self, body: &str) -> Option<String> {
        serde_json::from_str::<ErrorBody>(body).ok().map(|error| error.message)
    }

    fn advice(&self, status: u16) -> &'static str {
        match (status, self.log) {
            (400, _) => "check that the organization's tariff has audit logs, and the extra query parameters",
            (401, _) => "check that OAUTH_TOKEN_ARG holds a valid token that has not expired",
            (403, Log::Mail) => "check that the token's application has the scope ya360_security:audit_log_mail",
            (403, Log::Disk) => "check that the token's application has the scope ya360_security:audit_log_disk",
            (404 | 410, Log::Disk) => {
                "check ORGANIZATION_ID_ARG, and YANDEX_API_URL if it is set; the vendor calls the disk method superseded: \
                 if it is gone, collect the stream yandex-audit in its place (set AUDIT_LOG_CATALOG_LOCATION)"
            }
            (404, Log::Mail) => "check ORGANIZATION_ID_ARG, and YANDEX_API_URL if it is set",
            _ => usual_advice(status),
        }
    }

    fn notice(&self) -> Option<&'static str> {
        let notice = "the vendor calls this method superseded: yandex-audit has the disk's events too";
        (self.log == Log::Disk).then_some(notice)
    }
}
