//! `trailkeeper collect` without `--follow`: one run, and its summary.

use chrono::{DateTime, Utc};

use super::sampler::Sampler;
use super::{Arguments, exporter, show_evidence};
use crate::commands::error::CommandError;
use crate::commands::outcome::{exit_of, print_json, print_text};
use crate::commands::session::Session;
use crate::metrics::export::Exporter;
use crate::process::exit::Exit;
use crate::run::summary::{Summary, Times};
use crate::run::{RunOptions, StartError};

/// Collects once.
pub(super) async fn run(
    arguments: &Arguments,
    session: &Session<'_>,
    run_options: RunOptions,
    clock: fn() -> DateTime<Utc>,
) -> Result<Exit, CommandError> {
    let mut exporter = exporter(arguments, session).map_err(CommandError::start)?;
    let sampler = Sampler::new(arguments, session, clock);
    let mut summary = run_with_samples(session, run_options, sampler, &mut exporter).await?;
    if arguments.strict {
        summary = summary.strict();
    }
    let times = Times {
        began: run_options.now,
        ended: clock(),
    };
    if !run_options.dry_run {
        let sealed = session.seal(times.ended).await;
        for exit in &sealed {
            summary = summary.at_least(*exit);
        }
        show_evidence(arguments, session, &sealed, &mut exporter);
    }
    // The metrics count the lines that are missing in the log.
    let summary = summary.at_least(exit_of(session.log));
    exporter.update(|metrics| summary.streams().iter().for_each(|stream| metrics.run(stream, times)));
    exporter.export();
    if arguments.json {
        print_json(None, &summary)?;
    } else {
        print_text(arguments.verbosity, || summary.text(session.with_colours))?;
    }
    Ok(summary.exit())
}

/// Runs, and exports samples meanwhile.
async fn run_with_samples(
    session: &Session<'_>,
    run_options: RunOptions,
    mut sampler: Sampler,
    exporter: &mut Exporter,
) -> Result<Summary, StartError> {
    let run = session.run(run_options);
    tokio::pin!(run);
    loop {
        tokio::select! {
            ended = &mut run => return ended,
            sample = sampler.sample() => exporter.update(|metrics| sample.show(metrics)),
        }
    }
}
