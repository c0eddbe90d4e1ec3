//! `trailkeeper sandbox`: a stand-in for the services, until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cli;
use crate::config::{LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME};
use crate::env::Row;
use crate::output::logging;
use crate::output::print::{print, print_error};
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::sandbox::{Options, Sandbox};
use crate::source::SOURCES;

/// Serves until Ctrl-C or SIGTERM.
pub async fn run(arguments: &cli::Sandbox, clock: fn() -> DateTime<Utc>) -> Exit {
    let _ = logging::start(arguments.verbosity, None, &Progress::hidden(), clock);
    let options = Options::new(Arc::new(clock));
    let records = arguments.records as usize;
    let mut options = if arguments.still {
        options.still(records)
    } else {
        options.records(records)
    };
    options.seed = arguments.seed;
    options.latency = Duration::from_millis(arguments.latency_ms);
    options.record_bytes = arguments.record_bytes as usize;
    options.gzip = arguments.gzip;
    options.listen = arguments.listen;
    let sandbox = match Sandbox::start(options).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            print_error(&error.to_string());
            return Exit::Setup;
        }
    };
    // Whoever reads that it is there may end it at once.
    let signal = signals::received();
    print(&settings(&sandbox));
    signal.await;
    sandbox.stop().await;
    Exit::Complete
}

/// What to put into `.env`: everything that a collector needs but the folders.
fn settings(sandbox: &Sandbox) -> String {
    let mut text = format!("# The sandbox listens on {}; put this into .env:\n", sandbox.url());
    for (name, value) in sandbox.variables() {
        text.push_str(&format!("{name}={value}\n"));
    }
    for kind in SOURCES {
        let folder = LOG_CATALOG_LOCATION.of(kind.prefix).name();
        let base = LOG_FILE_BASE_NAME.of(kind.prefix).name();
        text.push_str(&format!(
            "{folder}=./{}\n{base}={}\n",
            kind.name,
            kind.usual_base_name()
        ));
    }
    let folders: Vec<_> = SOURCES.iter().map(|kind| kind.name).collect();
    text + &format!("# and make the folders: mkdir -p {}\n", folders.join(" "))
}
