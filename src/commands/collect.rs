//! `trailkeeper collect`: settings, log, run, summary.

use chrono::{DateTime, Utc};

use super::{complain, forward, print, progress, stop_on_signals};
use crate::cli::Collect;
use crate::config::{Access, Choice, Config};
use crate::env::{Env, Faults};
use crate::logging;
use crate::run::{self, Order, StartError};
use crate::source::SOURCES;
use crate::summary::{Exit, Summary};

/// Collects once.
pub async fn run(arguments: &Collect, clock: fn() -> DateTime<Utc>) -> Exit {
    let now = clock();
    let range = match arguments.range(now) {
        Ok(range) => range,
        Err(error) => return give_up(&error.to_string(), Exit::Usage),
    };
    let env = Env::load(arguments.env_file.as_deref());
    let access = if arguments.dry_run { Access::Read } else { Access::Write };
    let choice = Choice {
        streams: &arguments.streams,
        access,
    };
    let mut faults = Faults::default();
    let kinds: Vec<_> = SOURCES.iter().collect();
    let targets = forward::targets(&env, arguments.forward, &kinds, now, &mut faults);
    let config = match Config::read(&env, SOURCES, choice) {
        Ok(config) if faults.is_empty() => config,
        result => {
            faults.append(result.err().unwrap_or_default());
            return give_up(&format!("the settings cannot be used:\n{faults}"), Exit::Setup);
        }
    };
    let progress = progress(arguments.verbosity.quiet);
    let _log = match logging::start(arguments.verbosity, Some(&config.log_file), &progress, clock) {
        Ok(guard) => guard,
        Err(error) => return give_up(&error.to_string(), Exit::Setup),
    };
    for warning in env.warnings() {
        tracing::warn!("{warning}");
    }
    let order = Order {
        now,
        range,
        dry_run: arguments.dry_run,
    };
    match run::run_and_forward(&config.streams, order, &targets, &progress, &stop_on_signals()).await {
        Ok(summary) => finish(&summary, arguments.json),
        Err(error) => refuse(&error),
    }
}

fn give_up(text: &str, exit: Exit) -> Exit {
    complain(text);
    exit
}

fn refuse(error: &StartError) -> Exit {
    tracing::error!("{error}");
    if error.is_held() { Exit::Locked } else { Exit::Setup }
}

fn finish(summary: &Summary, as_json: bool) -> Exit {
    if !as_json {
        print(&summary.to_string());
        return summary.exit();
    }
    match summary.to_json() {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => return give_up(&format!("the summary cannot be written: {error}"), Exit::StreamFailed),
    }
    summary.exit()
}
