//! The names that `--stream` takes.

use clap::builder::PossibleValuesParser;

use crate::source::SOURCES;

/// Takes the names of all streams, and answers another one with these.
pub(crate) fn parser() -> PossibleValuesParser {
    PossibleValuesParser::new(SOURCES.iter().map(|kind| kind.name))
}
