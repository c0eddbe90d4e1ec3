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
    /// Ctrl-C ended it before it had done anything, as shells show that: 128 and the number of the signal.
    Interrupted = 130,
    /// The same by SIGTERM.
    Terminated = 143,
}

/// How the program ended as a monitoring plugin, for Nagios and those that call plugins as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PluginExit {
    /// All is well.
    Ok = 0,
    /// Something is to be looked at.
    Warning = 1,
    /// Something is to be mended.
    Critical = 2,
    /// Nothing is known: the command line or the settings are wrong.
    Unknown = 3,
}

impl PluginExit {
    /// Returns the word that the line begins with.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl From<PluginExit> for ExitCode {
    fn from(exit: PluginExit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
