//! The arrays and objects of a text, by their keys: what comes again word for word need not be read again. An audit trail
//! has an object before and after its change, and most of it is the same in both.
//!
//! Imports: nothing.

use std::ops::Range;

/// A shorter array or object is read anew, which costs no more than to find out that it is the same.
const SHORTEST: usize = 48;

/// How much is compared in vain stays in proportion to what is read.
const MOST_IN_VAIN: usize = 1 << 16;

/// How many are remembered.
const PLACES: usize = 128;

/// The arrays and objects that were read of a text, and where.
#[derive(Debug)]
pub(super) struct Subtrees {
    /// Empty before the first.
    places: Vec<Subtree>,
    /// The number of the text; that of no text is 0.
    text: u64,
    /// How many bytes were compared in vain.
    in_vain: usize,
}

/// An array or object.
#[derive(Clone, Debug, Default)]
pub(super) struct Subtree {
    text: u64,
    /// Where it is in the text.
    pub(super) written: Range<usize>,
    /// Where its form is.
    pub(super) form: Range<usize>,
    pub(super) hash: u128,
}

impl Default for Subtrees {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            text: 1,
            in_vain: 0,
        }
    }
}

impl Subtrees {
    /// Forgets everything, before another text.
    pub(super) fn forget(&mut self) {
        self.text += 1;
        self.in_vain = 0;
    }

    /// Returns whether one here is worth remembering.
    #[inline]
    pub(super) fn are_long(written: &Range<usize>) -> bool {
        written.len() >= SHORTEST
    }

    /// Remembers one that was a value of the key with this hash.
    #[inline]
    pub(super) fn remember(&mut self, key: u128, written: Range<usize>, form: Range<usize>, hash: u128) {
        if self.places.is_empty() {
            self.places.resize(PLACES, Subtree::default());
        }
        self.places[place(key)] = Subtree {
            text: self.text,
            written,
            form,
            hash,
        };
    }

    /// Returns the one that was a value of this key, if it comes again where the rest of the text begins.
    #[inline]
    pub(super) fn again(&mut self, key: u128, text: &[u8], rest: &[u8]) -> Option<&Subtree> {
        let subtree = self.places.get(place(key))?;
        if subtree.text != self.text || self.in_vain > MOST_IN_VAIN + text.len() - rest.len() {
            return None;
        }
        if rest.starts_with(&text[subtree.written.clone()]) {
            return Some(subtree);
        }
        self.in_vain += subtree.written.len();
        None
    }
}

fn place(key: u128) -> usize {
    key as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_in_the_same_text_is_known() {
        let text = b"abcdefgh abcdefgh abcdefgx";
        let mut subtrees = Subtrees::default();
        subtrees.remember(1, 0..8, 0..9, 7);
        let again = |subtrees: &mut Subtrees, key, at: usize| {
            subtrees
                .again(key, text, &text[at..])
                .map(|subtree| (subtree.form.clone(), subtree.hash))
        };
        assert_eq!(again(&mut subtrees, 1, 9), Some((0..9, 7)));
        assert_eq!(again(&mut subtrees, 1, 18), None);
        assert_eq!(again(&mut subtrees, 2, 9), None);
        subtrees.forget();
        assert_eq!(again(&mut subtrees, 1, 9), None);
    }

    #[test]
    fn what_is_compared_in_vain_is_bounded() {
        let text = "x".repeat(MOST_IN_VAIN * 2 + 1) + "y";
        let mut subtrees = Subtrees::default();
        subtrees.remember(1, 1..text.len(), 0..1, 7);
        assert!(subtrees.again(1, text.as_bytes(), text.as_bytes()).is_none());
        subtrees.remember(1, 0..1, 0..1, 7);
        assert!(
            subtrees.again(1, text.as_bytes(), text.as_bytes()).is_none(),
            "too much already"
        );
    }
}
