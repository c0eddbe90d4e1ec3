//! The sequences of keys in objects: a service writes each kind of record in the same way, so a sequence that was read
//! once only needs to be compared the next time.
//!
//! Imports: buffer.

use std::cell::Cell;

use wide::u8x16;
use xxhash_rust::xxh3::xxh3_128;

use super::buffer::{BLOCK, Buffer};

/// How many places are remembered: a service has few kinds of records.
const MOST_PLACES: usize = 2_048;

/// How many steps are remembered from one place; if there are more, the keys are data and not names.
const MOST_STEPS: usize = 8;

/// How many bytes are remembered in all.
const MOST_TEXT: usize = 64 * 1024;

/// The keys that were read of an object, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The number of the node that they lead to.
    Known(usize),
    /// They are not remembered; where their hashes start among those of all such objects that are open.
    Forgotten { first_key: usize },
}

/// The text between the end of a member, or the opening bracket, and the value of the next member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<'a> {
    /// As written: a comma, unless it is the first, a key, a colon, and any white space.
    pub(super) written: &'a [u8],
    /// Its form.
    pub(super) form: &'a [u8],
    /// The hash of the key.
    pub(super) key: u128,
    /// Whether it is a key of a sought path.
    pub(super) is_sought: bool,
}

/// A tree of all places that are remembered, from the one before all keys.
#[derive(Debug)]
pub(super) struct Sequences {
    nodes: Vec<Node>,
    /// The total length of their texts.
    text: usize,
    /// The hashes of the keys of open objects whose places are not remembered.
    keys: Vec<u128>,
    /// The order of the last object that is not remembered.
    order: KeyOrder,
}

/// A place, and the step that leads to it.
#[derive(Debug, Default)]
pub(super) struct Node {
    written: Text,
    form: Text,
    pub(super) key: u128,
    pub(super) is_sought: bool,
    /// The step from here that was taken last; 0 before the first.
    likely: Cell<usize>,
    /// The place that the step comes from; itself, where an object starts.
    parent: usize,
    /// Where the objects start that are values here; 0 before the first.
    root: usize,
    /// All steps from here.
    steps: Vec<usize>,
    /// The order of an object that ends here; empty before the first.
    order: KeyOrder,
}

/// A short text, whose start is compared and copied in one block.
#[derive(Debug)]
struct Text {
    start: [u8; BLOCK],
    /// A bit for each of its bytes in `start`.
    mask: u32,
    length: usize,
    /// What is behind `start`.
    rest: Box<[u8]>,
}

/// The order in which an object's members are hashed: by the hashes of their keys, equal keys as they came.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    /// The members' places in the object.
    pub(super) places: Box<[usize]>,
    /// What the hash begins with: a bracket, and the hash of the keys' hashes.
    pub(super) start: [u8; KeyOrder::START],
}

impl Default for Sequences {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            text: 0,
            keys: Vec::new(),
            order: KeyOrder::default(),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Text {
    fn new(text: &[u8]) -> Self {
        let (first, rest) = text.split_at(text.len().min(BLOCK));
        let mut start = [0; BLOCK];
        start[..first.len()].copy_from_slice(first);
        Self {
            start,
            mask: ((1_u64 << first.len()) - 1) as u32,
            length: text.len(),
            rest: rest.into(),
        }
    }

    /// Returns whether these bytes start with it.
    #[inline(always)]
    fn starts(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk::<BLOCK>() {
            Some(block) => {
                equal_bytes(block, &self.start) & self.mask == self.mask
                    && (self.length <= BLOCK || bytes[BLOCK..].starts_with(&self.rest))
            }
            None => self.rest.is_empty() && bytes.starts_with(&self.start[..self.length]),
        }
    }

    #[inline(always)]
    fn push_to(&self, buffer: &mut Buffer) {
        if self.length <= BLOCK {
            buffer.push_start(&self.start, self.length);
        } else {
            buffer.push_slice(&self.start);
            buffer.push_slice(&self.rest);
        }
    }
}

/// Sets the bit of each byte that is the same in both.
#[inline(always)]
fn equal_bytes(one: &[u8; BLOCK], other: &[u8; BLOCK]) -> u32 {
    let half = |block: &[u8; BLOCK], from: usize| {
        let half: [u8; 16] = std::array::from_fn(|index| block[from + index]);
        u8x16::new(half)
    };
    let equal = |from| half(one, from).simd_eq(half(other, from)).to_bitmask();
    equal(0) | equal(16) << 16
}

impl Sequences {
    /// Forgets everything if there is no room for more. No object may be open, since its place is forgotten too.
    pub(super) fn make_room(&mut self) {
        self.keys.clear();
        if self.nodes.len() >= MOST_PLACES || self.text >= MOST_TEXT {
            *self = Self::default();
        }
    }

