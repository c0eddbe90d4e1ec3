//! Why a command failed.
//!
//! With `--json` the error is printed where the result would have been too (stdout; stderr for `forward stdout`), as one
//! line, whose form `docs/json.md` has.

use std::fmt::{self, Display};

use serde::Serialize;

use super::arguments::range::EmptyRangeError;
use super::outcome::{Form, ShowError};
use super::witnesses::AskError;
use crate::config::APP_LOG_FILE;
use crate::env::{ConfigError, ConfigErrors, Organization, Row};
use crate::evidence::keeper::{KeeperError, LogError};
use crate::evidence::prover::ProveError;
use crate::evidence::publish::PublishError;
use crate::evidence::signing_request::RequestError;
use crate::evidence::witness::WitnessError;
use crate::fs::FileError;
use crate::output::logging::LoggingError;
use crate::output::print::PrintError;
use crate::process::exit::Exit;
use crate::run::StartError;

/// The message, and where it goes.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: ErrorKind,
    message: String,
    problems: Vec<ConfigError>,
    place: Place,
    /// Whose it is, if there are several organizations.
    organization: Option<Organization>,
    /// Whether it is about standard output itself.
    is_of_output: bool,
    /// The exit code of the signal that ended the command before it had done anything.
    ended_by: Option<Exit>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum ErrorKind {
    Settings,
    Usage,
    Held,
    Failed,
    /// The evidence is not what it should be, or there is none.
    Refused,
    /// It was to end before its work was done.
    Interrupted,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Only on stderr: it is about the command line or the settings.
    Stderr,
    /// In the log: it is about a run.
    Log,
}

/// The error as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    error: ShownError<'a>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct ShownError<'a> {
    kind: ErrorKind,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<Organization>,
    problems: Vec<ShownProblem<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownProblem<'a> {
    variable: &'a str,
    problem: &'a str,
}

impl CommandError {
    /// Creates an error about the command line.
    pub(super) fn usage(text: impl Display) -> Self {
        Self::new(ErrorKind::Usage, text, Place::Stderr)
    }

    /// Creates an error of a command that could not do its work.
    pub(super) fn setup(text: impl Display) -> Self {
        Self::new(ErrorKind::Failed, text, Place::Stderr)
    }

    /// Creates an error of a command that was ended before its work was done.
    pub(super) fn interrupted(text: impl Display) -> Self {
        Self::new(ErrorKind::Interrupted, text, Place::Log)
    }

    /// Creates an error of a run that could not begin.
    pub(super) fn start(text: impl Display) -> Self {
        Self::new(ErrorKind::Failed, text, Place::Log)
    }

    /// Creates an error of a command that was given something which is not what it should be.
    pub(super) fn refused(text: impl Display) -> Self {
        Self::new(ErrorKind::Refused, text, Place::Stderr)
    }

    /// Creates an error of a command that another process keeps from its work.
    pub(super) fn held(text: impl Display) -> Self {
        Self::new(ErrorKind::Held, text, Place::Stderr)
    }

    fn new(kind: ErrorKind, text: impl Display, place: Place) -> Self {
        Self {
            kind,
            message: text.to_string(),
            problems: Vec::new(),
            place,
            organization: None,
            is_of_output: false,
            ended_by: None,
        }
    }

    /// Says whose it is.
    pub(super) fn of(self, organization: Organization) -> Self {
        Self {
            organization: Some(organization),
            ..self
        }
    }

    /// Returns what of it is wrong with all organizations, if anything is: it is not to be said of each.
    pub(super) fn of_all(&self) -> Option<Self> {
        let problems: Vec<_> = self.problems.iter().filter(|error| error.is_of_all).cloned().collect();
        (!problems.is_empty()).then(|| Self {
            problems,
            ..Self::new(self.kind, &self.message, self.place)
        })
    }

    /// Returns the text on one line, for a log.
    pub(super) fn on_one_line(&self) -> String {
        self.to_string().replace(":\n", ": ").replace('\n', "; ")
    }

    /// Says or logs the error, and returns the exit code; prints it as JSON too if that is the form of the result.
    pub(super) fn report(&self, form: Form, exit: Option<Exit>, say: impl Fn(&str)) -> Exit {
        let exit = exit.unwrap_or(self.exit());
        match self.place {
            Place::Stderr => say(&self.to_string()),
            Place::Log => tracing::error!("{self}"),
        }
        // If the output is what cannot be written, neither can this be.
        if !self.is_of_output
            && let Err(error) = form.print_error(&self.shown(exit))
        {
            say(&format!("cannot write the error: {error}"));
        }
        exit
    }

    /// Returns whether a signal ended the command before it had done anything: then nothing that was to follow is done either.
    pub(super) fn is_of_signal(&self) -> bool {
        self.ended_by.is_some()
    }

