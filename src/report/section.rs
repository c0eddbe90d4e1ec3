//! The part of the page about one stream.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::counts::People;
use super::html::{Cell, Heading, fact, grouped, shown, table};
use super::overview::{ago, verdict};
use super::scale::Scale;
use super::survey::QuietDays;
use super::texts::Texts;
use super::verdict::Verdict;
use super::{StreamReport, UnreadableStream, bars, calendar, heat_map};
use crate::coverage::{End, Gap};
use crate::evidence::sealed_days::SealedDays;
use crate::forward::Lag;
use crate::output::table::{age, to_the_second};

/// Number of rows in a list of event types or users.
const TOP: usize = 20;

/// Number of days in the chart; the calendar and the table show all.
const CHARTED_DAYS: usize = 366;

/// Writes the section of a stream.
pub(super) fn section(stream: &Result<StreamReport, UnreadableStream>, people: People, now: DateTime<Utc>) -> Markup {
    let name = match stream {
        Ok(stream) => stream.name,
        Err(stream) => stream.name,
    };
    html! {
        section id=(name) {
            h2 { (name) }
            p { (verdict(&Verdict::of(stream))) }
            @if let Ok(stream) = stream {
                (facts(stream, now))
                @if stream.survey.records() > 0 { (records(stream, people)) }
                (coverage(stream))
                @if let Some(sealed) = &stream.sealed { (evidence(sealed)) }
                (forwarders(stream))
            }
        }
    }
}

fn records(stream: &StreamReport, people: People) -> Markup {
    let counts = &stream.survey.counts;
    let name = stream.name;
    html! {
        (days(stream))
        h3 { "Records per weekday and hour" }
        (heat_map::picture(name, &counts.week))
        (details("As a table", &heat_map::numbers(name, &counts.week)))
        h3 { "What happened" }
        div.two {
            (top(name, "Event types", "Event type", &counts.events))
            @if counts.failures.records() > 0 {
                (top(name, "Actions that failed", "Event type and result", &counts.failures))
            }
            @if people == People::Named {
                (top(name, "Users", "User", &counts.actors))
                @if counts.addresses.records() > 0 { (top(name, "Network addresses", "Address", &counts.addresses)) }
            }
        }
        (quiet(stream))
        (lateness(stream))
    }
}

fn facts(stream: &StreamReport, now: DateTime<Utc>) -> Markup {
    let survey = &stream.survey;
    let failures = survey.counts.failures.records();
    let quiet: usize = survey.quiet().iter().map(|quiet| quiet.days).sum();
    html! {
        dl {
            @match (survey.range(), survey.counts.span) {
                (Some((first, last)), Some((_, newest))) => {
                    (fact("Last record", &ago(newest, now)))
                    (fact("Days", &html! { (first.to_string()) " to " (last.to_string()) }))
                },
                _ => (fact("Last record", &html! { "none" })),
            }
            (fact("Records", &html! { (grouped(survey.records())) }))
            @if failures > 0 { (fact("Actions that failed", &html! { (grouped(failures)) })) }
            (fact("Days without a record", &html! { (grouped(quiet as u64)) }))
            @if stream.lost_days > 0 { (fact("Days that lost records", &html! { (stream.lost_days) })) }
            @if survey.counts.unreadable > 0 {
                (fact("Lines that are not records", &html! { (grouped(survey.counts.unreadable)) }))
            }
            (fact("Folder", &html! { (shown(&stream.location.folder().display().to_string())) }))
        }
        @for damaged in &survey.damaged { p.warn { "Not counted: " (shown(damaged)) } }
    }
}

fn evidence(sealed: &SealedDays) -> Markup {
    html! {
        h3 { "Evidence" }
        dl {
            (fact("Sealed days", &html! { (sealed.first.to_string()) " to " (sealed.last.to_string()) }))
            (fact("Closed", &html! { (sealed.closed) }))
            (fact("Still open", &html! { (sealed.open) }))
            (fact("Acknowledged as broken", &html! { (sealed.broken) }))
            @if let Some(at) = sealed.sealed_at { (fact("Sealed last", &html! { (to_the_second(at)) })) }
        }
        p.soft { "By the log; trailkeeper verify --evidence compares it with the files." }
    }
}

fn days(stream: &StreamReport) -> Markup {
    let days = stream.survey.every_day();
    let scale = Scale::of(days.iter().map(|(_, records)| *records));
    let charted = &days[days.len().saturating_sub(CHARTED_DAYS)..];
    let rows = days
        .iter()
        .rev()
        .map(|(date, records)| (date.to_string(), [Cell::Number(*records)]));
    let caption = format!("{}: records per day, the newest first", stream.name);
    let numbers = table(&caption, [Heading::Number("Records")], rows, "Day");
    html! {
        h3 { "Records per day" }
        (calendar::pictures(stream.name, &days, &scale))
        (scale.legend())
        @if charted.len() < days.len() { p.soft { "The chart shows the last " (charted.len()) " days." } }
        (bars::days(stream.name, charted))
        (details("As a table", &numbers))
    }
}

fn details(summary: &str, content: &Markup) -> Markup {
    html! { details { summary { (summary) } div.scroll tabindex="0" { (content) } } }
}

