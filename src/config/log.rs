//! The settings of the program's own log.

use std::path::PathBuf;

use crate::env::{ConfigErrors, DefaultValue, Env, Row, Scope, Setting, Variable, one_of, text};
use crate::output::logging::{Clock, JournalStream, LogFormat, LogOptions, Verbosity};
use crate::output::progress::Progress;

/// The variables, in the order of the documents.
pub(super) const ROWS: &[&dyn Row] = &[&APP_LOG_FILE, &LOG_FORMAT];

pub(crate) const APP_LOG_FILE: Setting<String> = Setting {
    variable: Variable {
        name: "APP_LOG_FILE",
        scope: Scope::Program,
        default: DefaultValue::Text("get_audit_logs.log"),
        example: None,
        doc: "The log of trailkeeper itself; it is rotated at 1 MiB, with five older files, `.1` to `.5`. Where another program \
              renames it, it is begun anew.",
    },
    parse: text,
};

pub(crate) const LOG_FORMAT: Setting<LogFormat> = Setting {
    variable: Variable {
        name: "LOG_FORMAT",
        scope: Scope::Program,
        default: DefaultValue::Text("text"),
        example: None,
        doc: "The form of the log, in its file and on stderr: `text`, or `json` for those who collect it, an object on each line \
              with `logger`, `time`, `level`, `message` and what belongs to them, such as `stream`.",
    },
    parse: |text| one_of(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
};

/// Where the log goes, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// `APP_LOG_FILE`.
    pub(crate) file: PathBuf,
    /// `LOG_FORMAT`.
    pub(crate) format: LogFormat,
    /// What systemd has connected to its journal.
    pub(crate) journal: Option<JournalStream>,
}

impl LogSettings {
    /// Reads them; `None` after an error.
    pub(crate) fn read(env: &Env, errors: &mut ConfigErrors) -> Option<Self> {
        let file = env.or_default(&APP_LOG_FILE, errors);
        let format = env.or_default(&LOG_FORMAT, errors);
        Some(Self {
            file: PathBuf::from(file?),
            format: format?,
            journal: env.journal_stream(),
        })
    }

    /// Returns what the log is started with, for a command that keeps one in its file.
    pub(crate) fn options<'a>(&'a self, verbosity: Verbosity, progress: &'a Progress, clock: Clock) -> LogOptions<'a> {
        LogOptions {
            file: Some(&self.file),
            format: self.format,
            journal: self.journal,
            ..LogOptions::on_stderr(verbosity, progress, clock)
        }
    }
}
