//! The organizations of `--env-dir`: which are asked for, and a command for each of them in turn.
//!
//! What is wrong with one of them is said with its name and fails that one, and the others go on: exit code 3.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use tracing::Instrument;

use super::arguments::settings::{SettingsArguments, Turn};
use super::error::CommandError;
use super::{Command, CommandLine};
use crate::config::{self, LogSettings};
use crate::env::{ConfigErrors, Env, EnvDir, Misnamed, Organization, PLACEHOLDER};
use crate::output::logging::{Log, LogOptions};
use crate::output::print::print;
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::shutdown::Shutdown;
use crate::process::signals;
use crate::source::SOURCES;

/// What organizations claim for them alone, of each.
pub(super) type Owned = BTreeMap<Organization, Vec<String>>;

/// The organizations that are asked for.
pub(super) struct Organizations {
    pub(super) dir: EnvDir,
    /// In the order of their names, with their settings.
    pub(super) all: Vec<(Organization, Env)>,
    /// Those that are known, and were not read.
    pub(super) unchanged: Vec<Organization>,
    /// Files whose names are of none; nobody asked for them by name.
    pub(super) misnamed: Vec<Misnamed>,
    /// What is wrong with those that share with another one what only one can have: whose it is, nobody here can know.
    pub(super) sharing: BTreeMap<Organization, String>,
    /// What all of the folder claim, be they asked for or not.
    pub(super) owned: Owned,
}

impl Organizations {
    /// Finds those that the arguments ask for.
    ///
    /// # Errors
    /// There is none, or not the one that was asked for; what all of them have is wrong; a credential or an id of one organization
    /// stands in the environment of the process, where it would be that of all.
    pub(super) fn find(arguments: &SettingsArguments, folder: &Path) -> Result<Self, ConfigErrors> {
        Self::find_others(arguments, folder, &Owned::new())
    }

    /// Does the same, and reads only the settings of those that are not known.
    pub(super) fn find_others(
        arguments: &SettingsArguments,
        folder: &Path,
        known: &Owned,
    ) -> Result<Self, ConfigErrors> {
        let dir = EnvDir::new(folder);
        let mut errors = dir.shared().errors().clone();
        config::refuse_what_is_of_one(&dir.process(), SOURCES, &mut errors);
        let listed = match dir.organizations() {
            Ok(listed) => listed,
            Err(unreadable) => {
                errors.append(unreadable);
                return Err(errors);
            }
        };
        let (mut all, mut unchanged, mut misnamed) = (Vec::new(), Vec::new(), Vec::new());
        let mut owned = Owned::new();
        for one in listed {
            match one {
                Ok(organization) => match known.get(&organization) {
                    Some(claims) => {
                        owned.insert(organization, claims.clone());
                        unchanged.push(organization);
                    }
                    None => {
                        let env = dir.read(organization);
                        owned.insert(organization, config::owned(&env, SOURCES));
                        all.push((organization, env));
                    }
                },
                Err(other) => misnamed.push(other),
            }
        }
        let wanted = &arguments.organizations;
        for name in wanted {
            if !owned.keys().any(|organization| organization.name() == name) {
                errors.add("--org", not_found(name, folder));
            }
        }
        if !wanted.is_empty() {
            let is_wanted = |organization: &Organization| wanted.iter().any(|name| name == organization.name());
            all.retain(|(organization, _)| is_wanted(organization));
            unchanged.retain(is_wanted);
            misnamed.clear();
        } else if owned.is_empty() && misnamed.is_empty() {
            let folder = folder.display();
            errors.add(
                "--env-dir",
                format!("must have a file NAME.env for each organization, and {folder} has none"),
            );
        }
        if errors.is_empty() {
            Ok(Self {
                dir,
                all,
                unchanged,
                misnamed,
                sharing: sharing(&owned),
                owned,
            })
        } else {
            Err(errors)
        }
    }
}

/// Says why a name is that of no organization.
fn not_found(name: &str, folder: &Path) -> String {
    match name {
        "" => "must name organizations, and has an empty name".to_owned(),
        "common" => "must name organizations, and common.env is what all of them have".to_owned(),
        _ => {
            let (folder, name) = (folder.display(), name.escape_debug());
            format!("must name organizations, and {folder} has no file {name}.env")
        }
    }
}

