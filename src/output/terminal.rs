//! The terminal: questions and answers, with or without echo, and whether it takes colours.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use zeroize::Zeroizing;

use super::stderr;

/// Room for an answer, so that a growing secret leaves no copies behind.
const USUAL_LENGTH: usize = 4096;

/// Returns whether tables on stdout are coloured: on a terminal, if `is_allowed`.
pub(crate) fn stdout_takes_colours(is_allowed: bool) -> bool {
    is_allowed && stdout_is_terminal()
}

/// Returns whether somebody reads stdout as it is written.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Returns how many columns the terminal of stdout has; `None` if it is none, or does not say.
#[cfg(unix)]
pub(crate) fn stdout_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|width| *width > 0)
}

/// It is not asked here.
#[cfg(not(unix))]
pub(crate) fn stdout_width() -> Option<usize> {
    None
}

/// Returns whether the process was started without a stdout: then Rust's runtime has put `/dev/null` in its place, open for both
/// reading and writing, as nobody opens it for output alone.
#[cfg(target_os = "linux")]
#[must_use]
pub(crate) fn stdout_is_closed() -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fstat, stat};

    let (Ok(found), Ok(null), Ok(flags)) = (fstat(io::stdout()), stat("/dev/null"), fcntl_getfl(io::stdout())) else {
        return true;
    };
    let is_null = (found.st_dev, found.st_ino) == (null.st_dev, null.st_ino);
    is_null && flags.contains(OFlags::RDWR)
}

/// It cannot be told here.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub(crate) fn stdout_is_closed() -> bool {
    false
}

/// The terminal of a person: stdin and stderr.
#[derive(Debug)]
pub(crate) struct Terminal {
    _private: (),
}

impl Terminal {
    /// Returns the terminal; `None` if stdin or stderr is something else.
    #[must_use]
    pub(crate) fn of_this_process() -> Option<Self> {
        let both = io::stdin().is_terminal() && io::stderr().is_terminal();
        both.then_some(Self { _private: () })
    }

    /// Prints a text.
    ///
    /// # Errors
    /// The terminal has gone away.
    pub(crate) fn say(&self, text: &str) -> io::Result<()> {
        // What was said before stands above it.
        stderr::drain();
        let mut stderr = io::stderr().lock();
        stderr.write_all(text.as_bytes())?;
        stderr.flush()
    }

    /// Asks for a line, without the white space around it.
    ///
    /// # Errors
    /// The terminal has gone away, or the input ended with Ctrl-D.
    pub(crate) fn ask(&self, question: &str) -> io::Result<String> {
        self.say(question)?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(ended());
        }
        Ok(line.trim().to_owned())
    }

    /// Asks for a line that is not shown as it is typed.
    ///
    /// # Errors
    /// As for [`Terminal::ask`]; Ctrl-C ends the input too, since the terminal must be restored before the program
    /// ends.
    pub(crate) fn ask_secret(&self, question: &str) -> io::Result<Zeroizing<String>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(USUAL_LENGTH));
        // Turn echo off first: the person may type as soon as the question is shown.
        let read = silently(|| {
            self.say(question)?;
            read_keys(&mut bytes)
        });
        self.say("\n")?;
        read?;
        let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("the input is not UTF-8"))?;
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}

/// Reads to the end of the line, key by key, since the terminal does not edit it now.
fn read_keys(line: &mut Vec<u8>) -> io::Result<()> {
    for byte in io::stdin().lock().bytes() {
        match byte? {
            b'\r' | b'\n' => return Ok(()),
            // Ctrl-C and Ctrl-D.
            3 | 4 => return Err(ended()),
            // Backspace, as terminals send it; a letter outside ASCII goes byte by byte.
            8 | 127 => drop(line.pop()),
            // Ctrl-U: start over.
            21 => line.clear(),
            other => line.push(other),
        }
    }
    Err(ended())
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the input was ended")
}

/// Runs `work` while the terminal echoes nothing and returns each key at once; restores it afterwards.
#[cfg(unix)]
fn silently(work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let before = tcgetattr(io::stdin())?;
    let mut silent = before.clone();
    silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
    let result = work();
    tcsetattr(io::stdin(), OptionalActions::Now, &before)?;
    result
}

/// Echo cannot be turned off here: no secret is better than one on the screen.
#[cfg(not(unix))]
fn silently(_work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "secrets cannot be asked for on this system: copy .env.example instead",
    ))
}
