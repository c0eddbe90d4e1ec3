//! Text for people and programs on stdout and stderr, besides the log.

use std::io::Write;

/// Writes to stdout. That its reader went away is no error.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes to stderr, where stdout is taken.
pub(crate) fn print_to_stderr(text: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Tells the operator on stderr what went wrong, where there may be no log yet.
pub fn print_error(text: &str) {
    print_to_stderr(&format!("trailkeeper: {}\n", text.trim_end()));
}
