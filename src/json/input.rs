//! A position in a JSON text.

use super::JsonError;

/// A JSON text and how far it has been read.
#[derive(Debug)]
pub(super) struct Input<'a> {
    text: &'a str,
    /// What has not been read.
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            rest: text.as_bytes(),
        }
    }

    /// Returns how many bytes have been read.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Returns the next byte.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Returns the bytes from the next one on.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Advances to where only these last bytes are left.
    #[inline]
    pub(super) fn leave(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// Returns all bytes.
    #[inline]
    pub(super) fn all(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Returns what was read since this position; both must be character boundaries.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at()]
    }

    /// Advances by `bytes`, to a character boundary, and returns that text.
    pub(super) fn take(&mut self, bytes: usize) -> &'a str {
        let start = self.at();
        self.advance(bytes);
        self.since(start)
    }

    /// Goes to this position, a character boundary; `None` if it is behind the text.
    pub(super) fn go_to(&mut self, at: usize) -> Option<()> {
        self.rest = self.all().get(at..)?;
        Some(())
    }

    /// Advances by `bytes`.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Advances past JSON white space.
    pub(super) fn skip_space(&mut self) {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    /// Advances past decimal digits and returns them.
    pub(super) fn digits(&mut self) -> &'a [u8] {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits
    }

    /// Returns an error at the next byte.
    pub(super) fn malformed(&self, what: &'static str) -> JsonError {
        JsonError {
            offset: self.at(),
            what,
        }
    }
}
