//! `trailkeeper init`: asks for the settings on a terminal, writes `.env`, checks it, and makes a service of it or says what is
//! next.

mod questions;
mod service;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use zeroize::Zeroizing;

use super::arguments::selection::Selection;
use super::arguments::settings::SettingsArguments;
use super::check;
use super::error::CommandError;
use crate::config::{LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME};
use crate::env::{self, Row};
use crate::output::logging::Log;
use crate::output::terminal::Terminal;
use crate::process::exit::Exit;
use crate::source::{Kind, SOURCES};
use questions::{Answers, QUESTIONS, Question};
use service::{Service, ServiceError, is_same};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Write the settings to this file, which must not exist yet [default: .env]
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Option<PathBuf>,

    /// Install a service below this folder
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub(crate) root: PathBuf,
}

/// Where the units of systemd and the agents of the samples look for the folders of the streams.
const CATALOGS: &str = "/var/log/audit-trails";

/// Why no settings were written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("init asks questions and needs a terminal; without one, copy .env.example to .env and fill it in")]
    NoTerminal,
    #[error("{} exists already and is never overwritten; edit it, or name another file with --env-file", .0.display())]
    Exists(PathBuf),
    #[error("no stream was chosen, so nothing was written; run `trailkeeper init` again")]
    NoStream,
    #[error("nothing was written: {0}; run `trailkeeper init` again")]
    Terminal(#[from] io::Error),
    #[error("cannot write {}: {source}; check that its folder exists and can be written to", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "the settings are written, but the service is not installed, or only in part: {0}; mend that, and go on as the head of \
         samples/systemd/trailkeeper.service says, or run `systemctl enable --now trailkeeper.service` if it has come that far"
    )]
    Service(#[from] ServiceError),
}

/// Asks, writes and checks; the exit code is that of `check`.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let path = arguments.env_file.clone().unwrap_or_else(|| PathBuf::from(".env"));
    let asked = Asked::ask(&path).map_err(CommandError::setup)?;
    let selection = Selection {
        settings: SettingsArguments::of_file(path.clone()),
        ..Selection::default()
    };
    let check = check::Arguments {
        selection,
        ..check::Arguments::default()
    };
    let exit = check::run(&check, log, clock).await?;
    asked.go_on(&path, &arguments.root, exit).map_err(CommandError::setup)?;
    Ok(exit)
}

/// What was asked for, and where.
struct Asked {
    terminal: Terminal,
    answers: Answers,
    /// The folders of the day files.
    folders: Vec<PathBuf>,
}

impl Asked {
    /// Asks, and writes the settings.
    fn ask(path: &Path) -> Result<Self, InitError> {
        // Also if it is a dangling link.
        if path.symlink_metadata().is_ok() {
            return Err(InitError::Exists(path.to_owned()));
        }
        let terminal = Terminal::of_this_process().ok_or(InitError::NoTerminal)?;
        try_to_create(path)?;
        terminal.say(&format!(
            "This asks for streams, credentials and folders, and writes {}.\n\
             Tokens are not shown as you type. Ctrl-C quits without writing anything.\n",
            path.display()
        ))?;
        let (mut answers, mut folders) = (Answers::default(), Vec::new());
        for kind in SOURCES {
            if confirmed(&terminal, &format!("\nCollect {}?", kind.name), false)? {
                folders.push(ask_for(kind, &terminal, &mut answers)?);
            }
        }
        if answers.is_empty() {
            return Err(InitError::NoStream);
        }
        create(path, answers.env_text().as_bytes())?;
        terminal.say(&format!("\nWrote {}. Checking it:\n\n", path.display()))?;
        Ok(Self {
            terminal,
            answers,
            folders,
        })
    }

    /// Makes a service of it, if that can be and is wanted, or says the next command.
    fn go_on(&self, path: &Path, root: &Path, checked: Exit) -> Result<(), InitError> {
        let (terminal, shown) = (&self.terminal, path.display());
        if checked != Exit::Complete {
            terminal.say(&format!(
                "\nMend what is said above in {shown}, then: trailkeeper check --env-file {shown}\n"
            ))?;
            return Ok(());
        }
        let question = "\nInstall and start it as a systemd service, with a user of its own?";
        let service = Service::possible(&self.answers, &self.folders, root);
        if let Some(service) = service
            && confirmed(terminal, question, true)?
        {
            service.install(path)?;
            terminal.say(
                "\nThe service runs: systemctl status trailkeeper, journalctl -u trailkeeper.\n\
                 Its settings are /etc/trailkeeper/trailkeeper.env, its credentials files beside it, which no other command needs:\n\
                 trailkeeper status --env-file /etc/trailkeeper/trailkeeper.env\n",
            )?;
            if !is_same(&root.join("etc/trailkeeper/trailkeeper.env"), path) {
                terminal.say(&format!("{shown} is not needed any more; it holds the tokens.\n"))?;
            }
            return Ok(());
        }
        terminal.say(&format!(
            "\nNext: trailkeeper collect --env-file {shown}\n\
             To keep it running: as a service (run init as root on a machine with systemd), or with --follow.\n"
        ))?;
        Ok(())
    }
}

