//! A filter as it was asked for.

use serde::Serialize;

/// An option of the command line, without its dashes, and what it was given; `true` for one that takes no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AskedFilter {
    pub(crate) option: &'static str,
    pub(crate) values: Vec<String>,
}
