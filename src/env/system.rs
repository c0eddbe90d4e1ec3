//! System variables that the program respects. They are not its own settings: they are not in `.env`, and no name
//! counts as a misspelling of theirs.

use std::path::PathBuf;

use super::{ConfigErrors, DefaultValue, Env, InvalidValue, Scope, Setting, Variable, folder, text, whole_number};
use crate::output::logging::JournalStream;

/// Set to anything: no colours, <https://no-color.org>.
pub(crate) const NO_COLOR: Setting<String> = Setting {
    variable: Variable {
        name: "NO_COLOR",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Set to anything, it turns the colours of tables off.",
    },
    parse: text,
};

/// What the terminal can do.
pub(crate) const TERM: Setting<String> = Setting {
    variable: Variable {
        name: "TERM",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "`dumb` turns the colours of tables off too.",
    },
    parse: text,
};

/// The folder of the settings of many organizations.
pub(crate) const TRAILKEEPER_ENV_DIR: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "TRAILKEEPER_ENV_DIR",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: Some("/etc/trailkeeper/organizations"),
        doc: "The folder with the settings of many organizations, as `--env-dir` names it; without effect beside `--env-file`.",
    },
    parse: folder,
};

/// The stream of the journal.
pub(crate) const JOURNAL_STREAM: Setting<JournalStream> = Setting {
    variable: Variable {
        name: "JOURNAL_STREAM",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The device and the inode of what systemd has connected to its journal, `8:123`; set by systemd. If stderr is that, \
              lines of the log begin with their priority and, as text, have no time of their own.",
    },
    parse: |text| {
        let numbers = text.split_once(':');
        let stream = numbers.and_then(|(device, inode)| {
            Some(JournalStream {
                device: device.parse().ok()?,
                inode: inode.parse().ok()?,
            })
        });
        stream.ok_or_else(|| InvalidValue::must("be a device and an inode, as in `8:123`"))
    },
};

/// The datagram socket that takes reports.
pub(crate) const NOTIFY_SOCKET: Setting<String> = Setting {
    variable: Variable {
        name: "NOTIFY_SOCKET",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Where the service reports to systemd that it is ready, and what it did last; set by systemd.",
    },
    parse: text,
};

/// The process that the watchdog is for.
pub(crate) const WATCHDOG_PID: Setting<u32> = Setting {
    variable: Variable {
        name: "WATCHDOG_PID",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The process that `WATCHDOG_USEC` is meant for; set by systemd.",
    },
    parse: |text| whole_number(text, 1..=u32::MAX),
};

/// How long the process may be silent, in microseconds.
pub(crate) const WATCHDOG_USEC: Setting<u64> = Setting {
    variable: Variable {
        name: "WATCHDOG_USEC",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "After how many microseconds of silence systemd kills the service (`WatchdogSec=`); set by systemd.",
    },
    parse: |text| whole_number(text, 1..=u64::MAX),
};

/// Where systemd has put the credentials of a service.
pub(crate) const CREDENTIALS_DIRECTORY: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "CREDENTIALS_DIRECTORY",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "Where systemd has put what `LoadCredential=` names, such as the key of `EVIDENCE_KEY_FILE=credential:NAME`; set by systemd.",
    },
    parse: folder,
};

/// The socket of an ssh-agent.
pub(crate) const SSH_AUTH_SOCK: Setting<PathBuf> = Setting {
    variable: Variable {
        name: "SSH_AUTH_SOCK",
        scope: Scope::Program,
        default: DefaultValue::None,
        example: None,
        doc: "The socket of the ssh-agent that has the key of `EVIDENCE_KEY_AGENT`.",
    },
    parse: folder,
};

impl Env {
    /// Returns where systemd has put the credentials of this process.
    pub(crate) fn credentials_folder(&self) -> Option<PathBuf> {
        self.optional(&CREDENTIALS_DIRECTORY, &mut ConfigErrors::default())
    }

    /// Returns where an ssh-agent listens.
    pub(crate) fn ssh_agent(&self) -> Option<PathBuf> {
        self.optional(&SSH_AUTH_SOCK, &mut ConfigErrors::default())
    }

    /// Returns what systemd has connected to its journal. An invalid value counts as none, since collecting must not depend on
    /// it.
    pub(crate) fn journal_stream(&self) -> Option<JournalStream> {
        self.optional(&JOURNAL_STREAM, &mut ConfigErrors::default())
    }

    /// Returns whether tables may be coloured: not with `NO_COLOR` or `TERM=dumb`.
    pub(crate) fn allows_colours(&self) -> bool {
        !self.is_set(&NO_COLOR) && !self.is(&TERM, "dumb")
    }
}
