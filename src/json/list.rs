//! A long list in an answer: its elements one by one, and the answer without them.

use std::str::Utf8Chunk;

use super::buffer::Buffer;
use super::extent::{Extent, extent};
use super::input::Input;
use super::text;
use super::{JsonError, Scanner};

/// The longest element that is repaired, in bytes once it is: the largest answer has no longer line form.
const LONGEST_REPAIRED: usize = 96 << 20;

/// An array that is a member of a JSON object, read element by element.
///
/// An answer of a service is such an object: records in a list, and a few members around it. The elements are read
/// once, in place; what is left without them is small, and any JSON parser can read it. An element that is not JSON, or
/// not UTF-8, does not keep the others from being read, as long as its end can be told.
#[derive(Debug)]
pub(crate) struct List<'a> {
    body: &'a [u8],
    /// The text of the body from `base` on, up to the next byte that is not UTF-8, and how far it was read.
    input: Input<'a>,
    base: usize,
    /// Where the elements begin, and end; the end of the body if there is no such array.
    start: usize,
    end: usize,
    has_more: bool,
    /// Where the element begins whose end could not be told.
    broken: Option<usize>,
}

/// How often it is looked for what follows a broken element, and in how many times the bytes of the body.
const MOST_BOUNDARIES: usize = 10_000;
const MOST_PASSES: usize = 8;

/// An element of a list; the first two have their form in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element<'a> {
    /// JSON; its hash.
    Json(u128),
    /// JSON once what is not UTF-8 in it is replaced by U+FFFD: its hash then, and the element as it came.
    Repaired(u128, &'a [u8]),
    /// Not JSON: why, counted from its start, and the element as it came.
    NotJson(JsonError, &'a [u8]),
}

/// A list cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListError {
    /// The body ends in the middle of an element, or behind one.
    #[error("{0}")]
    CutOff(JsonError),
    /// The element is not JSON, and where it ends cannot be told.
    #[error("{0}")]
    BrokenElement(JsonError),
}

impl<'a> List<'a> {
    /// Finds the first member `name` of the object in `body`, if it is a list.
    ///
    /// If there is none, or the body is not JSON up to there, the list has no elements, and nothing is taken out.
    pub(crate) fn find(body: &'a [u8], name: &str) -> Self {
        // Nearly always all of it, and then this is the fastest way to know.
        let text = simdutf8::basic::from_utf8(body).unwrap_or_else(|_| valid_start(body));
        let mut input = Input::new(text);
        let is_found = find(&mut input, name).is_some();
        let start = if is_found { input.at() } else { body.len() };
        input.skip_space();
        let has_more = is_found && input.peek() != Some(b']');
        let end = if is_found { input.at() } else { body.len() };
        Self {
            body,
            input,
            base: 0,
            start,
            end,
            has_more,
            broken: None,
        }
    }

