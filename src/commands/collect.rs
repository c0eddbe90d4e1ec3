//! `trailkeeper collect`: settings, log, run, summary.

use chrono::{DateTime, Utc};

use super::{complain, follow, print, progress, stop_on_signals};
use crate::cli::Collect;
use crate::config::{Access, Choice, Config};
use crate::env::Env;
use crate::logging::{self, LogGuard};
use crate::metrics::Times;
use crate::progress::Progress;
use crate::run::{self, Order, StartError};
use crate::source::SOURCES;
use crate::summary::{Exit, Summary};

/// What stands before the first request.
pub(super) struct Session {
    /// The variables of this run.
    pub(super) env: Env,
    /// The settings in them.
    pub(super) config: Config,
    /// Where progress and the log are shown.
    pub(super) progress: Progress,
    _log: LogGuard,
}

/// Collects once, or until somebody asks to end.
pub async fn run(arguments: &Collect, clock: fn() -> DateTime<Utc>) -> Exit {
    let now = clock();
    let range = match arguments.range(now) {
        Ok(range) => range,
        Err(error) => return give_up(&error.to_string(), Exit::Usage),
    };
    let session = match begin(arguments, clock) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    if arguments.follow.follow {
        return follow::run(arguments, &session, range, clock).await;
    }
    let order = Order {
        now,
        range,
        dry_run: arguments.dry_run,
    };
    once(arguments, &session, order, clock).await
}

/// Reads the settings and starts the log; what is wrong has been said when an exit comes back.
fn begin(arguments: &Collect, clock: fn() -> DateTime<Utc>) -> Result<Session, Exit> {
    let env = Env::load(arguments.env_file.as_deref());
    let access = if arguments.dry_run { Access::Read } else { Access::Write };
    let choice = Choice {
        streams: &arguments.streams,
        access,
    };
    let config = Config::read(&env, SOURCES, choice)
        .map_err(|faults| give_up(&format!("the settings cannot be used:\n{faults}"), Exit::Setup))?;
    let progress = progress(arguments.verbosity.quiet);
    let log = logging::start(arguments.verbosity, Some(&config.log_file), &progress, clock)
        .map_err(|error| give_up(&error.to_string(), Exit::Setup))?;
    for warning in env.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Session {
        env,
        config,
        progress,
        _log: log,
    })
}

async fn once(arguments: &Collect, session: &Session, order: Order, clock: fn() -> DateTime<Utc>) -> Exit {
    let mut exporter = match follow::exporter(arguments, &session.config.streams) {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Setup;
        }
    };
    let summary = match run::run(&session.config.streams, order, &session.progress, &stop_on_signals()).await {
        Ok(summary) => summary,
        Err(error) => return refuse(&error),
    };
    let times = Times {
        began: order.now,
        ended: clock(),
    };
    exporter.update(|metrics| summary.streams().iter().for_each(|stream| metrics.run(stream, times)));
    finish(&summary, arguments.json)
}

fn give_up(text: &str, exit: Exit) -> Exit {
    complain(text);
    exit
}

pub(super) fn refuse(error: &StartError) -> Exit {
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
