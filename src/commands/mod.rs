//! The program: its commands, a file or folder each, with its arguments, its work and what it shows.
//!
//! Imports: archive, config, coverage, env, fetch, forward, fs, http, metrics, output, process, record,
//! report, run, sandbox, source, window.

mod archives;
mod arguments;
mod check;
mod collect;
mod command_line;
mod completions;
mod coverage;
mod demo;
mod error;
mod forward;
mod init;
mod man;
mod outcome;
mod reconcile;
mod report;
mod sandbox;
mod session;
mod status;
mod targets;
mod verify;

use chrono::{DateTime, Utc};
use clap::Subcommand;

use crate::output::logging::Log;
use crate::process::exit::Exit;
pub use command_line::CommandLine;
use error::CommandError;

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Ask the services for new records and append them to the day files (the default)
    #[command(after_long_help = collect::EXAMPLES)]
    Collect(collect::Arguments),
    /// Send what the day files hold to Kafka, an HTTP listener or standard output, from where the last time ended
    #[command(after_long_help = forward::EXAMPLES)]
    Forward(forward::Arguments),
    /// Ask again for the last hours, add what arrived late, and say how late it was
    #[command(after_long_help = reconcile::EXAMPLES)]
    Reconcile(reconcile::Arguments),
    /// Try the settings: folders, tokens, services, clock; one request of one record per stream
    #[command(after_long_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Show what the archive holds, how old it is, and what the last run said; asks nobody
    #[command(after_long_help = status::EXAMPLES)]
    Status(status::Arguments),
    /// Show for which time the services were asked for everything, and the gaps
    #[command(after_long_help = coverage::EXAMPLES)]
    Coverage(coverage::Arguments),
    /// Read every line of the day files and report what is wrong
    #[command(after_long_help = verify::EXAMPLES)]
    Verify(verify::Arguments),
    /// Serve a stand-in for the services, with invented records
    #[command(after_long_help = sandbox::EXAMPLES)]
    Sandbox(sandbox::Arguments),
    /// Show the whole way on invented records: no credentials, no network
    Demo(demo::Arguments),
    /// Ask for the settings on a terminal and write .env
    Init(init::Arguments),
    /// Write a page that shows the archive: records per day and hour, event types, users, gaps
    Report(report::Arguments),
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
            Command::Reconcile(arguments) => reconcile::run(arguments, log, clock).await,
            Command::Check(arguments) => check::run(arguments, log, clock).await,
            Command::Status(arguments) => status::run(arguments, clock),
            Command::Coverage(arguments) => coverage::run(arguments, clock),
            Command::Verify(arguments) => verify::run(arguments, clock),
            Command::Sandbox(arguments) => sandbox::run(arguments, clock).await,
            Command::Demo(arguments) => demo::run(arguments, clock).await,
            Command::Init(arguments) => init::run(arguments, log, clock).await,
            Command::Report(arguments) => report::run(arguments, clock),
            Command::Completions(arguments) => Ok(completions::run(arguments)),
            Command::Man(arguments) => man::run(arguments),
        }
    }
}
