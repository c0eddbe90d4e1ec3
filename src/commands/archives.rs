//! The archives that `status`, `coverage`, `verify`, `report`, `search` and `export` read: from the settings, without tokens.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::arguments::selection::Selection;
use super::error::CommandError;
use super::faults::Faults;
use crate::config::{self, LogSettings, StreamPlace};
use crate::coverage::Scope;
use crate::env::{ConfigErrors, Env};
use crate::fs::folder_of;
use crate::output::logging::{Log, LogOptions};
use crate::output::progress::{Progress, ReadProgress};
use crate::source::{Kind, SOURCES};

/// The archives of the chosen streams.
pub(super) struct Archives {
    /// The settings they come from.
    pub(super) env: Env,
    /// The streams, in the order of the list of sources.
    pub(super) streams: Vec<StreamPlace>,
    progress: Progress,
}

impl Archives {
    /// Returns the scope that the settings of a stream name; `None` if they are not complete, as without its token.
    pub(super) fn scope_of(&self, kind: &'static Kind) -> Option<Scope> {
        let (_, settings) = config::each(&self.env, SOURCES, &[kind.name.to_owned()]).pop()?;
        settings.ok().map(|settings| Scope::of(settings.source.as_ref()))
    }

    /// Returns the folders of all streams that are switched on, chosen or not.
    pub(super) fn catalogs(&self) -> Vec<PathBuf> {
        config::catalogs(&self.env, SOURCES)
    }

    /// Returns the progress of a command that reads all of them.
    pub(super) fn reading(&self, command: &'static str) -> ReadProgress {
        let listings = self.streams.iter().filter_map(|place| place.location.listing().ok());
        let lengths = listings.map(|listing| listing.files().filter_map(|file| file.length().ok()).sum::<u64>());
        self.reading_bytes(command, lengths.sum())
    }

    /// Returns the progress of a command that reads this many bytes.
    pub(super) fn reading_bytes(&self, command: &'static str, bytes: u64) -> ReadProgress {
        self.progress.reading(command, bytes)
    }

    /// Finds the archives of the chosen streams, and starts the log on stderr.
    pub(super) fn find(selection: &Selection, clock: fn() -> DateTime<Utc>) -> Result<Self, CommandError> {
        Self::find_with(selection, Progress::hidden(), clock)
    }

    /// The same for a command that shows on a terminal how far it is.
    pub(super) fn find_showing(selection: &Selection, clock: fn() -> DateTime<Utc>) -> Result<Self, CommandError> {
        Self::find_with(selection, Progress::unless_quiet(selection.verbosity.quiet), clock)
    }

    /// Finds them for a command that also reads this, of its arguments and other settings; all that is wrong is told together.
    pub(super) fn find_for<T>(
        selection: &Selection,
        clock: fn() -> DateTime<Utc>,
        read: impl FnOnce(&Env, &mut Faults) -> Option<T>,
    ) -> Result<(Self, T), CommandError> {
        let env = selection.settings.load();
        let mut faults = Faults::default();
        let found = settings(&env, selection).map_err(|errors| faults.settings.append(errors));
        let read = read(&env, &mut faults);
        match (found, read, faults.into_error()) {
            (Ok(settings), Some(read), None) => {
                Ok((Self::of(env, settings, selection, Progress::hidden(), clock)?, read))
            }
            (_, _, Some(error)) => Err(error),
            (_, _, None) => Err(CommandError::usage("the arguments are wrong")),
        }
    }

    /// Errors if the folder of `--to` would be in that of a stream, be it asked for or not: agents look for day files there.
    pub(super) fn check_outside(&self, to: &Path) -> Result<(), CommandError> {
        check_outside("--to", to, &self.catalogs())
    }

    fn find_with(
        selection: &Selection,
        progress: Progress,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, CommandError> {
        let env = selection.settings.load();
        let settings = settings(&env, selection)?;
        Self::of(env, settings, selection, progress, clock)
    }

    fn of(
        env: Env,
        (streams, log): (Vec<StreamPlace>, LogSettings),
        selection: &Selection,
        progress: Progress,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, CommandError> {
        let options = log.options(selection.verbosity, &progress, clock);
        // On stderr alone, in the form of the settings; of organizations it was started for all of them.
        if env.organization().is_none() {
            Log::default().start(LogOptions { file: None, ..options })?;
        }
        for unknown in config::unknown(&env, SOURCES).iter() {
            tracing::warn!("{unknown}");
        }
        Ok(Self { env, streams, progress })
    }
}

/// Errors if what an option names would be in the folder of one of these streams.
pub(super) fn check_outside<'a>(
    option: &str,
    to: &Path,
    catalogs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), CommandError> {
    let Ok(above) = folder_of(to).canonicalize() else {
        return Ok(());
    };
    let to = to.canonicalize().unwrap_or(above);
    for folder in catalogs {
        if folder.canonicalize().is_ok_and(|folder| to.starts_with(folder)) {
            let (to, folder) = (to.display(), folder.display());
            let problem = format!("{option}: {to} is in {folder}, the folder of a stream; name a folder elsewhere");
            return Err(CommandError::setup(problem));
        }
    }
    Ok(())
}

/// Reads where the streams are kept and the form of the log, or returns all errors in them.
fn settings(env: &Env, selection: &Selection) -> Result<(Vec<StreamPlace>, LogSettings), ConfigErrors> {
    let mut errors = ConfigErrors::default();
    let log = LogSettings::read(env, &mut errors);
    match (config::places(env, SOURCES, &selection.streams), log) {
        (Ok(streams), Some(log)) => Ok((streams, log)),
        (places, _) => {
            errors.append(places.err().unwrap_or_default());
            Err(errors)
        }
    }
}
