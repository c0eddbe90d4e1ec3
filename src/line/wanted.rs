//! Following a key path through nested objects while they are read.

use super::{Found, text};

/// A path, how far the objects that are open now follow it, and the value that stood at its end.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The form of each key with its quotes, as it stands in a line: two keys are equal if and only if their forms are.
    keys: Vec<String>,
    /// How many keys of the path lead to the value that is being read.
    matched: usize,
    /// Where the value of the last matched key starts in the line.
    start: usize,
    found: Option<Found>,
}

impl Wanted {
    pub(super) fn new(path: &[&str]) -> Self {
        Self {
            keys: path.iter().map(|key| form(key)).collect(),
            matched: 0,
            start: 0,
            found: None,
        }
    }

    /// Forgets the text that was read before.
    pub(super) fn reset(&mut self) {
        self.matched = 0;
        self.found = None;
    }

    /// A value starts under this key, in an object inside `depth` others. A key that comes again takes all back that
    /// stood under the one before.
    pub(super) fn enter(&mut self, depth: usize, key: &str, value_start: usize) {
        if self.matched == depth && self.keys.get(depth).is_some_and(|wanted| wanted == key) {
            self.matched = depth + 1;
            self.start = value_start;
            self.found = None;
        }
    }

    /// The value of a member ends, in an object inside `depth` others.
    pub(super) fn leave(&mut self, depth: usize, value_end: usize, hash: u128) {
        if self.matched <= depth {
            return;
        }
        self.matched = depth;
        if self.keys.len() == depth + 1 {
            self.found = Some(Found {
                range: self.start..value_end,
                hash,
            });
        }
    }

    pub(super) fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    pub(super) fn into_found(self) -> Option<Found> {
        self.found
    }
}

fn form(key: &str) -> String {
    let mut form = String::new();
    text::push_string(key, &mut form);
    form
}
