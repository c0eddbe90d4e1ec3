//! Follows a key path through nested objects while they are read.

use xxhash_rust::xxh3::xxh3_128;

use super::{Found, Value, text};

/// A path, how far the open objects follow it, and the value found at its end.
#[derive(Debug)]
pub(super) struct SoughtPath {
    /// The hash of each key's form.
    keys: Vec<u128>,
    /// How many keys of the path lead to the current value.
    matched: usize,
    /// Where the value of the last matched key starts in the form.
    start: usize,
    found: Option<Found>,
}

impl SoughtPath {
    pub(super) fn new(path: &[&str]) -> Self {
        Self {
            keys: path.iter().map(|key| hash(key)).collect(),
            matched: 0,
            start: 0,
            found: None,
        }
    }

    /// Resets it for the next text.
    pub(super) fn reset(&mut self) {
        self.matched = 0;
        self.found = None;
    }

    /// Returns whether the key is one of the path.
    pub(super) fn has(&self, key: u128) -> bool {
        self.keys.contains(&key)
    }

    /// Notes that a value starts under this key, in an object inside `depth` others. A repeated key replaces what its
    /// earlier value held.
    pub(super) fn enter(&mut self, depth: usize, key: u128, value_start: usize) {
        if self.matched == depth && self.keys.get(depth).is_some_and(|sought| *sought == key) {
            self.matched = depth + 1;
            self.start = value_start;
            self.found = None;
        }
    }

    /// Notes that the value of a member ends at `end`, in an object inside `depth` others.
    pub(super) fn leave(&mut self, depth: usize, value: Value, end: usize) {
        if self.matched <= depth {
            return;
        }
        self.matched = depth;
        if self.keys.len() == depth + 1 {
            self.found = Some(Found {
                range: self.start..end,
                value,
            });
        }
    }

    /// Counts what was found from that many bytes earlier.
    pub(super) fn move_behind(&mut self, bytes: usize) {
        if let Some(Found { range, value }) = &mut self.found {
            *range = range.start + bytes..range.end + bytes;
            *value = value.behind(bytes);
        }
    }

    pub(super) fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    pub(super) fn into_found(self) -> Option<Found> {
        self.found
    }
}

fn hash(key: &str) -> u128 {
    let mut form = String::new();
    text::push_string(key, &mut form);
    xxh3_128(form.as_bytes())
}