/// Finds the organizations that share what only one can have, be they asked for or not, and says with whom.
fn sharing(owned: &Owned) -> BTreeMap<Organization, String> {
    let mut owners: BTreeMap<&str, Vec<Organization>> = BTreeMap::new();
    for (organization, claims) in owned {
        for claim in claims {
            owners.entry(claim).or_default().push(*organization);
        }
    }
    let mut problems: BTreeMap<Organization, String> = BTreeMap::new();
    for (owned, mut distinct) in owners {
        distinct.dedup();
        for organization in distinct.iter().filter(|_| distinct.len() > 1) {
            let others = distinct.iter().filter(|other| *other != organization);
            let others: Vec<_> = others.map(|other| other.name()).collect();
            let others = others.join(", ");
            let problem = format!("it {owned}, as does {others}: put {PLACEHOLDER} into that, or name another one");
            let said = problems.entry(*organization).or_default();
            said.push_str(if said.is_empty() { "" } else { "; " });
            said.push_str(&problem);
        }
    }
    problems
}

/// Says that settings of an organization without `--env-dir` are asked for.
pub(super) fn check_dir(arguments: &SettingsArguments) -> Result<Option<PathBuf>, CommandError> {
    let folder = arguments.dir();
    if folder.is_none() && !arguments.organizations.is_empty() {
        return Err(CommandError::usage(
            "--org names organizations of --env-dir, which is not given",
        ));
    }
    Ok(folder)
}

/// Does the same for who reads what all organizations have before it lists them: of a folder that is not there each setting would be
/// said to be missing.
///
/// # Errors
/// Those of [`check_dir`]; the folder cannot be read.
pub(super) fn check_readable_dir(arguments: &SettingsArguments) -> Result<Option<PathBuf>, CommandError> {
    let folder = check_dir(arguments)?;
    if let Some(folder) = &folder {
        EnvDir::new(folder).organizations()?;
    }
    Ok(folder)
}

/// Runs a command for each of its organizations, one after the other.
///
/// # Errors
/// Those of [`Organizations::find`]; the log cannot be started.
pub(super) async fn run_each(
    (command, typed): (&Command, &[OsString]),
    (arguments, folder): (&SettingsArguments, &Path),
    log: &Log,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let organizations = Organizations::find(arguments, folder)?;
    let count = organizations.all.len();
    if let Some(option) = command.one_place().filter(|_| count > 1 && !is_filled_in(typed)) {
        let problem = format!(
            "{option} is one place for {count} organizations: put {PLACEHOLDER} into it, or choose one with --org"
        );
        return Err(CommandError::usage(problem));
    }
    start_log(command, organizations.dir.shared(), log, clock)?;
    warn_of_unknown(organizations.dir.shared());
    let shutdown = command.ends_by_itself().then(signals::shutdown);
    let mut outcomes = Outcomes::of(command);
    for misnamed in &organizations.misnamed {
        let Misnamed { name, problem } = misnamed;
        tracing::error!(organization = name, "the name of a file of --env-dir {problem}");
        outcomes.add(name, Exit::StreamFailed);
    }
    for (index, (organization, env)) in organizations.all.into_iter().enumerate() {
        if shutdown.as_ref().is_some_and(Shutdown::is_requested) {
            tracing::warn!("stopped before {organization}; it and what follows was not done");
            return Ok(outcomes.exit().max(Exit::StreamFailed));
        }
        let one = of(typed, organization, Turn::of(organization, env).first_if(index == 0))?;
        announce(&one, organization, index == 0)?;
        let exit = match organizations.sharing.get(&organization) {
            Some(problem) => failed(&one, organization, CommandError::setup(problem)),
            None => match run_one(&one, organization, log, clock).await {
                Ok(exit) => exit,
                Err(error) if error.is_of_signal() => return Err(error.of(organization)),
                Err(error) => match error.of_all() {
                    Some(of_all) => return Err(of_all),
                    None => failed(&one, organization, error),
                },
            },
        };
        outcomes.add(organization.name(), exit);
    }
    if says_more(command) {
        print(&outcomes.text())?;
    }
    Ok(outcomes.exit())
}

/// What came of a command for all of its organizations.
#[derive(Debug)]
struct Outcomes {
    exits: Vec<(String, Exit)>,
    /// The exit code of the command for whatever goes wrong, if that is always the same.
    failure: Option<Exit>,
}

