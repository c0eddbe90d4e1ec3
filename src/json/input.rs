//! A position in a JSON text.

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

    /// Returns how many bytes have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Returns the next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the text from the next byte on, which must begin a character.
    pub(super) fn text(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Returns the bytes from the next one on.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Returns what was read since this position; both must be character boundaries.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Advances by `bytes`, to a character boundary, and returns that text.
    pub(super) fn take(&mut self, bytes: usize) -> &'a str {
        let start = self.at;
        self.at += bytes;
        self.since(start)
    }

    /// Goes to this position, a character boundary; `None` if it is behind the text.
    pub(super) fn go_to(&mut self, at: usize) -> Option<()> {
        (at <= self.text.len()).then(|| self.at = at)
    }

    /// Advances by `bytes`.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Advances past JSON white space.
    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Advances past decimal digits and returns them.
    pub(super) fn digits(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        &rest[..count]
    }

    /// Returns an error at the next byte.
    pub(super) fn malformed(&self, what: &'static str) -> JsonError {
        JsonError { offset: self.at, what }
    }
}
