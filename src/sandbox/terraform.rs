//! HCP Terraform: a lower bound, numbered pages that shift, and a rate limit.

use super::feed::{View, array};
use super::http::{Answer, Call};

/// The organization token that the sandbox demands.
pub(super) const ORGANIZATION_TOKEN: &str = "sandbox.atlasv1.tfc-token";

/// The page size without a `page[size]`.
const USUAL_PAGE: usize = 1000;

/// Answers a request for the audit trail.
pub(super) fn answer(view: &View<'_>, call: &Call) -> Answer {
    if call.authorization.as_deref() != Some(&format!("Bearer {ORGANIZATION_TOKEN}")) {
        return error(401, "unauthorized");
    }
    if call.raw_query.contains(['[', ']']) {
        return error(400, "brackets in a query must be percent-encoded");
    }
    let Ok(since) = call.time("since") else {
        return error(400, "invalid since");
    };
    // What is not a number counts as not given, and so does a parameter that is not known, such as a plain `page`.
    let size = call.number("page[size]").ok().flatten().unwrap_or(USUAL_PAGE);
    let size = size.min(view.options.page_cap.unwrap_or(size));
    let number = call.number("page[number]").ok().flatten().unwrap_or(1);
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

/// The error body of this vendor, where a status is a string.
pub(super) fn error(status: u16, title: &str) -> Answer {
    Answer::json(
        status,
        format!(r#"{{"errors":[{{"status":"{status}","title":"{title}"}}]}}"#),
    )
}

/// The answer to too many requests, where the status is a number.
pub(super) fn too_many_requests() -> Answer {
    let detail = "You have exceeded the API's rate limit.";
    Answer::json(
        429,
        format!(r#"{{"errors":[{{"detail":"{detail}","status":429,"title":"Too many requests"}}]}}"#),
    )
}

/// Where a page stands among the others; one behind the last has no neighbours.
fn pagination(total: usize, size: usize, number: usize) -> String {
    let pages = total.div_ceil(size).max(1);
    let page = |number: Option<usize>| number.map_or("null".to_owned(), |number| number.to_string());
    let previous = page((number > 1 && number <= pages).then(|| number - 1));
    let next = page((number < pages).then(|| number + 1));
    format!(
        r#"{{"current_page":{number},"prev_page":{previous},"next_page":{next},"total_pages":{pages},"total_count":{total}}}"#
    )
}