    /// Returns the known step from this place that matches the text: the node that it leads to.
    #[inline(always)]
    pub(super) fn expect(&self, from: usize, text: &[u8]) -> Option<(usize, &Node)> {
        if text.first() == Some(&b'}') {
            return None;
        }
        let likely = self.nodes[from].likely.get();
        let node = &self.nodes[likely];
        // Before the first step that is the root.
        if likely != 0 && node.written.starts(text) {
            return Some((likely, node));
        }
        self.expect_other(from, text)
    }

    #[inline(never)]
    fn expect_other(&self, from: usize, text: &[u8]) -> Option<(usize, &Node)> {
        let goes_on_with = |to: &usize| self.nodes[*to].written.starts(text);
        let to = self.nodes[from].steps.iter().copied().find(goes_on_with)?;
        self.nodes[from].likely.set(to);
        Some((to, &self.nodes[to]))
    }

    /// Returns the node with this number.
    #[inline(always)]
    pub(super) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// Returns where the objects start that are values at this place: each has its own sequences, since what it is
    /// called says most about what is in it.
    #[inline]
    pub(super) fn root_at(&mut self, place: Place) -> usize {
        let Place::Known(place) = place else { return 0 };
        match self.nodes[place].root {
            0 => self.new_root(place),
            root => root,
        }
    }

    #[cold]
    fn new_root(&mut self, place: usize) -> usize {
        let root = self.nodes.len();
        if root >= MOST_PLACES {
            return 0;
        }
        self.nodes.push(Node {
            parent: root,
            ..Node::default()
        });
        self.nodes[place].root = root;
        root
    }

    /// Remembers an unexpected step, if there is room, and returns where it leads.
    pub(super) fn learn(&mut self, from: Place, step: Step<'_>) -> Place {
        match from {
            Place::Known(from) => self.learn_from(from, step),
            forgotten @ Place::Forgotten { .. } => {
                self.keys.push(step.key);
                forgotten
            }
        }
    }

    fn learn_from(&mut self, from: usize, step: Step<'_>) -> Place {
        let to = self.nodes.len();
        let text = self.text + step.written.len() + step.form.len();
        let here = &mut self.nodes[from];
        if to >= MOST_PLACES || here.steps.len() >= MOST_STEPS || text > MOST_TEXT {
            let first_key = self.keys.len();
            let keys = self.keys_to(from);
            self.keys.extend(keys);
            self.keys.push(step.key);
            return Place::Forgotten { first_key };
        }
        here.likely.set(to);
        here.steps.push(to);
        self.text = text;
        self.nodes.push(Node {
            key: step.key,
            written: Text::new(step.written),
            form: Text::new(step.form),
            is_sought: step.is_sought,
            parent: from,
            ..Node::default()
        });
        Place::Known(to)
    }

    /// Returns the hashes of the keys that lead to this node.
    fn keys_to(&self, mut node: usize) -> Vec<u128> {
        let mut keys = Vec::new();
        while self.nodes[node].parent != node {
            keys.push(self.nodes[node].key);
            node = self.nodes[node].parent;
        }
        keys.reverse();
        keys
    }

    /// Returns the order of an object that ends at this place.
    #[inline(always)]
    pub(super) fn order(&mut self, place: Place) -> &KeyOrder {
        match place {
            Place::Known(node) => {
                if self.nodes[node].order.start[0] == 0 {
                    self.nodes[node].order = KeyOrder::of(&self.keys_to(node));
                }
                &self.nodes[node].order
            }
            Place::Forgotten { first_key } => {
                self.order = KeyOrder::of(&self.keys[first_key..]);
                self.keys.truncate(first_key);
                &self.order
            }
        }
    }
}

impl Node {
    /// Appends the form of the step, and returns how long it is as written.
    #[inline(always)]
    pub(super) fn push_form(&self, form: &mut Buffer) {
        self.form.push_to(form);
    }

    /// Returns how long the step is as written.
    #[inline(always)]
    pub(super) fn written_length(&self) -> usize {
        self.written.length
    }
}

impl KeyOrder {
    pub(super) const START: usize = 17;

