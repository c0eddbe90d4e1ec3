//! What `collect` and `reconcile` need before the first request: settings, log, sinks.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::arguments::sinks::Sinks;
use super::error::CommandError;
use super::{sealing, targets};
use crate::config::{self, Config, LOG_FORMAT, StreamSettings, UpkeepSettings};
use crate::env::{Changes, ConfigErrors, Env, Fingerprint, Row, ServiceManager};
use crate::forward::Targets;
use crate::output::logging::{Log, Verbosity};
use crate::output::progress::Progress;
use crate::output::terminal::stdout_takes_colours;
use crate::process::exit::Exit;
use crate::process::signals;
use crate::run::summary::Summary;
use crate::run::{self, RunOptions, StartError};
use crate::source::SOURCES;

/// Which settings to read, and for what.
#[derive(Clone, Copy)]
pub(super) struct SessionOptions<'a> {
    pub(super) env_file: Option<&'a Path>,
    pub(super) streams: &'a [String],
    pub(super) verbosity: Verbosity,
    pub(super) run_options: RunOptions,
    pub(super) sinks: Sinks,
}

/// Everything that is ready before the first request.
pub(super) struct Session<'a> {
    options: SessionOptions<'a>,
    /// Of the settings as they were read last.
    fingerprint: Fingerprint,
    pub(super) config: Config,
    /// Where appended lines are forwarded to.
    pub(super) targets: Targets,
    /// The service manager that started the process, if it expects reports.
    pub(super) manager: Option<ServiceManager>,
    pub(super) progress: Progress,
    pub(super) with_colours: bool,
    pub(super) log: &'a Log,
}

impl<'a> Session<'a> {
    /// Reads the settings and starts the log.
    pub(super) fn start(
        options: SessionOptions<'a>,
        log: &'a Log,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, CommandError> {
        // The streams have what they need of it; the tokens of others need not stay in memory.
        let env = Env::load(options.env_file);
        let (config, targets) = settings(&env, &options)?;
        let progress = Progress::unless_quiet(options.verbosity.quiet);
        log.start(config.log.options(options.verbosity, &progress, clock))?;
        log_warnings(&env, &config, &targets);
        Ok(Self {
            options,
            fingerprint: env.fingerprint(&config::content_files(SOURCES)),
            config,
            targets,
            manager: env.service_manager(),
            progress,
            with_colours: stdout_takes_colours(env.allows_colours()),
            log,
        })
    }

    /// Reads the settings again, and takes them if they are right; returns what has changed.
    pub(super) fn reload(&mut self) -> Result<Changes, CommandError> {
        let env = Env::load(self.options.env_file);
        self.fingerprint.check_settings_file(&env)?;
        let (config, targets) = settings(&env, &self.options)?;
        if config.log.file != self.config.log.file {
            self.log.move_to(&config.log.file)?;
        }
        let changes = self.fingerprint.renew(&env, &config::content_files(SOURCES));
        if config.log.format != self.config.log.format {
            tracing::warn!("another LOG_FORMAT is taken when the program is started again");
        }
        let changes = changes.without(&LOG_FORMAT.name());
        if changes.is_empty() {
            return Ok(changes);
        }
        log_warnings(&env, &config, &targets);
        (self.config, self.targets) = (config, targets);
        Ok(changes)
    }

    /// Seals what the streams hold at `now`, if the settings say so.
    pub(super) async fn seal(&self, now: DateTime<Utc>) -> Exit {
        let places = self.config.streams.iter().map(StreamSettings::place).collect();
        sealing::seal(self.config.evidence.clone(), places, now).await
    }

    /// Runs once, until it is complete or a shutdown is requested.
    pub(super) async fn run(&self, run_options: RunOptions) -> Result<Summary, StartError> {
        let shutdown = signals::shutdown();
        let (streams, targets) = (&self.config.streams, &self.targets);
        // To reconcile is to look again, and not the time to let go.
        let upkeep = if run_options.reconcile {
            &UpkeepSettings::default()
        } else {
            &self.config.upkeep
        };
        run::run_and_forward(streams, run_options, targets, upkeep, &self.progress, &shutdown).await
    }
}

fn log_warnings(env: &Env, config: &Config, targets: &Targets) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    targets::log_warnings(targets, env);
}

/// Reads the settings of the streams and of the sinks, or returns all errors in them.
fn settings(env: &Env, options: &SessionOptions<'_>) -> Result<(Config, Targets), ConfigErrors> {
    let mut errors = ConfigErrors::default();
    let targets = targets::targets(env, options.sinks, options.run_options.now, &mut errors);
    match Config::read(env, SOURCES, options.streams) {
        Ok(config) if errors.is_empty() => Ok((config, targets)),
        result => {
            errors.append(result.err().unwrap_or_default());
            // What is missing may have been mistyped.
            errors.append(config::unknown(env, SOURCES));
            Err(errors)
        }
    }
}
