//! `trailkeeper collect`: settings, log, run, summary.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::{complain, print, progress, stop_on_signals};
use crate::cli::{Collect, Verbosity};
use crate::config::{Access, Choice, Config};
use crate::env::Env;
use crate::logging;
use crate::run::{self, Order, StartError};
use crate::source::SOURCES;
use crate::summary::{Exit, Summary};

/// A run that was asked for: where its settings are, and what it does.
pub(super) struct Plan<'a> {
    pub(super) env_file: Option<&'a Path>,
    pub(super) streams: &'a [String],
    pub(super) verbosity: Verbosity,
    pub(super) order: Order,
}

/// Collects once.
pub async fn run(arguments: &Collect, clock: fn() -> DateTime<Utc>) -> Exit {
    let now = clock();
    let range = match arguments.range(now) {
        Ok(range) => range,
        Err(error) => return give_up(&error.to_string(), Exit::Usage),
    };
    let plan = Plan {
        env_file: arguments.env_file.as_deref(),
        streams: &arguments.streams,
        verbosity: arguments.verbosity,
        order: Order {
            now,
            range,
            dry_run: arguments.dry_run,
            reconcile: false,
        },
    };
    match carry_out(plan, clock).await {
        Ok(summary) => finish(&summary, arguments.json),
        Err(exit) => exit,
    }
}

/// Reads the settings, starts the log and runs; what went wrong before the run began was told, and is an exit code.
pub(super) async fn carry_out(plan: Plan<'_>, clock: fn() -> DateTime<Utc>) -> Result<Summary, Exit> {
    let env = Env::load(plan.env_file);
    let access = if plan.order.dry_run {
        Access::Read
    } else {
        Access::Write
    };
    let choice = Choice {
        streams: plan.streams,
        access,
    };
    let config = Config::read(&env, SOURCES, choice)
        .map_err(|faults| give_up(&format!("the settings cannot be used:\n{faults}"), Exit::Setup))?;
    let progress = progress(plan.verbosity.quiet);
    let _log = logging::start(plan.verbosity, Some(&config.log_file), &progress, clock)
        .map_err(|error| give_up(&error.to_string(), Exit::Setup))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    // The streams hold what they need of it; the tokens of others need not stay in memory.
    drop(env);
    run::run(&config.streams, plan.order, &progress, &stop_on_signals())
        .await
        .map_err(|error| refuse(&error))
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
