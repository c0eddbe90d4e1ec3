//! The commands, a file each: what was typed becomes what is done, and its outcome an exit code.
//!
//! Imports: archive, cli, config, coverage, env, fetch, forward, fs, http, metrics, output, process, record,
//! report, run, sandbox, source, window.

use serde::Serialize;

use crate::output::print::{print, print_error};
use crate::process::exit::Exit;

mod archives;
pub mod check;
pub mod collect;
pub mod coverage;
pub mod demo;
pub mod forward;
mod follow;
pub mod init;
pub mod install;
mod sampler;
pub mod reconcile;
pub mod report;
pub mod sandbox;
mod session;
pub mod status;
pub mod verify;

/// What a command says of each stream, as JSON: `{"streams": […], "exit_code": 0}`.
#[derive(Debug, Serialize)]
struct Listing<'a, T> {
    streams: &'a [T],
    exit_code: u8,
}

/// Prints what a command says of each stream on one line of JSON, and ends with `exit`.
fn print_json<T: Serialize>(streams: &[T], exit: Exit) -> Exit {
    let listing = Listing {
        streams,
        exit_code: exit as u8,
    };
    match serde_json::to_string(&listing) {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => {
            print_error(&format!("the outcome cannot be written: {error}"));
            return Exit::Setup;
        }
    }
    exit
}
