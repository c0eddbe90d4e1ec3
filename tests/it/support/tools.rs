//! Programs of others that prove what ours wrote, where they are installed.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::process;
use super::{Catalog, Run};

/// A program that answers `--version` or `-v`; without it the test that needs it says so and proves nothing.
pub(crate) fn tool(name: &str, debian_package: &str) -> Option<Command> {
    let mut trial = Command::new(name);
    if process::try_run(trial.arg("--version")).is_some() {
        return Some(Command::new(name));
    }
    // Past the harness, which shows what a test prints only when it fails.
    let _ = writeln!(
        std::io::stderr(),
        "NOT RUN: a test needs {name} (Debian package {debian_package}), which is not installed"
    );
    None
}

/// Whether strace is there and may trace; without it the test that needs it says so and proves nothing.
pub(crate) fn can_trace() -> bool {
    let Some(mut strace) = tool("strace", "strace") else {
        return false;
    };
    let trial = process::try_run(strace.args(["-o", "/dev/null", "true"]));
    let can_trace = trial.is_some_and(|run| run.code == 0);
    if !can_trace {
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: a test needs strace, which may not trace here"
        );
    }
    can_trace
}

/// Runs the program under strace, which does to its system calls what the filters say (`-e`): to all, or with `only` to those for
/// this file.
pub(crate) fn under_strace(catalog: &Catalog, arguments: &[&str], only: Option<&Path>, filters: &[String]) -> Run {
    let program = catalog.command(arguments);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null"]);
    for filter in filters {
        strace.args(["-e", filter]);
    }
    if let Some(only) = only {
        strace.arg("-P").arg(only);
    }
    strace
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(catalog.root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    for (name, value) in program.get_envs() {
        strace.env(name, value.unwrap());
    }
    process::run(&mut strace)
}

/// A package of PyPI that a test needs.
pub(crate) struct PythonPackage {
    pub(crate) name: &'static str,
    /// The variable that names a Python which has it; `python3` without it.
    pub(crate) named_by: &'static str,
    /// Python that fails without the package.
    pub(crate) import: &'static str,
}

impl PythonPackage {
    /// That which verifies the signatures of the evidence.
    pub(crate) const CRYPTOGRAPHY: Self = Self {
        name: "cryptography",
        named_by: "PYTHON_WITH_CRYPTOGRAPHY",
        import: "import cryptography.hazmat.primitives.asymmetric.ed25519",
    };

    /// A Python with the package; `None`, and a word about this test, where there is none.
    #[expect(clippy::disallowed_methods, reason = "the only place where a test asks for a Python")]
    pub(crate) fn python(&self, test: &str) -> Option<OsString> {
        let Self { name, named_by, import } = self;
        let named = std::env::var_os(named_by);
        let python = named.clone().unwrap_or_else(|| "python3".into());
        let problem = match process::try_run(Command::new(&python).args(["-c", import])) {
            Some(run) if run.code == 0 => return Some(python),
            Some(run) => run.stderr.trim().to_owned(),
            None => "it cannot be started".to_owned(),
        };
        assert!(
            named.is_none(),
            "{named_by} names {python:?}, which cannot be used: {problem}"
        );
        let reason = problem.lines().last().unwrap_or_default();
        // Past the harness, which shows what a test prints only when it fails.
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: {test} needs the PyPI package {name} ({reason}); {named_by} can name a Python that has it"
        );
        None
    }
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
