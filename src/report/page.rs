//! The page: a section for each stream, a table for each picture, nothing loaded from elsewhere.

use chrono::{DateTime, SecondsFormat, Utc};

use super::html::{Html, grouped};
use super::survey::Texts;
use super::{StreamReport, calendar, chart};
use crate::coverage::{End, Gap};
use crate::forward::Lag;
use crate::output::table;

/// Number of rows in a list of event types or users.
const TOP: usize = 20;

/// Number of days in the chart; the calendar and the table show all.
const CHARTED_DAYS: usize = 366;

/// The policy forbids to load or run anything, so that even markup from a record could do no harm.
/// What a page begins with, by which it is known.
pub(crate) const BEGINNING: &str = "<!DOCTYPE html>\n<!-- made by trailkeeper report -->\n";

const HEAD: &str = "<!DOCTYPE html>
<!-- made by trailkeeper report -->
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<meta name=\"referrer\" content=\"no-referrer\">
<title>trailkeeper report</title>
<style>
";

/// Renders the whole page, as of `now`.
#[must_use]
pub(crate) fn render(streams: &[StreamReport], now: DateTime<Utc>) -> String {
    let mut html = Html::default();
    html.markup(HEAD)
        .markup(include_str!("style.css"))
        .markup("</style>\n</head>\n<body>\n");
    html.markup("<header><h1>Audit trails</h1><p class=\"soft\">As of ")
        .value(time(now));
    html.markup(". Days and hours are in UTC.</p><nav>");
    for stream in streams {
        html.markup("<a href=\"#")
            .text(stream.name)
            .markup("\">")
            .text(stream.name)
            .markup("</a>");
    }
    html.markup("</nav></header>\n<main>\n");
    for stream in streams {
        section(&mut html, stream, now);
    }
    html.markup("</main>\n<footer><p>Made by trailkeeper ")
        .text(env!("CARGO_PKG_VERSION"));
    html.markup(". It holds personal data: names of users from the records.</p></footer>\n</body>\n</html>\n");
    html.into_string()
}

fn section(html: &mut Html, stream: &StreamReport, now: DateTime<Utc>) {
    html.markup("<section").attribute("id", stream.name).markup(">");
    html.element("<h2>", stream.name, "</h2>");
    facts(html, stream, now);
    if stream.survey.records() > 0 {
        days(html, stream);
        hours(html, stream);
        html.markup("<div class=\"two\">");
        top(html, "Event types", &stream.survey.events);
        top(html, "Users", &stream.survey.actors);
        html.markup("</div>");
        quiet(html, stream);
        lateness(html, stream);
    }
    coverage(html, stream);
    forwarders(html, stream);
    html.markup("</section>\n");
}

fn facts(html: &mut Html, stream: &StreamReport, now: DateTime<Utc>) {
    let survey = &stream.survey;
    html.markup("<dl>");
    fact(html, "Records", &grouped(survey.records()));
    match (survey.range(), survey.span) {
        (Some((first, last)), Some((_, newest))) => {
            fact(html, "Days", &format!("{first} to {last}"));
            let age = crate::output::printable::excerpt(&age(newest, now), 40);
            fact(html, "Last record", &format!("{}, {age}", time(newest)));
        }
        _ => fact(html, "Last record", "none"),
    }
    let quiet: usize = survey.quiet().iter().map(|(_, _, days)| days).sum();
    fact(html, "Days without a record", &grouped(quiet as u64));
    if survey.unreadable > 0 {
        fact(html, "Lines that are not records", &grouped(survey.unreadable));
    }
    fact(html, "Folder", &stream.location.folder().display().to_string());
    html.markup("</dl>");
}

fn fact(html: &mut Html, name: &str, value: &str) {
    html.markup("<div>")
        .element("<dt>", name, "</dt>")
        .element("<dd>", value, "</dd></div>");
}

fn days(html: &mut Html, stream: &StreamReport) {
    let days = stream.survey.every_day();
    let scale = calendar::Scale::of(&days);
    html.markup("<h3>Records per day</h3>");
    html.part(&calendar::pictures(stream.name, &days, &scale))
        .part(&scale.legend());
    let charted = &days[days.len().saturating_sub(CHARTED_DAYS)..];
    if charted.len() < days.len() {
        html.markup("<p class=\"soft\">The chart shows the last ")
            .value(charted.len())
            .markup(" days.</p>");
    }
    html.part(&chart::days(stream.name, charted));
    let rows = days
        .iter()
        .rev()
        .map(|(date, records)| [date.to_string(), grouped(*records)]);
    table_of_picture(html, ["Day", "Records"], rows);
}

fn hours(html: &mut Html, stream: &StreamReport) {
    html.markup("<h3>Records per hour of the day</h3>");
    html.part(&chart::hours(stream.name, &stream.survey.hours));
    let rows = stream.survey.hours.iter().enumerate();
    let rows = rows.map(|(hour, records)| [format!("{hour:02}:00"), grouped(*records)]);
    table_of_picture(html, ["Hour (UTC)", "Records"], rows);
}

