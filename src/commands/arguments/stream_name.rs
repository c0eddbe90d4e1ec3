//! The names that `--stream` takes.

use clap::builder::PossibleValuesParser;

use crate::source::SOURCES;

/// Accepts the names of all streams, and lists them in its error.
pub(crate) fn parser() -> PossibleValuesParser {
    PossibleValuesParser::new(SOURCES.iter().map(|kind| kind.name))
}
