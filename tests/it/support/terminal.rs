//! A program on a pseudo-terminal that a test types into.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::{Catalog, PATIENCE, Process, wait_for};

/// A program on a terminal, and what the terminal shows.
pub(crate) struct Session {
    child: Process,
    pub(crate) keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: Vec<u8>,
    read: usize,
}

impl Session {
    /// Starts it with the terminal as its stdin and stderr.
    pub(crate) fn start(catalog: &Catalog, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = || {
            File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap()
        };
        let mut command = catalog.command(arguments);
        let child = Process::start(command.stdin(terminal()).stderr(terminal()).stdout(Stdio::piped()));
        // Its terminals are open as long as the command that was made of them.
        drop(command);
        let keyboard = File::from(master);
        let mut screen_reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        // The read fails when the last program on the terminal has ended.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen_reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            shown: Vec::new(),
            read: 0,
        }
    }

    /// Waits until the terminal shows this text, behind what was waited for before.
    pub(crate) fn sees(&mut self, text: &str) {
        wait_for(&format!("the terminal shows `{text}`"), PATIENCE, || {
            if let Some(at) = memchr::memmem::find(&self.shown[self.read..], text.as_bytes()) {
                self.read += at + text.len();
                return Some(());
            }
            let more = self.screen.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|error| panic!("no `{text}` ({error}) in {}", lossy(&self.shown)));
            self.shown.extend(more);
            None
        });
    }

    /// Waits for a question and types the answer.
    pub(crate) fn answers(&mut self, question: &str, answer: &str) {
        self.sees(question);
        self.sees(if question.ends_with('?') { "] " } else { ": " });
        self.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }

    /// The exit code, stdout, and all that the terminal showed.
    pub(crate) fn end(mut self) -> (i32, String, String) {
        let run = self.child.end();
        // Ends when the terminal has shown nothing for a while.
        while let Ok(more) = self.screen.recv_timeout(Duration::from_millis(200)) {
            self.shown.extend(more);
        }
        (run.code, run.stdout, lossy(&self.shown))
    }
}

fn lossy(shown: &[u8]) -> String {
    String::from_utf8_lossy(shown).into_owned()
}
