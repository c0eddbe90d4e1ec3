//! One pass over a JSON text: writes its one-line form, hashes its values and notes those at sought paths.

use xxhash_rust::xxh3::xxh3_128;

use super::input::Input;
use super::number::Number;
use super::sequence::{Place, Step};
use super::value::{Member, Open, Value, link, object_hash};
use super::{JsonError, MOST_OPEN, Scanner, text};

/// What follows a value.
enum After {
    /// Another value.
    Value,
    /// The end of the array or object, which has this hash.
    End(u128),
}

/// How far the expected text of an object was read.
enum Taken {
    Nothing,
    /// Up to the end of a member.
    Members,
    /// Up to the value of a member.
    Key,
}

/// Where something starts in the text and in the line.
#[derive(Clone, Copy)]
struct Start {
    input: usize,
    line: usize,
}

pub(super) struct Pass<'a, 'text> {
    pub(super) input: &'a mut Input<'text>,
    pub(super) line: &'a mut String,
    pub(super) scanner: &'a mut Scanner,
}

impl Pass<'_, '_> {
    pub(super) fn run(&mut self) -> Result<u128, JsonError> {
        loop {
            if let Some(value) = self.start_value()?
                && let Some(content) = self.end_value(value)?
            {
                return Ok(content);
            }
        }
    }

    /// Reads a whole value and returns it; of a non-empty array or object, reads up to the first value inside.
    fn start_value(&mut self) -> Result<Option<Value>, JsonError> {
        self.input.skip_space();
        match self.input.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{') => Ok(self.start_object()?.map(Value::Hash)),
            Some(b'[') => Ok(self.start_array()?.map(Value::Hash)),
            Some(b'-' | b'0'..=b'9') => Ok(Some(Value::Hash(self.number()?))),
            Some(b't') => Ok(Some(Value::Hash(self.literal("true")?))),
            Some(b'f') => Ok(Some(Value::Hash(self.literal("false")?))),
            Some(b'n') => Ok(Some(Value::Hash(self.literal("null")?))),
            Some(_) => Err(self.input.malformed("not a JSON value")),
            None => Err(self.input.malformed("the text ends where a value is expected")),
        }
    }

    /// Adds a value to its parent, which may end with it, and so on outwards; returns the hash of the whole text's
    /// value once it has ended.
    fn end_value(&mut self, mut value: Value) -> Result<Option<u128>, JsonError> {
        while !self.scanner.open.is_empty() {
            self.hand_over(value);
            match self.after_value()? {
                After::Value => return Ok(None),
                After::End(container) => value = Value::Hash(container),
            }
        }
        Ok(Some(value.hash(self.line)))
    }

    /// Adds a value to the innermost open array or object, and to the paths that end here.
    fn hand_over(&mut self, value: Value) {
        let Scanner {
            sought,
            open,
            members,
            scratch,
            ..
        } = &mut *self.scanner;
        match open.last_mut() {
            Some(Open::Array { chain }) => *chain = link(*chain, value.hash(self.line), scratch),
            Some(Open::Object { .. }) => {
                if let Some(member) = members.last_mut() {
                    member.value = value;
                }
                let depth = open.len() - 1;
                sought
                    .iter_mut()
                    .for_each(|path| path.leave(depth, value, self.line.len()));
            }
            None => {}
        }
    }

    /// Reads what is between a value and the next one, or the end of their parent.
    fn after_value(&mut self) -> Result<After, JsonError> {
        if let Taken::Key = self.take_expected()? {
            return Ok(After::Value);
        }
        let start = self.start();
        self.input.skip_space();
        let in_object = self.in_object();
        match self.input.peek() {
            Some(b',') => {
                self.input.advance(1);
                self.line.push_str(", ");
                if in_object {
                    self.read_key(start)?;
                }
                Ok(After::Value)
            }
            Some(b'}') if in_object => Ok(After::End(self.close('}'))),
            Some(b']') if !in_object => Ok(After::End(self.close(']'))),
            Some(_) if in_object => Err(self.input.malformed("neither a comma nor `}` after a member")),
            Some(_) => Err(self.input.malformed("neither a comma nor `]` after an element")),
            None => Err(self.input.malformed("the text ends inside an array or object")),
        }
    }

    fn start_object(&mut self) -> Result<Option<u128>, JsonError> {
        self.check_room()?;
        self.input.advance(1);
        self.line.push('{');
        let first_member = self.scanner.members.len();
        let place = Place::START;
        self.scanner.open.push(Open::Object { first_member, place });
        match self.take_expected()? {
            Taken::Key => return Ok(None),
            Taken::Members => {
                return self.after_value().map(|after| match after {
                    After::Value => None,
                    After::End(hash) => Some(hash),
                });
            }
            Taken::Nothing => {}
        }
        let start = self.start();
        self.input.skip_space();
        if self.input.peek() == Some(b'}') {
            return Ok(Some(self.close('}')));
        }
        self.read_key(start)?;
        Ok(None)
    }

