//! The exit code.

use std::process::ExitCode;

/// How the program ended, for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All streams are complete.
    Complete = 0,
    /// The settings are wrong, the program could not start, its output or log could not be written, or `check` found a problem.
    Setup = 1,
    /// The command line is wrong.
    Usage = 2,
    /// At least one stream is not complete, is older than `status --max-age` allows, has findings of `verify`, or has
    /// rejected a record under `--strict`.
    StreamFailed = 3,
    /// Another run holds one of the catalogs.
    Locked = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
