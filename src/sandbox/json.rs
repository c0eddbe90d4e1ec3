//! Reads values from the text of a record without changing it.
//!
//! A parsed value cannot hold a lone surrogate or `1e400`, which real records contain.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of a JSON object in order, each value as written.
pub(super) struct Fields<'a>(pub(super) Vec<(String, &'a RawValue)>);

/// Returns the string at this path of keys, if there is one.
pub(super) fn string_at(record: &str, path: &[&str]) -> Option<String> {
    serde_json::from_str(text_at(record, path)?).ok()
}

/// Returns the value at this path of keys, as written.
pub(super) fn text_at<'a>(record: &'a str, path: &[&str]) -> Option<&'a str> {
    let Some((key, rest)) = path.split_first() else {
        return Some(record);
    };
    let Fields(fields) = serde_json::from_str(record).ok()?;
    let (_, value) = fields.into_iter().find(|(name, _)| name == key)?;
    text_at(value.get(), rest)
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
