//! Port: two bounds and a limit, no paging, and tokens that expire.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::behavior::{PortLogin, StreamOptions};
use super::feed::{Selection, View, array};
use super::generate::{Digits, Recipe, Slot, time_like};
use super::http::{Answer, ServiceRequest};
use super::json::{Fields, string_at};
use super::minted_token::MintedToken;
use super::rate_limit::Quota;
use super::service::{Mint, RequestError, Service, whole_seconds};

pub(super) const PORT: Service = Service {
    name: "port",
    path: &["v1", "audit-log"],
    mint: Some(Mint {
        path: &["v1", "auth", "access_token"],
        answer: mint,
    }),
    behavior: || StreamOptions::with_retention(TimeDelta::days(365)),
    recipe: Recipe {
        pages: &[("samples/port/page.json", include_str!("../../samples/port/page.json"))],
        slot,
        precision: |_| 1_000,
    },
    minimal: |time, id| {
        let at = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!(
            r#"{{"identifier":"{id}","action":"CREATE","status":"SUCCESS","trigger":{{"at":"{at}"}},"context":{{}}}}"#
        )
    },
    variables,
    answer,
    error_answer,
    rate_limit_headers,
};

/// The token that does not expire.
pub(super) const API_TOKEN: &str = "sandbox-port-token";

/// The client id that mints tokens.
pub(super) const CLIENT_ID: &str = "sandbox-port-client";

/// The secret that belongs to [`CLIENT_ID`].
pub(super) const CLIENT_SECRET: &str = "sandbox-port-secret";

/// The number of records if no `limit` is given.
const USUAL_LIMIT: usize = 10_000;

/// Every parameter of the audit log; a list may be written with or without `[]`.
const PARAMETERS: [&str; 14] = [
    "identifier",
    "entity",
    "blueprint",
    "run_id",
    "webhookId",
    "webhookEventId",
    "origin",
    "InstallationId",
    "resources",
    "includes",
    "from",
    "to",
    "action",
    "status",
];

fn slot(key: &str, value: &str) -> Option<Slot> {
    match key {
        "at" if value.contains('.') => time_like(value, Digits::Three),
        "at" => time_like(value, Digits::Needed),
        "identifier" if value.starts_with("event_") => Some(Slot::Letters("event_")),
        "runId" => Some(Slot::Letters("r_")),
        _ => None,
    }
}

fn variables(url: &str, login: PortLogin) -> Vec<(&'static str, String)> {
    let credentials: &[_] = match login {
        PortLogin::Token => &[("PORT_API_TOKEN", API_TOKEN)],
        PortLogin::Client => &[("PORT_CLIENT_ID", CLIENT_ID), ("PORT_CLIENT_SECRET", CLIENT_SECRET)],
    };
    let all = [("PORT_API_URL", url)].into_iter().chain(credentials.iter().copied());
    all.map(|(name, value)| (name, value.to_owned())).collect()
}

fn error_answer(problem: RequestError) -> Answer {
    match problem {
        RequestError::MethodNotAllowed => error(405, "method_not_allowed", "Method not allowed"),
        RequestError::TooManyRequests(reset) => {
            error(429, "rate_limit_exceeded", "Too many requests").with("Retry-After", whole_seconds(reset))
        }
    }
}

/// Adds the limit, and when it resets, in seconds since the epoch.
fn rate_limit_headers(answer: Answer, quota: Quota) -> Answer {
    answer
        .with("x-ratelimit-limit", quota.limit)
        .with("x-ratelimit-remaining", quota.left)
        .with("x-ratelimit-reset", (quota.now + quota.reset).timestamp() + 1)
}

/// Answers a request for a token: the same one until it expires.
fn mint(request: &ServiceRequest, minted: &mut MintedToken, now: DateTime<Utc>, life: TimeDelta) -> Answer {
    let Ok(login) = serde_json::from_slice::<Login>(&request.body) else {
        return error(400, "invalid_request", "clientId and clientSecret are required");
    };
    if login.client_id != CLIENT_ID || login.client_secret != CLIENT_SECRET {
        return error(401, "invalid_credentials", "The client id or the secret is wrong");
    }
    let (token, left) = minted.mint(now, life);
    let seconds = left.num_seconds();
    Answer::json(
        200,
        format!(r#"{{"ok":true,"accessToken":"{token}","expiresIn":{seconds},"tokenType":"Bearer"}}"#),
    )
}

/// What a client sends to mint a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    client_id: String,
    client_secret: String,
}

