//! Looks for records in the day files: a query, and the threads that read the files for it.
//!
//! Imports: archive, fs, json, output, process, source.
//!
//! Nothing is locked or written, and no more is opened than the time of the query allows. A file is searched for bytes that
//! every match has to hold; only a line with them is parsed, and only what was parsed decides.

mod asked;
mod cells;
mod files;
mod finder;
mod matches;
mod pattern;
mod query;
mod seeker;
mod twice;
mod unsearched;

pub(crate) use crate::json::walk::Pointer;
pub(crate) use asked::AskedFilter;
pub(crate) use cells::{HEADINGS, cells, repaired_cells};
pub(crate) use files::{Files, Order, Place, SourceFile};
pub(crate) use finder::{Finder, Found};
pub(crate) use pattern::Manner;
pub(crate) use query::{Field, Filter, Query};
pub(crate) use unsearched::SearchError;
