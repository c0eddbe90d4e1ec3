//! Values as they enter the hash of their parent, and that hash.

use xxhash_rust::xxh3::xxh3_128;

use super::copy::extend_from_start;
use super::sequence::{KeyOrder, Place};

/// An array or object that has not ended.
#[derive(Debug)]
pub(super) enum Open {
    /// The hash of the elements so far.
    Array { chain: u128 },
    Object {
        /// Where its members start among those of all open objects.
        first_member: usize,
        /// The keys read so far.
        place: Place,
    },
}

#[derive(Debug)]
pub(super) struct Member {
    /// The hash of its key's form.
    pub(super) key: u128,
    /// A hash of 0 until it has been read.
    pub(super) value: Value,
}

impl Member {
    pub(super) fn unread(key: u128) -> Self {
        Self {
            key,
            value: Value::Hash(0),
        }
    }
}

/// A value as it enters the hash of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A short string: where its form is in the line.
    Form { start: usize, end: usize },
    /// Any other value: its hash.
    Hash(u128),
}

/// Longer strings are hashed by themselves, so that no hash needs a second copy of them.
const LONGEST_FORM: usize = 256;

impl Value {
    /// Creates a string whose form starts here and ends the line.
    #[inline]
    pub(super) fn string(start: usize, line: &str) -> Self {
        let end = line.len();
        if end - start <= LONGEST_FORM {
            Self::Form { start, end }
        } else {
            Self::Hash(xxh3_128(&line.as_bytes()[start..]))
        }
    }

    pub(super) fn hash(self, line: &str) -> u128 {
        match self {
            Self::Form { start, end } => xxh3_128(&line.as_bytes()[start..end]),
            Self::Hash(hash) => hash,
        }
    }
}

/// Returns the hash of an array up to and including this element.
pub(super) fn link(chain: u128, element: u128, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    scratch.push(b'[');
    scratch.extend_from_slice(&chain.to_le_bytes());
    scratch.extend_from_slice(&element.to_le_bytes());
    xxh3_128(scratch)
}

pub(super) fn object_hash(members: &[Member], order: &KeyOrder, line: &str, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    scratch.push(b'{');
    scratch.extend_from_slice(&order.keys.to_le_bytes());
    for place in &order.places {
        match members[*place].value {
            Value::Form { start, end } => extend_from_start(scratch, &line.as_bytes()[start..], end - start),
            Value::Hash(hash) => {
                scratch.push(b'#');
                scratch.extend_from_slice(&hash.to_le_bytes());
            }
        }
    }
    xxh3_128(scratch)
}
