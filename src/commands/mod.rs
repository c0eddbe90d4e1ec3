//! The commands, a file or folder each: its arguments, its work and its output.
//!
//! Imports: archive, audit, config, copy, coverage, env, evidence, export, fetch, fleet, forward, fs, http, metrics, output, process, record,
//! report, run, sandbox, search, source, upkeep, window.

mod announcing;
mod archive;
mod archives;
mod arguments;
mod audit;
mod check;
mod collect;
mod command_line;
mod completions;
mod copy;
mod coverage;
mod demo;
mod each_organization;
mod error;
mod evidence;
mod evidence_standing;
mod expire;
mod export;
mod faults;
mod fleet;
mod forward;
mod hold;
mod init;
mod man;
mod member;
mod organizations;
mod outcome;
mod pack;
mod prove;
mod reconcile;
mod report;
mod sandbox;
mod seal;
mod sealing;
mod search;
mod session;
mod session_options;
mod status;
mod targets;
mod unpack;
mod verify;
mod witnesses;

use chrono::{DateTime, Utc};
use clap::Subcommand;

use crate::output::logging::{Log, Verbosity};
use crate::process::exit::Exit;
use arguments::settings::SettingsArguments;
pub use command_line::CommandLine;
use error::CommandError;
use outcome::Form;

/// What `-q` does in a command that shows the program: what it shows is printed all the same.
const QUIET_SHOW: &str = "Print only errors on stderr, and no progress";

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Fetch new records and append them to the day files (the default)
    #[command(after_long_help = collect::EXAMPLES)]
    Collect(collect::Arguments),
    /// Send the lines of the day files to Kafka, an HTTP listener or standard output, from where the last run ended
    #[command(after_long_help = forward::EXAMPLES)]
    Forward(forward::Arguments),
    /// Collect as one of several members that share organizations, and keep the records in Kafka
    #[command(after_long_help = fleet::EXAMPLES)]
    Fleet(fleet::Arguments),
    /// Keep day files of what a fleet has kept in Kafka
    #[command(after_long_help = archive::EXAMPLES)]
    Archive(archive::Arguments),
    /// Fetch the last hours again, add what arrived late, and say how late it was
    #[command(after_long_help = reconcile::EXAMPLES)]
    Reconcile(reconcile::Arguments),
    /// Try the settings: folders, tokens, services, clock; one request for one record per stream
    #[command(after_long_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Show what the archive holds, how old it is, and how the last run ended, without asking a service
    #[command(after_long_help = status::EXAMPLES)]
    Status(status::Arguments),
    /// Show which spans were fetched completely, and the gaps
    #[command(after_long_help = coverage::EXAMPLES)]
    Coverage(coverage::Arguments),
    /// Read every line of the day files and report what is wrong
    #[command(after_long_help = verify::EXAMPLES)]
    Verify(verify::Arguments),
    /// Note in the evidence what the day files hold, and sign it
    #[command(after_long_help = seal::EXAMPLES)]
    Seal(seal::Arguments),
    /// Write the proof that one record stood in the archive when it was sealed
    #[command(after_long_help = prove::EXAMPLES)]
    Prove(prove::Arguments),
    /// Ask the services again for hours that nobody could prepare, and compare them with what was sealed
    #[command(after_long_help = audit::EXAMPLES)]
    Audit(audit::Arguments),
    /// Begin the evidence, say what broke, change its key
    #[command(after_long_help = evidence::EXAMPLES)]
    Evidence(evidence::Arguments),
    /// Compress the files of closed days, into a folder where no agent looks
    #[command(after_long_help = pack::EXAMPLES)]
    Pack(pack::Arguments),
    /// Unpack what `pack` has compressed, in place or as copies
    #[command(after_long_help = unpack::EXAMPLES)]
    Unpack(unpack::Arguments),
    /// Say of which spans nothing may be deleted, and for which case
    #[command(after_long_help = hold::EXAMPLES)]
    Hold(hold::Arguments),
    /// Delete days for their age: the only thing that ever deletes one
    #[command(after_long_help = expire::EXAMPLES)]
    Expire(expire::Arguments),
    /// Copy the archives to another disk or to object storage, and restore them
    #[command(after_long_help = copy::EXAMPLES)]
    Copy(copy::Arguments),
    /// Imitate the services, with invented records
    #[command(after_long_help = sandbox::EXAMPLES, mut_arg("quiet", |quiet| quiet.help(QUIET_SHOW)))]
    Sandbox(sandbox::Arguments),
    /// Show everything with invented records: no credentials, no network
    #[command(mut_arg("quiet", |quiet| quiet.help(QUIET_SHOW)))]
    Demo(demo::Arguments),
    /// Ask for the settings on a terminal and write .env
    Init(init::Arguments),
    /// Write a page about the archive: records per day and hour, event types, users, gaps
    Report(report::Arguments),
    /// Find records: by time, user, event, address, object, id or any value
    #[command(after_long_help = search::EXAMPLES)]
    Search(search::Arguments),
    /// Write the records that a search finds, and how complete they are, to a folder for somebody else
    #[command(after_long_help = export::EXAMPLES)]
    Export(export::Arguments),
    /// Print completions for a shell
    #[command(after_long_help = completions::EXAMPLES)]
    Completions(completions::Arguments),
    /// Print the manual page
    Man(man::Arguments),
}

