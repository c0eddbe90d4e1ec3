//! One pass over a JSON text: writes its one-line form, hashes its values and notes those at sought paths.
//!
//! Imports: buffer, input, number, sequence, subtree, text, value.

use xxhash_rust::xxh3::xxh3_128;

use super::buffer::Buffer;
use super::input::Input;
use super::number::{self, Number};
use super::sequence::{Node, Place, Step};
use super::subtree::Subtrees;
use super::value::{Inside, Open, Start, Value, link};
use super::{JsonError, MOST_OPEN, Scanner, text};

/// What comes next.
#[derive(Clone, Copy)]
enum Next {
    /// A value.
    Value,
    /// The first member of an object, or its end.
    FirstMember,
    /// Another one, or the end.
    Member,
    /// What is between an element and the next one, or the end of the array.
    Element,
    /// Nothing more: this is the hash of the whole.
    Nothing(u128),
}

/// How far the expected text of an object was read.
enum Taken {
    Nothing,
    /// Up to the end of a member.
    Members,
    /// Up to the value of a member.
    Key,
}

pub(super) struct Pass<'a, 'text> {
    pub(super) input: &'a mut Input<'text>,
    pub(super) scanner: &'a mut Scanner,
}

impl Pass<'_, '_> {
    pub(super) fn run(&mut self) -> Result<u128, JsonError> {
        let mut next = Next::Value;
        loop {
            next = match next {
                Next::Value => self.start_value()?,
                Next::FirstMember => self.next_member(true)?,
                Next::Member => self.next_member(false)?,
                Next::Element => self.next_element()?,
                Next::Nothing(content) => return Ok(content),
            }
        }
    }

    /// Reads a whole value; of an array or object, only its bracket, and the one that ends an empty array.
    #[inline(always)]
    fn start_value(&mut self) -> Result<Next, JsonError> {
        self.input.skip_space();
        match self.input.peek() {
            Some(b'{') => self.start_object(),
            Some(b'[') => self.start_array(),
            Some(b'"') => {
                let value = string(self.input, &mut self.scanner.form)?;
                Ok(self.end_value(value))
            }
            _ => {
                let value = self.plain()?;
                Ok(self.end_value(value))
            }
        }
    }

    /// Adds a value to its parent.
    #[inline(always)]
    fn end_value(&mut self, value: Value) -> Next {
        match self.scanner.open.last_mut().map(|open| &mut open.inside) {
            Some(Inside::Array { chain, .. }) => {
                *chain = link(*chain, value.hash(self.scanner.form.as_bytes()));
                Next::Element
            }
            Some(Inside::Object { is_sought, .. }) => {
                let is_sought = *is_sought;
                self.end_member(value, is_sought);
                Next::Member
            }
            None => Next::Nothing(value.hash(self.scanner.form.as_bytes())),
        }
    }

    /// Notes the value of the last member of the innermost object.
    #[inline(always)]
    fn end_member(&mut self, value: Value, is_sought: bool) {
        let Scanner {
            sought,
            open,
            members,
            form,
            ..
        } = &mut *self.scanner;
        members.set_last(value);
        if is_sought {
            let depth = open.len() - 1;
            sought.iter_mut().for_each(|path| path.leave(depth, value, form.len()));
        }
    }

    #[inline(always)]
    fn next_element(&mut self) -> Result<Next, JsonError> {
        self.input.skip_space();
        match self.input.peek() {
            Some(b',') => {
                self.input.advance(1);
                self.scanner.form.push_start(b", ", 2);
                Ok(Next::Value)
            }
            Some(b']') => Ok(self.end(b']')),
            Some(_) => Err(self.input.malformed("neither a comma nor `]` after an element")),
            None => Err(self.input.malformed("the text ends inside an array or object")),
        }
    }

    /// Reads members up to a value that has to be started, or to the end of the object.
    #[inline(always)]
    fn next_member(&mut self, is_first: bool) -> Result<Next, JsonError> {
        let is_first = match self.take_expected()? {
            Taken::Key => return Ok(Next::Value),
            Taken::Members => false,
            Taken::Nothing => is_first,
        };
        let start = self.start();
        self.input.skip_space();
        match self.input.peek() {
            Some(b'}') => return Ok(self.end(b'}')),
            _ if is_first => {}
            Some(b',') => {
                self.input.advance(1);
                self.scanner.form.push_start(b", ", 2);
            }
            Some(_) => return Err(self.input.malformed("neither a comma nor `}` after a member")),
            None => return Err(self.input.malformed("the text ends inside an array or object")),
        }
        self.read_key(start)?;
        Ok(Next::Value)
    }

