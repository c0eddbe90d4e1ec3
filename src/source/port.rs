//! Port's audit log: `GET {base}/v1/audit-log`, which has no paging and cuts long answers at their old end.
//!
//! Facts: <https://docs.port.io/api-reference/get-audit-logs> and `…/create-an-access-token`.

use std::borrow::Cow;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::{
    Authorization, Columns, Counts, EmptyList, Envelope, FixedToken, Kind, MintedToken, Next, Outcome, PageInfo,
    PageParseError, PageRequest, Paging, Retention, Source, TokenRequest, header, method, usual_advice,
};
use crate::env::{self, ConfigErrors, DefaultValue, Env, Parameters, Row, Scope, Secret, Setting, Variable};
use crate::record::Shape;
use crate::window::bound;

pub(super) const PORT: Kind = Kind {
    name: "port",
    vendor: "Port",
    about: "the audit log of an organization.",
    example: "port",
    prefix: "PORT",
    shape: SHAPE,
    retention: Retention {
        days: 365,
        is_documented: true,
    },
    legacy_prefix: None,
    lookback_days: 365,
    credentials: &[&PORT_CLIENT_ID, &PORT_CLIENT_SECRET, &PORT_API_TOKEN],
    variables: &[&PORT_API_QUERY, &PORT_PAGE_LIMIT, &PORT_API_URL],
    columns: Columns {
        event: &[&["resourceType"], &["action"]],
        actor: &[
            &["trigger", "by", "userId"],
            &["trigger", "by", "app", "id"],
            &["trigger", "origin"],
        ],
        address: &[],
        // Records come with either pair of names, and those of a run with its id besides.
        object: &[
            &[&["context", "blueprint"], &["context", "entity"]],
            &[&["context", "blueprintIdentifier"], &["context", "entityIdentifier"]],
            &[&["context", "runId"]],
        ],
    },
    outcome: Some(Outcome {
        path: &["status"],
        success: "SUCCESS",
    }),
    configure,
};

