//! JSON text → its strict copy, for parsers that refuse or bend what the grammar of JSON allows.
//!
//! Jq, serde_json (so Vector), DuckDB, orjson and others end at the first record that they refuse, or drop it. In the copy
//!
//! - a lone surrogate escape, which stands for no character, is `\ufffd`, U+FFFD;
//! - a number beyond 1e308 is a string with its digits as they are: doubles end at 1.797…e308, and above that some parsers
//!   refuse a number, others make it infinite or the largest double. Close below it serde_json refuses what others take;
//! - an array or object inside [`DEEPEST`] others is a string with its text.
//!
//! Everything else is as it was, byte for byte. Equal keys stay, as do numbers with more digits than a double holds: such a
//! parser takes the last of the ones, and the nearest double for the others.

use std::mem;

use super::input::Input;
use super::text::{plain_length, push_string, surrogate_pair, utf16_escape};

/// How many arrays and objects may be open inside each other: fewer than the 127 that serde_json and DuckDB take, so that
/// there is room for what a sink puts around a record.
const DEEPEST: usize = 100;

/// A number that is not longer, and has no exponent, is not too large.
const SHORT: usize = 300;

/// Doubles go on to 1.797…e308, but not all parsers do.
const LARGEST: f64 = 1e308;

/// Appends the strict copy of a valid JSON text and returns true, or returns false if the text needs none.
pub fn push_strict(json: &str, copy: &mut String) -> bool {
    let mut strict = Strict {
        json,
        input: Input::new(json),
        copy,
        copied: 0,
        depth: 0,
        deep: None,
    };
    while let Some(byte) = strict.input.peek() {
        strict.step(byte);
    }
    strict.finish()
}

struct Strict<'a> {
    json: &'a str,
    input: Input<'a>,
    copy: &'a mut String,
    /// The text up to here has been copied; 0 as long as no copy is needed.
    copied: usize,
    /// How many arrays and objects are open.
    depth: usize,
    /// Where the array or object starts that is too deep, as long as it is open.
    deep: Option<usize>,
}

impl Strict<'_> {
    fn step(&mut self, byte: u8) {
        match byte {
            b'"' => self.string(),
            b'{' | b'[' => self.open(),
            b'}' | b']' => self.close(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.input.advance(1),
        }
    }

    fn string(&mut self) {
        self.input.advance(1);
        loop {
            self.input.advance(plain_length(self.input.rest()));
            match self.input.peek() {
                Some(b'\\') => self.escape(),
                Some(_) => return self.input.advance(1),
                None => return,
            }
        }
    }

    fn escape(&mut self) {
        let (start, escape) = (self.input.at(), self.input.rest());
        let Some(unit) = utf16_escape(escape) else {
            return self.input.advance(escape.len().min(2));
        };
        let is_surrogate = matches!(unit, 0xd800..=0xdfff);
        let is_pair = is_surrogate && surrogate_pair(unit, &escape[6..]).is_some();
        self.input.advance(if is_pair { 12 } else { 6 });
        if is_surrogate && !is_pair {
            self.replace(start, |copy, _| copy.push_str("\\ufffd"));
        }
    }

    fn number(&mut self) {
        let start = self.input.at();
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.input.rest().iter().take_while(is_part).count();
        if is_too_large(self.input.take(length)) {
            self.replace(start, |copy, number| push_string(number, copy));
        }
    }

    fn open(&mut self) {
        if self.depth == DEEPEST {
            self.deep = Some(self.input.at());
        }
        self.depth += 1;
        self.input.advance(1);
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.input.advance(1);
        if self.depth == DEEPEST
            && let Some(start) = self.deep.take()
        {
            self.replace(start, |copy, value| push_string(value, copy));
        }
    }

    /// Copies what is not copied yet, and something else in the place of what was read since `start`; nothing inside of
    /// what is too deep, which is replaced as a whole.
    fn replace(&mut self, start: usize, push: impl FnOnce(&mut String, &str)) {
        if self.deep.is_none() {
            let copied = mem::replace(&mut self.copied, self.input.at());
            self.copy.push_str(&self.json[copied..start]);
            push(self.copy, self.input.since(start));
        }
    }

    fn finish(self) -> bool {
        let is_needed = self.copied > 0;
        if is_needed {
            self.copy.push_str(&self.json[self.copied..]);
        }
        is_needed
    }
}

