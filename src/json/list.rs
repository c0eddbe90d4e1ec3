//! A long list in an answer: its elements one by one, and the answer without them.

use super::input::Input;
use super::text;
use super::{JsonError, Scanner};

/// An array that is a member of a JSON object, read element by element.
///
/// An answer of a service is such an object: records in a list, and a few members around it. The elements are read
/// once, in place; what is left without them is small, and any JSON parser can read it.
#[derive(Debug)]
pub(crate) struct List<'a> {
    text: &'a str,
    /// Where the elements begin, if there is such an array.
    start: usize,
    /// How far they were read; `None` after the last one, or if there are none.
    input: Option<Input<'a>>,
    is_begun: bool,
    end: usize,
}

impl<'a> List<'a> {
    /// Finds the first member `name` of the object in `text`, if it is a list.
    ///
    /// If there is none, or the text is not JSON up to there, the list has no elements, and nothing is taken out.
    pub(crate) fn find(text: &'a str, name: &str) -> Self {
        let input = find(text, name);
        let start = input.as_ref().map_or(text.len(), Input::at);
        Self {
            text,
            start,
            input,
            is_begun: false,
            end: start,
        }
    }

    /// Reads the next element, appends its form to `line`, and returns its hash, as [`Scanner::scan`] does; `None`
    /// after the last one.
    ///
    /// # Errors
    ///
    /// There is no JSON value here, or it is not followed by another one or the end of the list.
    pub(crate) fn next(&mut self, scanner: &mut Scanner, line: &mut String) -> Result<Option<u128>, JsonError> {
        let Some(input) = &mut self.input else { return Ok(None) };
        input.skip_space();
        match input.peek() {
            Some(b']') => return Ok(self.finish()),
            Some(b',') if self.is_begun => input.advance(1),
            Some(_) if self.is_begun => return Err(input.malformed("neither a comma nor `]` after an element")),
            _ => {}
        }
        self.is_begun = true;
        scanner.scan_value(input, line).map(Some)
    }

    /// Returns the whole text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    fn finish(&mut self) -> Option<u128> {
        self.end = self.input.take().map_or(self.start, |input| input.at());
        None
    }

    /// Returns the text without the elements that were read: all of them, once [`List::next`] has returned `None`.
    pub(crate) fn rest(&self) -> String {
        [&self.text[..self.start], &self.text[self.end..]].concat()
    }
}

/// Returns the position after the opening bracket of the list.
fn find<'a>(text: &'a str, name: &str) -> Option<Input<'a>> {
    let mut sought = String::new();
    text::push_string(name, &mut sought);
    let (mut scanner, mut form) = (Scanner::new(&[]), String::new());
    let mut input = Input::new(text);
    let mut opening = b'{';
    loop {
        // `{` before the first member, a comma before each other one.
        take(&mut input, opening)?;
        opening = b',';
        input.skip_space();
        if input.peek() != Some(b'"') {
            return None;
        }
        form.clear();
        text::copy_string(&mut input, &mut form).ok()?;
        let is_sought = form == sought;
        take(&mut input, b':')?;
        if is_sought {
            take(&mut input, b'[')?;
            return Some(input);
        }
        scanner.scan_value(&mut input, &mut form).ok()?;
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

    /// Returns the forms of the elements of `list`, and what is left.
    fn read(text: &str) -> Result<(Vec<String>, String), JsonError> {
        let mut list = List::find(text, "list");
        let mut scanner = Scanner::new(&[]);
        let mut elements = Vec::new();
        let mut line = String::new();
        let mut round = at_most(1_000);
        while list.next(&mut scanner, &mut line)?.is_some() {
            round();
            elements.push(std::mem::take(&mut line));
        }
        assert_eq!(list.next(&mut scanner, &mut line), Ok(None), "it ends once");
        Ok((elements, list.rest()))
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
    fn a_list_that_is_cut_or_broken_is_an_error() {
        for text in [
            r#"{"list":["#,
            r#"{"list":[1"#,
            r#"{"list":[1,"#,
            r#"{"list":[1,]"#,
            r#"{"list":[1 2]}"#,
            r#"{"list":[,1]}"#,
            r#"{"list":[1}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
