//! `trailkeeper completions`: completions for a shell, from the definition of the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::command_line::CommandLine;
use crate::output::print::{PrintError, print};
use crate::process::exit::Exit;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper completions bash > /usr/share/bash-completion/completions/trailkeeper
  trailkeeper completions zsh > /usr/share/zsh/vendor-completions/_trailkeeper
  trailkeeper completions fish > ~/.config/fish/completions/trailkeeper.fish";

/// Prints the completions.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit, PrintError> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut CommandLine::command(), "trailkeeper", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Complete)
}
