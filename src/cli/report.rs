//! The arguments of `report`.

use std::path::PathBuf;

use clap::Args;

use super::Selection;

/// The arguments of `report`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Write the page to this file; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,

    /// Which streams, and how what was done is shown.
    #[command(flatten)]
    pub selection: Selection,
}
