//! JSON text → its one-line form, its identity and the values at sought key paths, in one pass over the bytes.
//!
//! Imports: nothing.
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
//!   can choose two whole records freely; the ids and times that a service adds are out of such hands.
//! - A string, `true`, `false` and `null` have the hash of their form.
//! - A number has the hash of the one text that stands for all ways to write it: `-` where it is negative, the digits
//!   without zeros at either end, then `e` and the power of ten where that is not 0; `12e2` for `1200`, `11e-1` for
//!   `1.10`, `0` for `-0.0`. Nothing is rounded.
//! - An array is a chain: it starts with the hash of `[`, and each element makes it the hash of `[`, chain, element.
//! - An object has the hash of `{`, of its keys' hash, and of its members' values in the order of their keys' hashes as
//!   numbers, those of one key in the order in which they came. The keys' hash is that of the hashes of their forms, in
//!   this order. Of the values a string whose form has up to 256 bytes stands as its form, any other as `#` and its hash.
//! - Hashes inside a hash are sixteen bytes, little-endian.
//!
//! The first byte tells every kind of value from every other.

mod copy;
mod input;
mod list;
mod number;
mod sequence;
mod text;
mod paths;

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use copy::extend_from_start;
use input::Input;
use number::Number;
use paths::SoughtPath;
use sequence::{KeyOrder, Place, Sequences, Step};

pub use list::List;

/// A path of object keys from the top of a record, such as `["trigger", "at"]`.
///
/// Keys are compared decoded. Where an object has a key twice the last one counts, as it does for JSON parsers. An
/// empty path names no value.
pub type KeyPath = &'static [&'static str];

/// A text is not one JSON value (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {what} at byte {offset}")]
pub struct JsonError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there, for people.
    pub what: &'static str,
}

/// A value that stood at a sought path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands in the buffer that the line was appended to.
    pub range: Range<usize>,
    value: Value,
}

impl Found {
    /// The hash of the value, which stands in this buffer.
    pub fn hash(&self, buffer: &str) -> u128 {
        self.value.hash(buffer)
    }
}

/// What one pass over a JSON text told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The hash of the whole value.
    pub content: u128,
    /// What stood at each sought path, in the order of the paths.
    pub found: Vec<Option<Found>>,
}

/// Reads one JSON text and appends its one-line form to `line`, without a newline.
///
/// For many texts a [`Scanner`] does the same without allocating.
///
/// # Errors
///
/// The text is not exactly one JSON value; `line` is then as it was.
pub fn scan(json: &str, sought: &[KeyPath], line: &mut String) -> Result<Scan, JsonError> {
    let mut scanner = Scanner::new(sought);
    let content = scanner.scan(json, line)?;
    Ok(Scan {
        content,
        found: scanner.sought.into_iter().map(SoughtPath::into_found).collect(),
    })
}

/// Reads JSON texts, one after the other, and looks in each for the values at the same paths.
///
/// Nesting is limited by memory alone: each open array or object takes 32 bytes, each member of an open object 48.
#[derive(Debug)]
pub struct Scanner {
    sought: Vec<SoughtPath>,
    open: Vec<Open>,
    members: Vec<Member>,
    sequences: Sequences,
    scratch: Vec<u8>,
}

impl Scanner {
    /// A scanner that looks for the values at these paths.
    pub fn new(sought: &[KeyPath]) -> Self {
        Self {
            sought: sought.iter().map(|path| SoughtPath::new(path)).collect(),
            open: Vec::new(),
            members: Vec::new(),
            sequences: Sequences::default(),
            scratch: Vec::new(),
        }
    }

    /// Reads one JSON text, appends its one-line form to `line` without a newline, and gives the hash of its value.
    ///
    /// # Errors
    ///
    /// The text is not exactly one JSON value; `line` is then as it was.
    pub fn scan(&mut self, json: &str, line: &mut String) -> Result<u128, JsonError> {
        let line_start = line.len();
        let mut input = Input::new(json);
        let content = self.scan_value(&mut input, line)?;
        input.skip_space();
        if input.peek().is_some() {
            line.truncate(line_start);
            return Err(input.malformed("something follows the value"));
        }
        Ok(content)
    }