fn is_too_large(number: &str) -> bool {
    let may_be = number.len() > SHORT || number.contains(['e', 'E']);
    may_be && number.parse::<f64>().is_ok_and(|number| number.abs() > LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(json: &str) -> Option<String> {
        let mut copy = "before ".to_owned();
        let is_needed = push_strict(json, &mut copy);
        let copy = copy.strip_prefix("before ").unwrap();
        assert_eq!(is_needed, !copy.is_empty());
        is_needed.then(|| copy.to_owned())
    }

    fn nested(depth: usize, inside: &str) -> String {
        format!("{}{inside}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn what_strict_parsers_take_needs_no_copy() {
        let nines = "9".repeat(SHORT);
        for json in [
            r#"{"a": "\ud83d\ude00 \uD83D\uDE00 \u0000 \\ud800 \" \u00e9", "\n": "é😀"}"#,
            r#"[1, -1.5e3, 1E308, -1e308, 1e-400, 0e999999999999999999999, 1234567890123456789012345678901234567890]"#,
            r#"{"1e400": "1e400 [[", "a": 1, "a": [true, false, null, {}, []]}"#,
            &format!(
                "[{nines}, -0.{nines}{nines}, {nines}{nines}e-300, 0.{}1e500]",
                "0".repeat(400)
            ),
            &nested(DEEPEST, "\"[[{{\""),
            &nested(DEEPEST - 1, "{}, {\"a\": 1}, []"),
            "1e3",
            "\"\"",
        ] {
            assert_eq!(strict(json), None, "{json}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_the_replacement_character() {
        for (json, expected) in [
            (r#""\ud800""#, r#""\ufffd""#),
            (r#"{"\uDFFF": "a\udc00\ud83db"}"#, r#"{"\ufffd": "a\ufffd\ufffdb"}"#),
            (r#""\ud83d\ud83d\ude00\ude00""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\ud83d\\ude00""#, r#""\ufffd\\ude00""#),
            (r#""\ud83d\u00e9é""#, r#""\ufffd\u00e9é""#),
        ] {
            assert_eq!(strict(json).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_number_that_no_double_surely_holds_is_a_string_of_its_digits() {
        let (nines, zeros) = ("9".repeat(309), "0".repeat(310));
        for number in [
            "1e400",
            "-1.50E+999",
            "1e99999999999999999999",
            "1.7976931348623158e308",
            "-1.7976931348623159e308",
            &nines,
            &format!("-{nines}.5"),
            &format!("0.{zeros}1e620"),
        ] {
            let copy = strict(&format!("{{\"a\": [{number}, 1]}}")).unwrap();
            assert_eq!(copy, format!("{{\"a\": [\"{number}\", 1]}}"));
        }
        assert_eq!(strict("1e400").as_deref(), Some("\"1e400\""));
    }

    #[test]
    fn what_is_too_deep_is_a_string_of_its_text() {
        let inside = r#"[{"a": "\ud800\"é"}, 1e400, []]"#;
        let written = serde_json::to_string(inside).unwrap();
        let json = nested(DEEPEST, &format!("{inside}, 1e400, {inside}"));
        let copy = nested(DEEPEST, &format!("{written}, \"1e400\", {written}"));
        assert_eq!(strict(&json), Some(copy));
        let deepest = 100_000;
        let copy = strict(&nested(deepest, "")).unwrap();
        assert_eq!(copy, nested(DEEPEST, &format!("\"{}\"", nested(deepest - DEEPEST, ""))));
    }
}
