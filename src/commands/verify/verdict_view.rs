//! A verdict on the evidence, as JSON and as text.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::basis::Basis;
use crate::evidence::anchors::Anchor;
use crate::evidence::announcement::{Announced, Place};
use crate::evidence::folder::Timestamp;
use crate::evidence::stream_verdict::{FileVerdict, GoneDays, StreamVerdict};
use crate::evidence::verify::Verdict;
use crate::output::logging::Verbosity;
use crate::output::printable::printable;
use crate::output::table::{Cell, Colour, Table, left, rfc3339, right, to_the_second};
use crate::process::exit::Exit;

/// How many files of a stream are listed that have something to be told.
const SHOWN: usize = 100;

/// The verdict as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    origin: Option<&'a str>,
    size: Option<u64>,
    key: Option<String>,
    fingerprint: Option<String>,
    sealed_at: Option<String>,
    policy: String,
    is_operators_policy: bool,
    anchored_size: Option<u64>,
    anchored_at: Option<String>,
    anchors: Vec<ShownAnchor<'a>>,
    timestamps: Vec<ShownTimestamp>,
    kafka: Vec<ShownAnnounced<'a>>,
    waiting: u64,
    problems: &'a [String],
    remarks: &'a [String],
    streams: Vec<ShownStream<'a>>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct ShownAnchor<'a> {
    witness: &'a str,
    key: &'a str,
    size: u64,
    at: String,
}

#[derive(Debug, Serialize)]
struct ShownTimestamp {
    size: u64,
    at: String,
}

#[derive(Debug, Serialize)]
struct ShownAnnounced<'a> {
    size: u64,
    topic: &'a str,
    partition: i32,
    offset: i64,
}

#[derive(Debug, Serialize)]
struct ShownStream<'a> {
    stream: &'a str,
    sealed_at: Option<String>,
    problems: &'a [String],
    gone: Option<ShownGone>,
    files: Vec<ShownFile<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownGone {
    days: u64,
    first: NaiveDate,
    last: NaiveDate,
}

#[derive(Debug, Serialize)]
struct ShownFile<'a> {
    file: &'a str,
    is_closed: bool,
    sealed_at: Option<String>,
    entry: Option<u64>,
    lines: u64,
    bytes: u64,
    unsealed_lines: u64,
    unsealed_bytes: u64,
    problem: Option<String>,
    first_line: Option<u64>,
    last_line: Option<u64>,
    from_byte: Option<u64>,
    to_byte: Option<u64>,
    expired: Option<ShownExpired<'a>>,
    broken: Vec<ShownBroken<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownExpired<'a> {
    at: String,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
struct ShownBroken<'a> {
    at: String,
    reason: &'a str,
    lines_before: u64,
    lines_after: u64,
}

/// Returns the verdict for programs.
pub(super) fn shown<'a>(verdict: &'a Verdict, basis: &Basis, exit: Exit) -> Shown<'a> {
    let checkpoint = verdict.checkpoint.as_ref();
    Shown {
        origin: checkpoint.map(|(checkpoint, _)| checkpoint.origin.as_str()),
        size: checkpoint.map(|(checkpoint, _)| checkpoint.size),
        key: checkpoint.map(|(_, key)| key.to_string()),
        fingerprint: checkpoint.map(|(_, key)| key.fingerprint()),
        sealed_at: verdict.sealed_at.map(rfc3339),
        policy: basis.path.display().to_string(),
        is_operators_policy: basis.is_operators,
        anchored_size: verdict.anchored.map(|anchored| anchored.size),
        anchored_at: verdict.anchored.map(|anchored| rfc3339(anchored.at)),
        anchors: verdict.anchors.iter().map(shown_anchor).collect(),
        timestamps: verdict.timestamps.iter().map(shown_timestamp).collect(),
        kafka: verdict.announced.iter().map(shown_announced).collect(),
        waiting: verdict.waiting,
        problems: &verdict.problems,
        remarks: &verdict.remarks,
        streams: verdict.streams.iter().map(shown_stream).collect(),
        exit_code: exit as u8,
    }
}