impl Command {
    async fn run(&self, log: &Log, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
        match self {
            Command::Collect(arguments) => collect::run(arguments, log, clock).await,
            Command::Forward(arguments) => forward::run(arguments, log, clock).await,
            Command::Fleet(arguments) => fleet::run(arguments, log, clock).await,
            Command::Archive(arguments) => archive::run(arguments, log, clock).await,
            Command::Reconcile(arguments) => reconcile::run(arguments, log, clock).await,
            Command::Check(arguments) => check::run(arguments, log, clock).await,
            Command::Status(arguments) => status::run(arguments, clock),
            Command::Coverage(arguments) => coverage::run(arguments, clock),
            Command::Verify(arguments) => verify::run(arguments, clock),
            Command::Seal(arguments) => seal::run(arguments, clock).await,
            Command::Prove(arguments) => prove::run(arguments, clock),
            Command::Audit(arguments) => audit::run(arguments, log, clock).await,
            Command::Evidence(arguments) => evidence::run(arguments, clock).await,
            Command::Pack(arguments) => pack::run(arguments, clock),
            Command::Unpack(arguments) => unpack::run(arguments, clock),
            Command::Hold(arguments) => hold::run(arguments, clock).await,
            Command::Expire(arguments) => expire::run(arguments, clock).await,
            Command::Copy(arguments) => copy::run(arguments, clock),
            Command::Sandbox(arguments) => sandbox::run(arguments, clock).await,
            Command::Demo(arguments) => demo::run(arguments, clock).await,
            Command::Init(arguments) => init::run(arguments, log, clock).await,
            Command::Report(arguments) => report::run(arguments, clock),
            Command::Search(arguments) => search::run(arguments, clock),
            Command::Export(arguments) => export::run(arguments, clock),
            Command::Completions(arguments) => Ok(completions::run(arguments)?),
            Command::Man(arguments) => man::run(arguments),
        }
    }

    /// Returns the arguments of `status --nagios`, which ends as a plugin does and no other command.
    fn as_plugin(&self) -> Option<&status::Arguments> {
        match self {
            Command::Status(arguments) if arguments.nagios => Some(arguments),
            _ => None,
        }
    }

    /// Returns its exit code for whatever goes wrong, if that is always the same: that of `search` says 1 for nothing found, as that
    /// of grep does.
    fn failure(&self) -> Option<Exit> {
        matches!(self, Command::Search(_)).then_some(Exit::Usage)
    }

    /// Returns where it is said from where it reads the settings; `None` if it reads none.
    fn settings(&mut self) -> Option<&mut SettingsArguments> {
        match self {
            Command::Collect(arguments) => Some(&mut arguments.settings),
            Command::Forward(arguments) => Some(&mut arguments.settings),
            Command::Fleet(arguments) => Some(arguments.settings()),
            Command::Archive(arguments) => Some(&mut arguments.settings),
            Command::Reconcile(arguments) => Some(&mut arguments.settings),
            Command::Check(arguments) => Some(&mut arguments.selection.settings),
            Command::Status(arguments) => Some(&mut arguments.selection.settings),
            Command::Coverage(arguments) => Some(&mut arguments.selection.settings),
            Command::Verify(arguments) => Some(&mut arguments.selection.settings),
            Command::Seal(arguments) => Some(&mut arguments.selection.settings),
            Command::Prove(arguments) => Some(&mut arguments.settings),
            Command::Audit(arguments) => Some(&mut arguments.settings),
            Command::Evidence(arguments) => arguments.settings(),
            Command::Pack(arguments) => Some(&mut arguments.selection.settings),
            Command::Unpack(arguments) => Some(&mut arguments.selection.settings),
            Command::Hold(arguments) => Some(arguments.settings()),
            Command::Expire(arguments) => Some(&mut arguments.selection.settings),
            Command::Copy(arguments) => Some(&mut arguments.selection.settings),
            Command::Report(arguments) => Some(&mut arguments.selection.settings),
            Command::Search(arguments) => Some(&mut arguments.selection.settings),
            Command::Export(arguments) => Some(&mut arguments.selection.settings),
            Command::Init(_) | Command::Sandbox(_) | Command::Demo(_) | Command::Completions(_) | Command::Man(_) => {
                None
            }
        }
    }