impl Outcomes {
    fn of(command: &Command) -> Self {
        Self {
            exits: Vec::new(),
            failure: command.failure(),
        }
    }

    fn add(&mut self, organization: &str, exit: Exit) {
        self.exits.push((organization.to_owned(), exit));
    }

    /// Returns that of all: the worst one. `search` has found something if it has for one of them, as grep has in several files.
    fn exit(&self) -> Exit {
        let exits = || self.exits.iter().map(|(_, exit)| *exit);
        match self.failure {
            None => exits().max().unwrap_or(Exit::Complete),
            Some(failure) if exits().any(|exit| exit > Exit::Setup) => failure,
            Some(_) => exits().min().unwrap_or(Exit::Setup),
        }
    }

    /// Returns the last line for people.
    fn text(&self) -> String {
        let count = self.exits.len();
        let failed = self.exits.iter().filter(|(_, exit)| *exit != Exit::Complete);
        let failed: Vec<_> = failed.map(|(organization, _)| organization.as_str()).collect();
        let organizations = if count == 1 { "organization" } else { "organizations" };
        match failed.len() {
            0 => format!("\n{count} {organizations}\n"),
            some => format!(
                "\n{count} {organizations}, {some} with problems: {}\n",
                failed.join(", ")
            ),
        }
    }
}

/// Runs a command for one organization; whatever comes of it, the next one is done too.
async fn run_one(
    command: &Command,
    organization: Organization,
    log: &Log,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    // Adds the organization to each log line; at the error level, so that `-q` keeps it.
    let span = tracing::error_span!("organization", %organization);
    let ended = AssertUnwindSafe(command.run(log, clock).instrument(span))
        .catch_unwind()
        .await;
    ended.unwrap_or_else(|_| Err(CommandError::setup("an internal error; please report it")))
}

/// Says what is wrong with an organization. Its settings are no reason for the others not to be done.
fn failed(command: &Command, organization: Organization, error: CommandError) -> Exit {
    let exit = command.failure().unwrap_or(Exit::StreamFailed);
    let error = error.of(organization);
    let text = error.on_one_line();
    error.report(command.form(), Some(exit), |_| tracing::error!("{text}"))
}

/// Returns the command as it is for one of them.
fn of(typed: &[OsString], organization: Organization, turn: Turn) -> Result<Command, CommandError> {
    let filled_in = typed.iter().map(|argument| match argument.to_str() {
        Some(argument) => organization.fill_in(argument).into(),
        None => argument.clone(),
    });
    let mut command = CommandLine::command_of(filled_in.collect()).map_err(CommandError::usage)?;
    if let Some(settings) = command.settings() {
        settings.turn = Some(turn);
    }
    Ok(command)
}

fn is_filled_in(typed: &[OsString]) -> bool {
    typed
        .iter()
        .any(|argument| argument.to_string_lossy().contains(PLACEHOLDER))
}

/// Returns whether people read the result.
fn says_more(command: &Command) -> bool {
    command.prints_text() && !command.verbosity().quiet
}

/// Says whose result follows, where people read it.
fn announce(command: &Command, organization: Organization, is_first: bool) -> Result<(), CommandError> {
    if !says_more(command) {
        return Ok(());
    }
    let between = if is_first { "" } else { "\n" };
    Ok(print(&format!("{between}{organization}\n"))?)
}

/// Warns of what is in the settings of all of them, and is read by nothing: those of one alone are among its own warnings.
pub(super) fn warn_of_unknown(shared: &Env) {
    for unknown in config::unknown(shared, SOURCES).iter() {
        tracing::warn!("in what all organizations have: {unknown}");
    }
}

/// Starts the log of all of them, by what they have in common.
fn start_log(command: &Command, shared: &Env, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<(), CommandError> {
    let mut errors = ConfigErrors::default();
    let Some(settings) = LogSettings::read(shared, &mut errors) else {
        return Err(errors.into());
    };
    let progress = Progress::hidden();
    let options = settings.options(command.verbosity(), &progress, clock);
    let file = options.file.filter(|_| command.has_log_file());
    log.start(LogOptions { file, ..options })?;
    for warning in shared.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(())
}