pub(crate) const PORT_CLIENT_ID: Setting<String> = Setting {
    variable: Variable {
        name: "PORT_CLIENT_ID",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The client ID (Port, \"...\", Credentials); with it and its secret, a new token is fetched whenever one expires.",
    },
    parse: env::text,
};

/// The secret of `PORT_CLIENT_ID`.
pub(crate) const PORT_CLIENT_SECRET: Secret = Secret {
    variable: Variable {
        name: "PORT_CLIENT_SECRET",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The secret of the client.",
    },
    check: env::token,
};

/// A fixed token, instead of a client.
const PORT_API_TOKEN: Secret = Secret {
    variable: Variable {
        name: "PORT_API_TOKEN",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Instead of the client: a token, which expires after three hours; with or without \"Bearer \" in front.",
    },
    check: env::token,
};

/// The operator's query parameters.
const PORT_API_QUERY: Setting<String> = Setting {
    variable: Variable {
        name: "PORT_API_QUERY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("resources=entity&status=FAILURE"),
        doc: "Collect less than everything; see `MAIL_API_QUERY`. `includes` has to name `trigger`, which holds the time.",
    },
    parse: env::text,
};

const PORT_PAGE_LIMIT: Setting<u32> = Setting {
    variable: Variable {
        name: "PORT_PAGE_LIMIT",
        scope: Scope::Program,
        default: DefaultValue::Text("1000"),
        example: None,
        doc: "How many records one request asks for; 1 to 100000.",
    },
    parse: |text| env::whole_number(text, 1..=100_000),
};

pub(crate) const PORT_API_URL: Setting<Url> = Setting {
    variable: Variable {
        name: "PORT_API_URL",
        scope: Scope::Program,
        default: DefaultValue::Text("https://api.getport.io"),
        example: None,
        doc: "The address of the API: https://api.us.getport.io for the US region; with or without `/v1`.",
    },
    parse: env::address,
};

const ADVICE_ON_ADDRESS: &str =
    "check PORT_API_URL: it is https://api.getport.io, or https://api.us.getport.io for the US region";

/// How many times the usual number of records is asked for at most, where one moment holds more than a page.
const LARGEST_PAGE: u32 = 64;

/// Records without an `identifier` have been seen.
const SHAPE: Shape = Shape {
    time: &["trigger", "at"],
    id: &["identifier"],
};

/// Lists are documented with brackets and used without.
const PARAMETERS: Parameters = Parameters {
    allowed: &[
        "identifier",
        "entity",
        "blueprint",
        "run_id",
        "webhookId",
        "webhookEventId",
        "origin",
        "origin[]",
        "InstallationId",
        "resources",
        "resources[]",
        "includes",
        "includes[]",
        "action",
        "status",
    ],
    reserved: &["from", "to", "limit"],
};

#[derive(Debug)]
struct Port {
    address: Url,
    limit: u32,
    query: Vec<(String, String)>,
    authorization: Authorization,
}

fn configure(env: &Env, errors: &mut ConfigErrors) -> Option<Arc<dyn Source>> {
    let base = env.or_default(&PORT_API_URL, errors).map(without_version);
    let limit = env.or_default(&PORT_PAGE_LIMIT, errors);
    let query = env.query(&PORT_API_QUERY, PARAMETERS, errors);
    let query = query.filter(|query| keeps_time(query, errors));
    let authorization = authorization(base.as_ref(), env, errors);
    Some(Arc::new(Port {
        address: method(&base?, "/v1/audit-log"),
        limit: limit?,
        query: query?,
        authorization: authorization?,
    }))
}

/// Returns whether the records keep their time: `includes` names the only fields that they come with.
fn keeps_time(query: &[(String, String)], errors: &mut ConfigErrors) -> bool {
    let included = query
        .iter()
        .filter(|(name, _)| name.trim_end_matches("[]") == "includes");
    let mut included = included.flat_map(|(_, fields)| fields.split(',')).peekable();
    let keeps = included.peek().is_none() || included.any(|field| matches!(field, "trigger" | "trigger.at"));
    if !keeps {
        errors.add(
            PORT_API_QUERY.name(),
            "must name `trigger` among its `includes`, which holds the time of a record: without it no record can be filed",
        );
    }
    keeps
}

/// Reads the fixed token, or the client that mints one.
fn authorization(base: Option<&Url>, env: &Env, errors: &mut ConfigErrors) -> Option<Authorization> {
    let mints = env.is_set(&PORT_CLIENT_ID) || env.has_secret(&PORT_CLIENT_SECRET);
    if !mints {
        if !env.has_secret(&PORT_API_TOKEN) {
            errors.add(
                PORT_API_TOKEN.name(),
                "(or PORT_CLIENT_ID and PORT_CLIENT_SECRET) must be set",
            );
        }
        return env
            .standing_secret(&PORT_API_TOKEN, errors)
            .map(|token| Authorization::Fixed(FixedToken::new("Bearer", token)));
    }
    if env.has_secret(&PORT_API_TOKEN) {
        errors.add(
            PORT_API_TOKEN.name(),
            "must not be set together with PORT_CLIENT_ID and PORT_CLIENT_SECRET",
        );
    }
    let id = env.required(&PORT_CLIENT_ID, errors);
    let secret = env.required_standing_secret(&PORT_CLIENT_SECRET, errors)?;
    Some(Authorization::Minted(TokenRequest {
        url: method(base?, "/v1/auth/access_token"),
        id: id?,
        secret,
        body: login,
        read: read_token,
        advice: advice_on_token,
    }))
}

/// Returns the body that mints a token. It is allocated with its full size, so that no copy of the secret is left
/// behind.
fn login(id: &str, secret: &SecretString) -> Option<SecretString> {
    let secret = secret.expose_secret();
    let login = Login {
        client_id: id,
        client_secret: secret,
    };
    let mut body = Zeroizing::new(Vec::with_capacity(64 + 6 * (id.len() + secret.len())));
    serde_json::to_writer(&mut *body, &login).ok()?;
    std::str::from_utf8(&body).ok().map(SecretString::from)
}

/// Removes the version that people write at the end of the base.
fn without_version(mut base: Url) -> Url {
    let path = base.path().trim_end_matches('/');
    let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
    base.set_path(&path);
    base
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    audits: Option<EmptyList>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: Option<String>,
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Login<'a> {
    client_id: &'a str,
    client_secret: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenBody<'a> {
    // A slice of the body, which is wiped; a copy only in the rare case that it has escapes.
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    expires_in: u64,
}

impl Source for Port {
    fn kind(&self) -> &'static Kind {
        &PORT
    }

    fn paging(&self) -> Paging {
        Paging::Bounded
    }

    fn page_size(&self) -> u32 {
        self.limit
    }

    fn largest_page(&self) -> u32 {
        self.limit.saturating_mul(LARGEST_PAGE)
    }

    fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    fn address(&self) -> &Url {
        &self.address
    }

    fn filter(&self) -> &[(String, String)] {
        &self.query
    }

    fn page_url(&self, request: &PageRequest) -> Url {
        let mut url = self.address.clone();
        url.query_pairs_mut()
            .append_pair("from", &bound(request.window.from))
            .append_pair("to", &bound(request.window.to))
            .append_pair("limit", &request.size.to_string())
            .extend_pairs(&self.query);
        url
    }

    fn list(&self) -> &'static str {
        "audits"
    }

    fn read_envelope(&self, _request: &PageRequest, envelope: &Envelope) -> Result<PageInfo, PageParseError> {
        let answer: Answer = serde_json::from_str(&envelope.json)?;
        if !answer.ok {
            return Err(refused(answer.message.or(answer.error)));
        }
        if answer.audits.is_none() {
            return Err(PageParseError::Unreadable("the body has no \"audits\"".into()));
        }
        // Even if there are few: the service may cap an answer below the requested limit.
        let next = match envelope.records {
            0 => Next::Last,
            _ => Next::Unknown,
        };
        Ok(PageInfo {
            next,
            counts: Counts::default(),
        })
    }

    fn error_message(&self, body: &str) -> Option<String> {
        let error: ErrorBody = serde_json::from_str(body).ok()?;
        error.message.or(error.error)
    }

    fn advice(&self, status: u16) -> &'static str {
        match status {
            400 | 422 => "check PORT_API_QUERY and PORT_PAGE_LIMIT",
            401 => "check PORT_API_TOKEN (it ends after three hours), or PORT_CLIENT_ID and PORT_CLIENT_SECRET",
            403 => "check that the token's user or client may read the audit log",
            404 => ADVICE_ON_ADDRESS,
            _ => usual_advice(status),
        }
    }
}