    /// The same for a value that something may follow.
    fn scan_value(&mut self, input: &mut Input<'_>, line: &mut String) -> Result<u128, JsonError> {
        self.open.clear();
        self.members.clear();
        self.sequences.make_room();
        self.sought.iter_mut().for_each(SoughtPath::reset);
        let line_start = line.len();
        let mut pass = Pass {
            input,
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
        self.sought.get(path).and_then(SoughtPath::found)
    }
}

/// An array or object whose end has not been reached.
#[derive(Debug)]
enum Open {
    /// The hash of the elements so far.
    Array { chain: u128 },
    Object {
        /// Where its members start among those of all open objects.
        first_member: usize,
        /// The keys that were read of it.
        place: Place,
    },
}

/// A member of an open object.
#[derive(Debug)]
struct Member {
    /// The hash of its key's form.
    key: u128,
    /// A hash of 0 until it has been read.
    value: Value,
}

impl Member {
    fn unread(key: u128) -> Self {
        Self {
            key,
            value: Value::Hash(0),
        }
    }
}

/// A value as it counts in the hash of what it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// A short string: where its form stands in the line.
    Form { start: usize, end: usize },
    /// Any other value: its hash.
    Hash(u128),
}

/// Longer strings are hashed by themselves, so that no hash needs a second copy of them.
const LONGEST_FORM: usize = 256;

impl Value {
    /// A string, whose form starts here and ends the line.
    #[inline]
    fn string(start: usize, line: &str) -> Self {
        let end = line.len();
        if end - start <= LONGEST_FORM {
            Self::Form { start, end }
        } else {
            Self::Hash(xxh3_128(&line.as_bytes()[start..]))
        }
    }

    /// The hash of the value.
    fn hash(self, line: &str) -> u128 {
        match self {
            Self::Form { start, end } => xxh3_128(&line.as_bytes()[start..end]),
            Self::Hash(hash) => hash,
        }
    }
}

/// What follows a value.
enum After {
    /// Another value.
    Value,
    /// The end of the array or object that it is in, which has this hash.
    End(u128),
}

/// How far an object was read in which everything came as expected.
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

/// One scan under way.
struct Pass<'a, 'text> {
    input: &'a mut Input<'text>,
    line: &'a mut String,
    scanner: &'a mut Scanner,
}

impl Pass<'_, '_> {
    fn run(&mut self) -> Result<u128, JsonError> {
        loop {
            if let Some(value) = self.start_value()?
                && let Some(content) = self.end_value(value)?
            {
                return Ok(content);
            }
        }
    }

    /// Reads a value whole and gives it, or, where an array or object has something in it, reads up to the first value
    /// inside.
    fn start_value(&mut self) -> Result<Option<Value>, JsonError> {
        self.input.skip_space();
        match self.input.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{') => Ok(self.start_object()?.map(Value::Hash)),
            Some(b'[') => Ok(self.start_array().map(Value::Hash)),
            Some(b'-' | b'0'..=b'9') => Ok(Some(Value::Hash(self.number()?))),
            Some(b't') => Ok(Some(Value::Hash(self.literal("true")?))),
            Some(b'f') => Ok(Some(Value::Hash(self.literal("false")?))),
            Some(b'n') => Ok(Some(Value::Hash(self.literal("null")?))),
            Some(_) => Err(self.input.malformed("no value starts like this")),
            None => Err(self.input.malformed("the text ends where a value should stand")),
        }
    }

    /// Hands a value to what it is in, which may end with it, and so on outwards; gives the hash of the whole text's
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

    /// Gives a value to the innermost open array or object, and to the paths that end here.
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

    /// Reads what stands between a value and the next one, or the end of what both are in.
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

