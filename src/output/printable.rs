//! Makes untrusted text harmless before it reaches a log or a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// Makes a text that cannot control a terminal and stays on its line.
///
/// Control characters are escaped (`\n`, `\u{1b}`), and so are those that change the text direction or break the line
/// (U+2028, U+202E and similar), and those that nobody sees (U+200B, U+FEFF), which make two texts look the same.
#[must_use]
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |character, out| out.extend(character.escape_default()))
}

/// Makes JSON that a serializer wrote printable in the same way, with JSON's own escapes.
#[must_use]
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |character, out| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    // Most text is ASCII, which can be checked many bytes at a time.
    let is_plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if is_plain || !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unprintable(character) {
            escape(character, &mut escaped);
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn is_unprintable(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_invisible = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    character.is_control() || turns || is_invisible || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Makes a text printable and cuts it to `most` characters.
#[must_use]
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => printable(&text[..end]).into_owned() + "…",
        None => printable(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::random::cases;

    #[test]
    fn plain_text_is_left_alone() {
        for text in ["", "plain", "Общая папка 🙂", "C:\\logs \"quoted\""] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_drives_a_terminal_or_breaks_a_line_is_escaped() {
        for (text, expected) in [
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("ad\u{200b}min\u{feff}", "ad\\u{200b}min\\u{feff}"),
            ("\u{61c}\u{2800}", "\\u{61c}\\u{2800}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\0\u{7f}", "\\u{0}\\u{7f}"),
            ("a\u{2028}b\u{202e}c\u{85}", "a\\u{2028}b\\u{202e}c\\u{85}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn printable_text_is_one_line_without_control_characters(text in "(?s:.*)") {
            let shown = printable(&text);
            prop_assert!(!shown.contains(is_unprintable));
            prop_assert!(shown.lines().count() <= 1);
        }
    }
}
