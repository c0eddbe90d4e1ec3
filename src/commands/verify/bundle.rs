//! `verify --bundle`: verifies the proofs of what `export` has written, with nothing but a policy.

use std::io::BufReader;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::basis::parse_policy;
use crate::commands::error::CommandError;
use crate::commands::outcome::{print_json, print_text, say_problems};
use crate::evidence::bundle_verdict::{BundleLog, RecordsVerdict, WholeDay, verify_records};
use crate::evidence::checkpoint::Checkpoint;
use crate::evidence::folder::Folder;
use crate::evidence::note::VerifierKey;
use crate::evidence::policy::Policy;
use crate::export::{CHECKPOINT, PROOFS, RECORDS};
use crate::fs::{FileError, list, open_for_reading, read_to_string};
use crate::output::logging::Verbosity;
use crate::output::printable::printable;
use crate::output::table::{Cell, Colour, Table, left, right, to_the_second};
use crate::process::exit::Exit;

/// The result as JSON.
#[derive(Debug, Default, Serialize)]
struct Shown {
    is_proved: bool,
    problem: Option<String>,
    origin: Option<String>,
    size: Option<u64>,
    key: Option<String>,
    fingerprint: Option<String>,
    streams: Vec<ShownStream>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct ShownStream {
    stream: String,
    proved: u64,
    unproved: u64,
    reasons: Vec<String>,
    whole_days: Vec<ShownDay>,
    /// Days that are not whole by the newest entry of the log, if that is there.
    older_days: Vec<String>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownDay {
    file: String,
    entry: u64,
    sealed_at: DateTime<Utc>,
}

/// Verifies a bundle; with the log that it was made of, also whether its whole days are whole by their newest entries.
pub(super) fn run(
    bundle: &Path,
    (policy, log): (&Path, Option<&Path>),
    is_json: bool,
    verbosity: Verbosity,
) -> Result<Exit, CommandError> {
    let rules = read_to_string(policy)?;
    let shown = verified(bundle, &parse_policy(policy, &rules)?, log)?;
    let exit = if shown.is_proved {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    let shown = Shown {
        exit_code: exit as u8,
        ..shown
    };
    say_problems(verbosity, problems(&shown));
    if is_json {
        print_json(None, &shown)?;
    } else {
        print_text(verbosity, || text(&shown, log.is_some()))?;
    }
    Ok(exit)
}

fn refused(problem: String) -> Shown {
    Shown {
        problem: Some(problem),
        ..Shown::default()
    }
}

fn verified(bundle: &Path, policy: &Policy, log: Option<&Path>) -> Result<Shown, CommandError> {
    // A folder that is not there is no bundle without proofs.
    let names = list(bundle)?;
    let path = bundle.join(CHECKPOINT);
    if path.symlink_metadata().is_err() {
        let problem = "it has no proofs: the archive was not sealed, or the records are not in the form ndjson";
        return Ok(refused(format!("{}: {problem}", bundle.display())));
    }
    let text = read_to_string(&path)?;
    let (checkpoint, signers) = match Checkpoint::verify_by(&text, policy) {
        Ok(verified) => verified,
        Err(error) => return Ok(refused(format!("the checkpoint is not believed: {error}"))),
    };
    let log = log
        .map(|log| BundleLog::read(&Folder::new(log), &checkpoint))
        .transpose()?;
    let log = match log.transpose() {
        Ok(log) => log,
        Err(problem) => return Ok(refused(problem)),
    };
    let key = signers.last().copied();
    let mut streams = Vec::new();
    for name in names {
        let stream = name.to_str().and_then(|name| name.strip_suffix(RECORDS));
        if let Some(stream) = stream {
            let verdict = verify_stream(bundle, stream, &checkpoint)?;
            streams.push(ShownStream::of(stream, verdict, log.as_ref()));
        }
    }
    streams.sort_by(|one, other| one.stream.cmp(&other.stream));
    let is_whole =
        |stream: &ShownStream| stream.problem.is_none() && stream.unproved == 0 && stream.older_days.is_empty();
    Ok(Shown {
        is_proved: !streams.is_empty() && streams.iter().all(is_whole),
        problem: streams.is_empty().then(|| "it has no records".to_owned()),
        origin: Some(checkpoint.origin),
        size: Some(checkpoint.size),
        key: key.map(ToString::to_string),
        fingerprint: key.map(VerifierKey::fingerprint),
        streams,
        exit_code: 0,
    })
}

fn verify_stream(bundle: &Path, stream: &str, checkpoint: &Checkpoint) -> Result<RecordsVerdict, FileError> {
    let (records, proofs) = (
        bundle.join(format!("{stream}{RECORDS}")),
        bundle.join(format!("{stream}{PROOFS}")),
    );
    let proofs = match open_for_reading(&proofs) {
        Err(error) if error.is_missing() => {
            let problem = Some("its proofs are not there".to_owned());
            return Ok(RecordsVerdict {
                problem,
                ..RecordsVerdict::default()
            });
        }
        opened => BufReader::new(opened?),
    };
    let opened = BufReader::with_capacity(1 << 16, open_for_reading(&records)?);
    verify_records(stream, opened, proofs, checkpoint).map_err(|cause| FileError::io("read", &records, cause))
}

impl ShownStream {
    fn of(stream: &str, verdict: RecordsVerdict, log: Option<&BundleLog>) -> Self {
        let older = |day: &WholeDay| log.and_then(|log| log.problem(day));
        let whole = verdict.whole_days.iter().filter(|day| older(day).is_none());
        let whole = whole.map(|day| ShownDay {
            file: day.file.file.clone(),
            entry: day.entry,
            sealed_at: day.at,
        });
        Self {
            whole_days: whole.collect(),
            older_days: verdict.whole_days.iter().filter_map(older).collect(),
            stream: stream.to_owned(),
            proved: verdict.proved,
            unproved: verdict.unproved,
            reasons: verdict.reasons,
            problem: verdict.problem,
        }
    }
}

/// Returns everything that is not proved, a sentence each.
fn problems(shown: &Shown) -> impl Iterator<Item = String> {
    let of_streams = shown.streams.iter().flat_map(|stream| {
        let name = printable(&stream.stream);
        let problem = stream
            .problem
            .iter()
            .map(|problem| format!("{name}: {}", printable(problem)));
        let reasons = stream
            .reasons
            .iter()
            .map(|reason| format!("{name}: not proved: {}", printable(reason)));
        let older = stream.older_days.iter();
        let older = older.map(|problem| format!("{name}: not the whole day: {}", printable(problem)));
        problem.chain(reasons).chain(older).collect::<Vec<_>>()
    });
    shown.problem.clone().into_iter().chain(of_streams)
}

fn text(shown: &Shown, has_log: bool) -> String {
    let mut table = Table::new([
        left("STREAM"),
        left("STATE"),
        right("PROVED"),
        right("NOT PROVED"),
        right("WHOLE DAYS"),
    ]);
    for stream in &shown.streams {
        let state = match (&stream.problem, stream.unproved) {
            (Some(_), _) => Cell::coloured("refused", Colour::Red),
            (None, _) if !stream.older_days.is_empty() => Cell::coloured("older", Colour::Red),
            (None, 0) => Cell::coloured("ok", Colour::Green),
            (None, _) => Cell::coloured("in part", Colour::Yellow),
        };
        let counts = [stream.proved, stream.unproved, stream.whole_days.len() as u64];
        let [proved, unproved, whole] = counts.map(|count| Cell::from(count.to_string()));
        table.row([
            printable(&stream.stream).into_owned().into(),
            state,
            proved,
            unproved,
            whole,
        ]);
    }
    let table = if table.is_empty() {
        String::new()
    } else {
        table.to_string()
    };
    let problems: String = problems(shown).map(|problem| format!("{problem}\n")).collect();
    let days = shown.streams.iter().flat_map(|stream| &stream.whole_days);
    let oldest = days.min_by_key(|day| day.sealed_at).filter(|_| !has_log);
    let as_of = oldest.map_or_else(String::new, |day| {
        format!(
            "whole days are whole as of the entries of their proofs, the oldest of which is entry {} of {}: whether newer ones are about \
             more, the log shows (--evidence-folder)\n",
            day.entry,
            to_the_second(day.sealed_at)
        )
    });
    let log = match (&shown.origin, shown.size, &shown.fingerprint) {
        (Some(origin), Some(size), Some(fingerprint)) => {
            let origin = origin.escape_debug();
            format!("by the log {origin}, which had {size} entries and is signed by the key {fingerprint}\n")
        }
        _ => String::new(),
    };
    format!("{table}{problems}{as_of}{log}")
}
