//! JSON text → its one-line form, its identity and the values at wanted key paths, in one pass over the bytes.
//!
//! # The form
//!
//! That of Python's `json.dumps(value, ensure_ascii=False)`: separators `", "` and `": "`, `{}` and `[]`, every
//! character as itself except `\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t` and the other characters below U+0020, which are
//! `\u00xx` with lower-case digits. A lone surrogate escape, which no UTF-8 text can hold, stays an escape, `\ud83d`
//! with lower-case digits. Unlike in Python, numbers are copied digit for digit. Key order and repeated keys stay. A
//! form has no line break in it, and the form of a form is itself.
//!
//! # The identity
//!
//! A 128-bit hash of the JSON *value*: white space, the order of different keys, the choice of escapes and the way a
//! number is written (`1.10`, `11e-1`) do not count; the order of equal keys does. It is stable: it may be stored and
//! compared by another version of this program.
//!
//! - The hash is XXH3-128 with seed 0 (<https://github.com/Cyan4973/xxHash>). It is no defence against somebody who
//!   can choose two whole records freely.
//! - A string, `true`, `false` and `null` are the hash of their form; a number that of its canonical text, see
//!   [`number`].
//! - An array is a chain: it starts with the hash of `[`, and each element makes it the hash of `[`, chain, element.
//! - An object is the hash of `{` and then, for each member, of its key's hash and its value's hash; the members stand
//!   in the order of their keys' hashes, those of one key in the order in which they came.
//! - Hashes inside a hash are sixteen bytes, little-endian.
//!
//! The first byte tells every kind of value from every other.

mod input;
mod number;
mod text;
mod wanted;

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use input::Input;
use number::Number;
use wanted::Wanted;

/// A path of object keys from the top of a record, such as `["trigger", "at"]`.
///
/// Keys are compared decoded. Where an object has a key twice the last one counts, as it does for JSON parsers. An
/// empty path names no value.
pub type KeyPath = &'static [&'static str];

/// A text is not one JSON value (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {what} at byte {offset}")]
pub struct Malformed {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there, for people.
    pub what: &'static str,
}

/// A value that stood at a wanted path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands in the buffer that the line was appended to.
    pub range: Range<usize>,
    /// The hash of the value.
    pub hash: u128,
}

/// What one pass over a JSON text told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The hash of the whole value.
    pub content: u128,
    /// What stood at each wanted path, in the order of the paths.
    pub found: Vec<Option<Found>>,
}

/// Reads one JSON text and appends its one-line form to `line`, without a newline.
///
/// For many texts a [`Scanner`] does the same without allocating.
///
/// # Errors
///
/// The text is not exactly one JSON value; `line` is then as it was.
pub fn scan(json: &str, wanted: &[KeyPath], line: &mut String) -> Result<Scan, Malformed> {
    let mut scanner = Scanner::new(wanted);
    let content = scanner.scan(json, line)?;
    Ok(Scan {
        content,
        found: scanner.wanted.into_iter().map(Wanted::into_found).collect(),
    })
}

/// Reads JSON texts, one after the other, and looks in each for the values at the same paths.
///
/// Nesting is limited by memory alone: each open array or object takes 32 bytes, each member of an open object as many.
#[derive(Debug)]
pub struct Scanner {
    wanted: Vec<Wanted>,
    open: Vec<Open>,
    members: Vec<Member>,
    scratch: Vec<u8>,
}