    fn start_array(&mut self) -> Option<u128> {
        self.input.advance(1);
        self.line.push('[');
        self.scanner.open.push(Open::Array { chain: xxh3_128(b"[") });
        self.input.skip_space();
        (self.input.peek() == Some(b']')).then(|| self.close(']'))
    }

    /// Reads members for as long as what stands before their values is what stood there in an object read before, and
    /// their values are strings.
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

    /// Reads a key and its colon; what stands between the last value, or the bracket, and the key began at `start`.
    fn read_key(&mut self, start: Start) -> Result<(), JsonError> {
        self.input.skip_space();
        if self.input.peek() != Some(b'"') {
            return Err(self.input.malformed("no key where one should stand"));
        }
        let key_start = self.line.len();
        text::copy_string(self.input, self.line)?;
        let key = xxh3_128(&self.line.as_bytes()[key_start..]);
        self.input.skip_space();
        if self.input.peek() != Some(b':') {
            return Err(self.input.malformed("no colon after a key"));
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

    /// Whether the next value is that of a member.
    fn in_object(&self) -> bool {
        matches!(self.scanner.open.last(), Some(Open::Object { .. }))
    }

    /// Ends the innermost array or object and gives its hash.
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

fn object_hash(members: &[Member], order: &KeyOrder, line: &str, scratch: &mut Vec<u8>) -> u128 {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(json: &str) -> String {
        let mut line = String::new();
        scan(json, &[], &mut line).unwrap();
        line
    }

    fn content(json: &str) -> u128 {
        scan(json, &[], &mut String::new()).unwrap().content
    }

    fn found(json: &str, path: KeyPath) -> Option<String> {
        let mut line = String::new();
        let scan = scan(json, &[path], &mut line).unwrap();
        scan.found[0].as_ref().map(|found| line[found.range.clone()].to_owned())
    }

    #[test]
    fn the_form_is_that_of_python() {
        for (json, expected) in [
            (
                r#" { "a" : [ 1 ,2,{ } , [ ] ] , "a":null,"":true } "#,
                r#"{"a": [1, 2, {}, []], "a": null, "": true}"#,
            ),
            ("\t\r\n false\n", "false"),
            (r#""\u00e9\u0041\/\ud83d\uDE00""#, r#""éA/😀""#),
            (r#""\u0022\u005c\u002F""#, r#""\"\\/""#),
            (
                r#""\u0008\u000C\u000a\u000D\u0009\b\f\n\r\t""#,
                r#""\b\f\n\r\t\b\f\n\r\t""#,
            ),
            (r#""\u0000\u001F\u001b""#, r#""\u0000\u001f\u001b""#),
            ("\"\u{7f}\u{85}\u{2028}\"", "\"\u{7f}\u{85}\u{2028}\""),
            (r#""\u007f\u2028""#, "\"\u{7f}\u{2028}\""),
            (r#""\\u0041\\n""#, r#""\\u0041\\n""#),
        ] {
            assert_eq!(form(json), expected, "{json}");
            assert_eq!(form(expected), expected);
        }
    }

    #[test]
    fn a_lone_surrogate_stays_an_escape() {
        for (json, expected) in [
            (r#""\uD83D""#, r#""\ud83d""#),
            (r#""\uDE00\uD83D""#, r#""\ude00\ud83d""#),
            (r#""\uD83D\uD83D\uDE00""#, r#""\ud83d😀""#),
            (r#""\uD83D\u0041""#, r#""\ud83dA""#),
            (r#""\uD83Dx\uDE00""#, r#""\ud83dx\ude00""#),
            (r#""\uD83D\n""#, r#""\ud83d\n""#),
            (r#"{"\uDFFF": 1}"#, r#"{"\udfff": 1}"#),
        ] {
            assert_eq!(form(json), expected, "{json}");
            assert_eq!(form(expected), expected);
        }
        for other in [
            r#""\\ud83d""#,
            r#""ud83d""#,
            r#""\ufffd""#,
            r#""\ud83e""#,
            r#""\ud83d\\""#,
            r#""?""#,
        ] {
            assert_ne!(content(r#""\ud83d""#), content(other), "{other}");
        }
    }

    #[test]
    fn numbers_are_copied_digit_for_digit() {
        let long = "1234567890".repeat(20);
        for number in [
            "1.10",
            "-0",
            "0.0",
            "1e400",
            "1E+05",
            "-12.50e-0",
            &long,
            "9007199254740993",
        ] {
            assert_eq!(form(number), number);
            assert_eq!(form(&format!("[{number}]")), format!("[{number}]"));
        }
    }

    #[test]
    fn what_is_not_one_json_value_is_refused_with_its_place() {
        for (json, offset) in [
            ("", 0),
            (" ", 1),
            ("nul", 0),
            ("nulll", 4),
            ("True", 0),
            ("NaN", 0),
            ("Infinity", 0),
            ("01", 0),
            ("-01", 1),
            ("1.", 2),
            (".5", 0),
            ("+1", 0),
            ("-", 1),
            ("1e", 2),
            ("1e+", 3),
            ("0x1", 1),
            ("1 2", 2),
            ("[1,]", 3),
            ("[,1]", 1),
            ("[1 2]", 3),
            ("[1}", 2),
            ("[", 1),
            ("[1", 2),
            ("]", 0),
            ("{", 1),
            ("{]", 1),
            ("{\"a\"}", 4),
            ("{\"a\" 1}", 5),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("{\"a\":1]", 6),
            ("{a:1}", 1),
            ("{'a':1}", 1),
            ("{1:1}", 1),
            ("\"a", 2),
            ("\"a\\", 2),
            ("\"\\x\"", 1),
            ("\"\\'\"", 1),
            ("\"\\U0041\"", 1),
            ("\"\\u004\"", 1),
            ("\"\\u+041\"", 1),
            ("\"\\ud83d\\u00\"", 7),
            ("\"a\nb\"", 2),
            ("\"a\0\"", 2),
            ("\"12345678\u{1f}\"", 9),
            ("\u{feff}{}", 0),
            ("{}\0", 2),
            ("\u{a0}1", 0),
            ("{} // a comment", 3),
            ("{}{}", 2),
        ] {
            let mut line = "before".to_owned();
            let malformed = scan(json, &[], &mut line).unwrap_err();
            assert_eq!(malformed.offset, offset, "{json:?}: {malformed}");
            assert_eq!(line, "before", "{json:?}");
        }
    }

    #[test]
    fn the_identity_knows_a_value_in_any_spelling() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, "{ \"b\": [ true, null ],\n\"a\": 1 }"),
            (r#"{"a":{"b":1,"c":2},"d":3}"#, r#"{"d":3,"a":{"c":2,"b":1}}"#),
            (r#"{"\u0061":"\u00e9\/"}"#, r#"{"a":"é/"}"#),
            (r#"{"b":0,"a":1,"a":2}"#, r#"{"a":1,"b":0,"a":2}"#),
            (r#""\ud83d\ude00""#, r#""😀""#),
            (r#""\uD83D""#, r#""\ud83d""#),
            ("[1.10,-0,1e400]", "[11e-1,0.0,10e399]"),
        ] {
            assert_eq!(content(one), content(other), "{one} {other}");
        }
    }

    #[test]
    fn the_identity_tells_different_values_apart() {
        const VALUES: &str = r#"
            null true false 0 1 -1 10 1e-1 "" "0" "1" "null" "true" [] {} "[]" "{}" "[" "{" "A" "a" "а" "é"
            [null] [[]] [{}] [0] [1] ["1"] [1,1] [1,2] [2,1] [[1],2] [1,[2]] [[1,2]] [[1],[2]] [1,[]] [[],1]
            ["a","b"] ["b","a"] ["ab"] ["a,b"] ["a\",\"b"] ["a",1] [["a",1]] [{"a":1}] {"a":[1]} {"a":[]} {"a":{}}
            {"a":1} {"a":2} {"a":"1"} {"b":1} {"A":1} {"a":1,"a":2} {"a":2,"a":1} {"a":1,"a":1} {"a":1,"b":2}
            {"a":2,"b":1} {"a":{"b":1}} {"a":{},"b":1} {"":1} {"":""} {"a":null} {"a:1":null} {"a":1,"b":2,"a":3}
            "\ud83d" "\\ud83d" "\ud83d\ud83d" "😀" "\u0000" "\\u0000" "u0000"
        "#;
        let values: Vec<&str> = VALUES.split_whitespace().collect();
        let mut identities: Vec<u128> = values.iter().map(|json| content(json)).collect();
        identities.sort_unstable();
        identities.dedup();
        assert_eq!(identities.len(), values.len());
    }

    #[test]
    fn the_identity_is_the_same_in_every_version() {
        assert_eq!(content("[]"), xxh3_128(b"["));
        assert_eq!(content("{}"), 63_230_078_350_150_233_617_483_427_463_607_079_749);
        assert_eq!(content(r#" "\u0041" "#), xxh3_128(br#""A""#));
        assert_eq!(content("1200.0"), xxh3_128(b"12e2"));
        let long = "x".repeat(255);
        let record = format!(
            r#"{{"id": "ae66", "size": 1.50, "tags": ["a", null, {{}}], "by": {{"login": "user@example.org"}}, "long": "{long}"}}"#
        );
        // Computed apart from this program, with another implementation of XXH3.
        assert_eq!(content(&record), 134_449_121_876_591_113_034_224_205_855_653_434_950);
    }

    #[test]
    fn a_sought_path_counts_keys_from_the_top_only() {
        const AT: KeyPath = &["trigger", "at"];
        for (json, expected) in [
            (r#"{"trigger":{"at":"x"}}"#, Some(r#""x""#)),
            (
                r#"{"trigger":{"by":{"at":1},"at":[1,{"at":2}]}}"#,
                Some(r#"[1, {"at": 2}]"#),
            ),
            (r#"{"\u0074rigger":{"a\u0074":1.0}}"#, Some("1.0")),
            (r#"{"at":"x","trigger":{}}"#, None),
            (r#"{"a":{"trigger":{"at":"x"}}}"#, None),
            (r#"{"trigger":{},"a":{"at":"x"}}"#, None),
            (r#"[{"at":"x"}]"#, None),
            (r#"{"trigger":[{"at":"x"}]}"#, None),
            (r#"[{"trigger":{"at":"x"}}]"#, None),
            (r#"{"trigger":"at"}"#, None),
            (r#"{"trigger":{"trigger":{"at":1}}}"#, None),
            (r#"{"trigger.at":"x"}"#, None),
            (r#"{"trigger":{"at":1,"at":2}}"#, Some("2")),
            (r#"{"trigger":{"at":1},"trigger":{"at":2}}"#, Some("2")),
            (r#"{"trigger":{"at":1},"trigger":{}}"#, None),
            (r#"{"trigger":{"at":1},"trigger":null}"#, None),
            ("{}", None),
            ("1", None),
        ] {
            assert_eq!(found(json, AT).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn a_sought_key_is_compared_decoded() {
        assert_eq!(
            found(r#"{"a\"\\\n\u0001/":1}"#, &["a\"\\\n\u{1}/"]).as_deref(),
            Some("1")
        );
        assert_eq!(found(r#"{"":{"":2}}"#, &["", ""]).as_deref(), Some("2"));
        assert_eq!(found(r#"{"":1}"#, &[]), None);
    }

    #[test]
    fn a_found_value_has_the_hash_that_it_has_alone() {
        let long = format!("\"{}\"", "x".repeat(300));
        for value in ["1.50", "\"\\u0041\"", &long, "null", "[1, {\"b\":2}]", "{}"] {
            let mut line = "before".to_owned();
            let scan = scan(&format!(r#"{{"a":{value},"b":1}}"#), &[&["a"]], &mut line).unwrap();
            assert_eq!(scan.found[0].as_ref().unwrap().hash(&line), content(value));
        }
    }

    #[test]
    fn depth_is_no_danger() {
        const DEPTH: usize = 100_000;
        let arrays = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
        assert_eq!(form(&arrays), arrays);
        assert_ne!(content(&arrays), content(&arrays[1..arrays.len() - 1]));
        let objects = "{\"a\": ".repeat(DEPTH) + "1" + &"}".repeat(DEPTH);
        assert_eq!(form(&objects), objects);
        for torn in ["[", "{\"a\":", "[{\"a\":", "[1,", "[[],"] {
            let torn = torn.repeat(DEPTH);
            assert_eq!(
                scan(&torn, &[&["a", "a"]], &mut String::new()).unwrap_err().offset,
                torn.len()
            );
        }
    }

    #[test]
    fn a_scanner_forgets_what_it_read_before() {
        let mut scanner = Scanner::new(&[&["a"]]);
        let mut line = String::new();
        scanner.scan(r#"{"a":{"b":1}}"#, &mut line).unwrap();
        assert!(scanner.found(0).is_some());
        scanner.scan(r#"{"a":1,"b":[{"c":[[{"a":"#, &mut line).unwrap_err();
        assert_eq!(line, r#"{"a": {"b": 1}}"#);
        let again = scanner.scan(r#"{"b":2}"#, &mut line).unwrap();
        assert_eq!(again, content(r#"{"b":2}"#));
        assert!(scanner.found(0).is_none() && scanner.found(1).is_none());
    }

    /// What one scan gave: the hash, the form, and what stood at the sought paths.
    type Told = (Result<u128, JsonError>, String, Vec<Option<Found>>);

    fn tell(scanner: &mut Scanner, json: &str) -> Told {
        let mut line = String::new();
        let content = scanner.scan(json, &mut line);
        let found = [0, 1].map(|path| scanner.found(path).cloned()).to_vec();
        (content, line, if content.is_ok() { found } else { Vec::new() })
    }

    /// JSON of few keys in several spellings, so that one text often goes on as another one did.
    fn texts() -> impl Strategy<Value = String> {
        let space = || prop::sample::select(vec!["", "", "", " ", "\n\t"]);
        let leaf = prop::sample::select(vec![
            r#""x""#,
            r#""""#,
            r#""\u0078""#,
            "1",
            "1.0",
            "null",
            "[]",
            "{}",
            "tru",
        ]);
        let key = prop::sample::select(vec![r#""a""#, r#""\u0061""#, r#""b""#, r#""at""#, r#""c\n""#, "a"]);
        leaf.prop_map(str::to_owned).prop_recursive(3, 24, 4, move |value| {
            let member = (space(), key.clone(), space(), space(), value.clone(), space())
                .prop_map(|(one, key, two, three, value, four)| format!("{one}{key}{two}:{three}{value}{four}"));
            let object = prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")));
            let array = prop::collection::vec(value, 0..3).prop_map(|values| format!("[{}]", values.join(", ")));
            prop_oneof![4 => object, 1 => array]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_a_scanner_has_read_before_changes_nothing(
            texts in prop::collection::vec((texts(), prop::option::weighted(0.3, any::<prop::sample::Index>())), 1..12),
        ) {
            const WANTED: [KeyPath; 2] = [&["a"], &["b", "at"]];
            let mut experienced = Scanner::new(&WANTED);
            for (text, cut) in texts.iter().chain(&texts) {
                let cut = cut.map_or(text.len(), |cut| cut.index(text.len() + 1));
                let text = &text[..cut];
                prop_assert_eq!(tell(&mut experienced, text), tell(&mut Scanner::new(&WANTED), text), "{}", text);
            }
        }
    }
}
