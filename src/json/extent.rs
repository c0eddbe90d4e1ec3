//! Where something ends that should have been a JSON value, so that what follows it can be read.

use memchr::memchr2;

/// How far a value goes that may not be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many bytes; a comma or a closing bracket follows.
    Bytes(usize),
    /// To the end of the bytes, and on.
    Unclosed { in_string: bool },
    /// Its brackets, strings and words do not join as those of a value do.
    Unknown,
}

/// What was read between the last comma, or opening bracket, and here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Empty,
    /// A value, or a key.
    Item,
    /// A key and its colon.
    Colon,
    /// A key, its colon and a value.
    Member,
}

/// Finds the end of the value at the start of the bytes.
///
/// It is read as JSON is, but may have any word for a value or key, such as `NaN`, any byte and any escape in a string,
/// no value where one belongs, and bytes that are not UTF-8. A quote too many or too few, or a bracket, leaves things
/// side by side that nothing joins, so that it does not pass for the end of another value.
pub(super) fn extent(bytes: &[u8]) -> Extent {
    let mut scan = Scan {
        bytes,
        at: 0,
        closers: Vec::new(),
        slot: Slot::Empty,
    };
    scan.run().unwrap_or_else(|extent| extent)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The closing brackets to come, the innermost last.
    closers: Vec<u8>,
    slot: Slot,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<Extent, Extent> {
        loop {
            let value_end = self.at;
            self.skip_space();
            let next = *self.bytes.get(self.at).ok_or(Extent::Unclosed { in_string: false })?;
            if self.closers.is_empty() && (self.slot == Slot::Item || matches!(next, b',' | b']')) {
                let ends = matches!(next, b',' | b']');
                return if ends {
                    Ok(Extent::Bytes(value_end))
                } else {
                    Err(Extent::Unknown)
                };
            }
            self.step(next)?;
        }
    }

    fn step(&mut self, next: u8) -> Result<(), Extent> {
        match next {
            b'{' => self.open(b'}'),
            b'[' => self.open(b']'),
            b'}' | b']' => self.close(next),
            b',' => {
                self.slot = Slot::Empty;
                self.at += 1;
                Ok(())
            }
            b':' => self.colon(),
            b'"' => self.string(),
            _ => self.word(),
        }
    }

    /// Notes that a value begins.
    fn begin_value(&mut self) -> Result<(), Extent> {
        self.slot = match self.slot {
            Slot::Empty => Slot::Item,
            Slot::Colon => Slot::Member,
            Slot::Item | Slot::Member => return Err(Extent::Unknown),
        };
        Ok(())
    }

    fn open(&mut self, closer: u8) -> Result<(), Extent> {
        self.begin_value()?;
        self.closers.push(closer);
        self.slot = Slot::Empty;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, closer: u8) -> Result<(), Extent> {
        if self.closers.pop() != Some(closer) {
            return Err(Extent::Unknown);
        }
        // No array or object is a key, so nothing but a comma or bracket may follow it.
        self.slot = if self.closers.is_empty() {
            Slot::Item
        } else {
            Slot::Member
        };
        self.at += 1;
        Ok(())
    }

    fn colon(&mut self) -> Result<(), Extent> {
        if self.slot != Slot::Item || self.closers.last() != Some(&b'}') {
            return Err(Extent::Unknown);
        }
        self.slot = Slot::Colon;
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Extent> {
        self.begin_value()?;
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let special = memchr2(b'"', b'\\', rest).ok_or(Extent::Unclosed { in_string: true })?;
            let is_end = rest[special] == b'"';
            // An escape is two bytes at least.
            self.at += special + if is_end { 1 } else { 2 };
            if is_end {
                return Ok(());
            }
        }
    }

    fn word(&mut self) -> Result<(), Extent> {
        self.begin_value()?;
        let is_of_word = |byte: &&u8| {
            !matches!(
                byte,
                b'"' | b'[' | b']' | b'{' | b'}' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r'
            )
        };
        self.at += self.bytes[self.at..].iter().take_while(is_of_word).count();
        Ok(())
    }

    fn skip_space(&mut self) {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.bytes[self.at..].iter().take_while(is_space).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_has_odd_words_bytes_escapes_or_commas_has_an_end() {
        for value in [
            "NaN",
            "-Infinity",
            "01",
            "'a'",
            "",
            r#"{"a":NaN,"b":[1,,2,],}"#,
            r#"{"a":,"b":"\x \' \u12"}"#,
            "{\"a\":\"tab\tnull\0line\n\", b : 1}",
            r#"{"a":{"b":[{"c":"}]\"}"}]}}"#,
            r#"{"a","b"}"#,
        ] {
            for (space, after) in [("", ",1]"), (" \n", "]"), ("", ",")] {
                let text = [value, space, after].concat();
                assert_eq!(extent(text.as_bytes()), Extent::Bytes(value.len()), "{text}");
            }
        }
        assert_eq!(extent(b"{\"a\":\"\xff\xc3\"},1]"), Extent::Bytes(10));
    }

    #[test]
    fn what_is_side_by_side_and_not_joined_has_no_end() {
        for text in [
            r#"{"a":"x},{"b":"y"}]"#,
            r#"{"a":"x""},1]"#,
            r#"{"a":1 2},1]"#,
            r#"{"a" "b"},1]"#,
            r#"{"a":1],2]"#,
            "[1},2]",
            r#"{"a":"b":"c"},1]"#,
            "[1:2],3]",
            r#"{"a":{}:1},1]"#,
            r#"{"a":1}}"#,
            r#"{"a":1} {"a":2}]"#,
            "}",
            ":1,2]",
        ] {
            assert_eq!(extent(text.as_bytes()), Extent::Unknown, "{text}");
        }
    }

    #[test]
    fn what_the_bytes_end_in_is_not_closed() {
        for (text, in_string) in [
            ("", false),
            ("1", false),
            ("{", false),
            (r#"{"a":1"#, false),
            (r#"{"a":1}"#, false),
            (r#"{"a":""#, true),
            (r#"{"a":"\"#, true),
            (r#"{"a":"\"}]}"#, true),
        ] {
            assert_eq!(extent(text.as_bytes()), Extent::Unclosed { in_string }, "{text}");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(extent((deep.clone() + ",").as_bytes()), Extent::Bytes(deep.len()));
    }
}
