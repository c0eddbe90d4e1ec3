//! Text for people and programs on stdout and stderr, besides the log.

use std::io::{self, ErrorKind, Write};

use super::stderr;

/// Standard output cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub struct PrintError(#[from] io::Error);

/// Writes to stdout. That its reader went away, as `head` does, is no error.
///
/// # Errors
/// What was to be written is not all there, as on a full disk.
pub(crate) fn print(text: &str) -> Result<(), PrintError> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// The same for what more may follow: returns whether the reader is still there.
///
/// # Errors
/// Those of [`print()`].
pub(crate) fn print_while_read(text: &str) -> Result<bool, PrintError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        outcome => Ok(outcome.map(|()| true)?),
    }
}

/// Returns what came of writing to stdout.
///
/// # Errors
/// Those of [`print()`].
pub fn written(outcome: io::Result<()>) -> Result<(), PrintError> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(PrintError(error)),
        _ => Ok(()),
    }
}

/// Writes to stderr, if stdout is taken.
pub(crate) fn print_to_stderr(text: &str) {
    stderr::write(text);
}

/// Prints an error on stderr, where there may be no log yet.
pub fn print_error(text: &str) {
    print_to_stderr(&format!("trailkeeper: {}\n", text.trim_end()));
}
