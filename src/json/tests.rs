//! The form, the identity and the sought values, by example; `tests/it/json` has the random ones.

use proptest::prelude::*;

use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::test_support::random::cases;

fn form(json: &str) -> String {
    let mut line = String::new();
    scan(json, &[], &mut line).unwrap();
    line
}

fn content(json: &str) -> u128 {
    scan(json, &[], &mut String::new()).unwrap().content
}

fn found(json: &str, path: KeyPath) -> Option<String> {
    let mut line = String::new();
    let scan = scan(json, &[path], &mut line).unwrap();
    scan.found[0].as_ref().map(|found| line[found.range.clone()].to_owned())
}

#[test]
fn the_form_is_that_of_python() {
    for (json, expected) in [
        (
            r#" { "a" : [ 1 ,2,{ } , [ ] ] , "a":null,"":true } "#,
            r#"{"a": [1, 2, {}, []], "a": null, "": true}"#,
        ),
        ("\t\r\n false\n", "false"),
        (r#""\u00e9\u0041\/\ud83d\uDE00""#, r#""éA/😀""#),
        (r#""\u0022\u005c\u002F""#, r#""\"\\/""#),
        (
            r#""\u0008\u000C\u000a\u000D\u0009\b\f\n\r\t""#,
            r#""\b\f\n\r\t\b\f\n\r\t""#,
        ),
        (r#""\u0000\u001F\u001b""#, r#""\u0000\u001f\u001b""#),
        ("\"\u{7f}\u{85}\u{2028}\"", "\"\u{7f}\u{85}\u{2028}\""),
        (r#""\u007f\u2028""#, "\"\u{7f}\u{2028}\""),
        (r#""\\u0041\\n""#, r#""\\u0041\\n""#),
    ] {
        assert_eq!(form(json), expected, "{json}");
        assert_eq!(form(expected), expected);
    }
}

#[test]
fn a_lone_surrogate_stays_an_escape() {
    for (json, expected) in [
        (r#""\uD83D""#, r#""\ud83d""#),
        (r#""\uDE00\uD83D""#, r#""\ude00\ud83d""#),
        (r#""\uD83D\uD83D\uDE00""#, r#""\ud83d😀""#),
        (r#""\uD83D\u0041""#, r#""\ud83dA""#),
        (r#""\uD83Dx\uDE00""#, r#""\ud83dx\ude00""#),
        (r#""\uD83D\n""#, r#""\ud83d\n""#),
        (r#"{"\uDFFF": 1}"#, r#"{"\udfff": 1}"#),
    ] {
        assert_eq!(form(json), expected, "{json}");
        assert_eq!(form(expected), expected);
    }
    for other in [
        r#""\\ud83d""#,
        r#""ud83d""#,
        r#""\ufffd""#,
        r#""\ud83e""#,
        r#""\ud83d\\""#,
        r#""?""#,
    ] {
        assert_ne!(content(r#""\ud83d""#), content(other), "{other}");
    }
}

#[test]
fn numbers_are_copied_digit_for_digit() {
    let long = "1234567890".repeat(20);
    for number in [
        "1.10",
        "-0",
        "0.0",
        "1e400",
        "1E+05",
        "-12.50e-0",
        &long,
        "9007199254740993",
    ] {
        assert_eq!(form(number), number);
        assert_eq!(form(&format!("[{number}]")), format!("[{number}]"));
    }
}

#[test]
fn what_is_not_one_json_value_is_refused_with_its_place() {
    for (json, offset) in [
        ("", 0),
        (" ", 1),
        ("nul", 0),
        ("nulll", 4),
        ("True", 0),
        ("NaN", 0),
        ("Infinity", 0),
        ("01", 0),
        ("-01", 1),
        ("1.", 2),
        (".5", 0),
        ("+1", 0),
        ("-", 1),
        ("1e", 2),
        ("1e+", 3),
        ("0x1", 1),
        ("1 2", 2),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[1}", 2),
        ("[", 1),
        ("[1", 2),
        ("]", 0),
        ("{", 1),
        ("{]", 1),
        ("{\"a\"}", 4),
        ("{\"a\" 1}", 5),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{\"a\":1]", 6),
        ("{a:1}", 1),
        ("{'a':1}", 1),
        ("{1:1}", 1),
        ("\"a", 2),
        ("\"a\\", 2),
        ("\"\\x\"", 1),
        ("\"\\'\"", 1),
        ("\"\\U0041\"", 1),
        ("\"\\u004\"", 1),
        ("\"\\u+041\"", 1),
        ("\"\\ud83d\\u00\"", 7),
        ("\"a\nb\"", 2),
        ("\"a\0\"", 2),
        ("\"12345678\u{1f}\"", 9),
        ("\u{feff}{}", 0),
        ("{}\0", 2),
        ("\u{a0}1", 0),
        ("{} // a comment", 3),
        ("{}{}", 2),
    ] {
        let mut line = "before".to_owned();
        let malformed = scan(json, &[], &mut line).unwrap_err();
        assert_eq!(malformed.offset, offset, "{json:?}: {malformed}");
        assert_eq!(line, "before", "{json:?}");
    }
}

#[test]
fn the_identity_knows_a_value_in_any_spelling() {
    for (one, other) in [
        (r#"{"a":1,"b":[true,null]}"#, "{ \"b\": [ true, null ],\n\"a\": 1 }"),
        (r#"{"a":{"b":1,"c":2},"d":3}"#, r#"{"d":3,"a":{"c":2,"b":1}}"#),
        (r#"{"\u0061":"\u00e9\/"}"#, r#"{"a":"é/"}"#),
        (r#"{"b":0,"a":1,"a":2}"#, r#"{"a":1,"b":0,"a":2}"#),
        (r#""\ud83d\ude00""#, r#""😀""#),
        (r#""\uD83D""#, r#""\ud83d""#),
        ("[1.10,-0,1e400]", "[11e-1,0.0,10e399]"),
    ] {
        assert_eq!(content(one), content(other), "{one} {other}");
    }
}

#[test]
fn the_identity_tells_different_values_apart() {
    const VALUES: &str = r#"
        null true false 0 1 -1 10 1e-1 "" "0" "1" "null" "true" [] {} "[]" "{}" "[" "{" "A" "a" "а" "é"
        [null] [[]] [{}] [0] [1] ["1"] [1,1] [1,2] [2,1] [[1],2] [1,[2]] [[1,2]] [[1],[2]] [1,[]] [[],1]
        ["a","b"] ["b","a"] ["ab"] ["a,b"] ["a\",\"b"] ["a",1] [["a",1]] [{"a":1}] {"a":[1]} {"a":[]} {"a":{}}
        {"a":1} {"a":2} {"a":"1"} {"b":1} {"A":1} {"a":1,"a":2} {"a":2,"a":1} {"a":1,"a":1} {"a":1,"b":2}
        {"a":2,"b":1} {"a":{"b":1}} {"a":{},"b":1} {"":1} {"":""} {"a":null} {"a:1":null} {"a":1,"b":2,"a":3}
        "\ud83d" "\\ud83d" "\ud83d\ud83d" "😀" "\u0000" "\\u0000" "u0000"
    "#;
    let values: Vec<&str> = VALUES.split_whitespace().collect();
    let mut identities: Vec<u128> = values.iter().map(|json| content(json)).collect();
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), values.len());
}

#[test]
fn the_identity_is_the_same_in_every_version() {
    assert_eq!(content("[]"), xxh3_128(b"["));
    assert_eq!(content("{}"), 63_230_078_350_150_233_617_483_427_463_607_079_749);
    assert_eq!(content(r#" "\u0041" "#), xxh3_128(br#""A""#));
    assert_eq!(content("1200.0"), xxh3_128(b"12e2"));
    let long = "x".repeat(255);
    let record = format!(
        r#"{{"id": "ae66", "size": 1.50, "tags": ["a", null, {{}}], "by": {{"login": "user@example.org"}}, "long": "{long}"}}"#
    );
    // Computed with another implementation of XXH3.
    assert_eq!(content(&record), 134_449_121_876_591_113_034_224_205_855_653_434_950);
}

#[test]
fn a_sought_path_counts_keys_from_the_top_only() {
    const AT: KeyPath = &["trigger", "at"];
    for (json, expected) in [
        (r#"{"trigger":{"at":"x"}}"#, Some(r#""x""#)),
        (
            r#"{"trigger":{"by":{"at":1},"at":[1,{"at":2}]}}"#,
            Some(r#"[1, {"at": 2}]"#),
        ),
        (r#"{"\u0074rigger":{"a\u0074":1.0}}"#, Some("1.0")),
        (r#"{"at":"x","trigger":{}}"#, None),
        (r#"{"a":{"trigger":{"at":"x"}}}"#, None),
        (r#"{"trigger":{},"a":{"at":"x"}}"#, None),
        (r#"[{"at":"x"}]"#, None),
        (r#"{"trigger":[{"at":"x"}]}"#, None),
        (r#"[{"trigger":{"at":"x"}}]"#, None),
        (r#"{"trigger":"at"}"#, None),
        (r#"{"trigger":{"trigger":{"at":1}}}"#, None),
        (r#"{"trigger.at":"x"}"#, None),
        (r#"{"trigger":{"at":1,"at":2}}"#, Some("2")),
        (r#"{"trigger":{"at":1},"trigger":{"at":2}}"#, Some("2")),
        (r#"{"trigger":{"at":1},"trigger":{}}"#, None),
        (r#"{"trigger":{"at":1},"trigger":null}"#, None),
        ("{}", None),
        ("1", None),
    ] {
        assert_eq!(found(json, AT).as_deref(), expected, "{json}");
    }
}

#[test]
fn a_sought_key_is_compared_decoded() {
    assert_eq!(
        found(r#"{"a\"\\\n\u0001/":1}"#, &["a\"\\\n\u{1}/"]).as_deref(),
        Some("1")
    );
    assert_eq!(found(r#"{"":{"":2}}"#, &["", ""]).as_deref(), Some("2"));
    assert_eq!(found(r#"{"":1}"#, &[]), None);
}

#[test]
fn a_found_value_has_the_hash_that_it_has_alone() {
    let long = format!("\"{}\"", "x".repeat(300));
    for value in ["1.50", "\"\\u0041\"", &long, "null", "[1, {\"b\":2}]", "{}"] {
        let mut line = "before".to_owned();
        let scan = scan(&format!(r#"{{"a":{value},"b":1}}"#), &[&["a"]], &mut line).unwrap();
        assert_eq!(scan.found[0].as_ref().unwrap().hash(&line), content(value));
    }
}

#[test]
fn depth_is_no_danger() {
    const DEPTH: usize = MOST_OPEN / 2;
    let arrays = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    assert_eq!(form(&arrays), arrays);
    assert_ne!(content(&arrays), content(&arrays[1..arrays.len() - 1]));
    let objects = "{\"a\": ".repeat(DEPTH) + "1" + &"}".repeat(DEPTH);
    assert_eq!(form(&objects), objects);
    for torn in ["[", "{\"a\":", "[{\"a\":", "[1,", "[[],"] {
        let torn = torn.repeat(DEPTH);
        assert_eq!(
            scan(&torn, &[&["a", "a"]], &mut String::new()).unwrap_err().offset,
            torn.len()
        );
    }
}

#[test]
fn what_takes_much_more_memory_than_it_is_long_is_refused() {
    let member = |n: usize| format!("\"{n}\":0");
    let members = |count: usize| format!("{{{}}}", (0..count).map(member).collect::<Vec<_>>().join(","));
    let arrays = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    // Read once, the sequence of its keys is expected.
    let known = "{\"a\":1,\"b\":".repeat(MOST_OPEN) + "0" + &"}".repeat(MOST_OPEN);
    let mut scanner = Scanner::new(&[]);
    let mut line = String::new();
    for fits in [arrays(MOST_OPEN), members(MOST_OPEN)] {
        assert!(scanner.scan(&fits, &mut line).is_ok());
    }
    line.clear();
    for large in [
        arrays(MOST_OPEN + 1),
        members(MOST_OPEN + 1),
        known,
        "{\"\":".repeat(1 << 20),
    ] {
        assert!(scanner.scan(&large, &mut line).is_err());
        assert!(scanner.open.len() <= MOST_OPEN && scanner.members.len() <= MOST_OPEN + 1_024);
    }
    assert_eq!(line, "");
}

#[test]
fn a_scanner_forgets_what_it_read_before() {
    let mut scanner = Scanner::new(&[&["a"]]);
    let mut line = String::new();
    scanner.scan(r#"{"a":{"b":1}}"#, &mut line).unwrap();
    assert!(scanner.found(0).is_some());
    scanner.scan(r#"{"a":1,"b":[{"c":[[{"a":"#, &mut line).unwrap_err();
    assert_eq!(line, r#"{"a": {"b": 1}}"#);
    let again = scanner.scan(r#"{"b":2}"#, &mut line).unwrap();
    assert_eq!(again, content(r#"{"b":2}"#));
    assert!(scanner.found(0).is_none() && scanner.found(1).is_none());
}

/// The result of one scan: the hash, the form, and the values at the sought paths.
type Scanned = (Result<u128, JsonError>, String, Vec<Option<Found>>);

fn scanned(scanner: &mut Scanner, json: &str) -> Scanned {
    let mut line = String::new();
    let content = scanner.scan(json, &mut line);
    let found = [0, 1].map(|path| scanner.found(path).cloned()).to_vec();
    (content, line, if content.is_ok() { found } else { Vec::new() })
}

/// JSON with few keys in several spellings, so that texts often continue like an earlier one.
fn texts() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", "", "", " ", "\n\t"]);
    let leaf = prop::sample::select(vec![
        r#""x""#,
        r#""""#,
        r#""\u0078""#,
        "1",
        "1.0",
        "null",
        "[]",
        "{}",
        "tru",
    ]);
    let key = prop::sample::select(vec![r#""a""#, r#""\u0061""#, r#""b""#, r#""at""#, r#""c\n""#, "a"]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 24, 4, move |value| {
        let member = (space(), key.clone(), space(), space(), value.clone(), space())
            .prop_map(|(one, key, two, three, value, four)| format!("{one}{key}{two}:{three}{value}{four}"));
        let object = prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")));
        let array = prop::collection::vec(value, 0..3).prop_map(|values| format!("[{}]", values.join(", ")));
        prop_oneof![4 => object, 1 => array]
    })
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn what_a_scanner_has_read_before_changes_nothing(
        texts in prop::collection::vec((texts(), prop::option::weighted(0.3, any::<prop::sample::Index>())), 1..12),
    ) {
        const WANTED: [KeyPath; 2] = [&["a"], &["b", "at"]];
        let mut experienced = Scanner::new(&WANTED);
        for (text, cut) in texts.iter().chain(&texts) {
            let cut = cut.map_or(text.len(), |cut| cut.index(text.len() + 1));
            let text = &text[..cut];
            prop_assert_eq!(scanned(&mut experienced, text), scanned(&mut Scanner::new(&WANTED), text), "{}", text);
        }
    }
}
