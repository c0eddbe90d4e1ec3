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
//! # Bytes that are not JSON
//!
//! They are kept as a string in this form: the characters as such, and each byte that is not part of a UTF-8 character as
//! the lone surrogate U+DC00 plus the byte, `\udcff` for 0xff. No UTF-8 text can hold a surrogate, so the bytes can be told
//! from the string: in Python they are `json.loads(string).encode("utf-8", "surrogateescape")` (PEP 383).
//!
//! # The identity
//!
//! A 128-bit hash of the JSON *value*: white space, the order of different keys, the choice of escapes and the way a
//! number is written (`1.10`, `11e-1`) do not count; the order of equal keys does. It is stable: it may be stored and
//! compared by another version of this program.
//!
//! - The hash is XXH3-128 with seed 0 (<https://github.com/Cyan4973/xxHash>). It does not resist attackers who choose
//!   two whole records freely, but they cannot choose the ids and times that a service adds.
//! - A string, `true`, `false` and `null` have the hash of their form.
//! - A number has the hash of the one text that stands for all ways to write it: `-` if it is negative, the digits
//!   without zeros at either end, then `e` and the power of ten if that is not 0; `12e2` for `1200`, `11e-1` for
//!   `1.10`, `0` for `-0.0`. Nothing is rounded.
//! - An array is a chain: it starts with the hash of `[`, and each element makes it the hash of `[`, chain, element.
//! - An object has the hash of `{`, of its keys' hash, and of its members' values in the order of their keys' hashes as
//!   numbers, those of one key in the order in which they came. The keys' hash is that of the hashes of their forms, in
//!   this order. Of the values a string whose form has up to 256 bytes stands as its form, any other as `#` and its hash.
//! - Hashes inside a hash are sixteen bytes, little-endian.
//!
//! The first byte tells every kind of value from every other.

mod buffer;
mod extent;
mod input;
mod list;
mod number;
mod pass;
mod paths;
mod sequence;
mod strict;
mod subtree;
#[cfg(test)]
mod tests;
mod text;
mod value;
pub(crate) mod walk;

use std::ops::Range;

use buffer::Buffer;
use input::Input;
use pass::Pass;
use paths::SoughtPath;
use sequence::Sequences;
use subtree::Subtrees;
use value::{Members, Open, Value};

pub(crate) use list::{Element, List, ListError};
pub use strict::push_strict;
pub(crate) use text::{form_of_text, push_bytes};

/// A path of object keys from the top of a record, such as `["trigger", "at"]`.
///
/// Keys are compared decoded. If an object has a key twice, the last one counts, as it does for JSON parsers. An
/// empty path names no value.
pub type KeyPath = &'static [&'static str];

/// How many arrays and objects may be open, inside each other, and how many members of open objects there may be: an
/// open array takes 64 bytes for one of text, a member 24 and as much again when its object ends. No record has as many.
const MOST_OPEN: usize = 1 << 17;

/// A text is not one JSON value (RFC 8259), or nested deeper, or with more members of one object, than any record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {what} at byte {offset}")]
pub struct JsonError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there, for people.
    pub(crate) what: &'static str,
}

impl JsonError {
    /// Returns the error in a text that has so many bytes more in front.
    fn after(self, bytes: usize) -> Self {
        Self {
            offset: self.offset + bytes,
            ..self
        }
    }
}

/// A value at a sought path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is in the buffer that the line was appended to.
    pub range: Range<usize>,
    value: Value,
}

impl Found {
    /// Returns the hash of the value, which is in this buffer.
    pub fn hash(&self, buffer: &str) -> u128 {
        self.value.hash(buffer.as_bytes())
    }
}

/// The result of one pass over a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The hash of the whole value.
    pub content: u128,
    /// The value at each sought path, in the order of the paths.
    pub found: Vec<Option<Found>>,
}