/// Writes the table for a picture: a name and a number in each row.
fn table_of_picture(html: &mut Html, headings: [&str; 2], rows: impl Iterator<Item = [String; 2]>) {
    html.markup("<details><summary>As a table</summary>");
    table(html, &headings, Last::Number, rows);
    html.markup("</details>");
}

/// What the last column of a table holds; the others hold text.
#[derive(Clone, Copy)]
enum Last {
    Number,
    Text,
}

fn table<const N: usize>(html: &mut Html, headings: &[&str; N], last: Last, rows: impl Iterator<Item = [String; N]>) {
    let is_number = |index: usize| matches!(last, Last::Number) && index + 1 == N;
    html.markup("<table><thead><tr>");
    for (index, heading) in headings.iter().enumerate() {
        let open = if is_number(index) {
            "<th class=\"number\">"
        } else {
            "<th>"
        };
        html.element(open, heading, "</th>");
    }
    html.markup("</tr></thead><tbody>");
    for row in rows {
        html.markup("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let open = if is_number(index) {
                "<td class=\"number\">"
            } else {
                "<td>"
            };
            html.element(open, cell, "</td>");
        }
        html.markup("</tr>");
    }
    html.markup("</tbody></table>");
}

/// Writes the most frequent texts, each with its share as a bar.
fn top(html: &mut Html, title: &'static str, texts: &Texts) {
    let (top, rest) = texts.top(TOP);
    let most = top.first().map_or(1, |(_, count)| *count);
    html.markup("<div>").element("<h3>", title, "</h3>");
    html.markup("<table><tbody>");
    for (text, count) in &top {
        html.markup("<tr>").element("<td>", text, "</td>");
        html.markup("<td class=\"share\">");
        share(html, *count as f64 / most as f64);
        html.markup("</td><td class=\"number\">")
            .count(*count)
            .markup("</td></tr>");
    }
    if rest > 0 {
        html.markup("<tr><td class=\"soft\">others, and records without one</td><td></td><td class=\"number\">");
        html.count(rest).markup("</td></tr>");
    }
    html.markup("</tbody></table>");
    if texts.different() > top.len() {
        html.markup("<p class=\"soft\">")
            .count(texts.different() as u64)
            .markup(" different values in all.</p>");
    }
    html.markup("</div>");
}

fn quiet(html: &mut Html, stream: &StreamReport) {
    let quiet = stream.survey.quiet();
    html.markup("<h3>Days without a record</h3>");
    if quiet.is_empty() {
        html.markup("<p>None between the first day and the last.</p>");
        return;
    }
    let rows = quiet
        .iter()
        .map(|(first, last, days)| [first.to_string(), last.to_string(), days.to_string()]);
    let is_long = quiet.len() > TOP;
    if is_long {
        html.markup("<details><summary>")
            .value(quiet.len())
            .markup(" periods, as a table</summary>");
    }
    table(html, &["From", "To", "Days"], Last::Number, rows);
    if is_long {
        html.markup("</details>");
    }
}

fn lateness(html: &mut Html, stream: &StreamReport) {
    let delays = stream.survey.delays();
    html.markup("<h3>Records that came after newer ones</h3>");
    if delays.iter().all(|delay| delay.records == 0) {
        html.markup("<p>None: no record in a day file is older than one before it.</p>");
        return;
    }
    html.markup(
        "<p class=\"soft\">In their day file they are after a newer record, so they came at least this much later than \
                 it. If another collector wrote newest first, its lines count too.</p>",
    );
    let rows = delays
        .iter()
        .map(|delay| [delay.label.to_owned(), grouped(delay.records)]);
    table(html, &["Later than a newer record by", "Records"], Last::Number, rows);
}

fn coverage(html: &mut Html, stream: &StreamReport) {
    html.markup("<h3>What the service was asked for</h3>");
    let Some(entry) = &stream.journal else {
        html.markup("<p>No run has written a coverage journal here.</p>");
        return;
    };
    html.markup("<p>The last run began at ")
        .value(time(entry.at))
        .markup(" and ");
    match (&entry.end, &entry.error) {
        (End::Exhausted, _) => html.markup("was complete."),
        (End::Open, _) => html.markup("has not ended: it is running, or was killed."),
        (_, Some(error)) => html
            .markup("<span class=\"warn\">was not complete</span>: ")
            .text(error),
        (_, None) => html.markup("<span class=\"warn\">was not complete</span>."),
    };
    html.markup("</p>");
    if stream.gaps.is_empty() {
        html.markup("<p>There are no gaps.</p>");
    } else {
        let rows = stream.gaps.iter().map(gap);
        table(html, &["Never asked for, from", "To", "State"], Last::Text, rows);
    }
    html.markup("<details><summary>Everything that was asked for</summary>");
    let spans = entry
        .sum
        .covered
        .spans()
        .iter()
        .map(|span| [time(span.from), time(span.to)]);
    table(html, &["From", "To"], Last::Text, spans);
    html.markup("</details>");
}

