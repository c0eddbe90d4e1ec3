//! `trailkeeper collect`: settings, log, run, summary.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::{complain, follow, forward, print, progress, stop_on_signals, takes_colours};
use crate::cli::{Collect, CollectForward, Verbosity};
use crate::config::{Access, Choice, Config};
use crate::env::{Env, Faults, ServiceManager};
use crate::forward::Targets;
use crate::logging;
use crate::metrics::Times;
use crate::progress::Progress;
use crate::run::{self, Order, StartError};
use crate::source::SOURCES;
use crate::summary::{Exit, Summary};

/// A run that was asked for: where its settings are, and what it does.
pub(super) struct Plan<'a> {
    pub(super) env_file: Option<&'a Path>,
    pub(super) streams: &'a [String],
    pub(super) verbosity: Verbosity,
    pub(super) order: Order,
    pub(super) forward: CollectForward,
}

/// What stands before the first request.
pub(super) struct Session {
    /// The settings.
    pub(super) config: Config,
    /// Where what was appended is forwarded to.
    pub(super) targets: Targets,
    /// Who started the process, if it wants to hear of it.
    pub(super) manager: Option<ServiceManager>,
    /// Where progress and the log are shown.
    pub(super) progress: Progress,
    /// Whether the summary is shown in colours.
    with_colours: bool,
}

/// Collects once, or until somebody asks to end.
pub async fn run(arguments: &Collect, clock: fn() -> DateTime<Utc>) -> Exit {
    let now = clock();
    let range = match arguments.range(now) {
        Ok(range) => range,
        Err(error) => return give_up(&error.to_string(), Exit::Usage),
    };
    let order = Order {
        now,
        range,
        dry_run: arguments.dry_run,
        reconcile: false,
    };
    let plan = Plan {
        env_file: arguments.env_file.as_deref(),
        streams: &arguments.streams,
        verbosity: arguments.verbosity,
        order,
        forward: arguments.forward,
    };
    match begin(&plan, clock) {
        Ok(session) if arguments.follow.follow => follow::run(arguments, &session, range, clock).await,
        Ok(session) => once(arguments, &session, order, clock).await,
        Err(exit) => exit,
    }
}

/// Reads the settings, starts the log and runs; what went wrong before the run began was told, and is an exit code.
pub(super) async fn carry_out(plan: Plan<'_>, clock: fn() -> DateTime<Utc>) -> Result<Summary, Exit> {
    begin(&plan, clock)?.run(plan.order).await
}

/// Reads the settings and starts the log; what is wrong was told when an exit code comes back.
fn begin(plan: &Plan<'_>, clock: fn() -> DateTime<Utc>) -> Result<Session, Exit> {
    // The streams hold what they need of it; the tokens of others need not stay in memory.
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
    let mut faults = Faults::default();
    let kinds: Vec<_> = SOURCES.iter().collect();
    let targets = forward::targets(&env, plan.forward, &kinds, plan.order.now, &mut faults);
    let config = match Config::read(&env, SOURCES, choice) {
        Ok(config) if faults.is_empty() => config,
        result => {
            faults.append(result.err().unwrap_or_default());
            return Err(give_up(&format!("the settings cannot be used:\n{faults}"), Exit::Setup));
        }
    };
    let progress = progress(plan.verbosity.quiet);
    logging::start(plan.verbosity, Some(&config.log_file), &progress, clock)
        .map_err(|error| give_up(&error.to_string(), Exit::Setup))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    forward::warn_of(&targets, &env);
    Ok(Session {
        config,
        targets,
        manager: env.service_manager(),
        progress,
        with_colours: takes_colours(&env),
    })
}

impl Session {
    async fn run(&self, order: Order) -> Result<Summary, Exit> {
        let stop = stop_on_signals();
        let run = run::run_and_forward(&self.config.streams, order, &self.targets, &self.progress, &stop);
        run.await.map_err(|error| refuse(&error))
    }
}

async fn once(arguments: &Collect, session: &Session, order: Order, clock: fn() -> DateTime<Utc>) -> Exit {
    let mut exporter = match follow::exporter(arguments, &session.config.streams) {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Setup;
        }
    };
    let summary = match session.run(order).await {
        Ok(summary) => summary,
        Err(exit) => return exit,
    };
    let times = Times {
        began: order.now,
        ended: clock(),
    };
    exporter.update(|metrics| summary.streams().iter().for_each(|stream| metrics.run(stream, times)));
    finish(&summary, arguments.json, session.with_colours)
}

fn give_up(text: &str, exit: Exit) -> Exit {
    complain(text);
    exit
}

pub(super) fn refuse(error: &StartError) -> Exit {
    tracing::error!("{error}");
    if error.is_held() { Exit::Locked } else { Exit::Setup }
}

fn finish(summary: &Summary, as_json: bool, with_colours: bool) -> Exit {
    if !as_json {
        print(&summary.text(with_colours));
        return summary.exit();
    }
    match summary.to_json() {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => return give_up(&format!("the summary cannot be written: {error}"), Exit::StreamFailed),
    }
    summary.exit()
}
