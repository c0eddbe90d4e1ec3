//! The command line: arguments in, exit code out. The only place that asks the clock.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use trailkeeper::cli::{self, Command};
use trailkeeper::commands;
use trailkeeper::output::print::print_error;
use trailkeeper::process::core_dump;
use trailkeeper::process::exit::Exit;
use trailkeeper::source::SOURCES;

/// The clock of the program.
#[expect(clippy::disallowed_methods, reason = "this is the place that asks it")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn main() -> ExitCode {
    // A kernel that refuses is no reason not to collect.
    let _ = core_dump::forbid();
    let streams: Vec<_> = SOURCES.iter().map(|kind| kind.name).collect();
    let command = match cli::parse(std::env::args_os(), &streams) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // One thread for all requests: waking others would cost more than they could do. What blocks goes to threads of its own.
    let runtime = match builder.worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("cannot start: {error}"));
            return Exit::Setup.into();
        }
    };
    let exit = runtime.block_on(async {
        match command {
            Command::Collect(arguments) => commands::collect::run(&arguments, now).await,
            Command::Forward(arguments) => commands::forward::run(&arguments, now).await,
            Command::Check(arguments) => commands::check::run(&arguments, now).await,
            Command::Status(arguments) => commands::status::run(&arguments, now),
            Command::Coverage(arguments) => commands::coverage::run(&arguments, now),
            Command::Verify(arguments) => commands::verify::run(&arguments, now),
            Command::Reconcile(arguments) => commands::reconcile::run(&arguments, now).await,
            Command::Sandbox(arguments) => commands::sandbox::run(&arguments, now).await,
            Command::Demo(arguments) => commands::demo::run(&arguments, now).await,
            Command::Init(arguments) => commands::init::run(&arguments, now).await,
            Command::Report(arguments) => commands::report::run(&arguments, now),
            Command::Completions(arguments) => commands::install::completions(&arguments),
            Command::Man(arguments) => commands::install::man(&arguments),
        }
    });
    exit.into()
}
