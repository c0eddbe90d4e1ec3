//! JSON strings → their form: unescaped wherever possible.

use wide::u8x16;
use xxhash_rust::xxh3::xxh3_128;

use super::JsonError;
use super::buffer::Buffer;
use super::input::Input;

/// Appends the form of a string, with its quotes; the next byte is the opening quote.
#[inline(always)]
pub(super) fn copy_string(input: &mut Input<'_>, form: &mut Buffer) -> Result<(), JsonError> {
    let length = copy_plain(input.rest(), form);
    if length == 0 {
        return copy_odd_string(input, form);
    }
    input.advance(length);
    Ok(())
}

/// Appends the string that these bytes start with and returns its length; 0 and nothing if it has escapes, is malformed, or
/// near the end of the bytes or of the buffer's room.
#[inline(always)]
pub(super) fn copy_plain(bytes: &[u8], form: &mut Buffer) -> usize {
    let mut length = 0;
    // Not the opening quote.
    let mut counted = !1;
    for (block, room) in bytes.as_chunks::<16>().0.iter().zip(form.blocks()) {
        *room = *block;
        let special = special_bytes(*block) & counted;
        if special != 0 {
            length += special.trailing_zeros() as usize;
            if bytes[length] != b'"' {
                return 0;
            }
            form.extend(length + 1);
            return length + 1;
        }
        length += block.len();
        counted = !0;
    }
    0
}

/// Appends a string that has escapes, is malformed, or near the end of the text.
#[inline(never)]
pub(super) fn copy_odd_string(input: &mut Input<'_>, form: &mut Buffer) -> Result<(), JsonError> {
    form.push(b'"');
    input.advance(1);
    loop {
        let length = plain_length(input.rest());
        if length > 0 {
            form.push_slice(input.take(length).as_bytes());
        }
        match input.peek() {
            Some(b'"') => break,
            Some(b'\\') => copy_escape(input, form)?,
            Some(_) => return Err(input.malformed("a control character inside a string")),
            None => return Err(input.malformed("the text ends inside a string")),
        }
    }
    input.advance(1);
    form.push(b'"');
    Ok(())
}

/// Returns the characters of a text as they stand between the quotes of its form.
pub(crate) fn form_of_text(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    text.chars().for_each(|character| push_char(character, &mut form));
    form
}

/// Appends the form of a string with these characters, with its quotes.
pub(super) fn push_string(text: &str, line: &mut String) {
    line.push('"');
    text.chars().for_each(|character| push_char(character, line));
    line.push('"');
}

/// Appends the string that stands for these bytes, as the parent module defines it, and returns its hash; `None` once the
/// line is longer than `longest`.
pub(crate) fn push_bytes(bytes: &[u8], line: &mut String, longest: usize) -> Option<u128> {
    let start = line.len();
    line.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_char(character, line);
            if line.len() > longest {
                return None;
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|byte| push_hex(BROKEN_BYTE | u16::from(*byte), line));
    }
    line.push('"');
    (line.len() <= longest).then(|| xxh3_128(&line.as_bytes()[start..]))
}

/// The escape of a byte that is not UTF-8, without the byte.
const BROKEN_BYTE: u16 = 0xdc00;

/// Returns how many bytes come before a quote, a backslash or a control character.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while let Some(block) = bytes[length..].first_chunk() {
        let special = special_bytes(*block);
        if special != 0 {
            return length + special.trailing_zeros() as usize;
        }
        length += block.len();
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    length + bytes[length..].iter().take_while(is_plain).count()
}

/// Sets the bit of each byte that is a quote, a backslash or below 0x20.
#[inline]
fn special_bytes(block: [u8; 16]) -> u32 {
    let block = u8x16::new(block);
    let is_control = block.min(u8x16::splat(0x1f)).simd_eq(block);
    (is_control | block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\'))).to_bitmask()
}

/// Appends the form of one escape, or of a surrogate pair; the next byte is the backslash.
fn copy_escape(input: &mut Input<'_>, form: &mut Buffer) -> Result<(), JsonError> {
    const UNKNOWN: &str = "an invalid escape";
    match input.rest().get(1) {
        Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => form.push_slice(input.take(2).as_bytes()),
        Some(b'/') => {
            input.advance(2);
            form.push(b'/');
        }
        Some(b'u') => {
            let unit = utf16_escape(input.rest()).ok_or_else(|| input.malformed(UNKNOWN))?;
            input.advance(6);
            copy_utf16(unit, input, form);
        }
        _ => return Err(input.malformed(UNKNOWN)),
    }
    Ok(())
}

/// Appends the character of an escape that has been read, together with the next escape if the two are a surrogate
/// pair.
fn copy_utf16(unit: u16, input: &mut Input<'_>, form: &mut Buffer) {
    if let Some(character) = char::from_u32(u32::from(unit)) {
        return push_char(character, form);
    }
    match surrogate_pair(unit, input.rest()) {
        Some(character) => {
            input.advance(6);
            push_char(character, form);
        }
        None => push_hex(unit, form),
    }
}

/// Returns the character of a surrogate and the escape at the start of the bytes, if the two are a pair.
pub(super) fn surrogate_pair(high: u16, bytes: &[u8]) -> Option<char> {
    char::decode_utf16([high, utf16_escape(bytes)?]).next()?.ok()
}

/// Returns the UTF-16 unit of a `\uXXXX` at the start of the bytes.
pub(super) fn utf16_escape(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(br"\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)? as u16)
    })
}

/// What forms are written to.
trait Write {
    fn write(&mut self, text: &str);

    fn write_char(&mut self, character: char);
}

impl Write for String {
    fn write(&mut self, text: &str) {
        self.push_str(text);
    }

    fn write_char(&mut self, character: char) {
        self.push(character);
    }
}

impl Write for Buffer {
    fn write(&mut self, text: &str) {
        self.push_slice(text.as_bytes());
    }

    fn write_char(&mut self, character: char) {
        let mut bytes = [0; 4];
        let length = character.encode_utf8(&mut bytes).len();
        self.push_start(&bytes, length);
    }
}

#[inline]
fn push_char(character: char, form: &mut impl Write) {
    match character {
        '"' => form.write("\\\""),
        '\\' => form.write("\\\\"),
        '\u{8}' => form.write("\\b"),
        '\u{c}' => form.write("\\f"),
        '\n' => form.write("\\n"),
        '\r' => form.write("\\r"),
        '\t' => form.write("\\t"),
        '\0'..' ' => push_hex(character as u16, form),
        _ => form.write_char(character),
    }
}

fn push_hex(unit: u16, form: &mut impl Write) {
    form.write("\\u");
    for shift in [12, 8, 4, 0] {
        let digit = char::from_digit(u32::from(unit >> shift & 0xf), 16);
        digit.into_iter().for_each(|digit| form.write_char(digit));
    }
}
