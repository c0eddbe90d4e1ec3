//! The command line in, the exit code out. The only place that asks the clock and ends the process.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use trailkeeper::commands::CommandLine;
use trailkeeper::output::print::print_error;
use trailkeeper::process::core_dump;
use trailkeeper::process::exit::Exit;

/// The clock of the program.
#[expect(clippy::disallowed_methods, reason = "this is the place that asks it")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn main() -> ExitCode {
    // A kernel that refuses is no reason not to collect.
    let _ = core_dump::forbid();
    let command_line = match CommandLine::read(std::env::args_os()) {
        Ok(command_line) => command_line,
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
    runtime.block_on(command_line.run(now)).into()
}
