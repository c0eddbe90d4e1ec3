//! Programs of others that prove what ours wrote, where they are installed.

use std::process::{Command, Stdio};

use super::Run;

/// A program that answers `--version` or `-v`; without it the test that needs it says so and proves nothing.
#[expect(
    clippy::print_stderr,
    reason = "a test that was skipped must not look like one that passed"
)]
pub(crate) fn tool(name: &str, debian_package: &str) -> Option<Command> {
    let mut trial = Command::new(name);
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if trial.arg("--version").status().is_ok() {
        return Some(Command::new(name));
    }
    eprintln!("SKIPPED: {name} is not installed (Debian package {debian_package})");
    None
}

/// Runs a program to its end, which has to be a good one.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> Run {
    let run = Run::of(command.stdin(Stdio::null()).output().unwrap());
    assert_eq!(
        run.code, 0,
        "{command:?}\nstdout: {}\nstderr: {}",
        run.stdout, run.stderr
    );
    run
}