    fn exit(&self) -> Exit {
        if let Some(exit) = self.ended_by {
            return exit;
        }
        match self.kind {
            ErrorKind::Settings | ErrorKind::Failed => Exit::Setup,
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Held => Exit::Locked,
            ErrorKind::Refused | ErrorKind::Interrupted => Exit::StreamFailed,
        }
    }

    fn shown(&self, exit: Exit) -> Shown<'_> {
        let problems = self.problems.iter().map(|error| ShownProblem {
            variable: &error.variable,
            problem: &error.problem,
        });
        Shown {
            error: ShownError {
                kind: self.kind,
                message: &self.message,
                organization: self.organization,
                problems: problems.collect(),
            },
            exit_code: exit as u8,
        }
    }
}

/// The message, and each problem on its line.
impl Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(organization) = self.organization {
            write!(f, "{organization}: ")?;
        }
        f.write_str(&self.message)?;
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { ":\n" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl From<EmptyRangeError> for CommandError {
    fn from(error: EmptyRangeError) -> Self {
        Self::usage(error)
    }
}

impl From<ConfigErrors> for CommandError {
    fn from(errors: ConfigErrors) -> Self {
        Self {
            problems: errors.iter().cloned().collect(),
            ..Self::new(ErrorKind::Settings, "the settings are invalid", Place::Stderr)
        }
    }
}

impl From<LoggingError> for CommandError {
    fn from(error: LoggingError) -> Self {
        match error {
            LoggingError::File { path, source } => {
                let path = path.display();
                let mut errors = ConfigErrors::default();
                let problem = format!("must be a file that can be written to, not `{path}`: {source}");
                errors.add(APP_LOG_FILE.name(), problem);
                errors.into()
            }
            LoggingError::Started => Self::setup(error),
        }
    }
}

impl From<KeeperError> for CommandError {
    fn from(error: KeeperError) -> Self {
        let kind = match &error {
            error if error.is_held() => ErrorKind::Held,
            KeeperError::Log(LogError::File(_) | LogError::Lock(_) | LogError::Json(_)) => ErrorKind::Failed,
            KeeperError::Log(
                LogError::Missing { .. }
                | LogError::OtherKey { .. }
                | LogError::NotAsSigned { .. }
                | LogError::NotAccepted { .. },
            ) => ErrorKind::Refused,
            KeeperError::Replaced
            | KeeperError::HandedOver { .. }
            | KeeperError::UnknownFile { .. }
            | KeeperError::AsSealed { .. }
            | KeeperError::TwoForms { .. } => ErrorKind::Refused,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error, Place::Stderr)
    }
}

impl From<AskError> for CommandError {
    fn from(error: AskError) -> Self {
        let kind = match &error {
            AskError::OtherHistory { .. } | AskError::Refuses { .. } | AskError::NoCosignature { .. } => {
                ErrorKind::Refused
            }
            AskError::Policy(_) => ErrorKind::Failed,
            AskError::Address(_) => ErrorKind::Usage,
            AskError::Ended(_) => ErrorKind::Interrupted,
        };
        let ended_by = match &error {
            AskError::Ended(exit) => Some(*exit),
            _ => None,
        };
        Self {
            ended_by,
            ..Self::new(kind, error, Place::Stderr)
        }
    }
}

impl From<ProveError> for CommandError {
    fn from(error: ProveError) -> Self {
        let kind = match &error {
            ProveError::File(_) => ErrorKind::Failed,
            _ => ErrorKind::Refused,
        };
        Self::new(kind, error, Place::Stderr)
    }
}

impl From<PublishError> for CommandError {
    fn from(error: PublishError) -> Self {
        let kind = match &error {
            PublishError::File(_) | PublishError::Inside(_) => ErrorKind::Failed,
            _ => ErrorKind::Refused,
        };
        Self::new(kind, error, Place::Stderr)
    }
}

impl From<WitnessError> for CommandError {
    fn from(error: WitnessError) -> Self {
        let kind = match &error {
            WitnessError::Log(LogError::Lock(lock)) if lock.is_held() => ErrorKind::Held,
            error if error.is_of_the_log() => ErrorKind::Refused,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error, Place::Stderr)
    }
}

impl From<RequestError> for CommandError {
    fn from(error: RequestError) -> Self {
        let kind = match &error {
            RequestError::File(_) => ErrorKind::Failed,
            _ => ErrorKind::Refused,
        };
        Self::new(kind, error, Place::Stderr)
    }
}

impl From<FileError> for CommandError {
    fn from(error: FileError) -> Self {
        Self::setup(error)
    }
}

impl From<PrintError> for CommandError {
    fn from(error: PrintError) -> Self {
        Self {
            is_of_output: true,
            ..Self::setup(error)
        }
    }
}

impl From<ShowError> for CommandError {
    fn from(error: ShowError) -> Self {
        Self {
            is_of_output: true,
            ..Self::setup(error)
        }
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        let kind = if error.is_held() {
            ErrorKind::Held
        } else {
            ErrorKind::Failed
        };
        Self::new(kind, error, Place::Log)
    }
}
