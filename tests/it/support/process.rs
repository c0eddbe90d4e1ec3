//! Processes that a test starts: none of them outlives it, and none can hang it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};

use super::Run;
use super::wait::PATIENCE;

/// How often is looked whether a process that has closed its pipes has ended.
const INTERVAL: Duration = Duration::from_millis(1);

/// A process under a limit of time, killed when this is dropped.
///
/// What it says is read as it comes, so that it never waits for a full pipe.
pub(crate) struct Process {
    child: Child,
    /// How it was started.
    command: String,
    stdout: Pipe,
    stderr: Pipe,
}

/// A pipe that a thread reads, line by line.
struct Pipe {
    lines: Receiver<Vec<u8>>,
    /// All that was taken from it.
    text: Vec<u8>,
}

/// Why there is no next line.
#[derive(Debug)]
enum NoLineError {
    /// The other side has closed the pipe.
    Closed,
    TooLate,
}

impl Process {
    /// Starts it; pipes are read if the command has them.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        Self::of(child, command)
    }

    /// One that was started by this command; what was taken of its pipes is the caller's to read.
    pub(crate) fn of(mut child: Child, command: &Command) -> Self {
        Self {
            command: shown(command),
            stdout: Pipe::read(child.stdout.take()),
            stderr: Pipe::read(child.stderr.take()),
            child,
        }
    }

    /// Its stdin, where it is a pipe.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit code if it has ended; -1 where a signal ended it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(code)
    }

    /// Asserts that it has not ended.
    #[track_caller]
    pub(crate) fn assert_running(&mut self) {
        if let Some(code) = self.ended() {
            self.fail(&format!("has ended with {code}"));
        }
    }

    /// The next line of its stdout, without the newline; `None` when it has closed it.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        match self.stdout.next(deadline) {
            Ok(line) => Some(String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned()),
            Err(NoLineError::Closed) => None,
            Err(NoLineError::TooLate) => self.fail(&format!("says nothing for {PATIENCE:?}")),
        }
    }

    /// The next lines of its stdout, to the first one that begins with `end`.
    #[track_caller]
    pub(crate) fn lines_to(&mut self, end: &str) -> Vec<String> {
        let mut lines = Vec::new();
        self.read_to_line(
            |process| &mut process.stdout,
            end,
            |line| {
                lines.push(line.to_owned());
                line.starts_with(end)
            },
        );
        lines
    }

    /// The first line of its stderr with this text.
    #[track_caller]
    pub(crate) fn complaint_with(&mut self, text: &str) -> String {
        let mut last = String::new();
        self.read_to_line(
            |process| &mut process.stderr,
            text,
            |line| {
                line.clone_into(&mut last);
                line.contains(text)
            },
        );
        last
    }

    /// Reads a pipe to the line that is wanted.
    #[track_caller]
    fn read_to_line(
        &mut self,
        pipe: impl Fn(&mut Self) -> &mut Pipe,
        wanted: &str,
        mut is_it: impl FnMut(&str) -> bool,
    ) {
        let deadline = Instant::now() + PATIENCE;
        // Ends at the deadline, or when the pipe is closed.
        loop {
            match pipe(self).next(deadline) {
                Ok(line) if is_it(String::from_utf8_lossy(&line).trim_end_matches('\n')) => return,
                Ok(_) => {}
                Err(error) => self.fail(&format!("does not say {wanted:?} ({error:?})")),
            }
        }
    }

    /// Sends it a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end, and waits until it does; what it left behind.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn terminate(self) -> Run {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.kill_and_wait();
    }

    /// Waits until it ends; what it left behind.
    #[track_caller]
    pub(crate) fn end(self) -> Run {
        self.end_within(PATIENCE)
    }

    /// Waits for so long until it ends; what it left behind.
    #[track_caller]
    pub(crate) fn end_within(mut self, limit: Duration) -> Run {
        let deadline = Instant::now() + limit;
        let is_closed = self.stdout.read_to_end(deadline) && self.stderr.read_to_end(deadline);
        let status = if is_closed { self.status_before(deadline) } else { None };
        let Some(status) = status else {
            self.fail(&format!("has not ended after {limit:?}"));
        };
        Run {
            code: code(status),
            stdout: String::from_utf8(std::mem::take(&mut self.stdout.text)).unwrap(),
            stderr: String::from_utf8(std::mem::take(&mut self.stderr.text)).unwrap(),
        }
    }

    fn status_before(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            let status = self.child.try_wait().unwrap();
            if status.is_some() || Instant::now() > deadline {
                return status;
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Kills it, and fails with what it has said.
    #[track_caller]
    fn fail(&mut self, what: &str) -> ! {
        self.kill_and_wait();
        let [stdout, stderr] = [&mut self.stdout, &mut self.stderr].map(|pipe| {
            // A child that it has left behind can hold its pipes.
            pipe.read_to_end(Instant::now() + Duration::from_millis(200));
            String::from_utf8_lossy(&pipe.text).into_owned()
        });
        panic!("{} {what}\nstdout: {stdout}\nstderr: {stderr}", self.command);
    }

    /// One that was killed ends.
    fn kill_and_wait(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_and_wait();
    }
}

impl Pipe {
    fn read(pipe: Option<impl Read + Send + 'static>) -> Self {
        let (sender, lines) = channel();
        if let Some(pipe) = pipe {
            thread::spawn(move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                // Ends with the pipe, or with the process's owner.
                while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                    if sender.send(std::mem::take(&mut line)).is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            lines,
            text: Vec::new(),
        }
    }

    fn next(&mut self, deadline: Instant) -> Result<Vec<u8>, NoLineError> {
        // Also where there is ever another line.
        let left = deadline.checked_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left.ok_or(NoLineError::TooLate)?);
        let line = line.map_err(|error| match error {
            RecvTimeoutError::Disconnected => NoLineError::Closed,
            RecvTimeoutError::Timeout => NoLineError::TooLate,
        })?;
        self.text.extend_from_slice(&line);
        Ok(line)
    }

    /// Reads on until the pipe is closed; `false` if it is not by then.
    fn read_to_end(&mut self, deadline: Instant) -> bool {
        loop {
            match self.next(deadline) {
                Ok(_) => {}
                Err(error) => return matches!(error, NoLineError::Closed),
            }
        }
    }
}

/// Runs a command to its end; what it left behind.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Run {
    try_run(command).unwrap_or_else(|| panic!("{} cannot be started", shown(command)))
}

