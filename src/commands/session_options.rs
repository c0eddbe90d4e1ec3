//! What `collect` and `reconcile` say of the settings that they need.

use super::arguments::settings::SettingsArguments;
use super::arguments::sinks::Sinks;
use crate::output::logging::Verbosity;
use crate::run::RunOptions;

/// Which settings to read, and for what.
#[derive(Clone, Copy)]
pub(super) struct SessionOptions<'a> {
    pub(super) settings: &'a SettingsArguments,
    pub(super) streams: &'a [String],
    pub(super) verbosity: Verbosity,
    pub(super) run_options: RunOptions,
    pub(super) sinks: Sinks,
}
