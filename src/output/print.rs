//! Text for people and programs on stdout and stderr, besides the log.

use std::io::Write;

/// Writes to stdout; ignores that its reader went away.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes to stderr, if stdout is taken.
pub(crate) fn print_to_stderr(text: &str) {
    // If stderr is gone, there is nowhere left to report it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Prints an error on stderr, where there may be no log yet.
pub fn print_error(text: &str) {
    print_to_stderr(&format!("trailkeeper: {}\n", text.trim_end()));
}
