//! The arguments of `report`.

use std::path::PathBuf;

use clap::Args;

use super::Verbosity;

/// The arguments of `report`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Write the page to this file; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,

    /// Report on these streams only [default: all that are switched on]
    #[arg(long = "stream", value_name = "NAME", value_delimiter = ',')]
    pub streams: Vec<String>,

    /// Read the settings from this file instead of .env in the working folder; the environment wins over it
    #[arg(long, value_name = "PATH")]
    pub env_file: Option<PathBuf>,

    /// How much is said on stderr.
    #[command(flatten)]
    pub verbosity: Verbosity,
}
