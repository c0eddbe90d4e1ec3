//! What the commands for operators have in common: which streams, and how they are shown.

use clap::Args;

use super::settings::SettingsArguments;
use super::stream_name;
use crate::output::logging::Verbosity;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Only these streams [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',', value_parser = stream_name::parser())]
    pub(crate) streams: Vec<String>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) settings: SettingsArguments,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}
