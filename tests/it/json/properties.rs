//! What holds for every JSON value, however it is written.

use proptest::prelude::*;
use trailkeeper::json::{KeyPath, scan};

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

proptest! {
    #![proptest_config(cases(256))]

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
