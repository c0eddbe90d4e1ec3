//! What the tests of the modules stand on: a catalog in a folder of its own, records to put into it, compressed files, bounds of what they
//! wait for, and the seed of what is random.

pub(crate) mod bound;
mod catalog;
#[cfg(unix)]
pub(crate) mod mortal_store;
pub(crate) mod packed;
pub(crate) mod random;
pub(crate) mod record;

pub(crate) use catalog::Catalog;