    #[inline(always)]
    fn start_object(&mut self) -> Result<Next, JsonError> {
        let inside = Inside::Object {
            first_member: self.scanner.members.len(),
            place: Place::Known(self.root()),
            is_sought: false,
        };
        self.open(b'{', inside)?;
        Ok(Next::FirstMember)
    }

    #[inline(always)]
    fn start_array(&mut self) -> Result<Next, JsonError> {
        let root = self.root();
        let chain = EMPTY_ARRAY;
        self.open(b'[', Inside::Array { chain, root })?;
        self.input.skip_space();
        match self.input.peek() {
            Some(b']') => Ok(self.end(b']')),
            _ => Ok(Next::Value),
        }
    }

    /// Returns where the keys of an object start that is the next value.
    #[inline]
    fn root(&mut self) -> usize {
        let Scanner { open, sequences, .. } = &mut *self.scanner;
        match open.last() {
            Some(Open {
                inside: Inside::Object { place, .. },
                ..
            }) => sequences.root_at(*place),
            Some(Open {
                inside: Inside::Array { root, .. },
                ..
            }) => *root,
            None => 0,
        }
    }

    #[inline(always)]
    fn open(&mut self, bracket: u8, inside: Inside) -> Result<(), JsonError> {
        self.check_room()?;
        let start = self.start();
        self.scanner.open.push(Open { start, inside });
        self.input.advance(1);
        self.scanner.form.push(bracket);
        Ok(())
    }

    /// Checks that what is open stays within [`MOST_OPEN`]. Members that are read as those of an earlier object are not
    /// checked one by one: a sequence of keys is short.
    fn check_room(&self) -> Result<(), JsonError> {
        let Scanner { open, members, .. } = &*self.scanner;
        if open.len() >= MOST_OPEN || members.len() >= MOST_OPEN {
            return Err(self
                .input
                .malformed("more nesting, or more members of one object, than any record has"));
        }
        Ok(())
    }

    /// Reads members as long as what is before their values is the same as in an earlier object, and their values need
    /// not be started.
    #[inline(always)]
    fn take_expected(&mut self) -> Result<Taken, JsonError> {
        let Scanner {
            sought,
            open,
            members,
            subtrees,
            sequences,
            form,
            ..
        } = &mut *self.scanner;
        let depth = open.len() - 1;
        let Some(Open {
            inside: Inside::Object { place, is_sought, .. },
            ..
        }) = open.last_mut()
        else {
            return Ok(Taken::Nothing);
        };
        let Place::Known(mut from) = *place else {
            return Ok(Taken::Nothing);
        };
        let mut taken = Taken::Nothing;
        let mut rest = self.input.rest();
        while let Some((to, node)) = sequences.expect(from, rest) {
            from = to;
            rest = &rest[node.written_length()..];
            node.push_form(form);
            let start = form.len();
            if node.is_sought {
                sought.iter_mut().for_each(|path| path.enter(depth, node.key, start));
            }
            if rest.first() == Some(&b'"') {
                let length = text::copy_plain(rest, form);
                if length > 0 {
                    rest = &rest[length..];
                } else {
                    self.input.leave(rest);
                    text::copy_odd_string(self.input, form)?;
                    rest = self.input.rest();
                }
                members.push_string(start, form);
            } else if let Some((length, hash)) = short_value(node, subtrees, self.input.all(), rest, form) {
                rest = &rest[length..];
                members.push_hash(hash);
            } else {
                self.input.leave(rest);
                *place = Place::Known(to);
                *is_sought = node.is_sought;
                members.push_unread();
                return Ok(Taken::Key);
            }
            if node.is_sought {
                let value = members.last();
                sought.iter_mut().for_each(|path| path.leave(depth, value, form.len()));
            }
            taken = Taken::Members;
        }
        self.input.leave(rest);
        *place = Place::Known(from);
        Ok(taken)
    }

    /// Reads a key and its colon; what is between the last value, or the bracket, and the key began at `start`.
    #[inline(never)]
    fn read_key(&mut self, start: Start) -> Result<(), JsonError> {
        self.check_room()?;
        self.input.skip_space();
        if self.input.peek() != Some(b'"') {
            return Err(self.input.malformed("a key is expected"));
        }
        let key_start = self.scanner.form.len();
        text::copy_string(self.input, &mut self.scanner.form)?;
        let key = xxh3_128(&self.scanner.form.as_bytes()[key_start..]);
        self.input.skip_space();
        if self.input.peek() != Some(b':') {
            return Err(self.input.malformed("a colon is expected after a key"));
        }
        self.input.advance(1);
        self.input.skip_space();
        self.scanner.form.push_start(b": ", 2);

        let scanner = &mut *self.scanner;
        let is_key_sought = scanner.sought.iter().any(|path| path.has(key));
        if let Some(Open {
            inside: Inside::Object { place, is_sought, .. },
            ..
        }) = scanner.open.last_mut()
        {
            let step = Step {
                written: &self.input.all()[start.input..self.input.at()],
                form: &scanner.form.as_bytes()[start.form..],
                key,
                is_sought: is_key_sought,
            };
            *place = scanner.sequences.learn(*place, step);
            *is_sought = is_key_sought;
        }
        scanner.members.push_unread();
        let (depth, value_start) = (scanner.open.len() - 1, scanner.form.len());
        scanner
            .sought
            .iter_mut()
            .for_each(|path| path.enter(depth, key, value_start));
        Ok(())
    }

