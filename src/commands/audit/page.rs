//! The result of an audit as a page of plain text, which can be printed, and signed.

use std::fmt::Write;

use super::outcome::{DifferenceOutcome, Outcome, StreamOutcome};
use crate::audit::PAGE_BEGINNING;
use crate::audit::compare::HourState;
use crate::output::printable::printable;
use crate::output::table::{Table, left, rfc3339, right, to_the_second};

/// How many differences of an hour are listed; `--json` has all.
const LISTED: usize = 20;

/// Returns the page.
pub(super) fn text(outcome: &Outcome) -> String {
    let mut page = PAGE_BEGINNING.to_owned();
    page.push('\n');
    page.push_str(&basis(outcome));
    for stream in &outcome.streams {
        page.push_str(&span(stream));
        page.push_str(&asked(stream));
    }
    let hours = hours(outcome);
    if !hours.is_empty() {
        let _ = write!(page, "\n{hours}");
    }
    for stream in &outcome.streams {
        page.push_str(&differences(stream));
    }
    let problems = outcome.problems.iter().map(|problem| ("not audited", problem));
    let remarks = outcome.remarks.iter().map(|remark| ("to be known", remark));
    for (index, (what, text)) in problems.chain(remarks).enumerate() {
        let line = if index == 0 { "\n" } else { "" };
        let _ = writeln!(page, "{line}{what}: {}", printable(text));
    }
    let _ = write!(page, "\n{}", verdict(outcome));
    page
}

/// Says what the hours were drawn from, so that somebody else can draw them again.
fn basis(outcome: &Outcome) -> String {
    let shown = |text: &Option<String>| text.as_deref().map_or("none".into(), printable).into_owned();
    let policy = match (outcome.is_operators_policy, outcome.policy.as_str()) {
        (true, path) => format!("{path}, the operator's own: this shows accidents, not forgery"),
        (false, "") => "none".to_owned(),
        (false, path) => path.to_owned(),
    };
    let rows = [
        ("log", shown(&outcome.origin)),
        (
            "entries",
            outcome.size.map_or("none".to_owned(), |size| size.to_string()),
        ),
        ("root", shown(&outcome.root)),
        ("signed by", shown(&outcome.fingerprint)),
        ("policy", printable(&policy).into_owned()),
        ("nonce", printable(&outcome.nonce).into_owned()),
        ("asked at", to_the_second(outcome.asked_at)),
        ("hours", format!("{} of {}", outcome.sample, outcome.population)),
    ];
    rows.iter()
        .map(|(name, value)| format!("{name:<11}{value}\n"))
        .collect()
}

fn span(stream: &StreamOutcome) -> String {
    match (stream.from, stream.to) {
        (Some(from), Some(to)) => {
            let (from, to) = (to_the_second(from), to_the_second(to));
            format!(
                "{:<11}{}: {} hours from {from} to {to}\n",
                "stream", stream.stream, stream.population
            )
        }
        _ => format!(
            "{:<11}{}: no whole hour is sealed in this time\n",
            "stream", stream.stream
        ),
    }
}

/// Says what the service was to be asked for, and where.
fn asked(stream: &StreamOutcome) -> String {
    let organization = stream
        .organization_id
        .iter()
        .map(|name| format!(", organization {}", printable(name)));
    let organization: String = organization.collect();
    let filter = stream.filter.as_deref().map_or("no filter".into(), printable);
    let filter = if stream.filter.is_some() {
        format!("only {filter}")
    } else {
        filter.into_owned()
    };
    format!(
        "{:<11}{}{organization}, {filter}; late records are looked for {} hours back\n",
        "asked",
        printable(&stream.address),
        stream.reconcile_hours
    )
}

fn hours(outcome: &Outcome) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("HOUR"),
        left("STATE"),
        right("GIVEN"),
        right("ARCHIVED"),
        right("SAME"),
        right("EXPLAINED"),
        right("DIFFERENT"),
    ]);
    for stream in &outcome.streams {
        for hour in &stream.hours {
            let explained = hour
                .differences
                .iter()
                .filter(|difference| difference.is_explained)
                .count();
            let cells = [
                stream.stream.clone(),
                to_the_second(hour.from),
                state(hour.state).to_owned(),
                hour.given.to_string(),
                hour.archived.to_string(),
                hour.same.to_string(),
                explained.to_string(),
                (hour.differences.len() - explained).to_string(),
            ];
            table.row(cells);
        }
    }
    if table.is_empty() {
        String::new()
    } else {
        table.to_string()
    }
}

fn state(state: HourState) -> &'static str {
    match state {
        HourState::Same => "same",
        HourState::Different => "different",
        HourState::Unproved => "not proved",
        HourState::Expired => "expired",
    }
}

/// Names what differs, and what else is to be known of a stream.
fn differences(stream: &StreamOutcome) -> String {
    let mut text = String::new();
    for hour in &stream.hours {
        let name = format!("{} {}", stream.stream, to_the_second(hour.from));
        if hour.reason.is_none() && hour.differences.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{name}");
        if let Some(reason) = &hour.reason {
            let what = if hour.state == HourState::Expired {
                "expired"
            } else {
                "not proved"
            };
            let _ = writeln!(text, "  {what}: {}", printable(reason));
        }
        for difference in hour.differences.iter().take(LISTED) {
            let _ = writeln!(text, "  {}", sentence(difference));
        }
        if let Some(more) = hour.differences.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let _ = writeln!(text, "  and {more} more");
        }
    }
    if stream.rejected_not_kept > 0 || !stream.remarks.is_empty() {
        let _ = writeln!(text, "\n{}", stream.stream);
    }
    if stream.rejected_not_kept > 0 {
        let count = stream.rejected_not_kept;
        let _ = writeln!(
            text,
            "  {count} records came that no day file can hold, and that are not kept beside them"
        );
    }
    for remark in &stream.remarks {
        let _ = writeln!(text, "  {}", printable(remark));
    }
    text
}

/// `2026-11-20T10:02:03Z id 4711, tfc_audit_2026-11-20.log line 7: given now, and not in the archive`
fn sentence(difference: &DifferenceOutcome) -> String {
    let mark = if difference.is_explained {
        "explained"
    } else {
        "DIFFERENT"
    };
    let id = difference.id.iter().map(|id| format!(" id {}", printable(id)));
    let place = difference.file.iter().zip(difference.line);
    let place = place.map(|(file, line)| format!(" {} line {line}", printable(file)));
    let details: String = id.chain(place).collect();
    format!(
        "{mark} {}{details}: {}",
        rfc3339(difference.time),
        difference.kind.sentence()
    )
}

fn verdict(outcome: &Outcome) -> String {
    if !outcome.problems.is_empty() {
        return "verdict: not audited, for the reasons above\n".to_owned();
    }
    let Outcome {
        same,
        different,
        unproved,
        expired,
        ..
    } = outcome;
    format!(
        "verdict: {same} hours are the same, {different} differ, {unproved} were not proved by the service, {expired} have expired\n"
    )
}
