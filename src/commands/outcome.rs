//! The JSON form of a command's result.

use serde::Serialize;

use super::error::CommandError;
use crate::output::print::print;
use crate::process::exit::Exit;

/// Prints a command's result as one line of JSON.
pub(super) fn print_json<T: Serialize>(outcome: &T) -> Result<(), CommandError> {
    Ok(print(&(serde_json::to_string(outcome)? + "\n"))?)
}

/// A command's result for each stream.
#[derive(Debug, Serialize)]
struct Listing<'a, T> {
    streams: &'a [T],
    exit_code: u8,
}

/// Prints a command's result for each stream as one line of JSON: `{"streams": […], "exit_code": 0}`.
pub(super) fn print_streams<T: Serialize>(streams: &[T], exit: Exit) -> Result<(), CommandError> {
    print_json(&Listing {
        streams,
        exit_code: exit as u8,
    })
}
