//! The audit trail of HCP Terraform: `GET {base}/api/v2/organization/audit-trail`.
//!
//! Facts: <https://developer.hashicorp.com/terraform/cloud-docs/api-docs/audit-trails>.

use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::{
    Authorization, Columns, Counts, EmptyList, Envelope, FixedToken, Kind, Next, PageInfo, PageParseError, PageRequest,
    Paging, Position, Retention, Source, method, usual_advice,
};
use crate::env::{self, ConfigErrors, DefaultValue, Env, Parameters, Scope, Secret, Setting, Variable};
use crate::record::Shape;
use crate::window::bound;

/// The documented default.
const PAGE_SIZE: u32 = 1000;

/// The documented limit of the API, <https://developer.hashicorp.com/terraform/cloud-docs/api-docs#rate-limiting>.
const REQUESTS_PER_SECOND: u32 = 30;

pub(super) const TERRAFORM: Kind = Kind {
    name: "tfc",
    vendor: "HCP Terraform",
    about: "the audit trail of an organization.",
    example: "tfc",
    prefix: "TFC",
    shape: SHAPE,
    retention: Retention {
        days: 14,
        is_documented: true,
    },
    legacy_prefix: None,
    lookback_days: 14,
    credentials: &[&TFC_ORG_TOKEN],
    variables: &[&TFC_API_QUERY, &TFC_API_URL],
    columns: Columns {
        event: &[&["resource", "type"], &["resource", "action"]],
        actor: &[
            &["auth", "description"],
            &["auth", "accessor_id"],
            &["auth", "impersonator_id"],
        ],
        address: &[],
        // `meta` is null, flat or nested.
        object: &[
            &[&["resource", "meta", "workspace"]],
            &[&["resource", "meta", "workspace", "name"]],
            &[&["resource", "meta", "name"]],
            &[&["resource", "id"]],
            &[&["resource", "meta", "workspace", "id"]],
        ],
    },
    outcome: None,
    configure,
};

pub(crate) const TFC_ORG_TOKEN: Secret = Secret {
    variable: Variable {
        name: "TFC_ORG_TOKEN",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "An organization token or an audit trails token (Organization settings, API tokens); tokens of users and teams are \
              refused. The service keeps records for 14 days only, so collect more often than that.",
    },
    check: env::token,
};

/// The operator's query parameters.
const TFC_API_QUERY: Setting<String> = Setting {
    variable: Variable {
        name: "TFC_API_QUERY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Nothing can be set here: this API has no query parameters except those that the program sets, so any value is \
              an error.",
    },
    parse: env::text,
};

pub(crate) const TFC_API_URL: Setting<Url> = Setting {
    variable: Variable {
        name: "TFC_API_URL",
        scope: Scope::Program,
        default: DefaultValue::Text("https://app.terraform.io"),
        example: None,
        doc: "The address of the API: https://app.eu.terraform.io for the EU region.",
    },
    parse: env::address,
};

/// An `id` is a UUID.
const SHAPE: Shape = Shape {
    time: &["timestamp"],
    id: &["id"],
};

/// The service accepts no parameters but those that the program sets.
const PARAMETERS: Parameters = Parameters {
    allowed: &[],
    reserved: &["since", "page[number]", "page[size]"],
};

#[derive(Debug)]
struct Terraform {
    address: Url,
    authorization: Authorization,
}

fn configure(env: &Env, errors: &mut ConfigErrors) -> Option<Arc<dyn Source>> {
    let base = env.or_default(&TFC_API_URL, errors);
    let token = env.required_standing_secret(&TFC_ORG_TOKEN, errors);
    // Only read for its errors: no parameter is allowed.
    env.query(&TFC_API_QUERY, PARAMETERS, errors)?;
    let token = token?;
    Some(Arc::new(Terraform {
        address: method(&base?, "/api/v2/organization/audit-trail"),
        authorization: Authorization::Fixed(FixedToken::new("Bearer", token)),
    }))
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "data")]
    _data: EmptyList,
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    #[serde(default)]
    next_page: Option<u32>,
    #[serde(default)]
    current_page: Option<u32>,
    #[serde(default)]
    total_pages: Option<u32>,
    #[serde(default)]
    total_count: Option<u64>,
}

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

impl Source for Terraform {
    fn kind(&self) -> &'static Kind {
        &TERRAFORM
    }

    fn paging(&self) -> Paging {
        Paging::Numbered
    }

    fn page_size(&self) -> u32 {
        PAGE_SIZE
    }

    fn requests_per_second(&self) -> Option<u32> {
        Some(REQUESTS_PER_SECOND)
    }

    fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    fn address(&self) -> &Url {
        &self.address
    }

    fn page_url(&self, request: &PageRequest) -> Url {
        let mut url = self.address.clone();
        let number = match request.position {
            Position::Number(number) => number,
            Position::First | Position::Token(_) => 1,
        };
        // `query_pairs_mut` percent-encodes the brackets, as the service requires.
        url.query_pairs_mut()
            .append_pair("since", &bound(request.window.from))
            .append_pair("page[number]", &number.to_string())
            .append_pair("page[size]", &request.size.to_string());
        url
    }

    fn list(&self) -> &'static str {
        "data"
    }

    fn read_envelope(&self, request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError> {
        let Answer { pagination, .. } = serde_json::from_str(&envelope.json)?;
        let number = match request.position {
            Position::Number(number) => number,
            Position::First | Position::Token(_) => 1,
        };
        let next = match (pagination.next_page, pagination.total_pages) {
            (Some(next), _) => Next::At(Position::Number(next)),
            // It names no next page, but counts more of them.
            (None, Some(pages)) if number < pages => Next::At(Position::Number(number + 1)),
            (None, Some(_)) => Next::Last,
            (None, None) => Next::Unknown,
        };
        Ok(PageInfo {
            next,
            counts: Counts {
                page: pagination.current_page,
                pages: pagination.total_pages,
                records: pagination.total_count,
            },
        })
    }

    fn error_message(&self, body: &str) -> Option<String> {
        let ErrorItem { title, detail } = serde_json::from_str::<ErrorBody>(body)
            .ok()?
            .errors
            .into_iter()
            .next()?;
        match (title, detail) {
            (Some(title), Some(detail)) => Some(format!("{title}: {detail}")),
            (title, detail) => title.or(detail),
        }
    }

    fn advice(&self, status: u16) -> &'static str {
        match status {
            401 => "check that TFC_ORG_TOKEN holds a valid organization or audit-trails token",
            403 | 404 => {
                "check that the organization's plan has audit trails and that TFC_ORG_TOKEN is an organization or \
                 audit-trails token: user and team tokens are refused"
            }
            _ => usual_advice(status),
        }
    }
}