/// Reads one JSON text and appends its one-line form to `line`, without a newline.
///
/// For many texts, a [`Scanner`] does the same without allocating.
///
/// # Errors
///
/// The text is not exactly one JSON value; `line` is then unchanged.
pub fn scan(json: &str, sought: &[KeyPath], line: &mut String) -> Result<Scan, JsonError> {
    let mut scanner = Scanner::new(sought);
    let content = scanner.scan(json, line)?;
    Ok(Scan {
        content,
        found: scanner.sought.into_iter().map(SoughtPath::into_found).collect(),
    })
}

/// Reads JSON texts, one after the other, and looks for the values at the same paths in each.
///
/// At most 131,072 arrays and objects may be open inside each other, and have as many members: that bounds the memory.
#[derive(Debug)]
pub struct Scanner {
    sought: Vec<SoughtPath>,
    open: Vec<Open>,
    members: Members,
    subtrees: Subtrees,
    sequences: Sequences,
    /// The form of the value that is read.
    form: Buffer,
    scratch: Buffer,
}

impl Scanner {
    /// Creates a scanner that looks for the values at these paths.
    pub fn new(sought: &[KeyPath]) -> Self {
        Self {
            sought: sought.iter().map(|path| SoughtPath::new(path)).collect(),
            open: Vec::new(),
            members: Members::default(),
            subtrees: Subtrees::default(),
            sequences: Sequences::default(),
            form: Buffer::default(),
            scratch: Buffer::default(),
        }
    }

    /// Reads one JSON text, appends its one-line form to `line` without a newline, and returns the hash of its value.
    ///
    /// # Errors
    ///
    /// The text is not exactly one JSON value; `line` is then unchanged.
    pub fn scan(&mut self, json: &str, line: &mut String) -> Result<u128, JsonError> {
        let content = self.identify(json)?;
        self.push_form(line);
        Ok(content)
    }

    /// Reads one JSON text and returns the hash of its value. Its form is not copied: what was found in it can be had from
    /// [`Scanner::found_form`].
    ///
    /// # Errors
    ///
    /// The text is not exactly one JSON value.
    pub(crate) fn identify(&mut self, json: &str) -> Result<u128, JsonError> {
        let mut input = Input::new(json);
        let content = self.read_value(&mut input)?;
        input.skip_space();
        if input.peek().is_some() {
            return Err(input.malformed("something follows the value"));
        }
        Ok(content)
    }

    /// Scans a value that something may follow; `line` is unchanged if there is none.
    fn scan_value(&mut self, input: &mut Input<'_>, line: &mut String) -> Result<u128, JsonError> {
        let content = self.read_value(input)?;
        self.push_form(line);
        Ok(content)
    }

    fn read_value(&mut self, input: &mut Input<'_>) -> Result<u128, JsonError> {
        self.open.clear();
        self.members.clear();
        self.sequences.make_room();
        self.form.clear();
        self.scratch.clear();
        self.subtrees.forget();
        self.sought.iter_mut().for_each(SoughtPath::reset);
        Pass { input, scanner: self }.run()
    }

    /// Appends the form of the last value; what was found is in the line from then on.
    fn push_form(&mut self, line: &mut String) {
        self.sought.iter_mut().for_each(|path| path.move_behind(line.len()));
        // A text was cut before and behind characters of one byte, so the pieces are text.
        match simdutf8::basic::from_utf8(self.form.as_bytes()) {
            Ok(form) => line.push_str(form),
            Err(_) => line.push_str(&String::from_utf8_lossy(self.form.as_bytes())),
        }
    }

    /// Returns whether the last value that [`Scanner::identify`] has read is an object.
    pub(crate) fn is_object(&self) -> bool {
        self.form.as_bytes().first() == Some(&b'{')
    }

    /// Returns the form of the value at the path with this index, and the value's hash, after [`Scanner::identify`].
    pub(crate) fn found_form(&self, path: usize) -> Option<(&str, impl FnOnce() -> u128)> {
        let (found, form) = (self.found(path)?, self.form.as_bytes());
        let written = str::from_utf8(form.get(found.range.clone())?).ok()?;
        Some((written, || found.value.hash(form)))
    }

    /// Returns the value at the path with this index in the last scanned text.
    pub(crate) fn found(&self, path: usize) -> Option<&Found> {
        self.sought.get(path).and_then(SoughtPath::found)
    }
}
