//! `trailkeeper completions` and `trailkeeper man`: both from the definition of the command line.

use std::io;
use std::path::Path;

use crate::cli::{self, Completions, Man};
use crate::output::print::{print, print_error};
use crate::process::exit::Exit;
use crate::source::SOURCES;

/// Prints the completions for a shell.
pub fn completions(arguments: &Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut definition(), "trailkeeper", &mut text);
    print(&String::from_utf8_lossy(&text));
    Exit::Complete
}

/// Prints the manual page, or writes all pages.
pub fn man(arguments: &Man) -> Exit {
    let written = match &arguments.dir {
        Some(dir) => write_pages(dir),
        None => print_page(),
    };
    match written {
        Ok(()) => Exit::Complete,
        Err(error) => {
            print_error(&error);
            Exit::Setup
        }
    }
}

fn definition() -> clap::Command {
    let streams: Vec<_> = SOURCES.iter().map(|kind| kind.name).collect();
    cli::definition(&streams)
}

fn print_page() -> Result<(), String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(definition())
        .render(&mut page)
        .map_err(|error| format!("cannot make the manual page: {error}"))?;
    print(&String::from_utf8_lossy(&page));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the pages that `man --dir` exports")]
fn write_pages(dir: &Path) -> Result<(), String> {
    let advice = |error: io::Error| {
        let dir = dir.display();
        format!("cannot write manual pages to {dir}: {error}; check that the folder exists and can be written to")
    };
    clap_mangen::generate_to(definition(), dir).map_err(advice)
}
