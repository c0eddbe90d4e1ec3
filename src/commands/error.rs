//! Why a command failed.

use std::fmt::{self, Display};

use super::arguments::range::EmptyRangeError;
use crate::env::ConfigErrors;
use crate::fs::FileError;
use crate::output::logging::LoggingError;
use crate::output::print::{PrintError, print_error};
use crate::process::exit::Exit;
use crate::run::StartError;

/// The message, and where it goes.
#[derive(Debug)]
pub(crate) struct CommandError {
    text: String,
    place: Place,
    exit: Exit,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Only on stderr: it is about the command line or the settings.
    Stderr,
    /// In the log: it is about a run.
    Log,
}

impl Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl CommandError {
    /// Creates an error about the command line.
    pub(super) fn usage(text: impl Display) -> Self {
        Self::new(text, Place::Stderr, Exit::Usage)
    }

    /// Creates an error of a command that could not do its work.
    pub(super) fn setup(text: impl Display) -> Self {
        Self::new(text, Place::Stderr, Exit::Setup)
    }

    /// Creates an error of a run that could not begin.
    pub(super) fn start(text: impl Display) -> Self {
        Self::new(text, Place::Log, Exit::Setup)
    }

    fn new(text: impl Display, place: Place, exit: Exit) -> Self {
        let text = text.to_string();
        Self { text, place, exit }
    }

    /// Prints or logs the error, and returns the exit code.
    pub(super) fn report(&self) -> Exit {
        let Self { text, place, exit } = self;
        match place {
            Place::Stderr => print_error(text),
            Place::Log => tracing::error!("{text}"),
        }
        *exit
    }
}

impl From<EmptyRangeError> for CommandError {
    fn from(error: EmptyRangeError) -> Self {
        Self::usage(error)
    }
}

impl From<ConfigErrors> for CommandError {
    fn from(errors: ConfigErrors) -> Self {
        Self::setup(format!("the settings are invalid:\n{errors}"))
    }
}

impl From<LoggingError> for CommandError {
    fn from(error: LoggingError) -> Self {
        Self::setup(error)
    }
}

impl From<FileError> for CommandError {
    fn from(error: FileError) -> Self {
        Self::setup(error)
    }
}

impl From<PrintError> for CommandError {
    fn from(error: PrintError) -> Self {
        Self::setup(error)
    }
}

impl From<serde_json::Error> for CommandError {
    fn from(error: serde_json::Error) -> Self {
        Self::setup(format!("cannot write the result: {error}"))
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        let exit = if error.is_held() { Exit::Locked } else { Exit::Setup };
        Self::new(error, Place::Log, exit)
    }
}
