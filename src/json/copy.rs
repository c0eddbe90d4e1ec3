//! Copies short strings. If most are shorter than a block, it is cheaper to copy a whole block and cut off the excess:
//! a branch on each length is mispredicted half of the time.

/// How many bytes are copied at once.
const BLOCK: usize = 32;

/// Appends the first bytes of a text, up to a character boundary.
#[inline]
pub(super) fn push_start(line: &mut String, text: &str, length: usize) {
    match text.get(..BLOCK) {
        Some(block) if length <= BLOCK => {
            let end = line.len() + length;
            line.push_str(block);
            line.truncate(end);
        }
        _ => line.push_str(&text[..length]),
    }
}

/// Appends the first bytes.
#[inline]
pub(super) fn extend_from_start(out: &mut Vec<u8>, bytes: &[u8], length: usize) {
    match bytes.first_chunk::<BLOCK>() {
        Some(block) if length <= BLOCK => {
            let end = out.len() + length;
            out.extend_from_slice(block);
            out.truncate(end);
        }
        _ => out.extend_from_slice(&bytes[..length]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_copied_as_was_asked_for() {
        for text in [
            "",
            "é",
            &"abc".repeat(20),
            &"é".repeat(20),
            &format!("a{}", "é".repeat(30)),
        ] {
            for length in (0..=text.len()).filter(|length| text.is_char_boundary(*length)) {
                let (mut line, mut bytes) = ("before".to_owned(), b"before".to_vec());
                push_start(&mut line, text, length);
                extend_from_start(&mut bytes, text.as_bytes(), length);
                assert_eq!(line, format!("before{}", &text[..length]));
                assert_eq!(bytes, line.as_bytes());
            }
        }
    }
}
