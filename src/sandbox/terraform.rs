//! HCP Terraform: a lower bound, numbered pages that shift, and a rate limit.

use chrono::{SecondsFormat, TimeDelta};

use super::behavior::StreamOptions;
use super::feed::{View, array};
use super::generate::{Digits, Recipe, Slot, time_like};
use super::http::{Answer, ServiceRequest};
use super::rate_limit::Quota;
use super::service::{RequestError, Service};

pub(super) const TERRAFORM: Service = Service {
    name: "tfc",
    path: &["api", "v2", "organization", "audit-trail"],
    mint: None,
    behavior: || StreamOptions {
        includes_from: false,
        page_cap: Some(USUAL_PAGE),
        rate_limit: Some(30),
        ..StreamOptions::with_retention(TimeDelta::days(14))
    },
    recipe: Recipe {
        pages: &[("samples/tfc/page.json", include_str!("../../samples/tfc/page.json"))],
        slot,
        precision: |_| 1_000,
    },
    minimal: |time, id| {
        let at = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!(r#"{{"id":"{id}","version":"0","type":"Resource","timestamp":"{at}"}}"#)
    },
    variables: |url, _| {
        vec![
            ("TFC_API_URL", url.to_owned()),
            ("TFC_ORG_TOKEN", ORGANIZATION_TOKEN.to_owned()),
        ]
    },
    answer,
    error_answer,
    rate_limit_headers,
};

/// The organization token that the sandbox demands.
pub(super) const ORGANIZATION_TOKEN: &str = "sandbox.atlasv1.tfc-token";

/// The page size if no `page[size]` is given.
const USUAL_PAGE: usize = 1000;

fn slot(key: &str, value: &str) -> Option<Slot> {
    match key {
        "timestamp" => time_like(value, Digits::Three),
        "id" if value.len() == 36 => Some(Slot::Uuid),
        _ => None,
    }
}

/// Adds the limit, and how long until it resets, in seconds with a fraction.
fn rate_limit_headers(answer: Answer, quota: Quota) -> Answer {
    answer
        .with("X-RateLimit-Limit", quota.limit)
        .with("X-RateLimit-Remaining", quota.left)
        .with("X-RateLimit-Reset", format!("{:.3}", quota.reset.as_secs_f64()))
}

/// Answers a request for the audit trail.
fn answer(view: &View<'_>, request: &ServiceRequest) -> Answer {
    if request.authorization.as_deref() != Some(&format!("Bearer {ORGANIZATION_TOKEN}")) {
        return error(401, "unauthorized");
    }
    if request.raw_query.contains(['[', ']']) {
        return error(400, "brackets in a query must be percent-encoded");
    }
    let Ok(since) = request.time("since") else {
        return error(400, "invalid since");
    };
    // A value that is not a number counts as not given; unknown parameters, such as a plain `page`, are ignored.
    let size = request.number("page[size]").ok().flatten().unwrap_or(USUAL_PAGE);
    let size = size.min(view.options.page_cap.unwrap_or(size));
    let number = request.number("page[number]").ok().flatten().unwrap_or(1);
    let selection = view.select(since, None);
    let records = selection.newest((number - 1).saturating_mul(size), size);
    let data = array(records, view.options.unsorted);
    Answer::json(
        200,
        format!(
            r#"{{"data":[{data}],"pagination":{}}}"#,
            pagination(selection.len(), size, number)
        ),
    )
}

/// Returns the error body of this vendor, where a status is a string.
fn error(status: u16, title: &str) -> Answer {
    Answer::json(
        status,
        format!(r#"{{"errors":[{{"status":"{status}","title":"{title}"}}]}}"#),
    )
}

fn error_answer(problem: RequestError) -> Answer {
    match problem {
        RequestError::MethodNotAllowed => error(405, "method not allowed"),
        RequestError::TooManyRequests(_) => too_many_requests(),
    }
}

/// Returns the answer to too many requests, where the status is a number.
fn too_many_requests() -> Answer {
    let detail = "You have exceeded the API's rate limit.";
    Answer::json(
        429,
        format!(r#"{{"errors":[{{"detail":"{detail}","status":429,"title":"Too many requests"}}]}}"#),
    )
}

/// Returns the numbers of a page and its neighbours; a page after the last one has none.
fn pagination(total: usize, size: usize, number: usize) -> String {
    let pages = total.div_ceil(size).max(1);
    let page = |number: Option<usize>| number.map_or("null".to_owned(), |number| number.to_string());
    let previous = page((number > 1 && number <= pages).then(|| number - 1));
    let next = page((number < pages).then(|| number + 1));
    format!(
        r#"{{"current_page":{number},"prev_page":{previous},"next_page":{next},"total_pages":{pages},"total_count":{total}}}"#
    )
}
