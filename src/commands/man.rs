//! `trailkeeper man`: the manual pages, from the definition of the command line.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};

use super::command_line::CommandLine;
use super::error::CommandError;
use crate::output::print::print;
use crate::process::exit::Exit;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Write a page for the program and one for each command into this folder, instead of the first to stdout
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Prints the page of the program, or writes all pages.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit, CommandError> {
    match &arguments.dir {
        Some(dir) => write_pages(dir).map_err(|error| {
            let dir = dir.display();
            CommandError::setup(format!(
                "cannot write manual pages to {dir}: {error}; check that the folder exists and can be written to"
            ))
        })?,
        None => print(&page()?)?,
    }
    Ok(Exit::Complete)
}

fn page() -> Result<String, CommandError> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(CommandLine::command()).render(&mut page);
    rendered.map_err(|error| CommandError::setup(format!("cannot create the manual page: {error}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[expect(clippy::disallowed_methods, reason = "the pages that `man --dir` exports")]
fn write_pages(dir: &Path) -> io::Result<()> {
    clap_mangen::generate_to(CommandLine::command(), dir)
}
