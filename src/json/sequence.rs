//! The sequences of keys in objects: a service writes each kind of record in the same way, so a sequence that was read
//! once only needs to be compared the next time.

use xxhash_rust::xxh3::xxh3_128;

use super::Member;

/// How many places are remembered: a service has few kinds of records.
const MOST_PLACES: usize = 1_024;

/// How many steps are remembered from one place; if there are more, the keys are data and not names.
const MOST_STEPS: usize = 8;

/// How many bytes are remembered in all.
const MOST_TEXT: usize = 64 * 1024;

/// The keys that were read of an object, in order; `None` if they are not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(Option<usize>);

impl Place {
    /// No key was read.
    pub(super) const START: Self = Self(Some(0));
}

/// The text between the end of a member, or the opening bracket, and the value of the next member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<'a> {
    /// As written: a comma, unless it is the first, a key, a colon, and any white space.
    pub(super) written: &'a str,
    /// Its form.
    pub(super) form: &'a str,
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
    /// The order of the last object that is not remembered.
    order: KeyOrder,
}

/// A place, and the step that leads to it.
#[derive(Debug, Default)]
struct Node {
    key: u128,
    written: Box<str>,
    form: Box<str>,
    is_sought: bool,
    /// The step from here that was taken last.
    likely: Option<usize>,
    /// All steps from here.
    steps: Vec<usize>,
    /// The order of an object that ended here.
    order: Option<KeyOrder>,
}

/// The order in which an object's members are hashed: by the hashes of their keys, equal keys as they came.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    /// The members' places in the object.
    pub(super) places: Vec<usize>,
    /// The hash of their keys' hashes.
    pub(super) keys: u128,
}

impl Default for Sequences {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            text: 0,
            order: KeyOrder::default(),
        }
    }
}

impl Sequences {
    /// Forgets everything if there is no room for more. No object may be open, since its place is forgotten too.
    pub(super) fn make_room(&mut self) {
        if self.nodes.len() >= MOST_PLACES || self.text >= MOST_TEXT {
            *self = Self::default();
        }
    }

    /// Returns the known step from this place that matches the text, and where it leads.
    #[inline]
    pub(super) fn expect(&mut self, place: Place, text: &[u8]) -> Option<(Step<'_>, Place)> {
        let here = &self.nodes[place.0?];
        let goes_on_with = |to: &usize| text.starts_with(self.nodes[*to].written.as_bytes());
        let to = match here.likely.filter(goes_on_with) {
            Some(to) => to,
            None => {
                let to = here.steps.iter().copied().find(goes_on_with)?;
                self.nodes[place.0?].likely = Some(to);
                to
            }
        };
        let node = &self.nodes[to];
        let step = Step {
            written: &node.written,
            form: &node.form,
            key: node.key,
            is_sought: node.is_sought,
        };
        Some((step, Place(Some(to))))
    }

    /// Remembers an unexpected step, if there is room, and returns where it leads.
    pub(super) fn learn(&mut self, from: Place, step: Step<'_>) -> Place {
        let to = self.nodes.len();
        let text = self.text + step.written.len() + step.form.len();
        let Some(here) = from.0.and_then(|from| self.nodes.get_mut(from)) else {
            return Place(None);
        };
        if to >= MOST_PLACES || here.steps.len() >= MOST_STEPS || text > MOST_TEXT {
            return Place(None);
        }
        here.likely = Some(to);
        here.steps.push(to);
        self.text = text;
        self.nodes.push(Node {
            key: step.key,
            written: step.written.into(),
            form: step.form.into(),
            is_sought: step.is_sought,
            ..Node::default()
        });
        Place(Some(to))
    }

    /// Returns the order of an object that ends at this place.
    pub(super) fn order(&mut self, place: Place, members: &[Member]) -> &KeyOrder {
        match place.0 {
            Some(place) => self.nodes[place].order.get_or_insert_with(|| KeyOrder::of(members)),
            None => {
                self.order = KeyOrder::of(members);
                &self.order
            }
        }
    }
}

impl KeyOrder {
    fn of(members: &[Member]) -> Self {
        let mut places: Vec<_> = (0..members.len()).collect();
        places.sort_by_key(|place| members[*place].key);
        let keys: Vec<u8> = places
            .iter()
            .flat_map(|place| members[*place].key.to_le_bytes())
            .collect();
        let keys = xxh3_128(&keys);
        Self { places, keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(sequences: &mut Sequences, from: Place, key: u32) -> Place {
        let written = format!("\"{key}\":");
        let step = Step {
            written: &written,
            form: &format!("{written} "),
            key: key.into(),
            is_sought: false,
        };
        sequences.learn(from, step)
    }

    fn members(keys: &[u128]) -> Vec<Member> {
        keys.iter().map(|key| Member::unread(*key)).collect()
    }

    #[test]
    fn what_came_once_is_expected_again_whichever_came_last() {
        let mut sequences = Sequences::default();
        let one = learn(&mut sequences, Place::START, 1);
        let two = learn(&mut sequences, Place::START, 2);
        for _ in 0..3 {
            for (text, expected) in [(b"\"1\":0", one), (b"\"2\":0", two)] {
                assert_eq!(sequences.expect(Place::START, text).unwrap().1, expected);
            }
            assert!(sequences.expect(Place::START, b"\"1\" :0").is_none());
            assert!(sequences.expect(one, b"\"1\":0").is_none(), "nothing came there");
        }
    }

    #[test]
    fn members_are_ordered_by_the_hashes_of_their_keys_and_those_of_one_key_stay_as_they_came() {
        let mut sequences = Sequences::default();
        let remembered = learn(&mut sequences, Place::START, 1);
        let forgotten = Place(None);
        let keys = members(&[2, 1, 2, 1]);
        for place in [forgotten, remembered, remembered, forgotten] {
            assert_eq!(sequences.order(place, &keys).places, [1, 3, 0, 2]);
        }
        assert_eq!(sequences.order(forgotten, &members(&[30, 10, 20])).places, [1, 2, 0]);
        assert_eq!(sequences.order(Place::START, &[]).places, [0_usize; 0]);
    }

    #[test]
    fn keys_that_are_data_take_no_memory() {
        let mut sequences = Sequences::default();
        let (mut wide, mut deep) = (Vec::new(), Place::START);
        for key in 0..10_000 {
            wide.push(learn(&mut sequences, Place::START, key));
            deep = learn(&mut sequences, deep, key);
        }
        assert!(sequences.nodes.len() <= MOST_PLACES && sequences.text <= MOST_TEXT);
        assert_eq!(deep, Place(None));
        assert_eq!(
            wide.iter().filter(|place| **place != Place(None)).count(),
            MOST_STEPS - 1
        );
        sequences.make_room();
        assert_ne!(
            learn(&mut sequences, Place::START, 1),
            Place(None),
            "there is room again"
        );
    }
}