fn gap(gap: &Gap) -> [String; 3] {
    let state = if let Some(reason) = &gap.unproved {
        format!("filed as the service gives it, not proved to be complete: {reason}")
    } else if gap.is_gone {
        "gone: the service no longer keeps it".to_owned()
    } else {
        format!("can be asked for until {}", gap.going_at.date_naive())
    };
    [time(gap.from), time(gap.to), state]
}

/// Writes how far each forwarder has got: what waits as a number, what is done as a bar.
fn forwarders(html: &mut Html, stream: &StreamReport) {
    if stream.forwarders.is_empty() {
        return;
    }
    html.markup("<h3>Forwarders</h3><table><thead><tr>");
    for heading in ["<th>Forwarder", "<th>Forwarded up to", "<th>Share of the records"] {
        html.markup(heading).markup("</th>");
    }
    html.markup(
        "<th class=\"number\">Waiting records</th><th class=\"number\">Age of the oldest</th></tr></thead><tbody>",
    );
    for lag in &stream.forwarders {
        forwarder(html, lag, stream.survey.records());
    }
    html.markup("</tbody></table>");
    for lag in &stream.forwarders {
        if let Some(problem) = &lag.problem {
            html.markup("<p class=\"warn\">").text(lag.sink).markup(": ");
            html.text(problem).markup("</p>");
        }
    }
}

fn forwarder(html: &mut Html, lag: &Lag, records: u64) {
    let to = lag.up_to.map_or_else(|| "nothing yet".to_owned(), time);
    let done = records.saturating_sub(lag.waiting) as f64 / records.max(1) as f64;
    let oldest = lag.oldest_waiting_seconds.map(chrono::TimeDelta::seconds);
    html.markup("<tr>")
        .element("<td>", lag.sink, "</td>")
        .element("<td>", &to, "</td>");
    html.markup("<td class=\"share\">");
    share(html, done);
    html.markup("</td><td class=\"number\">")
        .count(lag.waiting)
        .markup("</td>");
    let oldest = oldest.map_or_else(String::new, table::age);
    html.element("<td class=\"number\">", &oldest, "</td></tr>");
}

/// Draws a bar of this length, from 0 to 1.
fn share(html: &mut Html, share: f64) {
    html.markup("<svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    html.markup("<rect class=\"bar\" height=\"8\"")
        .attribute("width", format!("{:.1}", share * 100.0))
        .markup("/></svg>");
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Formats an age in the largest unit that fits.
fn age(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = (now - then).num_minutes().max(0);
    match minutes {
        0..120 => format!("{minutes} min ago"),
        120..2_880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::archive::Location;
    use crate::source::SOURCES;

    fn now() -> DateTime<Utc> {
        "2025-06-10T12:00:00Z".parse().unwrap()
    }

    fn report(lines: &str) -> StreamReport {
        let folder = tempfile::tempdir().unwrap();
        if !lines.is_empty() {
            fs::write(folder.path().join("mail_2025-06-09.log"), lines).unwrap();
        }
        let location = Location::new(folder.path(), "mail", "log").unwrap();
        StreamReport::read(&SOURCES[0], location, None, now()).unwrap()
    }

    #[test]
    fn hostile_records_add_no_markup_to_the_page() {
        let line = "{\"eventType\": \"</style><script>alert(1)</script>\", \"date\": \"2025-06-09T10:00:00Z\", \
                    \"userLogin\": \"\\\" onload=alert(2) <img src=x onerror=alert(3)>\\u202e\"}\n";
        let page = render(&[report(line)], now());
        assert_eq!(page.matches("<script").count(), 0);
        assert_eq!(page.matches("<img").count(), 0);
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&quot; onload=alert(2)"));
        assert!(!page.contains('\u{202e}'));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = render(&[report("")], now());
        for word in ["http://", "https://", "url(", "@import", "<link", "<script", "src="] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn every_tag_that_is_opened_is_closed() {
        let line = "{\"eventType\": \"x\", \"date\": \"2025-06-09T10:00:00Z\", \"userLogin\": \"a\"}\n";
        let mut stream = report(line);
        stream.forwarders.push(Lag {
            sink: "kafka <1>",
            waiting: 12_345,
            up_to: Some(now()),
            oldest_waiting_seconds: Some(7_200),
            problem: Some("<broken>".to_owned()),
            ..Lag::default()
        });
        let page = render(&[stream, report("")], now());
        for tag in [
            "section", "table", "tr", "td", "th", "svg", "g", "dl", "div", "details", "span", "p", "h3",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        for text in ["kafka &lt;1&gt;", "12\u{202f}345", "2h", "&lt;broken&gt;"] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn an_empty_archive_has_a_section_that_says_so() {
        let page = render(&[report("")], now());
        assert!(page.contains("<dt>Last record</dt><dd>none</dd>"));
        assert!(page.contains("No run has written a coverage journal"));
    }
}
