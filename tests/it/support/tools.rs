//! Programs of others that prove what ours wrote, where they are installed.

use std::process::Command;

use super::Run;
use super::process;

/// A program that answers `--version` or `-v`; without it the test that needs it says so and proves nothing.
#[expect(
    clippy::print_stderr,
    reason = "a test that was skipped must not look like one that passed"
)]
pub(crate) fn tool(name: &str, debian_package: &str) -> Option<Command> {
    let mut trial = Command::new(name);
    if process::try_run(trial.arg("--version")).is_some() {
        return Some(Command::new(name));
    }
    eprintln!("SKIPPED: {name} is not installed (Debian package {debian_package})");
    None
}

/// Runs a program to its end, which has to be a good one.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> Run {
    let run = process::run(command);
    assert_eq!(
        run.code, 0,
        "{command:?}\nstdout: {}\nstderr: {}",
        run.stdout, run.stderr
    );
    run
}
