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
//!   can choose two whole records freely; the ids and times that a service adds are out of such hands.
//! - A string, `true`, `false` and `null` have the hash of their form.
//! - A number has the hash of the one text that stands for all ways to write it: `-` where it is negative, the digits
//!   without zeros at either end, then `e` and the power of ten where that is not 0; `12e2` for `1200`, `11e-1` for
//!   `1.10`, `0` for `-0.0`. Nothing is rounded.
//! - An array is a chain: it starts with the hash of `[`, and each element makes it the hash of `[`, chain, element.
//! - An object has the hash of `{` and then, for each member, of its key's hash and its value's hash; the members stand
//!   in the order of their keys' hashes as numbers, those of one key in the order in which they came.
//! - Hashes inside a hash are sixteen bytes, little-endian.
//!
//! The first byte tells every kind of value from every other.

mod input;
mod list;
mod number;
mod text;
mod wanted;

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use input::Input;
use number::Number;
use wanted::Wanted;

pub use list::List;

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
    fn scan_value(&mut self, input: &mut Input<'_>, line: &mut String) -> Result<u128, Malformed> {
        self.open.clear();
        self.members.clear();
        self.wanted.iter_mut().for_each(Wanted::reset);
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
struct Pass<'a, 'text> {
    input: &'a mut Input<'text>,
    line: &'a mut String,
    scanner: &'a mut Scanner,
}

impl Pass<'_, '_> {
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
    /// value once it has ended.
    fn end_value(&mut self, mut hash: u128) -> Result<Option<u128>, Malformed> {
        while !self.scanner.open.is_empty() {
            self.hand_over(hash);
            match self.after_value()? {
                After::Value => return Ok(None),
                After::End(container) => hash = container,
            }
        }
        Ok(Some(hash))
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
        let key = text::copy_string(self.input, self.line)?;
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
        let form = text::copy_string(self.input, self.line)?;
        Ok(xxh3_128(form.as_bytes()))
    }

    fn number(&mut self) -> Result<u128, Malformed> {
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

#[cfg(test)]
mod tests {
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
        assert_eq!(content("{}"), xxh3_128(b"{"));
        assert_eq!(content(r#" "\u0041" "#), xxh3_128(br#""A""#));
        assert_eq!(content("1200.0"), xxh3_128(b"12e2"));
        let record = r#"{"id": "ae66", "size": 1.50, "tags": ["a", null, {}], "by": {"login": "user@example.org"}}"#;
        // Computed apart from this program, with another implementation of XXH3.
        assert_eq!(content(record), 230_393_848_199_319_069_256_063_153_993_360_709_822);
    }

    #[test]
    fn a_wanted_path_counts_keys_from_the_top_only() {
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
    fn a_wanted_key_is_compared_decoded() {
        assert_eq!(
            found(r#"{"a\"\\\n\u0001/":1}"#, &["a\"\\\n\u{1}/"]).as_deref(),
            Some("1")
        );
        assert_eq!(found(r#"{"":{"":2}}"#, &["", ""]).as_deref(), Some("2"));
        assert_eq!(found(r#"{"":1}"#, &[]), None);
    }

    #[test]
    fn a_found_value_has_the_hash_that_it_has_alone() {
        for value in ["1.50", "\"\\u0041\"", "null", "[1, {\"b\":2}]", "{}"] {
            let scan = scan(&format!(r#"{{"a":{value},"b":1}}"#), &[&["a"]], &mut String::new()).unwrap();
            assert_eq!(scan.found[0].as_ref().unwrap().hash, content(value));
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
}
