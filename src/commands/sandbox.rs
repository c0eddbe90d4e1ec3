//! `trailkeeper sandbox`: imitates the services until it is stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use super::arguments::listen::listen_address;
use super::error::CommandError;
use crate::config::{LOG_CATALOG_LOCATION, LOG_FILE_BASE_NAME};
use crate::env::Row;
use crate::output::logging::{self, Verbosity};
use crate::output::print::print;
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::sandbox::{Fault, Options, Sandbox};
use crate::source::SOURCES;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Listen on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8360", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,

    /// Start with this many records in each stream
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) records: u32,

    /// The seed of the invented records; the same seed gives the same records
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Delay every answer by this many milliseconds
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) latency_ms: u64,

    /// Pad shorter records to this many bytes of JSON
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) record_bytes: u32,

    /// Compress answers for clients that accept it
    #[arg(long)]
    pub(crate) gzip: bool,

    /// Add no new records as time goes by
    #[arg(long)]
    pub(crate) still: bool,

    /// Give the services a fault, to rehearse with; can be repeated
    #[arg(long = "fault", value_name = "NAME[=N][@STREAM]", long_help = fault_help())]
    pub(crate) faults: Vec<Fault>,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  trailkeeper sandbox                                 prints the variables to set
  trailkeeper sandbox --listen 127.0.0.1:0 --records 100000 --seed 7
  trailkeeper sandbox --fault unavailable=3 --fault expired-token=0@tfc";

fn fault_help() -> String {
    format!(
        "Give the services a fault, to rehearse with; can be repeated.\n\nN is counted for each service by itself, and @STREAM \
         gives the fault to one alone:\n\n{}",
        Fault::list()
    )
}

/// Serves until Ctrl-C or SIGTERM.
pub(crate) async fn run(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Result<Exit, CommandError> {
    let _ = logging::start_on_stderr(arguments.verbosity, &Progress::hidden(), clock);
    let options = options(arguments, clock);
    let sandbox = Sandbox::start(options).await.map_err(CommandError::setup)?;
    // Before the address is printed: whoever reads it may stop the sandbox at once.
    let signal = signals::received();
    print(&settings(&sandbox))?;
    signal.await;
    sandbox.stop().await;
    Ok(Exit::Complete)
}

fn options(arguments: &Arguments, clock: fn() -> DateTime<Utc>) -> Options {
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
    let steps = arguments.faults.iter().map(Fault::step);
    steps.fold(options, Options::step)
}

/// Returns the settings for `.env`: everything that a collector needs except the folders.
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
    text + &format!("# and create the folders: mkdir -p {}\n", folders.join(" "))
}