impl Scanner {
    /// A scanner that looks for the values at these paths.
    pub fn new(wanted: &[KeyPath]) -> Self {
        Self {
            wanted: wanted.iter().map(|path| Wanted::new(path)).collect(),
            open: Vec::new(),
            members: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Reads one JSON text, appends its one-line form to `line` without a newline, and gives the hash of its value.
    ///
    /// # Errors
    ///
    /// The text is not exactly one JSON value; `line` is then as it was.
    pub fn scan(&mut self, json: &str, line: &mut String) -> Result<u128, Malformed> {
        self.open.clear();
        self.members.clear();
        self.wanted.iter_mut().for_each(Wanted::reset);
        let line_start = line.len();
        let mut pass = Pass {
            input: Input::new(json),
            line,
            scanner: self,
        };
        let content = pass.run();
        if content.is_err() {
            line.truncate(line_start);
        }
        content
    }

    /// What stood at the path with this index in the text that was scanned last.
    pub fn found(&self, path: usize) -> Option<&Found> {
        self.wanted.get(path).and_then(Wanted::found)
    }
}

/// An array or object whose end has not been reached.
#[derive(Debug)]
enum Open {
    /// The hash of the elements so far.
    Array { chain: u128 },
    /// Where its members start among those of all open objects.
    Object { first_member: usize },
}

/// A member of an open object; the value is 0 until it has been read.
#[derive(Debug)]
struct Member {
    key: u128,
    value: u128,
}

/// What follows a value.
enum After {
    /// Another value.
    Value,
    /// The end of the array or object that it is in, which has this hash.
    End(u128),
}

/// One scan under way.
struct Pass<'a> {
    input: Input<'a>,
    line: &'a mut String,
    scanner: &'a mut Scanner,
}

impl Pass<'_> {
    fn run(&mut self) -> Result<u128, Malformed> {
        loop {
            if self.in_object() {
                self.key()?;
            }
            if let Some(hash) = self.start_value()?
                && let Some(content) = self.end_value(hash)?
            {
                return Ok(content);
            }
        }
    }

    /// Reads a value whole and gives its hash, or, where an array or object has something in it, reads up to the first
    /// value inside.
    fn start_value(&mut self) -> Result<Option<u128>, Malformed> {
        self.input.skip_space();
        match self.input.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{') => Ok(self.start_object()),
            Some(b'[') => Ok(self.start_array()),
            Some(b'-' | b'0'..=b'9') => self.number().map(Some),
            Some(b't') => self.literal("true").map(Some),
            Some(b'f') => self.literal("false").map(Some),
            Some(b'n') => self.literal("null").map(Some),
            Some(_) => Err(self.input.malformed("no value starts like this")),
            None => Err(self.input.malformed("the text ends where a value should stand")),
        }
    }

    /// Hands a value to what it is in, which may end with it, and so on outwards; gives the hash of the whole text's
    /// value once that has ended.
    fn end_value(&mut self, mut hash: u128) -> Result<Option<u128>, Malformed> {
        while !self.scanner.open.is_empty() {
            self.hand_over(hash);
            match self.after_value()? {
                After::Value => return Ok(None),
                After::End(container) => hash = container,
            }
        }
        self.input.skip_space();
        match self.input.peek() {
            None => Ok(Some(hash)),
            Some(_) => Err(self.input.malformed("something follows the value")),
        }
    }

    /// Gives a value to the innermost open array or object, and to the paths that end here.
    fn hand_over(&mut self, hash: u128) {
        let Scanner {
            wanted,
            open,
            members,
            scratch,
        } = &mut *self.scanner;
        match open.last_mut() {
            Some(Open::Array { chain }) => *chain = link(*chain, hash, scratch),
            Some(Open::Object { .. }) => {
                if let Some(member) = members.last_mut() {
                    member.value = hash;
                }
                let depth = open.len() - 1;
                let end = self.line.len();
                wanted.iter_mut().for_each(|path| path.leave(depth, end, hash));
            }
            None => {}
        }
    }

    /// Reads what stands between a value and the next one, or the end of what both are in.
    fn after_value(&mut self) -> Result<After, Malformed> {
        self.input.skip_space();
        let in_object = self.in_object();
        match self.input.peek() {
            Some(b',') => {
                self.input.advance(1);
                self.line.push_str(", ");
                Ok(After::Value)
            }
            Some(b'}') if in_object => Ok(After::End(self.close('}'))),
            Some(b']') if !in_object => Ok(After::End(self.close(']'))),
            Some(_) if in_object => Err(self.input.malformed("neither a comma nor `}` after a member")),
            Some(_) => Err(self.input.malformed("neither a comma nor `]` after an element")),
            None => Err(self.input.malformed("the text ends inside an array or object")),
        }
    }

