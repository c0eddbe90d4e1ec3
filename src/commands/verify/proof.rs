//! `verify --proof`: verifies the proof of one line, with nothing but a policy.

use std::path::Path;

use serde::Serialize;

use super::basis::parse_policy;
use crate::commands::error::CommandError;
use crate::commands::outcome::{print_json, print_text, say_problems};
use crate::evidence::proof::{Proof, Proven};
use crate::fs::read_to_string;
use crate::output::logging::Verbosity;
use crate::output::printable::printable_json;
use crate::output::table::{rfc3339, to_the_second};
use crate::process::exit::Exit;

/// The result as JSON; what is not proved is null.
#[derive(Debug, Default, Serialize)]
struct Shown {
    is_proved: bool,
    problem: Option<String>,
    stream: Option<String>,
    file: Option<String>,
    line_number: Option<u64>,
    line: Option<String>,
    sealed_at: Option<String>,
    entry: Option<u64>,
    origin: Option<String>,
    size: Option<u64>,
    key: Option<String>,
    fingerprint: Option<String>,
    exit_code: u8,
}

/// Verifies a proof.
pub(super) fn run(proof: &Path, policy: &Path, is_json: bool, verbosity: Verbosity) -> Result<Exit, CommandError> {
    let (text, rules) = (read_to_string(proof)?, read_to_string(policy)?);
    let policy = parse_policy(policy, &rules)?;
    let proved = Proof::parse(&text).and_then(|proof| proof.verify(&policy));
    let proved = proved.map_err(|error| format!("{} proves nothing: {error}", proof.display()));
    let exit = if proved.is_ok() {
        Exit::Complete
    } else {
        Exit::StreamFailed
    };
    if is_json {
        print_json(None, &shown(&proved, exit))?;
    } else {
        print_text(verbosity, || match &proved {
            Ok(proven) => text_of(proven),
            Err(problem) => format!("{problem}\n"),
        })?;
    }
    say_problems(verbosity, proved.as_ref().err());
    Ok(exit)
}

fn shown(proved: &Result<Proven, String>, exit: Exit) -> Shown {
    match proved {
        Err(problem) => Shown {
            problem: Some(problem.clone()),
            exit_code: exit as u8,
            ..Shown::default()
        },
        Ok(proven) => Shown {
            is_proved: true,
            problem: None,
            stream: Some(proven.file.stream.clone()),
            file: Some(proven.file.file.clone()),
            line_number: Some(proven.line_number),
            line: Some(String::from_utf8_lossy(&proven.line).into_owned()),
            sealed_at: Some(rfc3339(proven.entry.at)),
            entry: Some(proven.index),
            origin: Some(proven.checkpoint.origin.clone()),
            size: Some(proven.checkpoint.size),
            key: Some(proven.key.to_string()),
            fingerprint: Some(proven.key.fingerprint()),
            exit_code: exit as u8,
        },
    }
}

fn text_of(proven: &Proven) -> String {
    let line = String::from_utf8_lossy(&proven.line);
    let Proven {
        file,
        line_number,
        checkpoint,
        index,
        key,
        ..
    } = proven;
    format!(
        "{}\n\nproved: this is line {line_number} of {file}, sealed at {} by entry {index} of the log {}, which had {} entries and is \
         signed by the key {}\n",
        printable_json(&line),
        to_the_second(proven.entry.at),
        checkpoint.origin.escape_debug(),
        checkpoint.size,
        key.fingerprint()
    )
}
