//! Where copies are kept: objects with names, each written once.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;

/// A store does not do what it is asked for; the text says what and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StoreError(String);

impl StoreError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What has become of an object that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Written,
    /// There is one of this name; it is as it was.
    Exists,
}

/// A place for copies. Nothing in it is ever replaced or deleted.
pub(crate) trait Store: Debug + Send + Sync {
    /// Lists the objects whose names begin with that of this folder, and their lengths in bytes.
    fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, StoreError>;

    /// Returns an object; `None` if there is none.
    fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError>;

    /// Writes a new object.
    fn put(&self, name: &str, bytes: Bytes) -> Result<Put, StoreError>;
}