/// Returns what to check when no token is minted.
fn advice_on_token(status: u16) -> &'static str {
    match status {
        400..=403 | 422 => "check PORT_CLIENT_ID and PORT_CLIENT_SECRET",
        404 => ADVICE_ON_ADDRESS,
        _ => usual_advice(status),
    }
}

/// Returns what an answer with status 200 says that is none; `None` if it does not say that.
fn refusal(body: &str) -> Option<PageParseError> {
    #[derive(Deserialize)]
    struct Refusal {
        ok: bool,
        #[serde(flatten)]
        said: ErrorBody,
    }
    let Refusal { ok, said } = serde_json::from_str(body).ok()?;
    (!ok).then(|| refused(said.message.or(said.error)))
}

fn refused(said: Option<String>) -> PageParseError {
    let said = said.unwrap_or_else(|| "no reason given".into());
    PageParseError::Unreadable(format!("the service answered \"ok\":false: {said}"))
}

/// Parses the answer of `POST /v1/auth/access_token`.
fn read_token(body: &str) -> Result<MintedToken, PageParseError> {
    let token: TokenBody<'_> = match serde_json::from_str(body) {
        Ok(token) => token,
        Err(error) => return Err(refusal(body).unwrap_or_else(|| error.into())),
    };
    Ok(MintedToken {
        header: header("Bearer", &token.access_token),
        expires_in: token.expires_in,
    })
}
