//! What the tests of the modules stand on: a catalog in a folder of its own, records to put into it, bounds of what they
//! wait for, and the seed of what is random.

pub(crate) mod bound;
mod catalog;
pub(crate) mod random;
pub(crate) mod record;

pub(crate) use catalog::Catalog;
