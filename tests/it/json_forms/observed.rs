//! What was printed: the values of each field, and whether it was ever null or not there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::document::Section;

/// Everything that was printed for a section, by path.
#[derive(Default)]
pub(super) struct Observed {
    pub(super) fields: BTreeMap<String, Seen>,
}

/// What was seen of a field.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) values: Vec<Value>,
    pub(super) is_null: bool,
    pub(super) is_absent: bool,
}

impl Observed {
    /// Adds what was printed once.
    pub(super) fn add(&mut self, printed: &Value, section: &Section) {
        self.object("", printed.as_object().unwrap(), section);
    }

    fn object(&mut self, path: &str, object: &Map<String, Value>, section: &Section) {
        for (key, value) in object {
            let separator = if path.is_empty() { "" } else { "." };
            self.value(format!("{path}{separator}{key}"), value, section);
        }
        for field in &section.fields {
            let (parent, key) = field.parent_and_key();
            if parent == path && !object.contains_key(key) {
                self.fields.entry(field.path.clone()).or_default().is_absent = true;
            }
        }
    }

    fn value(&mut self, path: String, value: &Value, section: &Section) {
        if let Value::Array(items) = value {
            let path = format!("{path}[]");
            // Also one without items is a field.
            self.fields.entry(path.clone()).or_default();
            return items.iter().for_each(|item| self.value(path.clone(), item, section));
        }
        let seen = self.fields.entry(path.clone()).or_default();
        match value {
            Value::Null => seen.is_null = true,
            value => seen.values.push(value.clone()),
        }
        if let Value::Object(object) = value {
            self.object(&path, object, section);
        }
    }
}