/// Writes the most frequent texts, each with its share as a bar.
fn top(stream: &'static str, title: &'static str, first: &'static str, texts: &Texts) -> Markup {
    let (top, rest) = texts.top(TOP);
    let most = top.first().map_or(1, |(_, count)| *count);
    let rows = top.iter().map(|(text, count)| {
        let share = Cell::Share(*count as f64 / most as f64);
        ((*text).to_owned(), [share, Cell::Number(*count)])
    });
    let others = (rest > 0).then(|| {
        (
            "others, and records without one".to_owned(),
            [Cell::text(""), Cell::Number(rest)],
        )
    });
    let headings = [Heading::Share("Share"), Heading::Number("Records")];
    html! {
        div {
            (table(&format!("{stream}: {title}"), headings, rows.chain(others), first))
            @if texts.different() > top.len() {
                p.soft { (grouped(texts.different() as u64)) " different values in all." }
            }
        }
    }
}

fn quiet(stream: &StreamReport) -> Markup {
    let quiet = stream.survey.quiet();
    let rows = quiet.iter().map(|QuietDays { first, last, days }| {
        let range = match days {
            1 => first.to_string(),
            _ => format!("{first} to {last}"),
        };
        (range, [Cell::Number(*days as u64)])
    });
    let caption = format!(
        "{}: days without a record, between the first day and the last",
        stream.name
    );
    let ranges = table(&caption, [Heading::Number("Days")], rows, "Range");
    html! {
        h3 { "Days without a record" }
        @match quiet.len() {
            0 => p { "None between the first day and the last." },
            1..=TOP => (ranges),
            many => (details(&format!("{many} ranges, as a table"), &ranges)),
        }
    }
}

fn lateness(stream: &StreamReport) -> Markup {
    let delays = stream.survey.counts.delays();
    let rows = delays
        .iter()
        .map(|delay| (delay.label.to_owned(), [Cell::Number(delay.records)]));
    let caption = format!("{}: records behind newer ones in their day file", stream.name);
    html! {
        h3 { "Records that came after newer ones" }
        @if delays.iter().all(|delay| delay.records == 0) {
            p { "None: no record in a day file is older than one before it." }
        } @else {
            p.soft {
                "In their day file they are after a newer record, so they came at least this much later than it. If another \
                 collector wrote newest first, its lines count too."
            }
            (table(&caption, [Heading::Number("Records")], rows, "Later than a newer record by"))
        }
    }
}

fn coverage(stream: &StreamReport) -> Markup {
    html! {
        h3 { "What the service was asked for" }
        @match &stream.journal {
            None => p { "No run has written a coverage journal here." },
            Some(entry) => {
                p {
                    "The last run began at " (to_the_second(entry.at))
                    @match (entry.end, &entry.error) {
                        (End::Exhausted, _) => " and was complete.",
                        (End::Open, _) => " and has not ended: it is running, or was killed.",
                        (_, Some(error)) => { " and " span.warn { "was not complete" } ": " (shown(error)) },
                        (_, None) => { " and " span.warn { "was not complete" } "." },
                    }
                }
                (gaps(stream))
                (details("Everything that was asked for", &asked(stream.name, entry)))
            },
        }
    }
}

fn gaps(stream: &StreamReport) -> Markup {
    let caption = format!("{}: what no run has covered", stream.name);
    let headings = [Heading::Text("To"), Heading::Text("State")];
    let rows = stream.gaps.iter().map(|gap| {
        let cells = [Cell::text(to_the_second(gap.to)), Cell::text(state(gap))];
        (to_the_second(gap.from), cells)
    });
    html! {
        @if stream.gaps.is_empty() { p { "There are no gaps." } } @else { (table(&caption, headings, rows, "From")) }
    }
}

fn state(gap: &Gap) -> String {
    if let Some(reason) = &gap.unproved {
        format!("filed as the service gives it, not proved to be complete: {reason}")
    } else if gap.is_gone {
        "gone: the service no longer keeps it".to_owned()
    } else {
        format!("can be asked for until {}", gap.going_at.date_naive())
    }
}

fn asked(stream: &'static str, entry: &crate::coverage::Entry) -> Markup {
    let caption = format!("{stream}: spans that the service was asked for, to their ends");
    let spans = entry.sum.covered.spans().iter();
    let rows = spans.map(|span| (to_the_second(span.from), [Cell::text(to_the_second(span.to))]));
    table(&caption, [Heading::Text("To")], rows, "From")
}

/// Writes how far each forwarder has got: what waits as a number, what is done as a bar.
fn forwarders(stream: &StreamReport) -> Markup {
    let caption = format!("{}: how far it is forwarded", stream.name);
    let headings = [
        Heading::Number("Waiting"),
        Heading::Text("Oldest"),
        Heading::Share("Share of the records"),
        Heading::Text("Forwarded up to"),
    ];
    let rows = stream
        .forwarders
        .iter()
        .map(|lag| (lag.sink.to_owned(), forwarder(lag, stream.survey.records())));
    html! {
        @if !stream.forwarders.is_empty() {
            h3 { "Forwarders" }
            (table(&caption, headings, rows, "Forwarder"))
        }
        @for lag in &stream.forwarders {
            @if let Some(problem) = &lag.problem { p.warn { (shown(lag.sink)) ": " (shown(problem)) } }
        }
    }
}

fn forwarder(lag: &Lag, records: u64) -> [Cell; 4] {
    let oldest = lag.oldest_waiting_seconds.map(TimeDelta::seconds);
    let share = |waiting| records.saturating_sub(waiting) as f64 / records.max(1) as f64;
    [
        lag.waiting
            .map_or_else(|| Cell::Text("not known".to_owned()), Cell::Number),
        Cell::Text(oldest.map_or_else(String::new, age)),
        lag.waiting
            .map_or_else(|| Cell::Text(String::new()), |waiting| Cell::Share(share(waiting))),
        Cell::Text(lag.up_to.map_or_else(|| "nothing yet".to_owned(), to_the_second)),
    ]
}
