//! `trailkeeper init`: asks for the settings on a terminal, writes `.env`, and checks it.

mod questions;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use zeroize::Zeroizing;

use super::arguments::selection::Selection;
use super::check;
use super::error::CommandError;
use crate::config::{LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME};
use crate::env::Row;
use crate::output::logging::Log;
use crate::output::terminal::Terminal;
use crate::process::exit::Exit;
use crate::source::{Kind, SOURCES};
use questions::{Answers, QUESTIONS, Question};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Write the settings to this file, which must not exist yet [default: .env]
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Option<PathBuf>,
}

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
}

/// Asks, writes and checks; the exit code is that of `check`.
pub(crate) async fn run(arguments: &Arguments, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let path = arguments.env_file.clone().unwrap_or_else(|| PathBuf::from(".env"));
    write(&path).map_err(CommandError::setup)?;
    let selection = Selection {
        env_file: Some(path),
        ..Selection::default()
    };
    let arguments = check::Arguments {
        selection,
        ..check::Arguments::default()
    };
    check::run(&arguments, log, clock).await
}

fn write(path: &Path) -> Result<(), InitError> {
    // Also if it is a dangling link.
    if path.symlink_metadata().is_ok() {
        return Err(InitError::Exists(path.to_owned()));
    }
    let terminal = Terminal::of_this_process().ok_or(InitError::NoTerminal)?;
    terminal.say(&format!(
        "This asks for streams, credentials and folders, and writes {}.\n\
         Tokens are not shown as you type. Ctrl-C quits without writing anything.\n",
        path.display()
    ))?;
    let mut answers = Answers::default();
    for kind in SOURCES {
        if confirmed(&terminal, &format!("\nCollect {}?", kind.name), false)? {
            ask_for(kind, &terminal, &mut answers)?;
        }
    }
    if answers.is_empty() {
        return Err(InitError::NoStream);
    }
    create(path, answers.env_text().as_bytes())?;
    terminal.say(&format!("\nWrote {}. Checking it:\n\n", path.display()))?;
    Ok(())
}

fn ask_for(kind: &Kind, terminal: &Terminal, answers: &mut Answers) -> Result<(), InitError> {
    let before = answers.len();
    loop {
        for question in QUESTIONS {
            if question.is_for(kind) && !answers.has(&question.row.name()) {
                ask(question, terminal, answers)?;
            }
        }
        let errors = answers.errors(kind);
        // If nothing was asked, asking again does not help; `check` says what is wrong.
        if errors.is_empty() || answers.len() == before {
            break;
        }
        terminal.say(&format!("{errors}\nTry again:\n"))?;
        answers.take_back(before);
    }
    let folder = ask_for_folder(kind, terminal)?;
    let base = ask_with_default(terminal, "  First part of the file names", &kind.usual_base_name())?;
    answers.comment(&format!(
        "{}: the folder and the first part of the file names.",
        kind.name
    ));
    answers.set(
        LOG_CATALOG_LOCATION.of(kind.prefix).name(),
        Zeroizing::new(folder.display().to_string()),
    );
    answers.set(LOG_FILE_BASE_NAME.of(kind.prefix).name(), Zeroizing::new(base));
    Ok(())
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
                answers.comment(&format!("{}: {}.", question.text, question.help));
                answers.set(question.row.name(), answer);
                return Ok(());
            }
        }
    }
}

/// Asks for a folder; creates it if it does not exist.
fn ask_for_folder(kind: &Kind, terminal: &Terminal) -> Result<PathBuf, InitError> {
    loop {
        let answer = ask_with_default(terminal, "  Folder for the day files", &format!("./{}", kind.name))?;
        let folder = std::path::absolute(&answer)?;
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
