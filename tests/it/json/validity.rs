//! Which texts are JSON: as serde_json has it, and without a panic for any text.

use proptest::prelude::*;
use serde_json::value::RawValue;
use trailkeeper::json::{KeyPath, scan};

use crate::support::random::cases;

use super::model::{Choices, spell, value};

const SAMPLE: &str = r#" {"a" : [1.50e-3, -0, {"b\u00e9\ud83d\ude00": "\ud800x\/"}, [], {}], "trigger": {"at": "ü"}, "t": true, "n":null}"#;
const WANTED: &[KeyPath] = &[&["trigger", "at"]];

/// Scans a text, and asserts that it is refused exactly where serde_json refuses it, and then leaves nothing behind.
fn check(text: &str) {
    let mut line = "before".to_owned();
    let scanned = scan(text, WANTED, &mut line);
    let parsed = serde_json::from_str::<&RawValue>(text);
    assert_eq!(scanned.is_ok(), parsed.is_ok(), "{text:?}: {scanned:?}, {parsed:?}");
    if let Err(malformed) = scanned {
        assert_eq!(line, "before");
        assert!(malformed.offset <= text.len(), "{text:?}: {malformed:?}");
    }
}

#[test]
fn a_text_cut_at_any_byte_is_judged_as_serde_json_does() {
    for end in (0..=SAMPLE.len()).filter(|end| SAMPLE.is_char_boundary(*end)) {
        check(&SAMPLE[..end]);
        check(&SAMPLE[end..]);
    }
}

#[test]
fn a_text_with_any_byte_changed_is_judged_as_serde_json_does() {
    for place in 0..SAMPLE.len() {
        for byte in 0..0x80 {
            let mut bytes = SAMPLE.as_bytes().to_vec();
            bytes[place] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                check(&text);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_text_is_judged_as_serde_json_does(text: String) {
        check(&text);
    }

    #[test]
    fn any_bytes_that_are_text_are_judged_as_serde_json_does(bytes: Vec<u8>) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_of_json_characters_is_judged_as_serde_json_does(
        text in r#"[\[\]{}",:0-9eE+\-. \\untrfalsbd/\x00\x1f\n\u{7f}ü]{0,24}"#
    ) {
        check(&text);
        check(&format!("\"{text}\""));
        check(&format!("[{text}]"));
        check(&format!("{{\"{text}}}"));
    }

    #[test]
    fn any_text_of_number_characters_is_judged_as_serde_json_does(text in "[-+.eE019]{1,8}") {
        check(&text);
    }

    #[test]
    fn a_value_with_one_character_changed_is_judged_as_serde_json_does(
        value in value(), seed: u64, new in r#"[\[\]{}",:0-9eE.\\ tü\x01]?"#
    ) {
        let mut choices = Choices(seed);
        let mut characters: Vec<char> = spell(&value, &mut choices).text.chars().collect();
        let place = choices.below(characters.len());
        characters.splice(place..=place, new.chars());
        check(&characters.into_iter().collect::<String>());
    }
}
