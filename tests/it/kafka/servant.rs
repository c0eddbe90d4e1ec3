//! A process of a test that does what it is told: this test binary once more, at an ignored test.
//!
//! It takes commands on stdin, a line each, and answers on stdout with lines that begin with `@`, the last of which is `@done`.

use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;

#[cfg(unix)]
use rustix::process::Signal;

use crate::support::Process;

/// The process, which ends when this is dropped.
pub(crate) struct Servant(Mutex<(ChildStdin, Process)>);

impl Servant {
    /// Starts the ignored test of this name.
    pub(crate) fn start(test: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--ignored", "--nocapture"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start(&mut command);
        Self(Mutex::new((process.stdin().unwrap(), process)))
    }

    /// Gives a command and reads the answer.
    pub(crate) fn ask(&self, command: &str) -> Vec<String> {
        let mut pipes = self.0.lock().unwrap();
        writeln!(pipes.0, "{command}").unwrap();
        let mut lines = pipes.1.lines_to("@done");
        lines.pop();
        // The other lines are what the test harness of the process says.
        let answer = lines.iter().filter_map(|line| line.strip_prefix('@'));
        answer.map(str::to_owned).collect()
    }

    /// Sends it a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: Signal) {
        self.0.lock().unwrap().1.signal(signal);
    }
}
