//! The commands, a file each: what was typed becomes what is done, and its outcome an exit code.
//!
//! Imports: archive, cli, config, coverage, env, fetch, forward, fs, http, metrics, output, process, record,
//! report, run, sandbox, source, window.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::env::Env;
use crate::env::system::{NO_COLOR, TERM};
use crate::output::progress::Progress;
use crate::process::shutdown::{self, Shutdown};
use crate::run::summary::Exit;

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

/// Tells the operator on stderr, before there is a log.
pub fn print_error(text: &str) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "trailkeeper: {}", text.trim_end());
}

/// Writes to stdout; a reader that went away is not an error of ours.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

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

/// Whether stdout takes colours: a terminal does, unless `NO_COLOR` (<https://no-color.org>) or `TERM=dumb` forbids it.
fn takes_colours(env: &Env) -> bool {
    std::io::stdout().is_terminal() && !env.is_set(&NO_COLOR) && !env.is(&TERM, "dumb")
}

/// The shutdown that Ctrl-C and SIGTERM trigger from now on.
fn shutdown_on_signals() -> Shutdown {
    let (trigger, shutdown) = shutdown::channel();
    let signal = signal();
    tokio::spawn(async move {
        signal.await;
        tracing::warn!("asked to stop: ending after the write under way");
        trigger.trigger();
    });
    shutdown
}

/// Returns at the first signal that asks the process to end; those that come before it is awaited count.
#[cfg(unix)]
fn signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    async fn received(signal: std::io::Result<Signal>) {
        let received = match signal {
            Ok(mut signal) => signal.recv().await,
            Err(_) => None,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
    }
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

/// Returns when Ctrl-C asks the process to end.
#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Progress lines, unless nothing but errors is wanted.
fn progress(quiet: bool) -> Progress {
    if quiet {
        Progress::hidden()
    } else {
        Progress::on_stderr()
    }
}