    fn start_object(&mut self) -> Option<u128> {
        self.input.advance(1);
        self.line.push('{');
        let first_member = self.scanner.members.len();
        self.scanner.open.push(Open::Object { first_member });
        self.input.skip_space();
        (self.input.peek() == Some(b'}')).then(|| self.close('}'))
    }

    fn start_array(&mut self) -> Option<u128> {
        self.input.advance(1);
        self.line.push('[');
        self.scanner.open.push(Open::Array { chain: xxh3_128(b"[") });
        self.input.skip_space();
        (self.input.peek() == Some(b']')).then(|| self.close(']'))
    }

    /// Reads a key and its colon.
    fn key(&mut self) -> Result<(), Malformed> {
        self.input.skip_space();
        if self.input.peek() != Some(b'"') {
            return Err(self.input.malformed("no key where one should stand"));
        }
        let key_start = self.line.len();
        let key = text::copy_string(&mut self.input, self.line)?;
        let value_start = key_start + key.len() + ": ".len();
        let Scanner {
            wanted, open, members, ..
        } = &mut *self.scanner;
        members.push(Member {
            key: xxh3_128(key.as_bytes()),
            value: 0,
        });
        let depth = open.len() - 1;
        wanted.iter_mut().for_each(|path| path.enter(depth, key, value_start));

        self.input.skip_space();
        if self.input.peek() != Some(b':') {
            return Err(self.input.malformed("no colon after a key"));
        }
        self.input.advance(1);
        self.line.push_str(": ");
        Ok(())
    }

    /// Whether the next value is that of a member.
    fn in_object(&self) -> bool {
        matches!(self.scanner.open.last(), Some(Open::Object { .. }))
    }

    /// Ends the innermost array or object and gives its hash.
    fn close(&mut self, bracket: char) -> u128 {
        self.input.advance(1);
        self.line.push(bracket);
        let Scanner {
            open, members, scratch, ..
        } = &mut *self.scanner;
        match open.pop() {
            Some(Open::Array { chain }) => chain,
            Some(Open::Object { first_member }) => {
                let hash = object_hash(&mut members[first_member..], scratch);
                members.truncate(first_member);
                hash
            }
            None => 0,
        }
    }

    fn string(&mut self) -> Result<u128, Malformed> {
        let form = text::copy_string(&mut self.input, self.line)?;
        Ok(xxh3_128(form.as_bytes()))
    }

    fn number(&mut self) -> Result<u128, Malformed> {
        let number = Number::read(&mut self.input)?;
        self.line.push_str(number.text());
        if number.is_canonical() {
            return Ok(xxh3_128(number.text().as_bytes()));
        }
        let scratch = &mut self.scanner.scratch;
        scratch.clear();
        number.write_canonical(scratch);
        Ok(xxh3_128(scratch))
    }

    fn literal(&mut self, word: &str) -> Result<u128, Malformed> {
        if !self.input.rest().starts_with(word.as_bytes()) {
            return Err(self.input.malformed("no value starts like this"));
        }
        self.input.advance(word.len());
        self.line.push_str(word);
        Ok(xxh3_128(word.as_bytes()))
    }
}

/// The hash of an array up to and with this element.
fn link(chain: u128, element: u128, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    scratch.push(b'[');
    scratch.extend_from_slice(&chain.to_le_bytes());
    scratch.extend_from_slice(&element.to_le_bytes());
    xxh3_128(scratch)
}

/// The hash of an object; the sort is stable, so members of one key stay in the order in which they came.
fn object_hash(members: &mut [Member], scratch: &mut Vec<u8>) -> u128 {
    members.sort_by_key(|member| member.key);
    scratch.clear();
    scratch.push(b'{');
    for member in members {
        scratch.extend_from_slice(&member.key.to_le_bytes());
        scratch.extend_from_slice(&member.value.to_le_bytes());
    }
    xxh3_128(scratch)
}
