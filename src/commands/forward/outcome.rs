//! The result of forwarding, stream by stream.

use serde::Serialize;

use super::{Arguments, SinkArg};
use crate::commands::outcome::{Form, ShowError, print_json, print_text};
use crate::output::print::print_to_stderr;
use crate::process::exit::Exit;
use crate::run::summary::ForwardSummary;

#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    streams: Vec<StreamOutcome>,
    #[serde(skip)]
    exit: Exit,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
pub(super) struct StreamOutcome {
    pub(super) stream: &'static str,
    pub(super) forward: Vec<ForwardSummary>,
}

impl Outcome {
    /// Creates it; the exit code is at least this one.
    pub(super) fn new(streams: Vec<StreamOutcome>, least: Exit) -> Self {
        let all = streams.iter().flat_map(|stream| &stream.forward);
        let exit = all.map(ForwardSummary::exit).fold(least, Exit::max);
        Self {
            streams,
            exit,
            exit_code: exit as u8,
        }
    }

    /// Prints it, and returns the exit code.
    pub(super) fn show(&self, arguments: &Arguments) -> Result<Exit, ShowError> {
        match arguments.form() {
            Form::Json => print_json(arguments.settings.organization(), self)?,
            Form::JsonOnStderr => print_to_stderr(&(serde_json::to_string(self)? + "\n")),
            // Standard output has the lines themselves; the log says the rest.
            Form::Text if arguments.sink == SinkArg::Stdout => {}
            Form::Text => print_text(arguments.verbosity, || self.lines())?,
        }
        Ok(self.exit)
    }

    fn lines(&self) -> String {
        let lines = self.streams.iter().flat_map(|stream| {
            let lines = stream.forward.iter();
            lines.map(|forward| forward.line(stream.stream) + "\n")
        });
        lines.collect()
    }
}
