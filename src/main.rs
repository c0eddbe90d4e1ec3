//! The entry point: command line in, exit code out. The only place that reads the clock and ends the process.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use trailkeeper::commands::CommandLine;
use trailkeeper::output::stderr;
use trailkeeper::process::core_dump;

/// Returns the current time.
#[expect(clippy::disallowed_methods, reason = "this is the place that asks it")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn main() -> ExitCode {
    let exit = run();
    stderr::drain();
    exit
}

fn run() -> ExitCode {
    // If the kernel refuses, collecting still works.
    let _ = core_dump::forbid();
    let command_line = match CommandLine::read(std::env::args_os()) {
        Ok(command_line) => command_line,
        Err(no_command) => return no_command.print(),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // One thread for all requests: waking others would cost more than they could do. Blocking work has its own threads.
    let runtime = match builder.worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return command_line.cannot_start(&error),
    };
    runtime.block_on(command_line.run(now))
}