    /// Reads the next element and appends its form, if it has one, to `line`, as [`Scanner::scan`] does; `None` after
    /// the last one.
    ///
    /// # Errors
    ///
    /// Nothing that follows can be told apart from this element, or nothing follows.
    pub(crate) fn next(&mut self, scanner: &mut Scanner, line: &mut String) -> Result<Option<Element<'a>>, ListError> {
        if !self.has_more {
            return Ok(None);
        }
        self.input.skip_space();
        let (start, line_start) = (self.input.at(), line.len());
        let scanned = scanner.scan_value(&mut self.input, line);
        let malformed = match scanned.and_then(|content| self.pass_separator().map(|()| content)) {
            Ok(content) => return Ok(Some(Element::Json(content))),
            Err(malformed) => malformed,
        };
        line.truncate(line_start);
        self.odd_element(start, malformed, scanner, line).map(Some)
    }

    /// Returns the length of the body.
    pub(crate) fn body_length(&self) -> usize {
        self.body.len()
    }

    /// Returns whether there is such an array, and the body ends as an object does: as far as that tells, it was not cut
    /// off.
    pub(crate) fn is_whole(&self) -> bool {
        self.start < self.body.len() && self.body.trim_ascii_end().ends_with(b"}")
    }

    /// Returns the body without the elements that were read: all of them, once [`List::next`] has returned `None`; or
    /// `None` if that is not UTF-8.
    pub(crate) fn rest(&self) -> Option<String> {
        let before = str::from_utf8(&self.body[..self.start]).ok()?;
        let after = str::from_utf8(&self.body[self.end..]).ok()?;
        Some([before, after].concat())
    }

    /// Reads the comma after an element, or stops before the bracket that ends the list.
    fn pass_separator(&mut self) -> Result<(), JsonError> {
        self.input.skip_space();
        match self.input.peek() {
            Some(b',') => self.input.advance(1),
            Some(b']') if self.is_followed_by_an_element() => {
                return Err(self.input.malformed("a `]` after an element that is not the last one"));
            }
            Some(b']') => {
                self.end = self.base + self.input.at();
                self.has_more = false;
            }
            Some(_) => return Err(self.input.malformed("neither a comma nor `]` after an element")),
            None => return Err(self.input.malformed("the text ends inside a list")),
        }
        Ok(())
    }

    /// Returns whether another element stands behind the bracket that comes next, so that this ends no list: no member of an object
    /// begins with a bracket.
    fn is_followed_by_an_element(&self) -> bool {
        let after = self.body[self.base + self.input.at() + 1..].trim_ascii_start();
        let is_element = |after: &[u8]| after.trim_ascii_start().starts_with(b"{");
        after.starts_with(b"]") || after.strip_prefix(b",").is_some_and(is_element)
    }

    /// Reads an element that starts here and is not JSON, or not followed by what follows an element.
    #[cold]
    fn odd_element(
        &mut self,
        start: usize,
        malformed: JsonError,
        scanner: &mut Scanner,
        line: &mut String,
    ) -> Result<Element<'a>, ListError> {
        let (from, in_body) = (self.base + start, malformed.after(self.base));
        self.broken = Some(from);
        let end = self.end_of_odd(from, in_body)?;
        self.go_to(end);
        self.pass_separator().map_err(|_| ListError::BrokenElement(in_body))?;
        let bytes = &self.body[from..end];
        let not_json = match str::from_utf8(bytes) {
            Err(_) if repaired_length(bytes) <= LONGEST_REPAIRED => {
                match scanner.scan(&String::from_utf8_lossy(bytes), line) {
                    Ok(content) => return Ok(Element::Repaired(content, bytes)),
                    Err(malformed) => malformed,
                }
            }
            _ => JsonError {
                offset: malformed.offset.saturating_sub(start),
                ..malformed
            },
        };
        Ok(Element::NotJson(not_json, bytes))
    }

    /// Goes on behind the element whose end could not be told: where the next one begins that is JSON and of which
    /// `is_record` holds, or else where the rest of the body does. Returns all that is before that, as it came; `None` if
    /// neither is found.
    #[cold]
    pub(crate) fn pass_broken(
        &mut self,
        scanner: &mut Scanner,
        line: &mut String,
        is_record: impl Fn(&Scanner, &str) -> bool,
    ) -> Option<&'a [u8]> {
        let from = self.broken.take()?;
        let line_start = line.len();
        let mut bytes = 0;
        let mut place = from + 1;
        for _ in 0..MOST_BOUNDARIES {
            let Some((end, next)) = next_boundary(self.body, place) else {
                break;
            };
            place = next;
            self.go_to(next);
            let at = self.input.at();
            let is_json = scanner.scan_value(&mut self.input, line).is_ok();
            let is_next = is_json && is_record(scanner, line) && self.is_separated();
            line.truncate(line_start);
            bytes += self.input.at() - at;
            if is_next {
                self.go_to(next);
                return Some(&self.body[from..end]);
            }
            if bytes > self.body.len() * MOST_PASSES {
                return None;
            }
        }
        self.end_of_list(from)
    }

    /// Returns whether what comes next follows an element.
    fn is_separated(&mut self) -> bool {
        self.input.skip_space();
        matches!(self.input.peek(), Some(b',' | b']'))
    }

    /// Goes to the bracket behind the last element, which begins at `from`: the first one without which the body is JSON
    /// around its elements. Returns the element.
    fn end_of_list(&mut self, from: usize) -> Option<&'a [u8]> {
        let before = str::from_utf8(&self.body[..self.start]).ok()?;
        let places = self.body[from..].iter().enumerate().filter(|(_, byte)| **byte == b']');
        for (length, _) in places.take(MOST_BOUNDARIES / 100) {
            let end = from + length;
            let Ok(after) = str::from_utf8(&self.body[end..]) else {
                continue;
            };
            if super::scan(&[before, after].concat(), &[], &mut String::new()).is_ok() {
                (self.end, self.has_more) = (end, false);
                return Some(self.body[from..end].trim_ascii_end());
            }
        }
        None
    }

    /// Finds where an element ends that begins at `from` and is malformed; both are counted in the body.
    fn end_of_odd(&self, from: usize, malformed: JsonError) -> Result<usize, ListError> {
        let is_cut_off = |in_string: bool| !self.is_whole() || !in_string && malformed.offset == self.body.len();
        match extent(&self.body[from..]) {
            Extent::Bytes(length) => Ok(from + length),
            Extent::Unclosed { in_string } if is_cut_off(in_string) => Err(ListError::CutOff(malformed)),
            Extent::Unclosed { .. } | Extent::Unknown => Err(ListError::BrokenElement(malformed)),
        }
    }

    /// Goes on at this place of the body, before or behind what is not UTF-8.
    fn go_to(&mut self, place: usize) {
        match self.input.go_to(place - self.base) {
            Some(()) => {}
            None => {
                self.base = place;
                self.input = Input::new(valid_start(&self.body[place..]));
            }
        }
    }
}

