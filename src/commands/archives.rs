//! The archives that `status`, `coverage`, `verify` and `report` read: from the settings, without tokens.

use chrono::{DateTime, Utc};

use super::arguments::selection::Selection;
use super::error::CommandError;
use crate::config::{self, StreamPlace};
use crate::env::Env;
use crate::output::logging;
use crate::output::progress::Progress;
use crate::source::SOURCES;

/// The archives of the chosen streams.
pub(super) struct Archives {
    /// The settings they come from.
    pub(super) env: Env,
    /// The streams, in the order of the list of sources.
    pub(super) streams: Vec<StreamPlace>,
}

impl Archives {
    /// Finds the archives of the chosen streams, and starts the log on stderr.
    pub(super) fn find(selection: &Selection, clock: fn() -> DateTime<Utc>) -> Result<Self, CommandError> {
        let env = Env::load(selection.env_file.as_deref());
        let streams = config::places(&env, SOURCES, &selection.streams)?;
        logging::start_on_stderr(selection.verbosity, &Progress::hidden(), clock)?;
        for unknown in config::unknown(&env, SOURCES).iter() {
            tracing::warn!("{unknown}");
        }
        Ok(Self { env, streams })
    }
}