/// Asks what a stream needs; returns the folder of its day files.
fn ask_for(kind: &Kind, terminal: &Terminal, answers: &mut Answers) -> Result<PathBuf, InitError> {
    let is_open = |question: &&Question| question.is_for(kind) && !answers.has(&question.row.name());
    let mut open: Vec<&Question> = QUESTIONS.iter().filter(is_open).collect();
    while !open.is_empty() {
        for question in &open {
            ask(question, terminal, answers)?;
        }
        // What was right is not asked for again, least of all a secret.
        let errors = answers.errors(kind);
        open.retain(|question| errors.iter().any(|error| error.variable == question.row.name()));
        if !open.is_empty() {
            terminal.say(&format!("{errors}\nTry again:\n"))?;
        }
        open.iter().for_each(|question| answers.take_back(&question.row.name()));
    }
    let folder = ask_for_folder(kind, terminal)?;
    let base = ask_for_base_name(kind, terminal)?;
    let comment = format!("{}: the folder and the first part of the file names.", kind.name);
    let location = LOG_CATALOG_LOCATION.of(kind.prefix).name();
    answers.set_below(comment, location, Zeroizing::new(folder.display().to_string()));
    answers.set(LOG_FILE_BASE_NAME.of(kind.prefix).name(), Zeroizing::new(base));
    Ok(folder)
}

/// Asks one question; a default is not written to the file, so that a later version can change it.
fn ask(question: &Question, terminal: &Terminal, answers: &mut Answers) -> Result<(), InitError> {
    let default = question.default();
    let shown = match default {
        Some(default) => format!("  {} ({}) [{default}]: ", question.text, question.help),
        None => format!("  {} ({}): ", question.text, question.help),
    };
    loop {
        let answer = if question.is_secret() {
            terminal.ask_secret(&shown)?
        } else {
            Zeroizing::new(terminal.ask(&shown)?)
        };
        match (answer.is_empty(), default) {
            (true, None) => terminal.say("  A value is required.\n")?,
            (true, Some(_)) => return Ok(()),
            (false, _) if default == Some(answer.as_str()) => return Ok(()),
            (false, _) => {
                let comment = format!("{}: {}.", question.text, question.help);
                answers.set_below(comment, question.row.name(), answer);
                return Ok(());
            }
        }
    }
}

/// Asks for a folder; creates it if it does not exist.
fn ask_for_folder(kind: &Kind, terminal: &Terminal) -> Result<PathBuf, InitError> {
    loop {
        let usual = usual_folder(kind).display().to_string();
        let answer = ask_with_default(terminal, "  Folder for the day files", &usual)?;
        let Some(folder) = in_home(&answer) else {
            terminal.say(&format!("  Whose home is meant by {answer}? Write the whole path.\n"))?;
            continue;
        };
        let folder = std::path::absolute(folder)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        let shown = folder.display();
        if folder.symlink_metadata().is_ok() {
            terminal.say(&format!("  {shown} is not a folder.\n"))?;
        } else if confirmed(terminal, &format!("  {shown} does not exist. Create it?"), true)? {
            match make_folder(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) => terminal.say(&format!("  Cannot create it: {error}.\n"))?,
            }
        }
    }
}

/// Asks for the first part of the file names until it can be one.
fn ask_for_base_name(kind: &Kind, terminal: &Terminal) -> Result<String, InitError> {
    loop {
        let base = ask_with_default(terminal, "  First part of the file names", &kind.usual_base_name())?;
        match (LOG_FILE_BASE_NAME.parse)(&base) {
            Ok(base) => return Ok(base),
            Err(invalid) => terminal.say(&format!("  It {}.\n", invalid.problem(&base)))?,
        }
    }
}

/// Returns the folder that is offered for a stream: where the units of systemd and the agents of the samples look for it, or,
/// for a user who may not write there, in the working folder.
fn usual_folder(kind: &Kind) -> PathBuf {
    let shared = Path::new(CATALOGS);
    let parent = shared.parent().unwrap_or(shared);
    let is_ours = [shared, parent].into_iter().any(is_writable);
    let base = if is_ours { shared } else { Path::new("audit-trails") };
    base.join(kind.prefix.to_lowercase())
}

#[cfg(unix)]
fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn is_writable(_folder: &Path) -> bool {
    false
}

/// Returns a path with the home folder for its `~`, as a shell does; `None` if that is not known, or is that of another user.
fn in_home(answer: &str) -> Option<PathBuf> {
    match answer.strip_prefix('~') {
        None => Some(PathBuf::from(answer)),
        Some("") => env::home(),
        Some(rest) => Some(env::home()?.join(rest.strip_prefix('/')?)),
    }
}

fn ask_with_default(terminal: &Terminal, question: &str, default: &str) -> Result<String, InitError> {
    let answer = terminal.ask(&format!("{question} [{default}]: "))?;
    Ok(if answer.is_empty() { default.to_owned() } else { answer })
}

fn confirmed(terminal: &Terminal, question: &str, default: bool) -> Result<bool, InitError> {
    let choices = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        match terminal.ask(&format!("{question} {choices} "))?.to_lowercase().as_str() {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => terminal.say("  Please answer y or n.\n")?,
        }
    }
}

/// Creates a folder and its parents; log agents in the group can read it, others cannot.
#[expect(clippy::disallowed_methods, reason = "the catalogs that `init` offers to make")]
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    builder.create(folder)
}

/// Finds out before the first question whether the file can be written.
#[expect(clippy::disallowed_methods, reason = "the empty file that was made just now")]
fn try_to_create(path: &Path) -> Result<(), InitError> {
    create(path, b"")?;
    fs::remove_file(path).map_err(|source| InitError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Creates the file, readable only by its owner; errors if it exists by now.
#[expect(clippy::disallowed_methods, reason = "the `.env` that `init` writes")]
fn create(path: &Path, text: &[u8]) -> Result<(), InitError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Write {
            path: path.to_owned(),
            source,
        },
    })
}
