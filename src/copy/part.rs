//! A part of a copied file: an object that is written once. Its name says where it belongs and what it holds.

use serde::{Deserialize, Serialize};

/// The most bytes that an object has.
pub(super) const LARGEST: u64 = 8 << 20;

/// A span of a file that is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Where it begins in the file, in bytes.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// In hexadecimal digits, as `sha256sum` prints it.
    pub(super) sha256: String,
}

impl Part {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    /// Returns the name of its object: sorted by name, the parts of a file stand in their order.
    pub(super) fn object(&self, section: &str, file: &str) -> String {
        format!("{section}/{file}/{:015}-{}", self.offset, self.sha256)
    }
}
