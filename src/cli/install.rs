//! The arguments of the commands that a package or an administrator runs once: `completions` and `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// The arguments of `completions`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Completions {
    /// The shell that the completions are for
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The arguments of `man`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Man {
    /// Write a page for the program and one for each command into this folder, instead of the first to stdout
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