/// Returns where an object may end behind this place and another one begin: the first end behind `place` of which that is
/// so.
fn next_boundary(body: &[u8], place: usize) -> Option<(usize, usize)> {
    let ends = body[place..].iter().enumerate().filter(|(_, byte)| **byte == b'}');
    let mut boundaries = ends.filter_map(|(index, _)| {
        let end = place + index + 1;
        let after = body[end..].trim_ascii_start();
        let after = after.strip_prefix(b"]").unwrap_or(after).trim_ascii_start();
        let after = after.strip_prefix(b",")?.trim_ascii_start();
        after.starts_with(b"{").then(|| (end, body.len() - after.len()))
    });
    boundaries.next()
}

/// Returns how long an element is with U+FFFD in the place of what is broken.
fn repaired_length(bytes: &[u8]) -> usize {
    let length = |chunk: Utf8Chunk<'_>| chunk.valid().len() + if chunk.invalid().is_empty() { 0 } else { 3 };
    bytes.utf8_chunks().map(length).sum()
}

/// Returns the text up to the first byte that is not UTF-8.
fn valid_start(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// Advances to after the opening bracket of the list.
fn find(input: &mut Input<'_>, name: &str) -> Option<()> {
    let mut sought = String::new();
    text::push_string(name, &mut sought);
    let (mut scanner, mut key, mut form) = (Scanner::new(&[]), Buffer::default(), String::new());
    let mut opening = b'{';
    loop {
        // `{` before the first member, a comma before each other one.
        take(input, opening)?;
        opening = b',';
        input.skip_space();
        if input.peek() != Some(b'"') {
            return None;
        }
        key.clear();
        text::copy_string(input, &mut key).ok()?;
        let is_sought = key.as_bytes() == sought.as_bytes();
        take(input, b':')?;
        if is_sought {
            return take(input, b'[');
        }
        scanner.scan_value(input, &mut form).ok()?;
    }
}

/// Advances past this byte, if it comes next.
fn take(input: &mut Input<'_>, byte: u8) -> Option<()> {
    input.skip_space();
    (input.peek() == Some(byte)).then(|| input.advance(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::bound::at_most;

    /// Returns the elements of `list`, each with its form, and what is left.
    fn elements(body: &[u8]) -> Result<(Vec<(Element<'_>, String)>, String), ListError> {
        let mut list = List::find(body, "list");
        let mut scanner = Scanner::new(&[]);
        let mut elements = Vec::new();
        let mut line = String::new();
        let mut round = at_most(1_000);
        while let Some(element) = list.next(&mut scanner, &mut line)? {
            round();
            elements.push((element, std::mem::take(&mut line)));
        }
        assert_eq!(list.next(&mut scanner, &mut line), Ok(None), "it ends once");
        Ok((elements, list.rest().unwrap()))
    }

    /// Returns the forms of the elements of `list`, all of them JSON, and what is left.
    fn read(text: &str) -> Result<(Vec<String>, String), ListError> {
        let (elements, rest) = elements(text.as_bytes())?;
        let form = |(element, form)| match element {
            Element::Json(_) => form,
            odd => panic!("{odd:?}"),
        };
        Ok((elements.into_iter().map(form).collect(), rest))
    }

    #[test]
    fn the_elements_come_out_and_the_rest_stays() {
        for (text, elements, rest) in [
            (
                r#"{"list":[{"a":1},[2],"]"]}"#,
                &[r#"{"a": 1}"#, "[2]", r#""]""#][..],
                r#"{"list":[]}"#,
            ),
            (
                r#"{"before":{"list":[0]},"list":[1],"after":2}"#,
                &["1"],
                r#"{"before":{"list":[0]},"list":[],"after":2}"#,
            ),
            (" { \"list\" : [ 1 , 2 ] } ", &["1", "2"], " { \"list\" : [] } "),
            (r#"{"\u006cist":[7]}"#, &["7"], r#"{"\u006cist":[]}"#),
            (r#"{"list":[]}"#, &[], r#"{"list":[]}"#),
            (r#"{"list":[1],"list":[2]}"#, &["1"], r#"{"list":[],"list":[2]}"#),
        ] {
            let found = read(text).unwrap();
            assert_eq!(
                (found.0.iter().map(String::as_str).collect::<Vec<_>>(), found.1.as_str()),
                (elements.to_vec(), rest)
            );
        }
    }

    #[test]
    fn without_such_a_list_nothing_is_taken_out() {
        for text in [
            "",
            "[1]",
            "null",
            "{}",
            r#"{"list":null}"#,
            r#"{"list":"[1]"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":,"list":[1]}"#,
        ] {
            assert_eq!(read(text), Ok((Vec::new(), text.to_owned())));
        }
    }

    #[test]
    fn a_list_that_the_body_ends_in_is_cut_off() {
        for text in [
            r#"{"list":["#,
            r#"{"list":[1"#,
            r#"{"list":[1,"#,
            r#"{"list":[{"a":1}"#,
            r#"{"list":[NaN,{"a":"}, "#,
            r#"{"list":[{"a":NaN,"b":"}],"#,
        ] {
            let cut = elements(text.as_bytes());
            assert!(matches!(cut, Err(ListError::CutOff(_))), "{text}: {cut:?}");
        }
    }

    #[test]
    fn an_element_whose_end_cannot_be_told_is_broken() {
        for text in [
            r#"{"list":[1 2]}"#,
            r#"{"list":[1}"#,
            r#"{"list":[1,{"a":"x},{"a":"y"}]}"#,
            r#"{"list":[{"a":"x}]}"#,
            r#"{"list":[1,{[]}"#,
        ] {
            let broken = elements(text.as_bytes());
            assert!(matches!(broken, Err(ListError::BrokenElement(_))), "{text}: {broken:?}");
        }
    }

    #[test]
    fn an_element_that_is_not_json_leaves_the_others_alone() {
        for (odd, offset) in [
            (&b"{\"a\":NaN}"[..], 5),
            (b"{\"a\":\"x\ny\"}", 7),
            (br#"{"a":"\x"}"#, 6),
            (b"{\"a\":1,}", 7),
            (b"12a", 2),
            (b"", 0),
            (b"{\"a\":\xff}", 5),
        ] {
            let body = [br#"{"list":[1, "#, odd, br#" ,"\u00e9" , "#, odd, br#"],"after":2}"#].concat();
            let (found, rest) = elements(&body).unwrap();
            let elements: Vec<Element> = found.iter().map(|(element, _)| *element).collect();
            let forms: Vec<&str> = found.iter().map(|(_, form)| form.as_str()).collect();
            assert_eq!(rest, r#"{"list":[],"after":2}"#);
            assert_eq!(forms, ["1", "", "\"é\"", ""]);
            for element in [elements[1], elements[3]] {
                assert!(
                    matches!(element, Element::NotJson(error, bytes) if error.offset == offset && bytes == odd),
                    "{element:?}"
                );
            }
        }
    }

    #[test]
    fn an_element_that_is_not_utf8_is_read_with_what_is_broken_replaced() {
        let odd = b"{\"a\":\"\xffx\xe2\x82\",\"b\":\"\xc3\xa9\"}";
        let body = [b"{\"list\":[1,", &odd[..], b",\"\xc3\xa9\",\n", odd, b",2]}"].concat();
        let (found, rest) = elements(&body).unwrap();
        assert_eq!(rest, r#"{"list":[]}"#);
        let form = "{\"a\": \"\u{fffd}x\u{fffd}\", \"b\": \"é\"}";
        let forms: Vec<&str> = found.iter().map(|(_, form)| form.as_str()).collect();
        assert_eq!(forms, ["1", form, "\"é\"", form, "2"]);
        let hash = crate::json::scan(form, &[], &mut String::new()).unwrap().content;
        assert_eq!(
            (found[1].0, found[3].0),
            (Element::Repaired(hash, odd), Element::Repaired(hash, odd))
        );
    }

    #[test]
    fn what_is_not_utf8_around_the_list_leaves_no_rest() {
        for body in [
            &b"{\"a\":\"\xff\",\"list\":[1]}"[..],
            b"{\"list\":[1],\"a\":\"\xff\"}",
            b"\xff",
        ] {
            let mut list = List::find(body, "list");
            while list.next(&mut Scanner::new(&[]), &mut String::new()).unwrap().is_some() {}
            assert_eq!(list.rest(), None);
        }
    }
}