    fn start_array(&mut self) -> Result<Option<u128>, JsonError> {
        self.check_room()?;
        self.input.advance(1);
        self.line.push('[');
        self.scanner.open.push(Open::Array { chain: xxh3_128(b"[") });
        self.input.skip_space();
        Ok((self.input.peek() == Some(b']')).then(|| self.close(']')))
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

    /// Reads members as long as what is before their values is the same as in an earlier object, and their values are
    /// strings.
    fn take_expected(&mut self) -> Result<Taken, JsonError> {
        let Scanner {
            sought,
            open,
            members,
            sequences,
            ..
        } = &mut *self.scanner;
        let depth = open.len() - 1;
        let mut taken = Taken::Nothing;
        let Some(Open::Object { place, .. }) = open.last_mut() else {
            return Ok(taken);
        };
        while let Some((step, to)) = sequences.expect(*place, self.input.rest()) {
            *place = to;
            self.input.advance(step.written.len());
            self.line.push_str(step.form);
            let (key, start) = (step.key, self.line.len());
            if step.is_sought {
                sought.iter_mut().for_each(|path| path.enter(depth, key, start));
            }
            if self.input.peek() != Some(b'"') {
                members.push(Member::unread(key));
                return Ok(Taken::Key);
            }
            text::copy_string(self.input, self.line)?;
            let value = Value::string(start, self.line);
            members.push(Member { key, value });
            if step.is_sought {
                sought
                    .iter_mut()
                    .for_each(|path| path.leave(depth, value, self.line.len()));
            }
            taken = Taken::Members;
        }
        Ok(taken)
    }

    /// Reads a key and its colon; what is between the last value, or the bracket, and the key began at `start`.
    fn read_key(&mut self, start: Start) -> Result<(), JsonError> {
        self.check_room()?;
        self.input.skip_space();
        if self.input.peek() != Some(b'"') {
            return Err(self.input.malformed("a key is expected"));
        }
        let key_start = self.line.len();
        text::copy_string(self.input, self.line)?;
        let key = xxh3_128(&self.line.as_bytes()[key_start..]);
        self.input.skip_space();
        if self.input.peek() != Some(b':') {
            return Err(self.input.malformed("a colon is expected after a key"));
        }
        self.input.advance(1);
        self.input.skip_space();
        self.line.push_str(": ");

        let scanner = &mut *self.scanner;
        if let Some(Open::Object { place, .. }) = scanner.open.last_mut() {
            let step = Step {
                written: self.input.since(start.input),
                form: &self.line[start.line..],
                key,
                is_sought: scanner.sought.iter().any(|path| path.has(key)),
            };
            *place = scanner.sequences.learn(*place, step);
        }
        scanner.members.push(Member::unread(key));
        let (depth, value_start) = (scanner.open.len() - 1, self.line.len());
        scanner
            .sought
            .iter_mut()
            .for_each(|path| path.enter(depth, key, value_start));
        Ok(())
    }

    fn start(&self) -> Start {
        Start {
            input: self.input.at(),
            line: self.line.len(),
        }
    }

    /// Returns whether the next value is that of a member.
    fn in_object(&self) -> bool {
        matches!(self.scanner.open.last(), Some(Open::Object { .. }))
    }

    /// Ends the innermost array or object and returns its hash.
    fn close(&mut self, bracket: char) -> u128 {
        self.input.advance(1);
        self.line.push(bracket);
        let Scanner {
            open,
            members,
            sequences,
            scratch,
            ..
        } = &mut *self.scanner;
        match open.pop() {
            Some(Open::Array { chain }) => chain,
            Some(Open::Object { first_member, place }) => {
                let members_of_it = &members[first_member..];
                let order = sequences.order(place, members_of_it);
                let hash = object_hash(members_of_it, order, self.line, scratch);
                members.truncate(first_member);
                hash
            }
            None => 0,
        }
    }

    fn string(&mut self) -> Result<Value, JsonError> {
        let start = self.line.len();
        text::copy_string(self.input, self.line)?;
        Ok(Value::string(start, self.line))
    }

    fn number(&mut self) -> Result<u128, JsonError> {
        let number = Number::read(self.input)?;
        self.line.push_str(number.text());
        if number.is_canonical() {
            return Ok(xxh3_128(number.text().as_bytes()));
        }
        let scratch = &mut self.scanner.scratch;
        scratch.clear();
        number.write_canonical(scratch);
        Ok(xxh3_128(scratch))
    }

    fn literal(&mut self, word: &str) -> Result<u128, JsonError> {
        if !self.input.rest().starts_with(word.as_bytes()) {
            return Err(self.input.malformed("not a JSON value"));
        }
        self.input.advance(word.len());
        self.line.push_str(word);
        Ok(xxh3_128(word.as_bytes()))
    }
}