/// The same where the program may not be there; `None` if it cannot be started.
#[track_caller]
pub(crate) fn try_run(command: &mut Command) -> Option<Run> {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().ok()?;
    Some(Process::of(child, command).end())
}

/// Runs a command that reads this to its end; what it left behind.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: Vec<u8>) -> Run {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::start(command);
    let mut stdin = process.stdin().unwrap();
    // A process that does not read must not hold up the test.
    thread::spawn(move || stdin.write_all(&input));
    process.end()
}

/// The command line, by the name of the program.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

#[test]
#[cfg(unix)]
fn a_process_that_does_not_end_is_killed_and_what_it_said_is_told() {
    // One that says nothing more, one that never stops talking, and one whose child has its pipes.
    for script in ["exec sleep 600", "exec yes", "sleep 3 & wait"] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("echo the reason >&2; {script}")]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = Process::start(piped);
        let pid = Pid::from_child(&process.child);
        let limit = Duration::from_millis(300);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| process.end_within(limit)));
        let message = *panic.err().unwrap().downcast::<String>().unwrap();
        assert!(message.contains("has not ended after 300ms"), "{script}: {message}");
        assert!(message.contains("stderr: the reason"), "{script}: {message}");
        assert_eq!(
            rustix::process::test_kill_process(pid),
            Err(rustix::io::Errno::SRCH),
            "{script}"
        );
    }
}

#[test]
fn a_process_that_ends_too_early_is_told_with_what_it_said() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo one; echo two; echo the reason >&2; exit 7"]);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(piped);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| process.lines_to("three")));
    let message = *panic.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("does not say \"three\" (Closed)"), "{message}");
    assert!(
        message.contains("one\ntwo\n") && message.contains("the reason"),
        "{message}"
    );
}
