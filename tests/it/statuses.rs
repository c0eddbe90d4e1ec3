//! Every HTTP status from 300 to 599, at the first request and at a later one, for each kind of paging.
//!
//! The runs are those of the library, in this process, because there are many of them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use trailkeeper::sandbox::{Action, Answer, Api, Options, Sandbox, Step, When};

use super::support::{Catalog, at, event, now, run_inside, side_by_side, streams};

/// A stream of each kind of paging: tokens, none at all, and page numbers.
const KINDS: [Api; 3] = [Api::Mail, Api::Port, Api::Tfc];

/// Several pages each, over the midnight of days: a failure in the middle leaves some of them complete.
fn sandbox() -> Sandbox {
    let mut options = Options::empty(Arc::new(now));
    for api in KINDS {
        options = options.give(
            api,
            (0..150)
                .map(|n| event(api, at(300 + n * 1_200), &n.to_string()))
                .collect(),
        );
    }
    options[Api::Tfc].page_cap = Some(50);
    options[Api::Tfc].rate_limit = None;
    Sandbox::start_on_thread(options).unwrap()
}

fn catalog(sandbox: &Sandbox) -> Catalog {
    Catalog::of(sandbox, &KINDS)
        .with("INITIAL_LOOKBACK_DAYS", 4)
        .with("PORT_PAGE_LIMIT", 60)
        .with("MAX_PAGES", 2)
        .with("MAX_RETRIES", 2)
        .with("RETRY_DELAY_SECONDS", 0)
        // Requests are counted: those of other slices would be under way when one fails.
        .with("FETCH_CONCURRENCY", 1)
}

/// What the operator has to read besides the status.
fn hint(api: Api, status: u16) -> &'static str {
    match (api, status) {
        (_, 300..=399) => "redirects are not followed",
        (_, 402) => "asks for payment",
        (_, 405) => "what answers there is not this service",
        (_, 407) => "check HTTP_PROXY",
        (_, 408) => "took the service too long",
        (_, 410) => "has removed this address",
        (_, 413 | 414) => "the request is too long",
        (_, 429) => "it is asked too often",
        (_, 500..) => "the service may be in trouble",
        (Api::Mail, 401) => "OAUTH_TOKEN_ARG",
        (Api::Mail, 403) => "ya360_security:audit_log_mail",
        (Api::Mail, 404) => "ORGANIZATION_ID_ARG",
        (Api::Mail, 400) => "tariff",
        (Api::Port, 401) => "PORT_API_TOKEN",
        (Api::Port, 404) => "PORT_API_URL",
        (Api::Port, 400) => "PORT_API_QUERY",
        (Api::Tfc, 401) => "TFC_ORG_TOKEN",
        (Api::Tfc, 403 | 404) => "user and team tokens are refused",
        (Api::Tfc, 400) | (_, 406 | 409 | 418) => "does not take the request",
        _ => "",
    }
}

