//! The arguments of `init`.

use std::path::PathBuf;

use clap::Args;

/// The arguments of `init`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Write the settings to this file, which must not be there yet
    #[arg(long, value_name = "PATH", default_value = ".env")]
    pub env_file: PathBuf,
}
