//! A run of `collect` or `reconcile` from the command line to its first request: settings, log, sinks.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::forward;
use crate::cli::{Collect, CollectForward, Verbosity};
use crate::config::{self, Access, Choice, Config};
use crate::env::{ConfigErrors, Env, ServiceManager};
use crate::forward::Targets;
use crate::metrics::Metrics;
use crate::metrics::export::{Exporter, MetricsFileError};
use crate::output::logging;
use crate::output::print::print_error;
use crate::output::progress::Progress;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::summary::Summary;
use crate::run::{self, RunOptions, StartError};
use crate::source::SOURCES;

/// A run that was asked for: where its settings are, and what it does.
pub(super) struct SessionOptions<'a> {
    pub(super) env_file: Option<&'a Path>,
    pub(super) streams: &'a [String],
    pub(super) verbosity: Verbosity,
    pub(super) run_options: RunOptions,
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
    pub(super) with_colours: bool,
}

/// Reads the settings, starts the log and runs; what went wrong before the run began was told, and is an exit code.
pub(super) async fn carry_out(options: SessionOptions<'_>, clock: fn() -> DateTime<Utc>) -> Result<Summary, Exit> {
    begin(&options, clock)?.run(options.run_options).await
}

/// Reads the settings and starts the log; what is wrong was told when an exit code comes back.
pub(super) fn begin(options: &SessionOptions<'_>, clock: fn() -> DateTime<Utc>) -> Result<Session, Exit> {
    // The streams hold what they need of it; the tokens of others need not stay in memory.
    let env = Env::load(options.env_file);
    let access = if options.run_options.dry_run {
        Access::Read
    } else {
        Access::Write
    };
    let choice = Choice {
        streams: options.streams,
        access,
    };
    let mut errors = ConfigErrors::default();
    let kinds: Vec<_> = SOURCES.iter().collect();
    let targets = forward::targets(&env, options.forward, &kinds, options.run_options.now, &mut errors);
    let config = match Config::read(&env, SOURCES, choice) {
        Ok(config) if errors.is_empty() => config,
        result => {
            errors.append(result.err().unwrap_or_default());
            // What is missing may have been mistyped.
            errors.append(config::unknown(&env, SOURCES));
            return Err(give_up(&format!("the settings cannot be used:\n{errors}"), Exit::Setup));
        }
    };
    let progress = Progress::unless_quiet(options.verbosity.quiet);
    logging::start(options.verbosity, Some(&config.log_file), &progress, clock)
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
        with_colours: stdout_takes_colours(env.allows_colours()),
    })
}

impl Session {
    /// Runs once, until it is complete or somebody asks to end.
    pub(super) async fn run(&self, run_options: RunOptions) -> Result<Summary, Exit> {
        let shutdown = signals::shutdown();
        let run = run::run_and_forward(
            &self.config.streams,
            run_options,
            &self.targets,
            &self.progress,
            &shutdown,
        );
        run.await.map_err(|error| refuse(&error))
    }

    /// The figures of the run, and where they go. All streams that are switched on are known unless some were chosen by
    /// name.
    pub(super) fn exporter(&self, arguments: &Collect) -> Result<Exporter, MetricsFileError> {
        let names: Vec<_> = self.config.streams.iter().map(|settings| settings.kind.name).collect();
        let only = arguments.streams.is_empty().then_some(names.as_slice());
        let file = arguments.follow.metrics_file.clone();
        Exporter::start(Metrics::new(names.iter().copied()), file, only)
    }
}

fn give_up(text: &str, exit: Exit) -> Exit {
    print_error(text);
    exit
}

/// Says why nothing was collected.
pub(super) fn refuse(error: &StartError) -> Exit {
    tracing::error!("{error}");
    if error.is_held() { Exit::Locked } else { Exit::Setup }
}