/// One status at one request and all that follow it, then a run in good health.
async fn check(status: u16, failing: usize) {
    let sandbox = sandbox();
    let catalog = catalog(&sandbox);
    let answer = Answer::json(
        status,
        format!(r#"{{"message":"Said {status}.","errors":[{{"title":"Said {status}."}}]}}"#),
    );
    // Where a redirect leads to: another page of the sandbox, which would be seen.
    let answer = answer.with("Location", format!("{}/elsewhere", sandbox.url()));
    for api in KINDS {
        let from_then_on = When::Picked(Arc::new(move |seen| seen.api == Some(api) && seen.number >= failing));
        sandbox.step(Step::new(from_then_on, Action::Answer(answer.clone())));
    }
    let summary = run_inside(&catalog, now()).await;
    let is_retried = status == 408 || status == 429 || status >= 500;
    for (kind, api) in streams().into_iter().filter(|(_, api)| KINDS.contains(api)) {
        let context = format!("{} {status} at request {failing}: {}", kind.name, summary[kind.name]);
        assert_eq!(summary[kind.name]["status"], "failed", "{context}");
        let error = summary[kind.name]["error"].as_str().unwrap();
        // An answer to 304 has no body.
        let said = if status == 304 {
            String::new()
        } else {
            format!("\"Said {status}.\"")
        };
        for part in [&status.to_string(), &said, hint(api, status)] {
            assert!(error.contains(part), "{part:?} is not in {context}");
        }
        let retries = summary[kind.name]["retries"].as_u64().unwrap();
        // A 504 can say that the window was too wide, where one has two bounds: narrower ones are asked for first.
        if status != 504 || api == Api::Tfc {
            assert_eq!(retries, if is_retried { 2 } else { 0 }, "{context}");
            assert_eq!(sandbox.request_count(api) as u64, failing as u64 + retries, "{context}");
        }
        assert_no_hole(&catalog, &sandbox, api, &context);
    }
    let strayed = sandbox.requests().into_iter().find(|seen| seen.api.is_none());
    assert_eq!(strayed, None, "a redirect was followed");
    // The run that follows does not depend on the status, so some of them will do.
    if status % 10 == 4 {
        recover(&sandbox, catalog).await;
    }
}

/// Asserts that a run in good health adds what is missing.
async fn recover(sandbox: &Sandbox, catalog: Catalog) {
    let healthy = recovered(sandbox);
    let catalog = catalog.pointing_at(&healthy);
    let kept = KINDS.map(|api| catalog.day_files(api));
    run_inside(&catalog, now()).await;
    for (api, kept) in KINDS.into_iter().zip(kept) {
        catalog.assert_holds(api, &sandbox.events(api));
        for (name, bytes) in kept {
            assert!(catalog.day_files(api)[&name].starts_with(&bytes), "{name} was changed");
        }
    }
}

/// The same records in good health.
fn recovered(sandbox: &Sandbox) -> Sandbox {
    let options = KINDS.into_iter().fold(Options::empty(Arc::new(now)), |all, api| {
        all.give(api, sandbox.events(api))
    });
    Sandbox::start_on_thread(options).unwrap()
}

/// What is kept is everything up to its newest record.
fn assert_no_hole(catalog: &Catalog, sandbox: &Sandbox, api: Api, context: &str) {
    let kept = catalog.lines(api).len();
    let oldest: Vec<_> = sandbox.events(api).into_iter().take(kept).collect();
    if kept > 0 {
        catalog.assert_holds(api, &oldest);
    }
    let appended = kept as u64;
    assert!(
        context.contains(&format!("\"appended\":{appended},")),
        "{appended}: {context}"
    );
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn check_all(statuses: RangeInclusive<u16>, failing: usize) {
    side_by_side(statuses, |status| runtime().block_on(check(status, failing)));
}

#[test]
fn every_redirect_fails_at_once() {
    check_all(300..=399, 1);
}

#[test]
fn every_redirect_fails_at_once_at_a_later_request_too() {
    check_all(300..=399, 4);
}

#[test]
fn every_client_error_fails_at_once_but_408_and_429() {
    check_all(400..=499, 1);
}

#[test]
fn every_client_error_fails_at_once_at_a_later_request_too() {
    check_all(400..=499, 4);
}

#[test]
fn every_server_error_fails_after_the_retries() {
    check_all(500..=599, 1);
}

#[test]
fn every_server_error_fails_after_the_retries_at_a_later_request_too() {
    check_all(500..=599, 4);
}

#[test]
fn a_passing_failure_costs_a_retry_and_nothing_else() {
    let runtime = runtime();
    let passing = [
        Action::Answer(Answer::html(408, "Request Timeout")),
        Action::Answer(Answer::html(429, "Too Many Requests").with("Retry-After", "0")),
        Action::Answer(Answer::html(500, "Internal Server Error")),
        Action::Answer(Answer::html(502, "Bad Gateway")),
        Action::Answer(Answer::html(503, "Service Unavailable")),
        Action::Answer(Answer::html(200, "A login page")),
        Action::Answer(Answer::json(200, "")),
        Action::Truncate(10),
        Action::Close,
        Action::CutBody(10),
    ];
    for action in passing {
        for failing in [1, 4] {
            let sandbox = sandbox();
            let catalog = catalog(&sandbox);
            for api in KINDS {
                sandbox.step(Step::at(api, failing, action.clone()));
            }
            let summary = runtime.block_on(run_inside(&catalog, now()));
            for (name, stream) in summary {
                assert_eq!(
                    (&stream["status"], &stream["retries"]),
                    (&"complete".into(), &1.into()),
                    "{name} {action:?}"
                );
            }
            for api in KINDS {
                catalog.assert_holds(api, &sandbox.events(api));
            }
        }
    }
}

#[test]
fn at_most_300_characters_of_a_servers_message_are_shown_and_none_of_them_drives_a_terminal() {
    let runtime = runtime();
    let message = format!("\\u001b]0;x\\u0007{}", "ü".repeat(1_000));
    let sandbox = sandbox();
    let body = format!(r#"{{"message":"{message}","errors":[{{"title":"{message}"}}]}}"#);
    for api in KINDS {
        sandbox.step(Step::always(api, Action::Answer(Answer::json(403, body.clone()))));
    }
    for (name, stream) in runtime.block_on(run_inside(&catalog(&sandbox), now())) {
        let error = stream["error"].as_str().unwrap();
        let shown = error.matches('ü').count();
        assert!((250..=300).contains(&shown), "{name}: {shown}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}
