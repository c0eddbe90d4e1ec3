//! The archives that `status`, `coverage` and `verify` read: from the settings, without tokens.

use chrono::{DateTime, Utc};

use crate::cli::Selection;
use crate::config::{self, StreamPlace};
use crate::env::Env;
use crate::output::logging;
use crate::output::print::print_error;
use crate::output::progress::Progress;
use crate::process::exit::Exit;
use crate::source::SOURCES;

/// What was chosen.
pub(super) struct Archives {
    /// The settings they come from.
    pub(super) env: Env,
    /// The streams, in the order of the list of sources.
    pub(super) streams: Vec<StreamPlace>,
}

impl Archives {
    /// Finds the archives of the chosen streams, and starts the log on stderr.
    ///
    /// # Errors
    /// How the program should end; why was said.
    pub(super) fn find(selection: &Selection, clock: fn() -> DateTime<Utc>) -> Result<Self, Exit> {
        let failed = |text: String| {
            print_error(&text);
            Exit::Setup
        };
        let env = Env::load(selection.env_file.as_deref());
        let streams = config::places(&env, SOURCES, &selection.streams)
            .map_err(|errors| failed(format!("the settings cannot be used:\n{errors}")))?;
        logging::start(selection.verbosity, None, &Progress::hidden(), clock)
            .map_err(|error| failed(error.to_string()))?;
        for unknown in config::unknown(&env, SOURCES).iter() {
            tracing::warn!("{unknown}");
        }
        Ok(Self { env, streams })
    }
}
