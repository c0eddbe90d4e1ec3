//! What the commands for operators have in common: which streams, and how they are shown.

use std::path::PathBuf;

use clap::Args;

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

    /// Read the settings from this file instead of .env in the working folder; the environment wins over it
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}
