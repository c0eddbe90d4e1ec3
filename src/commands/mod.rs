//! The commands, a file each: what was typed becomes what is done, and its outcome an exit code.

use std::io::{IsTerminal, Write};
#[cfg(unix)]
use std::task::Poll;

use serde::Serialize;

use crate::env::Env;
use crate::progress::Progress;
use crate::stop::{self, Stop};
use crate::summary::Exit;

mod archives;
pub mod check;
pub mod collect;
pub mod coverage;
pub mod demo;
pub mod forward;
mod follow;
pub mod init;
pub mod install;
mod pulse;
pub mod reconcile;
pub mod report;
pub mod sandbox;
mod session;
pub mod status;
pub mod verify;

/// Tells the operator on stderr, before there is a log.
pub fn complain(text: &str) {
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
            complain(&format!("the outcome cannot be written: {error}"));
            return Exit::Setup;
        }
    }
    exit
}

/// Whether stdout takes colours: a terminal does, unless `NO_COLOR` (<https://no-color.org>) or `TERM=dumb` forbids it.
fn takes_colours(env: &Env) -> bool {
    std::io::stdout().is_terminal() && !env.is_set("NO_COLOR") && !env.is("TERM", "dumb")
}

/// The wish to stop that Ctrl-C and SIGTERM utter; they are heard from now on.
fn stop_on_signals() -> Stop {
    let (stopper, stop) = stop::channel();
    let signal = signal();
    tokio::spawn(async move {
        signal.await;
        tracing::warn!("asked to stop: ending after the write under way");
        stopper.stop();
    });
    stop
}

/// Ends at the first signal, from this call on, that asks the process to end.
#[cfg(unix)]
fn signal() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
    let mut signals = kinds.map(signal);
    std::future::poll_fn(move |context| {
        let is_asked = signals
            .iter_mut()
            .flatten()
            .any(|signal| signal.poll_recv(context).is_ready());
        if is_asked { Poll::Ready(()) } else { Poll::Pending }
    })
}

/// Ends at the first Ctrl-C.
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
