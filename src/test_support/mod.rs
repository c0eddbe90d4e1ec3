//! What the tests of the modules stand on: a catalog in a folder of its own, records to put into it, and the seed of what
//! is random.

mod catalog;
pub(crate) mod random;
pub(crate) mod record;

pub(crate) use catalog::Catalog;
