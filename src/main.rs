//! The entry point: command line in, exit code out. The only place that reads the clock and ends the process.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use trailkeeper::commands::CommandLine;
use trailkeeper::output::stderr;
use trailkeeper::process::{core_dump, open_files};

/// The most threads for blocking work, which are begun as they are needed: a forwarder can be waiting for each of thousands of
/// streams.
const MOST_THREADS: usize = 4_096;

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
    open_files::allow_as_many_as_can_be();
    let command_line = match CommandLine::read(std::env::args_os()) {
        Ok(command_line) => command_line,
        Err(no_command) => return no_command.print(),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // One thread for all requests: waking others would cost more than they could do. Blocking work has its own threads.
    builder
        .worker_threads(1)
        .max_blocking_threads(MOST_THREADS)
        .enable_all();
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return command_line.cannot_start(&error),
    };
    runtime.block_on(command_line.run(now))
}