fn shown_anchor(anchor: &Anchor) -> ShownAnchor<'_> {
    ShownAnchor {
        witness: &anchor.witness,
        key: &anchor.key,
        size: anchor.size,
        at: rfc3339(anchor.at),
    }
}

fn shown_timestamp(stamp: &Timestamp) -> ShownTimestamp {
    ShownTimestamp {
        size: stamp.size,
        at: rfc3339(stamp.at),
    }
}

fn shown_announced(announced: &Announced) -> ShownAnnounced<'_> {
    let Announced { size, place } = announced;
    ShownAnnounced {
        size: *size,
        topic: &place.topic,
        partition: place.partition,
        offset: place.offset,
    }
}

fn shown_stream(stream: &StreamVerdict) -> ShownStream<'_> {
    ShownStream {
        stream: &stream.stream,
        sealed_at: stream.sealed_at.map(rfc3339),
        problems: &stream.problems,
        gone: stream
            .gone()
            .map(|GoneDays { days, first, last }| ShownGone { days, first, last }),
        files: stream.files.iter().map(shown_file).collect(),
    }
}

fn shown_file(file: &FileVerdict) -> ShownFile<'_> {
    let problem = file.problem.as_ref();
    let (lines, bytes) = (
        problem.and_then(|problem| problem.lines),
        problem.and_then(|problem| problem.bytes),
    );
    let broken = file.broken.iter().map(|broken| ShownBroken {
        at: rfc3339(broken.at),
        reason: &broken.reason,
        lines_before: broken.was.lines,
        lines_after: broken.is.lines,
    });
    ShownFile {
        file: &file.file,
        is_closed: file.is_closed,
        sealed_at: file.sealed.map(|sealed| rfc3339(sealed.at)),
        entry: file.sealed.map(|sealed| sealed.entry),
        lines: file.sealed.map_or(0, |sealed| sealed.content.lines),
        bytes: file.sealed.map_or(0, |sealed| sealed.content.bytes),
        unsealed_lines: file.unsealed_lines,
        unsealed_bytes: file.unsealed_bytes,
        problem: problem.map(|problem| problem.what.clone()),
        first_line: lines.map(|(first, _)| first),
        last_line: lines.map(|(_, last)| last),
        from_byte: bytes.map(|(from, _)| from),
        to_byte: bytes.map(|(_, to)| to),
        expired: file.expired.as_ref().map(|expired| ShownExpired {
            at: rfc3339(expired.at),
            reason: &expired.reason,
        }),
        broken: broken.collect(),
    }
}

/// Returns the verdict for people.
pub(super) fn text(verdict: &Verdict, basis: &Basis, (verbosity, with_colours): (Verbosity, bool)) -> String {
    let mut text = String::new();
    if !verdict.streams.is_empty() {
        text += &table(verdict).with_colours(with_colours).to_string();
    }
    for stream in &verdict.streams {
        text += &details(stream, verbosity.verbose);
    }
    for line in verdict.problems.iter().chain(&verdict.remarks) {
        text += &format!("{}\n", printable(line));
    }
    text + &signature(verdict, basis)
}

fn table(verdict: &Verdict) -> Table<7> {
    let mut table = Table::new([
        left("STREAM"),
        left("STATE"),
        left("SEALED UP TO"),
        right("DAYS"),
        right("CLOSED"),
        right("LINES"),
        right("NOT YET SEALED"),
    ]);
    for stream in &verdict.streams {
        let state = if stream.sealed_at.is_none() && stream.problems.is_empty() {
            Cell::coloured("not sealed", Colour::Yellow)
        } else if verdict.is_stream_believed(stream) {
            Cell::coloured("as sealed", Colour::Green)
        } else {
            Cell::coloured("wrong", Colour::Red)
        };
        let days = || stream.files.iter().filter(|file| file.date.is_some());
        let lines: u64 = days()
            .filter_map(|file| file.sealed)
            .map(|sealed| sealed.content.lines)
            .sum();
        let unsealed: u64 = days().map(|file| file.unsealed_lines).sum();
        table.row([
            printable(&stream.stream).into_owned().into(),
            state,
            stream.sealed_at.map_or("never".to_owned(), to_the_second).into(),
            days().count().to_string().into(),
            days().filter(|file| file.is_closed).count().to_string().into(),
            lines.to_string().into(),
            unsealed.to_string().into(),
        ]);
    }
    table
}