    fn of(keys: &[u128]) -> Self {
        let mut places: Vec<_> = (0..keys.len()).collect();
        places.sort_by_key(|place| keys[*place]);
        let keys: Vec<u8> = places.iter().flat_map(|place| keys[*place].to_le_bytes()).collect();
        let mut start = [b'{'; Self::START];
        start[1..].copy_from_slice(&xxh3_128(&keys).to_le_bytes());
        let places = places.into();
        Self { places, start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Place = Place::Known(0);

    fn learn(sequences: &mut Sequences, from: Place, key: u32) -> Place {
        let (written, form) = (format!("\"{key}\":"), format!("\"{key}\": "));
        let step = Step {
            written: written.as_bytes(),
            form: form.as_bytes(),
            key: key.into(),
            is_sought: false,
        };
        sequences.learn(from, step)
    }

    fn expected(sequences: &Sequences, from: Place, text: &str) -> Option<Place> {
        let Place::Known(from) = from else { return None };
        // Whole blocks are compared where there are as many bytes.
        let all = [text.to_owned(), format!("{text}{}", " ".repeat(BLOCK))];
        let [short, long] = all.map(|text| sequences.expect(from, text.as_bytes()).map(|(to, _)| Place::Known(to)));
        assert_eq!(short, long);
        long
    }

    #[test]
    fn what_came_once_is_expected_again_whichever_came_last() {
        let mut sequences = Sequences::default();
        let one = learn(&mut sequences, START, 1);
        let two = learn(&mut sequences, START, 2);
        for _ in 0..3 {
            for (text, place) in [("\"1\":0", one), ("\"2\":0", two)] {
                assert_eq!(expected(&sequences, START, text), Some(place));
            }
            assert_eq!(expected(&sequences, START, "\"1\" :0"), None);
            assert_eq!(expected(&sequences, one, "\"1\":0"), None, "nothing came there");
            assert_eq!(expected(&sequences, START, "}"), None);
        }
    }

    #[test]
    fn a_step_of_any_length_is_compared_to_its_end() {
        for length in [1, 15, 16, 17, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let written = "x".repeat(length);
            let mut sequences = Sequences::default();
            let step = Step {
                written: written.as_bytes(),
                form: written.as_bytes(),
                key: 0,
                is_sought: false,
            };
            let place = sequences.learn(START, step);
            assert_eq!(expected(&sequences, START, &format!("{written}1")), Some(place));
            assert_eq!(expected(&sequences, START, &format!("{}1", &written[1..])), None);
            let (_, node) = sequences.expect(0, written.as_bytes()).unwrap();
            let mut form = Buffer::default();
            node.push_form(&mut form);
            assert_eq!((form.as_bytes(), node.written_length()), (written.as_bytes(), length));
        }
    }

    #[test]
    fn members_are_ordered_by_the_hashes_of_their_keys_and_those_of_one_key_stay_as_they_came() {
        let mut sequences = Sequences::default();
        let mut remembered = START;
        let mut forgotten = Place::Forgotten { first_key: 0 };
        for key in [2, 1, 2, 1] {
            remembered = learn(&mut sequences, remembered, key);
            forgotten = learn(&mut sequences, forgotten, key);
        }
        for place in [remembered, remembered, forgotten] {
            assert_eq!(*sequences.order(place).places, [1, 3, 0, 2]);
        }
        assert!(sequences.keys.is_empty());
        assert!(sequences.order(START).places.is_empty());
    }

    #[test]
    fn keys_are_still_ordered_when_there_is_no_more_room() {
        let mut sequences = Sequences::default();
        let mut place = START;
        for key in (0..3_000).rev() {
            place = learn(&mut sequences, place, key);
        }
        assert!(matches!(place, Place::Forgotten { first_key: 0 }));
        let places: Vec<usize> = (0..3_000).rev().collect();
        assert_eq!(*sequences.order(place).places, places);
    }

    #[test]
    fn objects_under_different_keys_have_sequences_of_their_own() {
        let mut sequences = Sequences::default();
        let one = learn(&mut sequences, START, 1);
        let two = learn(&mut sequences, one, 2);
        let roots = [one, two].map(|place| sequences.root_at(place));
        assert_ne!(roots[0], roots[1]);
        let inside = learn(&mut sequences, Place::Known(roots[0]), 3);
        assert_eq!(expected(&sequences, Place::Known(roots[1]), "\"3\":0"), None);
        assert_eq!(sequences.root_at(one), roots[0]);
        assert_eq!(*sequences.order(inside).places, [0]);
    }

    #[test]
    fn keys_that_are_data_take_no_memory() {
        let mut sequences = Sequences::default();
        let (mut wide, mut deep) = (Vec::new(), START);
        for key in 0..10_000 {
            wide.push(learn(&mut sequences, START, key));
            deep = learn(&mut sequences, deep, key);
            sequences.root_at(deep);
        }
        assert!(sequences.nodes.len() <= MOST_PLACES && sequences.text <= MOST_TEXT);
        assert!(matches!(deep, Place::Forgotten { .. }));
        let known = wide.iter().filter(|place| matches!(place, Place::Known(_)));
        assert_eq!(known.count(), MOST_STEPS - 1);
        sequences.make_room();
        let place = learn(&mut sequences, START, 1);
        assert!(matches!(place, Place::Known(_)), "there is room again");
    }
}
