//! `trailkeeper collect`: settings, log, run, summary.

use chrono::{DateTime, Utc};

use super::follow;
use super::sampler::Sampler;
use super::session::{self, Session, SessionOptions};
use crate::cli::Collect;
use crate::output::print::{print, print_error};
use crate::process::exit::Exit;
use crate::run::RunOptions;
use crate::run::summary::{Summary, Times};

/// Collects once, or until somebody asks to end.
pub async fn run(arguments: &Collect, clock: fn() -> DateTime<Utc>) -> Exit {
    let now = clock();
    let range = match arguments.range(now) {
        Ok(range) => range,
        Err(error) => {
            print_error(&error.to_string());
            return Exit::Usage;
        }
    };
    let run_options = RunOptions {
        now,
        range,
        dry_run: arguments.dry_run,
        reconcile: false,
    };
    let options = SessionOptions {
        env_file: arguments.env_file.as_deref(),
        streams: &arguments.streams,
        verbosity: arguments.verbosity,
        run_options,
        forward: arguments.forward,
    };
    match session::begin(&options, clock) {
        Ok(session) if arguments.follow.follow => follow::run(arguments, &session, range, clock).await,
        Ok(session) => once(arguments, &session, run_options, clock).await,
        Err(exit) => exit,
    }
}

async fn once(arguments: &Collect, session: &Session, run_options: RunOptions, clock: fn() -> DateTime<Utc>) -> Exit {
    let mut exporter = match session.exporter(arguments) {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Setup;
        }
    };
    let mut sampler = Sampler::new(arguments, session, clock);
    let run = session.run(run_options);
    tokio::pin!(run);
    let summary = loop {
        tokio::select! {
            ended = &mut run => match ended {
                Ok(summary) => break summary,
                Err(exit) => return exit,
            },
            sample = sampler.sample() => exporter.update(|metrics| sample.show(metrics)),
        }
    };
    let times = Times {
        began: run_options.now,
        ended: clock(),
    };
    exporter.update(|metrics| summary.streams().iter().for_each(|stream| metrics.run(stream, times)));
    finish(&summary, arguments.json, session.with_colours)
}

fn finish(summary: &Summary, as_json: bool, with_colours: bool) -> Exit {
    if !as_json {
        print(&summary.text(with_colours));
        return summary.exit();
    }
    match summary.to_json() {
        Ok(json) => print(&format!("{json}\n")),
        Err(error) => {
            print_error(&format!("the summary cannot be written: {error}"));
            return Exit::StreamFailed;
        }
    }
    summary.exit()
}