/// Answers a request for the audit log.
fn answer(view: &View<'_>, request: &ServiceRequest) -> Answer {
    let token = request
        .authorization
        .as_deref()
        .and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| token == API_TOKEN || view.minted.accepts(token, view.now)) {
        return error(401, "unauthorized", "The access token is invalid or has expired");
    }
    audits(view, request).unwrap_or_else(|error| error)
}

/// Returns the error body of this vendor.
fn error(status: u16, error: &str, message: &str) -> Answer {
    Answer::json(
        status,
        format!(r#"{{"ok":false,"error":"{error}","message":"{message}"}}"#),
    )
}

/// Returns the newest records of the window, or the error.
fn audits(view: &View<'_>, request: &ServiceRequest) -> Result<Answer, Answer> {
    let invalid_parameter = |message: String| error(400, "invalid_request", &message);
    let is_known = |name: &str| name == "limit" || PARAMETERS.contains(&plain(name));
    if let Some((name, _)) = request.query.iter().find(|(name, _)| !is_known(name)) {
        return Err(invalid_parameter(format!(
            "must NOT have additional properties: {}",
            name.escape_default()
        )));
    }
    let from = request.time("from").map_err(invalid_parameter)?;
    let to = request.time("to").map_err(invalid_parameter)?;
    let limit = request
        .number("limit")
        .map_err(invalid_parameter)?
        .unwrap_or(USUAL_LIMIT);
    if view.is_too_wide(from, to) {
        return Err(Answer::html(504, "504 Gateway Time-out"));
    }
    let selection = filtered(view.select(from, to), request);
    let records = selection.newest(0, limit.min(view.options.page_cap.unwrap_or(limit)));
    let included = list(request, "includes");
    if included.is_empty() {
        return Ok(envelope(&array(records, view.options.unsorted)));
    }
    let restricted = records
        .iter()
        .map(|record| restrict(record, &included).into())
        .collect();
    Ok(envelope(&array(restricted, view.options.unsorted)))
}

fn envelope(audits: &str) -> Answer {
    Answer::json(200, format!(r#"{{"ok":true,"audits":[{audits}]}}"#))
}

/// Applies the filters of the query, all of them together.
fn filtered<'a>(selection: Selection<'a>, request: &ServiceRequest) -> Selection<'a> {
    let filters: Vec<(&str, Vec<&str>)> = PARAMETERS
        .into_iter()
        .filter(|name| !matches!(*name, "from" | "to" | "includes"))
        .map(|name| (name, list(request, name)))
        .filter(|(_, wanted)| !wanted.is_empty())
        .collect();
    if filters.is_empty() {
        return selection;
    }
    selection.filter(|record| {
        filters
            .iter()
            .all(|(name, wanted)| field(record, name).is_some_and(|it| wanted.contains(&it.as_str())))
    })
}

/// Returns the field of a record that a filter compares, under either of its two names.
fn field(record: &str, filter: &str) -> Option<String> {
    let (parent, names): (Option<&str>, &[&str]) = match filter {
        "entity" => (Some("context"), &["entity", "entityIdentifier"]),
        "blueprint" => (Some("context"), &["blueprint", "blueprintIdentifier"]),
        "run_id" => (Some("context"), &["runId"]),
        "webhookId" => (Some("context"), &["webhookId"]),
        "webhookEventId" => (Some("context"), &["webhookEventId"]),
        "InstallationId" => (Some("context"), &["installationId"]),
        "origin" => (Some("trigger"), &["origin"]),
        "resources" => (None, &["resourceType"]),
        "identifier" => (None, &["identifier"]),
        "action" => (None, &["action"]),
        "status" => (None, &["status"]),
        _ => (None, &[]),
    };
    names
        .iter()
        .find_map(|name| string_at(record, &parent.into_iter().chain([*name]).collect::<Vec<_>>()))
}

/// Returns all values of a parameter, written with or without `[]`.
fn list<'a>(request: &'a ServiceRequest, name: &str) -> Vec<&'a str> {
    request
        .query
        .iter()
        .filter(|(key, _)| plain(key) == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

fn plain(name: &str) -> &str {
    name.strip_suffix("[]").unwrap_or(name)
}

/// Returns the record with only these fields, each as written.
fn restrict(record: &str, included: &[&str]) -> String {
    let Ok(Fields(fields)) = serde_json::from_str(record) else {
        return record.to_owned();
    };
    let mut text = String::from("{");
    for (name, value) in fields.iter().filter(|(name, _)| included.contains(&name.as_str())) {
        let comma = if text.len() > 1 { "," } else { "" };
        let _ = write!(text, "{comma}{}:{value}", Value::from(name.as_str()));
    }
    text + "}"
}
