//! Port: two bounds and a limit, no paging, and tokens that end.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::feed::{Selection, View, array};
use super::http::{Answer, Call};
use super::json::{Fields, string_at};

/// The token that the sandbox accepts and that does not end.
pub(super) const API_TOKEN: &str = "sandbox-port-token";

/// The client id that mints tokens.
pub(super) const CLIENT_ID: &str = "sandbox-port-client";

/// The secret that belongs to [`CLIENT_ID`].
pub(super) const CLIENT_SECRET: &str = "sandbox-port-secret";

/// The number of records without a `limit`.
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

/// The minted token that is good now, if any.
#[derive(Default)]
pub(super) struct Minted {
    count: usize,
    ends: Option<DateTime<Utc>>,
}

impl Minted {
    /// Answers a request for a token: the same one until it ends.
    pub(super) fn answer(&mut self, call: &Call, now: DateTime<Utc>, life: TimeDelta) -> Answer {
        let Ok(login) = serde_json::from_slice::<Login>(&call.body) else {
            return error(400, "invalid_request", "clientId and clientSecret are required");
        };
        if login.client_id != CLIENT_ID || login.client_secret != CLIENT_SECRET {
            return error(401, "invalid_credentials", "The client id or the secret is wrong");
        }
        let ends = match self.ends.filter(|&ends| ends > now) {
            Some(ends) => ends,
            None => {
                self.count += 1;
                now + life
            }
        };
        self.ends = Some(ends);
        let (token, seconds) = (self.token(), (ends - now).num_seconds());
        Answer::json(
            200,
            format!(r#"{{"ok":true,"accessToken":"{token}","expiresIn":{seconds},"tokenType":"Bearer"}}"#),
        )
    }

    /// Ends the token before its time.
    pub(super) fn end(&mut self) {
        self.ends = None;
    }

    fn token(&self) -> String {
        format!("sandbox-minted-{}", self.count)
    }

    fn accepts(&self, token: &str, now: DateTime<Utc>) -> bool {
        token == API_TOKEN || (self.ends.is_some_and(|ends| ends > now) && token == self.token())
    }
}

/// What a client sends to mint a token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    client_id: String,
    client_secret: String,
}

/// Answers a request for the audit log.
pub(super) fn answer(view: &View<'_>, minted: &Minted, call: &Call) -> Answer {
    let token = call
        .authorization
        .as_deref()
        .and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| minted.accepts(token, view.now)) {
        return error(401, "unauthorized", "The access token is invalid or has expired");
    }
    audits(view, call).unwrap_or_else(|refusal| refusal)
}

/// The error body of this vendor.
pub(super) fn error(status: u16, error: &str, message: &str) -> Answer {
    Answer::json(
        status,
        format!(r#"{{"ok":false,"error":"{error}","message":"{message}"}}"#),
    )
}

/// The newest records of the window, or why not.
fn audits(view: &View<'_>, call: &Call) -> Result<Answer, Answer> {
    let refuse = |message: String| error(400, "invalid_request", &message);
    let is_known = |name: &str| name == "limit" || PARAMETERS.contains(&plain(name));
    if let Some((name, _)) = call.query.iter().find(|(name, _)| !is_known(name)) {
        return Err(refuse(format!(
            "must NOT have additional properties: {}",
            name.escape_default()
        )));
    }
    let from = call.time("from").map_err(refuse)?;
    let to = call.time("to").map_err(refuse)?;
    let limit = call.number("limit").map_err(refuse)?.unwrap_or(USUAL_LIMIT);
    if view.is_too_wide(from, to) {
        return Err(Answer::html(504, "504 Gateway Time-out"));
    }
    let selection = filtered(view.select(from, to), call);
    let records = selection.newest(0, limit.min(view.options.page_cap.unwrap_or(limit)));
    let included = list(call, "includes");
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
fn filtered<'a>(selection: Selection<'a>, call: &Call) -> Selection<'a> {
    let filters: Vec<(&str, Vec<&str>)> = PARAMETERS
        .into_iter()
        .filter(|name| !matches!(*name, "from" | "to" | "includes"))
        .map(|name| (name, list(call, name)))
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

/// The field of a record that a filter looks at, in either vocabulary.
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

/// All values of a parameter, written with or without `[]`.
fn list<'a>(call: &'a Call, name: &str) -> Vec<&'a str> {
    call.query
        .iter()
        .filter(|(key, _)| plain(key) == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

fn plain(name: &str) -> &str {
    name.strip_suffix("[]").unwrap_or(name)
}

/// The record with these fields alone, each as it stands.
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
