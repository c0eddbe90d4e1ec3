//! What holds for every JSON value, however it is written.

use proptest::prelude::*;
use trailkeeper::json::{KeyPath, push_strict, scan};

use crate::support::random::cases;

use super::model::{Choices, Value, spell, value};

const PATHS: &[KeyPath] = &[&["a"], &["a", "b"], &["", ""], &["\u{1}\"/😀"]];

fn form(text: &str) -> String {
    let mut form = String::new();
    scan(text, &[], &mut form).unwrap();
    form
}

fn content(text: &str) -> u128 {
    scan(text, &[], &mut String::new()).unwrap().content
}

/// The strict copy of a text, or the text if it needs none.
fn strict(text: &str) -> String {
    let mut copy = String::new();
    if push_strict(text, &mut copy) {
        copy
    } else {
        text.to_owned()
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn serde_json_takes_every_strict_copy_which_is_the_text_itself_if_it_takes_that(
        value in value(), seed: u64, depth in 0usize..300, number in "-?[1-9][0-9]{0,400}(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,5})?",
    ) {
        let spelling = spell(&value, &mut Choices(seed)).text;
        let text = format!("{}{spelling}, {number}{}", "[".repeat(depth), "]".repeat(depth));
        let text = if depth == 0 { spelling } else { text };
        let copy = strict(&text);
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text);
        prop_assert!(parse(&copy).is_ok(), "{text}: {:?}", parse(&copy));
        prop_assert_eq!(strict(&copy), &*copy);
        let is_near_a_limit = depth > 90 || number.parse::<f64>().unwrap().abs() > 1e307;
        prop_assert!(is_near_a_limit || (copy == text) == parse(&text).is_ok(), "{text}");
    }

    #[test]
    fn the_form_keeps_the_value_and_only_the_spelling_changes(value in value(), seed: u64) {
        let spelling = spell(&value, &mut Choices(seed));
        prop_assert_eq!(&form(&spelling.text), &spelling.form);
        prop_assert_eq!(&form(&spelling.form), &spelling.form);
        prop_assert!(!spelling.form.bytes().any(|byte| byte < b' '));
        prop_assert_eq!(content(&spelling.text), content(&spelling.form));
    }

    #[test]
    fn the_form_says_the_same_to_serde_json(value in value(), seed: u64) {
        let spelling = spell(&value, &mut Choices(seed));
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        prop_assert_eq!(parse(&spelling.text), parse(&form(&spelling.text)));
    }

    #[test]
    fn two_spellings_of_a_value_have_one_identity(value in value(), one: u64, other: u64) {
        let one = spell(&value, &mut Choices(one));
        let other = spell(&value, &mut Choices(other));
        prop_assert_eq!(content(&one.text), content(&other.text), "{} {}", one.text, other.text);
    }

    #[test]
    fn two_values_have_two_identities(value in value(), changes in 1..3, seed: u64) {
        let mut choices = Choices(seed);
        let mut changed = value.clone();
        (0..changes).for_each(|_| changed.change(&mut choices));
        let same_identity = content(&spell(&value, &mut choices).text) == content(&spell(&changed, &mut choices).text);
        prop_assert_eq!(same_identity, value.normal() == changed.normal(), "{:?} {:?}", value, changed);
    }

    #[test]
    fn a_wanted_path_leads_to_the_last_value_there(one in value(), other in value(), seed: u64) {
        let value = Value::Object(vec![("a".encode_utf16().collect(), one), (Vec::new(), other)]);
        let spelling = spell(&value, &mut Choices(seed));
        let mut line = "before ".to_owned();
        let scan = scan(&spelling.text, PATHS, &mut line).unwrap();
        prop_assert_eq!(&line, &format!("before {}", spelling.form));
        for (path, found) in PATHS.iter().zip(scan.found) {
            let expected = value.at(path).map(|value| content(&spell(value, &mut Choices(seed)).text));
            prop_assert_eq!(found.as_ref().map(|found| found.hash(&line)), expected);
            if let Some(found) = found {
                let stands_there = &line[found.range.clone()];
                prop_assert_eq!(form(stands_there), stands_there);
                prop_assert_eq!(content(stands_there), found.hash(&line));
            }
        }
    }
}