fn details(stream: &StreamVerdict, all: bool) -> String {
    let name = printable(&stream.stream);
    let mut lines: Vec<String> = stream
        .problems
        .iter()
        .map(|problem| format!("{name}: {problem}\n"))
        .collect();
    lines.extend(stream.gone().map(|gone| format!("{name}: {gone}\n")));
    for file in &stream.files {
        let shown = printable(&file.file);
        lines.extend(
            file.problem
                .iter()
                .map(|problem| format!("{name}: {shown}: {problem}\n")),
        );
        lines.extend(file.broken.iter().map(|broken| {
            let (before, after, at) = (broken.was.lines, broken.is.lines, to_the_second(broken.at));
            let reason = printable(&broken.reason);
            format!("{name}: {shown}: acknowledged as broken at {at}, {before} lines before, {after} after: {reason}\n")
        }));
        if all && file.problem.is_none() {
            let sealed = file.sealed.map_or("not sealed".to_owned(), |sealed| {
                format!("{} lines sealed at {}", sealed.content.lines, to_the_second(sealed.at))
            });
            let expired = file.expired.as_ref().map_or(String::new(), |expired| {
                format!(
                    ", deleted for its age at {}: {}",
                    to_the_second(expired.at),
                    printable(&expired.reason)
                )
            });
            let closed = if file.is_closed { ", closed" } else { "" };
            lines.push(format!(
                "{name}: {shown}: {sealed}{closed}, {} lines not yet sealed{expired}\n",
                file.unsealed_lines
            ));
        }
    }
    let more = lines.len().saturating_sub(SHOWN);
    if !all && more > 0 {
        lines.truncate(SHOWN);
        lines.push(format!("{name}: and {more} more\n"));
    }
    lines.concat()
}

/// Says who signed, and on whose word that is believed.
fn signature(verdict: &Verdict, basis: &Basis) -> String {
    let Some((checkpoint, key)) = &verdict.checkpoint else {
        return String::new();
    };
    let policy = basis.path.display();
    let whose = if basis.is_operators {
        format!(
            "{policy}, which is the operator's own: that shows accidents, and no forgery by him; compare the fingerprint with what \
             you were given, or name your own policy with --policy"
        )
    } else {
        policy.to_string()
    };
    let mut newest: BTreeMap<&str, &Anchor> = BTreeMap::new();
    newest.extend(verdict.anchors.iter().map(|anchor| (anchor.witness.as_str(), anchor)));
    let anchors = newest.into_values().map(|anchor| {
        let (witness, at) = (printable(&anchor.witness), to_the_second(anchor.at));
        format!("cosigned by {witness}: {} entries, at {at}\n", anchor.size)
    });
    let stamp = verdict.timestamps.last().map(|stamp| {
        let (size, at) = (stamp.size, to_the_second(stamp.at));
        format!(
            "time stamp of {size} entries, at {at}, not checked here: openssl ts -verify -data checkpoints/{size} -in anchors/{size}.tsr \
             -CAfile TSA.pem\n"
        )
    });
    let sent = verdict.announced.last().map(|Announced { size, place }| {
        let Place {
            topic,
            partition,
            offset,
        } = place;
        format!(
            "sent to Kafka: {size} entries, not checked here: kcat -C -b BROKER -t {topic} -p {partition} -o {offset} -c 1 -e -D '' | cmp - \
             checkpoints/{size}\n"
        )
    });
    let anchors: String = anchors.chain(stamp).chain(sent).collect();
    format!(
        "the log {} has {} entries, signed by the key {}\ntrusted by {whose}\n{anchors}",
        printable(&checkpoint.origin),
        checkpoint.size,
        key.fingerprint()
    )
}
