//! Walks over a record in the form of a line: its values, and the value at a JSON pointer.
//!
//! The form was made by a [`super::Scanner`], so it is JSON, with one space behind each comma and colon.

use std::borrow::Cow;
use std::str::FromStr;

/// A JSON pointer (RFC 6901), such as `/trigger/by/userId` or `/labels/0`; the empty one is the whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<String>);

/// A text is not a JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PointerError {
    #[error("a JSON pointer begins with `/`, as in /trigger/origin")]
    Start,
    #[error("in a JSON pointer `~` is written `~0`, and a `/` of a key is written `~1`")]
    Tilde,
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let tokens = text.strip_prefix('/').ok_or(PointerError::Start)?.split('/');
        let unescaped = tokens.map(|token| {
            let rest = token.replace("~0", "").replace("~1", "");
            let is_escaped = !rest.contains('~');
            is_escaped
                .then(|| token.replace("~1", "/").replace("~0", "~"))
                .ok_or(PointerError::Tilde)
        });
        Ok(Self(unescaped.collect::<Result<_, _>>()?))
    }
}

impl Pointer {
    /// Returns the form of the value it points to; `None` if there is none. Of equal keys the last one counts.
    pub(crate) fn find<'a>(&self, form: &'a str) -> Option<&'a str> {
        self.0
            .iter()
            .try_fold(form, |value, token| match value.as_bytes().first()? {
                b'{' => member(value, token),
                b'[' => element(value, token),
                _ => None,
            })
    }
}

fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut found = None;
    let mut at = 1;
    while object.as_bytes().get(at) == Some(&b'"') {
        let key_end = end_of(object, at);
        let start = key_end + ": ".len();
        let end = end_of(object, start);
        if text_of(&object[at..key_end]) == key {
            found = Some(&object[start..end]);
        }
        at = end + ", ".len();
    }
    found
}

fn element<'a>(array: &'a str, token: &str) -> Option<&'a str> {
    let is_index = token == "0" || !token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit());
    let index: usize = token.parse().ok().filter(|_| is_index)?;
    let mut at = 1;
    for _ in 0..index {
        at = end_of(array, at) + ", ".len();
        if at >= array.len() {
            return None;
        }
    }
    let end = end_of(array, at);
    (end > at).then(|| &array[at..end])
}

/// Returns where the value ends that begins at `start`.
fn end_of(form: &str, start: usize) -> usize {
    let bytes = form.as_bytes();
    let mut at = start;
    let mut depth = 0_u32;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
        let is_value_over = matches!(byte, b'"' | b'}' | b']') && depth == 0;
        if is_value_over {
            return at;
        }
    }
    at
}

/// Returns where the string ends that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// Returns the characters of a string's form, and any other form as it is. A string with a lone surrogate, which no text can hold,
/// stays as it is between its quotes.
pub(crate) fn text_of(form: &str) -> Cow<'_, str> {
    let Some(inner) = form.strip_prefix('"').and_then(|form| form.strip_suffix('"')) else {
        return Cow::Borrowed(form);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(form).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// Returns the forms of all strings, numbers, `true`, `false` and `null` of a record, but for its keys, in their order.
pub(crate) fn scalars(form: &str) -> impl Iterator<Item = &str> {
    let bytes = form.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            match bytes.get(at)? {
                b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' => at += 1,
                byte => {
                    let (start, is_string) = (at, *byte == b'"');
                    at = if is_string {
                        end_of_string(bytes, at)
                    } else {
                        let rest = &bytes[at..];
                        at + memchr::memchr3(b',', b'}', b']', rest).unwrap_or(rest.len())
                    };
                    let is_key = is_string && bytes.get(at) == Some(&b':');
                    if !is_key {
                        return Some(&form[start..at]);
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::json::scan;
    use crate::test_support::random::cases;

    fn form(json: &str) -> String {
        let mut form = String::new();
        scan(json, &[], &mut form).unwrap();
        form
    }

    fn find(json: &str, pointer: &str) -> Option<String> {
        let pointer: Pointer = pointer.parse().unwrap();
        pointer.find(&form(json)).map(str::to_owned)
    }

    #[test]
    fn the_examples_of_rfc_6901_are_found() {
        let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        for (pointer, expected) in [
            ("/foo", r#"["bar", "baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(find(document, pointer).as_deref(), Some(expected), "{pointer}");
        }
        assert_eq!(find(document, "").unwrap(), form(document));
        for pointer in ["/foo/2", "/foo/00", "/foo/-", "/foo/+1", "/nope", "/foo/0/x"] {
            assert_eq!(find(document, pointer), None, "{pointer}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        assert_eq!("trigger".parse::<Pointer>(), Err(PointerError::Start));
        for text in ["/a~b", "/~", "/a~2"] {
            assert_eq!(text.parse::<Pointer>(), Err(PointerError::Tilde), "{text}");
        }
    }

    #[test]
    fn of_equal_keys_the_last_counts_and_a_lone_surrogate_stays_as_written() {
        assert_eq!(find(r#"{"a":1,"\u0061":{"b":[]}}"#, "/a").unwrap(), r#"{"b": []}"#);
        assert_eq!(text_of(r#""x\ud83d""#), r"x\ud83d");
        assert_eq!(text_of(r#""\"Zoë\"\n""#), "\"Zoë\"\n");
        assert_eq!(text_of("1e400"), "1e400");
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\,:{}\\[\\]é \n]{0,5}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a/~\"\\\\ ]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Every pointer into a value, and what stands there.
    fn pointers<'a>(value: &'a Value, pointer: &str, all: &mut Vec<(String, &'a Value)>) {
        all.push((pointer.to_owned(), value));
        match value {
            Value::Array(elements) => elements
                .iter()
                .enumerate()
                .for_each(|(index, element)| pointers(element, &format!("{pointer}/{index}"), all)),
            Value::Object(members) => members.iter().for_each(|(key, member)| {
                let token = key.replace('~', "~0").replace('/', "~1");
                pointers(member, &format!("{pointer}/{token}"), all);
            }),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn every_value_is_found_where_it_is(value in values()) {
            let form = form(&value.to_string());
            let mut all = Vec::new();
            pointers(&value, "", &mut all);
            for (pointer, expected) in &all {
                let found = pointer.parse::<Pointer>().unwrap().find(&form).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Value>(found).unwrap(), *expected, "{}", pointer);
            }
            let found: Vec<Value> = scalars(&form).map(|form| serde_json::from_str(form).unwrap()).collect();
            let expected: Vec<_> = all.iter().map(|(_, value)| (*value).clone()).filter(|value| !value.is_array() && !value.is_object()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
