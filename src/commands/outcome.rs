//! How a command shows its result: as JSON, as text for people, and what of it is said with `-q`.

use std::collections::BTreeMap;
use std::fmt::Display;

use chrono::NaiveDate;
use serde::Serialize;

use crate::env::Organization;
use crate::output::logging::{Log, Verbosity};
use crate::output::print::{PrintError, print, print_to_stderr};
use crate::process::exit::Exit;

/// A result cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShowError {
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// How a command prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people; an error is on stderr or in the log alone.
    Text,
    /// JSON on stdout.
    Json,
    /// JSON on stderr, since stdout has the lines of the archive.
    JsonOnStderr,
}

impl Form {
    /// JSON on stdout, if it was asked for.
    pub(super) fn json_if(asked: bool) -> Self {
        if asked { Form::Json } else { Form::Text }
    }

    /// Prints why there is no result as one line of JSON, if that is the form.
    ///
    /// # Errors
    /// Those of [`print_json`].
    pub(super) fn print_error<T: Serialize>(self, error: &T) -> Result<(), ShowError> {
        let text = serde_json::to_string(error)? + "\n";
        match self {
            Form::Text => {}
            Form::Json => print(&text)?,
            Form::JsonOnStderr => print_to_stderr(&text),
        }
        Ok(())
    }
}

/// Returns what the log so far adds to the exit code of a command: one whose lines could not be written is a failure.
pub(super) fn exit_of(log: &Log) -> Exit {
    log.drain();
    if log.is_refused() { Exit::Setup } else { Exit::Complete }
}

/// Returns the exit code of a stream with which not everything was done, if it is so, since another process is at work there, or
/// otherwise.
pub(super) fn exit_of_stream(is_locked: bool, has_failed: bool) -> Exit {
    match (is_locked, has_failed) {
        (true, _) => Exit::Locked,
        (false, true) => Exit::StreamFailed,
        (false, false) => Exit::Complete,
    }
}

/// Prints a command's result for people; with `-q` nothing, since errors are in the log.
pub(super) fn print_text(verbosity: Verbosity, text: impl FnOnce() -> String) -> Result<(), PrintError> {
    if verbosity.quiet { Ok(()) } else { print(&text()) }
}

/// Says on stderr, with `-q`, what is wrong, in a command that has no log: the text that would say it is not printed.
pub(super) fn say_problems<P: Display>(verbosity: Verbosity, problems: impl IntoIterator<Item = P>) {
    for problem in problems.into_iter().filter(|_| verbosity.quiet) {
        print_to_stderr(&format!("{problem}\n"));
    }
}

/// Logs, with `-q`, what is wrong with a stream: the text that would say it is not printed.
pub(super) fn log_problems<P: Display>(verbosity: Verbosity, stream: &str, problems: impl IntoIterator<Item = P>) {
    for problem in problems.into_iter().filter(|_| verbosity.quiet) {
        tracing::error!(stream, "{problem}");
    }
}

/// Prints a command's result as one line of JSON, with the organization that it is of as its first member if there are several.
pub(super) fn print_json<T: Serialize>(organization: Option<Organization>, outcome: &T) -> Result<(), ShowError> {
    let mut text = serde_json::to_string(outcome)? + "\n";
    if let Some(organization) = organization {
        text.insert_str(
            1,
            &format!("\"organization\":{},", serde_json::to_string(&organization)?),
        );
    }
    Ok(print(&text)?)
}

/// A day with which not everything was done, as JSON, and why.
#[derive(Debug, Serialize)]
pub(super) struct OddDay {
    pub(super) date: NaiveDate,
    pub(super) reason: String,
}

impl OddDay {
    /// Says of each row of days with one reason that they are left, and why.
    pub(super) fn left_lines(stream: &str, left: &[Self]) -> String {
        let rows = left.chunk_by(|one, next| one.reason == next.reason);
        let lines = rows.filter_map(|row| {
            let (first, last) = (row.first()?, row.last()?);
            let days = match row.len() {
                1 => format!("{} is", first.date),
                count => format!("{count} days from {} to {} are", first.date, last.date),
            };
            Some(format!("{stream}: {days} left: {}\n", first.reason))
        });
        lines.collect()
    }

    pub(super) fn all<R: Display>(days: &BTreeMap<NaiveDate, R>) -> Vec<Self> {
        let days = days.iter().map(|(date, reason)| Self {
            date: *date,
            reason: reason.to_string(),
        });
        days.collect()
    }
}

/// A command's result for each stream.
#[derive(Debug, Serialize)]
struct Listing<'a, T> {
    streams: &'a [T],
    exit_code: u8,
}

/// Prints a command's result for each stream as one line of JSON: `{"streams": […], "exit_code": 0}`.
pub(super) fn print_streams<T: Serialize>(
    organization: Option<Organization>,
    streams: &[T],
    exit: Exit,
) -> Result<(), ShowError> {
    let exit_code = exit as u8;
    print_json(organization, &Listing { streams, exit_code })
}