    /// Returns whether it sees to the organizations itself; else it is run for each.
    fn knows_organizations(&self) -> bool {
        match self {
            Command::Collect(_) | Command::Fleet(_) | Command::Archive(_) => true,
            // They read no settings, or only those they are told.
            Command::Init(_) | Command::Sandbox(_) | Command::Demo(_) | Command::Completions(_) | Command::Man(_) => {
                true
            }
            Command::Evidence(arguments) => !arguments.reads_settings(),
            _ => false,
        }
    }

    /// Returns the option that names one place for what it writes or reads, if it was given.
    fn one_place(&self) -> Option<&'static str> {
        match self {
            Command::Report(_) => Some("--html"),
            Command::Export(_) => Some("--to"),
            Command::Copy(arguments) => Some(arguments.place()),
            Command::Unpack(arguments) => arguments.has_place().then_some("--to"),
            Command::Prove(arguments) => arguments.out.is_some().then_some("--out"),
            Command::Audit(arguments) => arguments.out.is_some().then_some("--out"),
            Command::Evidence(arguments) => arguments.place(),
            _ => None,
        }
    }

    /// Returns whether it ends at Ctrl-C by itself, between two writes.
    fn ends_by_itself(&self) -> bool {
        matches!(
            self,
            Command::Forward(_) | Command::Reconcile(_) | Command::Export(_) | Command::Copy(_)
        )
    }

    /// Returns how much it says.
    fn verbosity(&self) -> Verbosity {
        match self {
            Command::Collect(arguments) => arguments.verbosity,
            Command::Forward(arguments) => arguments.verbosity,
            Command::Fleet(arguments) => arguments.verbosity(),
            Command::Archive(arguments) => arguments.verbosity,
            Command::Reconcile(arguments) => arguments.verbosity,
            Command::Check(arguments) => arguments.selection.verbosity,
            Command::Status(arguments) => arguments.selection.verbosity,
            Command::Coverage(arguments) => arguments.selection.verbosity,
            Command::Verify(arguments) => arguments.selection.verbosity,
            Command::Seal(arguments) => arguments.selection.verbosity,
            Command::Prove(arguments) => arguments.verbosity,
            Command::Audit(arguments) => arguments.verbosity,
            Command::Evidence(arguments) => arguments.verbosity(),
            Command::Pack(arguments) => arguments.selection.verbosity,
            Command::Unpack(arguments) => arguments.selection.verbosity,
            Command::Hold(arguments) => arguments.selection().verbosity,
            Command::Expire(arguments) => arguments.selection.verbosity,
            Command::Copy(arguments) => arguments.selection.verbosity,
            Command::Report(arguments) => arguments.selection.verbosity,
            Command::Search(arguments) => arguments.selection.verbosity,
            Command::Export(arguments) => arguments.selection.verbosity,
            // They have no organizations.
            Command::Init(_) | Command::Sandbox(_) | Command::Demo(_) | Command::Completions(_) | Command::Man(_) => {
                Verbosity::default()
            }
        }
    }

    /// Returns whether what it does is logged in the file of the log too.
    fn has_log_file(&self) -> bool {
        matches!(self, Command::Forward(_) | Command::Reconcile(_) | Command::Check(_))
    }

    /// Returns whether standard output has text for people.
    fn prints_text(&self) -> bool {
        let is_for_records = match self {
            Command::Search(_) | Command::Prove(_) => true,
            Command::Forward(arguments) => arguments.is_to_stdout(),
            _ => false,
        };
        self.form() == Form::Text && !is_for_records
    }

    /// Returns how its result is printed.
    fn form(&self) -> Form {
        Form::json_if(match self {
            Command::Forward(arguments) => return arguments.form(),
            // Standard output is for records.
            Command::Search(arguments) if arguments.selection.json => return Form::JsonOnStderr,
            Command::Search(_) => false,
            Command::Collect(arguments) => arguments.json,
            Command::Fleet(arguments) => arguments.is_json(),
            Command::Archive(arguments) => arguments.json,
            Command::Reconcile(arguments) => arguments.json,
            Command::Check(arguments) => arguments.selection.json,
            Command::Status(arguments) => arguments.selection.json,
            Command::Coverage(arguments) => arguments.selection.json,
            Command::Verify(arguments) => arguments.selection.json,
            Command::Report(arguments) => arguments.selection.json,
            Command::Seal(arguments) => arguments.selection.json,
            Command::Audit(arguments) => arguments.json,
            Command::Evidence(arguments) => arguments.is_json(),
            Command::Pack(arguments) => arguments.selection.json,
            Command::Unpack(arguments) => arguments.selection.json,
            Command::Hold(arguments) => arguments.is_json(),
            Command::Expire(arguments) => arguments.selection.json,
            Command::Copy(arguments) => arguments.selection.json,
            // Standard output is for the proof.
            Command::Prove(_) => false,
            Command::Export(arguments) => arguments.selection.json,
            Command::Init(_) | Command::Sandbox(_) | Command::Demo(_) | Command::Completions(_) | Command::Man(_) => {
                false
            }
        })
    }
}
