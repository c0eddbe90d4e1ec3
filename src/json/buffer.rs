//! The bytes of a form while it is written. What is short is copied in whole blocks, and the excess overwritten by what
//! follows: a branch on each length is mispredicted half of the time.
//!
//! Imports: nothing.

use std::ops::Range;

/// A buffer with room for whole blocks behind its end.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// The bytes behind `end` are of no meaning.
    bytes: Vec<u8>,
    end: usize,
}

/// How many bytes are copied at once of what is short.
pub(super) const BLOCK: usize = 32;

/// More memory than this is given back.
const MOST_KEPT: usize = 1 << 20;

impl Buffer {
    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.end = 0;
        if self.bytes.len() > MOST_KEPT {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.end
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Returns the bytes from `start` on, and those behind the end.
    #[inline]
    pub(super) fn from(&self, start: usize) -> &[u8] {
        &self.bytes[start..]
    }

    /// Forgets what is behind this length.
    pub(super) fn truncate(&mut self, length: usize) {
        self.end = self.end.min(length);
    }

    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.end) {
            *place = byte;
            self.end += 1;
        } else {
            self.push_slice(&[byte]);
        }
    }

    #[inline]
    pub(super) fn push_slice(&mut self, slice: &[u8]) {
        let end = self.end + slice.len();
        if end > self.bytes.len() {
            self.grow(end);
        }
        self.bytes[self.end..end].copy_from_slice(slice);
        self.end = end;
    }

    /// Appends the first `length` bytes of a block, which has as many.
    #[inline(always)]
    pub(super) fn push_start<const N: usize>(&mut self, block: &[u8; N], length: usize) {
        debug_assert!(length <= N);
        if let Some(room) = self.bytes.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *room = *block;
            self.end += length;
        } else {
            self.push_slice(&block[..length]);
        }
    }

    /// Returns the room behind its end, block by block.
    #[inline(always)]
    pub(super) fn blocks(&mut self) -> &mut [[u8; 16]] {
        self.bytes[self.end..].as_chunks_mut::<16>().0
    }

    /// Appends the first bytes of the blocks behind its end.
    #[inline(always)]
    pub(super) fn extend(&mut self, length: usize) {
        debug_assert!(length <= self.bytes.len() - self.end);
        self.end += length;
    }

    /// Appends what is in it already at this range.
    pub(super) fn push_again(&mut self, range: Range<usize>) {
        let end = self.end + range.len();
        if end > self.bytes.len() {
            self.grow(end);
        }
        self.bytes.copy_within(range, self.end);
        self.end = end;
    }

    /// Appends the first `length` bytes of a slice.
    #[inline(always)]
    pub(super) fn push_start_of(&mut self, slice: &[u8], length: usize) {
        match slice.first_chunk::<BLOCK>() {
            Some(block) if length <= BLOCK => self.push_start(block, length),
            _ => self.push_slice(&slice[..length]),
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, length: usize) {
        self.bytes.resize((length * 2).max(1_024), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_appended_as_was_asked_for() {
        let text: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        for length in (0..70).chain([1_000, 2_999]) {
            let mut buffer = Buffer::default();
            let mut expected = Vec::new();
            for _ in 0..3 {
                buffer.push(b'x');
                buffer.push_start_of(&text, length);
                buffer.push_start_of(&text[..length], length);
                buffer.push_start(text.first_chunk::<16>().unwrap(), length.min(16));
                expected.push(b'x');
                expected.extend_from_slice(&text[..length]);
                expected.extend_from_slice(&text[..length]);
                expected.extend_from_slice(&text[..length.min(16)]);
            }
            buffer.push_again(1..length + 1);
            expected.extend_from_within(1..length + 1);
            assert_eq!(buffer.as_bytes(), expected);
            buffer.truncate(length);
            assert_eq!(buffer.as_bytes(), &expected[..length]);
            buffer.clear();
            assert_eq!(buffer.len(), 0);
        }
    }
}
