//! What the tests of the modules stand on: a catalog in a folder of its own, and records to put into it.

mod catalog;
pub(crate) mod record;

pub(crate) use catalog::Catalog;
