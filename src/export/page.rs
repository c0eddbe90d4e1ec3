//! The page of a bundle, for people: what it is, what was asked for, how complete it is, and how to check it.

use maud::{Markup, html};

use super::manifest::Manifest;
use super::part::Part;
use crate::output::table::{rfc3339, size, to_the_second};
use crate::report::frame;
use crate::report::html::{Cell, Heading, fact, grouped, many, shown, table, whole};
use crate::search::AskedFilter;

const BEGINNING: &str = "<!DOCTYPE html>\n<!-- made by trailkeeper export -->\n";

/// How many gaps of a stream are listed; the manifest has all.
const MOST_GAPS: usize = 50;

/// Renders the page; the manifest has the files of records and not yet the page itself.
pub(super) fn render(manifest: &Manifest) -> String {
    let body = html! {
        header {
            h1 { "Records of audit trails" }
            p.soft {
                "Exported on " (to_the_second(manifest.made_at))
                @if !manifest.host.is_empty() { ", on " (shown(&manifest.host)) }
                ". Times are in UTC."
            }
        }
        main {
            (what_it_is(manifest))
            @for part in &manifest.streams { (section(manifest, part)) }
            (check(manifest))
            (prove(manifest))
        }
        footer { p { "Made by " (manifest.program) ". It holds personal data: names of users and network addresses from the records." } }
    };
    frame(BEGINNING, "trailkeeper export", &body)
}

fn what_it_is(manifest: &Manifest) -> Markup {
    let asked = &manifest.query;
    html! {
        section {
            h2 { "What this is" }
            p { (verdict(manifest)) }
            dl {
                (fact("From", &html! { (rfc3339(asked.since)) }))
                (fact("To, not included", &html! { (rfc3339(asked.until)) }))
                (fact("Records", &html! { (grouped(manifest.records)) }))
                (fact("Streams", &html! { (manifest.streams.len()) }))
            }
            p { (about_the_format(manifest)) }
            (filters(&asked.filters))
        }
    }
}

/// Options that change what the others mean, and ask for nothing themselves.
const MANNERS: [(&str, &str); 2] = [
    (
        "regex",
        "The values are regular expressions, which match anywhere in a text. ",
    ),
    ("ignore-case", "Upper and lower case are the same. "),
];

/// Says which records were asked for.
fn filters(filters: &[AskedFilter]) -> Markup {
    let is_given = |option: &str| filters.iter().any(|filter| filter.option == option);
    let is_manner = |filter: &&AskedFilter| MANNERS.iter().any(|(option, _)| filter.option == *option);
    let others = filters
        .iter()
        .filter(|filter| filter.option != "invert" && !is_manner(filter));
    let rows: Vec<_> = others
        .map(|filter| (filter.option.to_owned(), [Cell::Whole(filter.values.join(" or "))]))
        .collect();
    let caption = if is_given("invert") {
        "Only the records of this time that do NOT match were asked for: all but those that match all of these"
    } else {
        "Only records that match all of these were asked for"
    };
    html! {
        @if filters.is_empty() {
            p { "All records of these streams and this time were asked for." }
        } @else if rows.is_empty() && is_given("invert") {
            p { "Only records that do NOT match were asked for, and nothing to match was said: there are none." }
        } @else if rows.is_empty() {
            p { "All records of these streams and this time were asked for." }
        } @else {
            (table(caption, [Heading::Text("Value")], rows.into_iter(), "Option of trailkeeper export"))
            p { @for (_, meaning) in MANNERS.iter().filter(|(option, _)| is_given(option)) { (meaning) } }
        }
    }
}

fn verdict(manifest: &Manifest) -> Markup {
    html! {
        @if manifest.is_complete {
            strong.is-ok { "Complete" }
            ": the services were asked for everything of this time, up to the last run before the export."
        } @else {
            strong.is-failed { "Not complete" }
            ": something of this time is missing, or not known to be here. Below it is named for each stream."
        }
    }
}

fn about_the_format(manifest: &Manifest) -> &'static str {
    match manifest.format.name() {
        "csv" => {
            "The files have the columns of the records as comma-separated values (RFC 4180), in UTF-8, and not all that the services gave."
        }
        "parquet" => {
            "The files are Parquet, with a column for each column of the records, and one for all that the service gave, as JSON."
        }
        _ => "The files have a record as JSON in each line, byte for byte as it was archived when the service gave it.",
    }
}

/// Says what was changed in the records that are repaired.
fn about_the_repaired(manifest: &Manifest, part: &Part) -> Markup {
    let (records, is_are) = (
        many(part.repaired(), "record"),
        if part.repaired() == 1 { "is" } else { "are" },
    );
    html! {
        @if manifest.format.name() == "csv" {
            p {
                (records) " " (is_are) " not as the service gave it: a text held half a character, an escape such as " code { "\\ud83d" }
                " without its other half, which is no character. Where it stood there is now U+FFFD (" code { "\u{fffd}" } "). Nothing else \
                 was changed."
            }
        } @else {
            p {
                (records) " " (is_are) " not as the service gave it, since strict JSON parsers refuse what was in it. It was changed where it \
                 stood, in the column " code { "line" } " and in the others:"
            }
            ul {
                li {
                    "half a character, an escape such as " code { "\\ud83d" } " without its other half, is U+FFFD (" code { "\u{fffd}" } ");"
                }
                li { "a number beyond 1e308 is a text of its digits;" }
                li { "an array or object inside 100 others is a text of what it held." }
            }
            p { "Nothing else was changed. " code { "--format ndjson" } " has these records as they were." }
        }
    }
}

