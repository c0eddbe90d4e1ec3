//! A place in a JSON text.

use super::JsonError;

/// A JSON text and how far it has been read.
#[derive(Debug)]
pub(super) struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// All text from the next byte on, which must begin a character.
    pub(super) fn text(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// All bytes from the next one on.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// What was read since this place; both must stand between characters.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Goes on by bytes that were looked at, up to the end of a character, and gives them.
    pub(super) fn take(&mut self, bytes: usize) -> &'a str {
        let start = self.at;
        self.at += bytes;
        self.since(start)
    }

    /// Goes on by bytes that were looked at.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Goes on to the first byte that JSON does not take for white space.
    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes on to the first byte that is no decimal digit, and gives the digits.
    pub(super) fn digits(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        &rest[..count]
    }

    /// What is wrong with the next byte.
    pub(super) fn malformed(&self, what: &'static str) -> JsonError {
        JsonError { offset: self.at, what }
    }
}
