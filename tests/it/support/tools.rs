//! Programs of others that prove what ours wrote, where they are installed.

use std::ffi::OsString;
use std::io::Write;
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

/// A Python with a module of this PyPI package: the one that the variable names, or else `python3`; `None`, and a word about
/// the test that needs it, where there is none. `.ci/run` sees to it that there is one.
#[expect(clippy::disallowed_methods, reason = "the only place where a test asks for a Python")]
pub(crate) fn python_with(variable: &str, module: &str, package: &str, test: &str) -> Option<OsString> {
    let named = std::env::var_os(variable);
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let import = process::try_run(Command::new(&python).args(["-c", &format!("import {module}")]));
    let problem = match import {
        Some(run) if run.code == 0 => return Some(python),
        Some(run) => run.stderr.trim().to_owned(),
        None => "it cannot be started".to_owned(),
    };
    assert!(
        named.is_none(),
        "{variable} names {python:?}, which cannot be used: {problem}"
    );
    let reason = problem.lines().last().unwrap_or_default();
    // Past the harness, which shows what a test prints only when it fails.
    let _ = writeln!(
        std::io::stderr(),
        "NOT RUN: {test} needs the PyPI package {package} ({reason}); {variable} can name a Python that has it"
    );
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
