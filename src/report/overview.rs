//! The overview: a row for each stream with what is looked at first.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::html::{grouped, many, shown};
use super::verdict::Verdict;
use super::{StreamReport, UnreadableStream};
use crate::coverage::Scope;
use crate::forward::Lag;
use crate::output::table::{age, to_the_second};

/// The columns behind the name of the stream.
const HEADINGS: [&str; 7] = [
    "Verdict",
    "Last record",
    "Records",
    "Gaps",
    "Repaired",
    "Forwarded",
    "Organization and service",
];

/// Writes the table. On a narrow screen each row folds, so every cell has its heading with it.
pub(super) fn table(streams: &[Result<StreamReport, UnreadableStream>], now: DateTime<Utc>) -> Markup {
    html! {
        section #overview {
            h2 { "Overview" }
            table.overview role="table" {
                caption { "How each stream stands; Repaired counts lines that a crash tore and a run ended" }
                thead role="rowgroup" {
                    tr role="row" {
                        th scope="col" role="columnheader" { "Stream" }
                        @for heading in HEADINGS { th scope="col" role="columnheader" { (heading) } }
                    }
                }
                tbody role="rowgroup" { @for stream in streams { (row(stream, now)) } }
            }
        }
    }
}

fn row(stream: &Result<StreamReport, UnreadableStream>, now: DateTime<Utc>) -> Markup {
    let (name, cells) = match stream {
        Ok(stream) => (stream.name, cells(stream, now)),
        Err(stream) => (stream.name, Default::default()),
    };
    let verdict = verdict(&Verdict::of(stream));
    html! {
        tr role="row" {
            th scope="row" role="rowheader" { a href={ "#" (name) } { (name) } }
            @for (heading, cell) in HEADINGS.into_iter().zip(std::iter::once(verdict).chain(cells)) {
                td role="cell" data-heading=(heading) { (cell) }
            }
        }
    }
}

/// Writes the word, and why below it.
pub(super) fn verdict(verdict: &Verdict) -> Markup {
    let word = verdict.word.text();
    html! {
        strong.verdict.{ "is-" (word) } { (word) }
        @if let Some(reason) = &verdict.reason { " " small { (shown(reason)) } }
    }
}

fn cells(stream: &StreamReport, now: DateTime<Utc>) -> [Markup; 6] {
    let last = stream.survey.counts.span.map(|(_, last)| last);
    let open = stream.gaps.iter().filter(|gap| !gap.is_gone).count();
    let gone = stream.gaps.len() - open;
    [
        html! { @match last { Some(last) => (ago(last, now)), None => "none" } },
        html! { (grouped(stream.survey.records())) },
        html! { (open) @if gone > 0 { " " small { "and " (gone) " gone" } } },
        html! { (grouped(stream.repaired)) @if stream.rejected > 0 { " " small { (many(stream.rejected, "record")) " rejected" } } },
        forwarded(&stream.forwarders),
        html! { @match &stream.journal { Some(entry) => (scope(&entry.scope)), None => "not known yet" } },
    ]
}

/// Writes how old a time is, and the time.
pub(super) fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { (age(now - time)) " ago " small { time { (to_the_second(time)) } } }
}

fn forwarded(forwarders: &[Lag]) -> Markup {
    html! {
        @if forwarders.is_empty() { "no" }
        @for lag in forwarders {
            div {
                (shown(lag.sink)) ": "
                @match (lag.waiting, lag.oldest_waiting_seconds) {
                    (None, _) => "not known",
                    (Some(0), _) => "all",
                    (Some(waiting), Some(seconds)) => { (grouped(waiting)) " wait, " (age(TimeDelta::seconds(seconds))) },
                    (Some(waiting), None) => { (grouped(waiting)) " wait" },
                }
                @if lag.problem.is_some() { " " span.warn { "(problem)" } }
            }
        }
    }
}

/// Writes whose records these are, and from which host they came.
fn scope(scope: &Scope) -> Markup {
    let host = scope
        .address
        .split_once("://")
        .map_or(scope.address.as_str(), |(_, host)| host);
    html! {
        (shown(scope.organization.as_deref().unwrap_or("by its token"))) " " small { (shown(host)) }
        @if scope.filter.is_some() { " " small { "filtered" } }
    }
}