    fn start(&self) -> Start {
        Start {
            input: self.input.at(),
            form: self.scanner.form.len(),
        }
    }

    /// Ends the innermost array or object, whose bracket is next.
    #[inline(always)]
    fn end(&mut self, bracket: u8) -> Next {
        let hash = self.close(bracket);
        self.end_value(Value::Hash(hash))
    }

    #[inline(never)]
    fn close(&mut self, bracket: u8) -> u128 {
        self.input.advance(1);
        let Scanner {
            open,
            members,
            subtrees,
            sequences,
            form,
            scratch,
            ..
        } = &mut *self.scanner;
        form.push(bracket);
        let Some(Open { start, inside }) = open.pop() else {
            return 0;
        };
        let hash = match inside {
            Inside::Array { chain, .. } => chain,
            Inside::Object {
                first_member, place, ..
            } => members.close(first_member, sequences.order(place), form, scratch),
        };
        let written = start.input..self.input.at();
        if Subtrees::are_long(&written)
            && let Some(Inside::Object {
                place: Place::Known(node),
                ..
            }) = open.last().map(|open| &open.inside)
        {
            subtrees.remember(sequences.node(*node).key, written, start.form..form.len(), hash);
        }
        hash
    }

    /// Reads a number or a word.
    #[inline]
    fn plain(&mut self) -> Result<Value, JsonError> {
        if let Some((length, hash)) = short_plain(self.input.rest(), &mut self.scanner.form) {
            self.input.advance(length);
            return Ok(Value::Hash(hash));
        }
        match self.input.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.input.malformed("not a JSON value")),
            None => Err(self.input.malformed("the text ends where a value is expected")),
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let number = Number::read(self.input)?;
        self.scanner.form.push_slice(number.text().as_bytes());
        if number.is_canonical() {
            return Ok(Value::Hash(xxh3_128(number.text().as_bytes())));
        }
        let mut canonical = Vec::new();
        number.write_canonical(&mut canonical);
        Ok(Value::Hash(xxh3_128(&canonical)))
    }
}

/// The hashes of the values that are always the same.
const EMPTY_ARRAY: u128 = xxhash_rust::const_xxh3::xxh3_128(b"[");
const TRUE: u128 = xxhash_rust::const_xxh3::xxh3_128(b"true");
const FALSE: u128 = xxhash_rust::const_xxh3::xxh3_128(b"false");
const NULL: u128 = xxhash_rust::const_xxh3::xxh3_128(b"null");

#[inline(always)]
fn string(input: &mut Input<'_>, form: &mut Buffer) -> Result<Value, JsonError> {
    let start = form.len();
    text::copy_string(input, form)?;
    Ok(Value::string(start, form))
}

/// Appends a value of this key that is known already, or short, and no string; returns its length and its hash.
#[inline(always)]
fn short_value(
    node: &Node,
    subtrees: &mut Subtrees,
    text: &[u8],
    rest: &[u8],
    form: &mut Buffer,
) -> Option<(usize, u128)> {
    if !matches!(rest.first(), Some(b'{' | b'[')) {
        return short_plain(rest, form);
    }
    // Values at paths inside are not noted if it is not read.
    if node.is_sought {
        return None;
    }
    let subtree = subtrees.again(node.key, text, rest)?;
    form.push_again(subtree.form.clone());
    Some((subtree.written.len(), subtree.hash))
}

/// Appends a word, or a whole number in its canonical form, and returns its length and its hash; `None` for anything else.
#[inline]
fn short_plain(rest: &[u8], form: &mut Buffer) -> Option<(usize, u128)> {
    let (length, hash) = match rest.first()? {
        b'n' if rest.starts_with(b"null") => (4, NULL),
        b't' if rest.starts_with(b"true") => (4, TRUE),
        b'f' if rest.starts_with(b"false") => (5, FALSE),
        b'0'..=b'9' => {
            let length = number::canonical_length(rest)?;
            (length, xxh3_128(&rest[..length]))
        }
        _ => return None,
    };
    form.push_start_of(rest, length);
    Some((length, hash))
}
