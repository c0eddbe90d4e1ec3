//! Values as they enter the hash of their parent, and that hash.
//!
//! Imports: buffer, sequence.

use xxhash_rust::xxh3::xxh3_128;

use super::buffer::Buffer;
use super::sequence::{KeyOrder, Place};

/// An array or object that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    /// Where it starts in the text and in the form.
    pub(super) start: Start,
    pub(super) inside: Inside,
}

/// Where something starts in the text and in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) input: usize,
    pub(super) form: usize,
}

/// What is known of an array or object that has not ended.
#[derive(Debug)]
pub(super) enum Inside {
    Array {
        /// The hash of the elements so far.
        chain: u128,
        /// Where the keys of its objects start.
        root: usize,
    },
    Object {
        /// Where its members start among those of all open objects.
        first_member: usize,
        /// The keys read so far.
        place: Place,
        /// Whether the last key is one of a sought path.
        is_sought: bool,
    },
}

/// A value as it enters the hash of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A short string: where its form is.
    Form { start: usize, end: usize },
    /// Any other value: its hash.
    Hash(u128),
}

/// The length of what stands for a hash.
const HASH: usize = 17;

/// Longer strings are hashed by themselves, so that no hash needs a second copy of them.
const LONGEST_FORM: usize = 256;

impl Value {
    /// Creates a string whose form starts here and ends the buffer.
    #[inline(always)]
    pub(super) fn string(start: usize, form: &Buffer) -> Self {
        let end = form.len();
        if end - start <= LONGEST_FORM {
            Self::Form { start, end }
        } else {
            Self::Hash(xxh3_128(&form.as_bytes()[start..]))
        }
    }

    pub(super) fn hash(self, form: &[u8]) -> u128 {
        match self {
            Self::Form { start, end } => xxh3_128(&form[start..end]),
            Self::Hash(hash) => hash,
        }
    }

    /// Returns it with its place counted from that many bytes earlier.
    pub(super) fn behind(self, bytes: usize) -> Self {
        match self {
            Self::Form { start, end } => Self::Form {
                start: start + bytes,
                end: end + bytes,
            },
            hash @ Self::Hash(_) => hash,
        }
    }
}

/// The values of the members of open objects.
#[derive(Debug, Default)]
pub(super) struct Members {
    members: Vec<Member>,
    /// What stands for those that are no short strings: `#` and their hash.
    hashes: Vec<[u8; HASH]>,
}

/// A value: the place of its form, or, with a length of 0, of its hash.
#[derive(Clone, Copy, Debug)]
struct Member {
    start: usize,
    length: usize,
}

impl Members {
    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.hashes.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Adds a string whose form starts here and ends the buffer.
    #[inline(always)]
    pub(super) fn push_string(&mut self, start: usize, form: &Buffer) {
        let length = form.len() - start;
        if length > LONGEST_FORM {
            self.push_hash(xxh3_128(&form.as_bytes()[start..]));
        } else {
            self.members.push(Member { start, length });
        }
    }

    /// Adds a value with this hash.
    #[inline(always)]
    pub(super) fn push_hash(&mut self, hash: u128) {
        let member = self.hashed(hash);
        self.members.push(member);
    }

    /// Returns the value of the last one.
    pub(super) fn last(&self) -> Value {
        match self.members.last() {
            Some(Member { start, length: 0 }) => {
                let [_, hash @ ..] = self.hashes[*start];
                Value::Hash(u128::from_le_bytes(hash))
            }
            Some(Member { start, length }) => Value::Form {
                start: *start,
                end: start + length,
            },
            None => Value::Hash(0),
        }
    }

    /// Adds a member whose value has not been read.
    pub(super) fn push_unread(&mut self) {
        self.members.push(Member { start: 0, length: 0 });
    }

    /// Sets the value of the last one.
    #[inline(always)]
    pub(super) fn set_last(&mut self, value: Value) {
        let member = self.member(value);
        if let Some(last) = self.members.last_mut() {
            *last = member;
        }
    }

    #[inline(always)]
    fn member(&mut self, value: Value) -> Member {
        match value {
            Value::Form { start, end } => Member {
                start,
                length: end - start,
            },
            Value::Hash(hash) => self.hashed(hash),
        }
    }

    #[inline(always)]
    fn hashed(&mut self, hash: u128) -> Member {
        let mut marked = [b'#'; HASH];
        marked[1..].copy_from_slice(&hash.to_le_bytes());
        let start = self.hashes.len();
        self.hashes.push(marked);
        Member { start, length: 0 }
    }

    /// Returns the hash of the innermost object, which ends, and forgets its members.
    #[inline]
    pub(super) fn close(&mut self, first: usize, order: &KeyOrder, form: &Buffer, scratch: &mut Buffer) -> u128 {
        let members = &self.members[first..];
        let mut first_hash = self.hashes.len();
        scratch.truncate(0);
        scratch.push_start(&order.start, KeyOrder::START);
        for place in &order.places {
            let Member { start, length } = members[*place];
            if length > 0 {
                scratch.push_start_of(form.from(start), length);
            } else {
                first_hash = first_hash.min(start);
                scratch.push_start(&self.hashes[start], HASH);
            }
        }
        self.members.truncate(first);
        self.hashes.truncate(first_hash);
        xxh3_128(scratch.as_bytes())
    }
}

/// Returns the hash of an array up to and including this element.
pub(super) fn link(chain: u128, element: u128) -> u128 {
    let mut link = [b'['; 33];
    link[1..17].copy_from_slice(&chain.to_le_bytes());
    link[17..].copy_from_slice(&element.to_le_bytes());
    xxh3_128(&link)
}