fn section(manifest: &Manifest, part: &Part) -> Markup {
    let found = &part.completeness;
    let range = part.first_record.zip(part.last_record);
    html! {
        section id=(part.name()) {
            h2 { (part.name()) }
            p {
                @if part.is_complete() { strong.is-ok { "Complete" } } @else { strong.is-failed { "Not complete" } }
                @if let Some(gap) = found.last_run() { ". What came after " (to_the_second(gap)) " was not asked for yet" }
                "."
            }
            dl {
                (fact("Records", &html! { (grouped(part.records())) }))
                @if let Some((first, last)) = range {
                    (fact("First record", &html! { (rfc3339(first)) }))
                    (fact("Last record", &html! { (rfc3339(last)) }))
                }
                (fact("Files searched", &html! { (grouped(part.sources.len() as u64)) }))
                @if part.repaired() > 0 { (fact("Repaired", &html! { (grouped(part.repaired())) })) }
                @if part.not_records > 0 { (fact("Lines that are no records", &html! { (grouped(part.not_records)) })) }
                @if found.pending > 0 { (fact("Pending, not exported", &html! { (grouped(found.pending)) })) }
                @if found.rejected > 0 { (fact("Rejected, not exported", &html! { (grouped(found.rejected)) })) }
            }
            @if part.repaired() > 0 { (about_the_repaired(manifest, part)) }
            (missing(part))
        }
    }
}

fn missing(part: &Part) -> Markup {
    let found = &part.completeness;
    let caption = format!("{}: the time that is not covered", part.name());
    let rows = found.gaps.iter().take(MOST_GAPS).map(|gap| {
        let cells = [Cell::text(rfc3339(gap.to)), Cell::Whole(gap.what_is_known())];
        (rfc3339(gap.from), cells)
    });
    html! {
        @for problem in part.not_read.iter() { p.warn { "Not read: " (whole(problem)) } }
        @for problem in found.problems.iter() { p.warn { (whole(problem)) } }
        @for day in &found.wrong_days { p.warn { (day.date.to_string()) ": " (whole(&day.text)) } }
        @if !found.gaps.is_empty() { (table(&caption, [Heading::Text("To"), Heading::Text("What is known")], rows, "From")) }
        @if found.gaps.len() > MOST_GAPS { p { (found.gaps.len() - MOST_GAPS) " more are in the manifest." } }
        @if !found.remarks.is_empty() {
            p { "To be known besides, and no fault:" }
            ul { @for remark in &found.remarks { li { (whole(remark)) } } }
        }
    }
}

/// Says how somebody shows that the records stood in the archive when it was sealed.
fn prove(manifest: &Manifest) -> Markup {
    let counts = manifest
        .streams
        .iter()
        .filter_map(|part| Some((part, part.proofs.as_ref()?)));
    let rows = counts.map(|(part, proofs)| {
        let cells = [
            Cell::text(grouped(proofs.proved)),
            Cell::text(grouped(proofs.unproved)),
            Cell::Whole(proofs.reasons.join("; ")),
        ];
        (part.name().to_owned(), cells)
    });
    html! {
        @if let Some(log) = &manifest.proofs {
            section {
                h2 { "How to show where it comes from" }
                p {
                    "The archive is sealed in the log " code { (shown(&log.origin)) } ". The files whose names end with .proofs.jsonl show of each \
                     record that it stood in the archive when the log had " (grouped(log.size)) " entries, which the signed file " code { (log.checkpoint) }
                     " says. Whoever has the public key of the log, in a policy of his own, needs nothing else:"
                }
                pre { code { "trailkeeper verify --bundle . --policy my.policy" } }
                p {
                    "The policy is a file of two lines, " code { "log KEY" } " and " code { "quorum none" } ". Take the key from whoever \
                     runs the archive, in another way than this bundle. It also says of which days every record is here that was sealed. Without \
                     trailkeeper, the program samples/evidence/verify_bundle.py of its sources does the same in Python. A record has no proof if \
                     it was not sealed yet."
                }
                (table("The proofs", [Heading::Number("Proved"), Heading::Number("Not proved"), Heading::Text("Why not")], rows, "Stream"))
            }
        }
    }
}

fn check(manifest: &Manifest) -> Markup {
    let rows = manifest.files.iter().map(|file| {
        let cells = [Cell::text(size(file.bytes)), Cell::text(file.sha256.clone())];
        (file.name.clone(), cells)
    });
    html! {
        section {
            h2 { "How to check it" }
            p { "The file SHA256SUMS has the hashes of all others. In this folder:" }
            pre { code { "sha256sum -c SHA256SUMS" } }
            p { "says OK for each file that is as it was written; on macOS it is " code { "shasum -a 256 -c SHA256SUMS" } "." }
            p {
                "That file itself is not protected: who sends this bundle should tell its hash in another way. The file manifest.json has all \
                 that stands here for programs, and of each day file that was searched how many bytes of it, and their hash: "
                code { "head -c BYTES FILE | sha256sum" } " where the archive is."
            }
            (table("The files", [Heading::Text("Size"), Heading::Text("SHA-256")], rows, "File"))
        }
    }
}
