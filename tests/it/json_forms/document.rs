//! The page: its sections, and the fields in their tables.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::Value;

/// The section whose fields, in the list of streams, are those of each line of `collect --follow`.
const COLLECT: &str = "collect";
const FOLLOW: &str = "collect --follow";

/// A section with a table.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) meaning: String,
    pub(super) missing: Missing,
}

/// How a field can be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Never,
    Null,
    Absent,
}

/// The sections of the page, with that of `collect --follow`, which has no table of its own.
pub(super) fn sections() -> Vec<Section> {
    let mut sections = parse(include_str!("../../../docs/json.md"));
    let collect = sections.iter().find(|section| section.name == COLLECT).unwrap();
    let of_streams = collect.fields.iter().filter_map(|field| {
        let path = field.path.strip_prefix("streams[].")?.to_owned();
        Some(Field { path, ..field.clone() })
    });
    let fields = of_streams.collect();
    let follow = sections.iter_mut().find(|section| section.name == FOLLOW).unwrap();
    assert!(follow.fields.is_empty(), "{follow:?}");
    follow.fields = fields;
    sections
}

/// Reads the sections of a page.
pub(super) fn parse(page: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            let name = name.trim_matches('`').to_owned();
            let fields = Vec::new();
            sections.push(Section { name, fields });
        } else if line.starts_with("| `") {
            sections.last_mut().unwrap().fields.push(Field::parse(line));
        }
    }
    sections
}

impl Field {
    fn parse(row: &str) -> Self {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [path, kind, meaning, missing] = cells[..] else {
            panic!("a row of four cells: {row}")
        };
        Self {
            path: path.trim_matches('`').to_owned(),
            kind: kind.to_owned(),
            meaning: meaning.to_owned(),
            missing: match missing.split_once(": ") {
                None if missing.is_empty() => Missing::Never,
                Some(("null", _)) => Missing::Null,
                Some(("absent", _)) => Missing::Absent,
                _ => panic!("`null: …`, `absent: …`, or nothing: {row}"),
            },
        }
    }

    /// The path of the object that it is in, and its key there.
    pub(super) fn parent_and_key(&self) -> (&str, &str) {
        let (parent, key) = self.path.rsplit_once('.').unwrap_or(("", &self.path));
        (parent, key.trim_end_matches("[]"))
    }

    /// Whether a value is of its kind.
    pub(super) fn fits(&self, value: &Value) -> bool {
        match self.kind.as_str() {
            "word" => value
                .as_str()
                .is_some_and(|word| self.meaning.contains(&format!("`{word}`"))),
            kind => is_of(kind, value),
        }
    }

    /// The kind that all values are of, if that says more than its own.
    pub(super) fn narrower_kind(&self, values: &[Value]) -> Option<&'static str> {
        let narrower: &[&str] = match self.kind.as_str() {
            "string" => &["time", "date"],
            "number" => &["integer"],
            _ => &[],
        };
        let mut narrower = narrower.iter().copied();
        narrower.find(|kind| !values.is_empty() && values.iter().all(|value| is_of(kind, value)))
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "time" => value.as_str().is_some_and(is_time),
        "date" => value.as_str().is_some_and(|text| text.parse::<NaiveDate>().is_ok()),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type of the page"),
    }
}

/// Whether it is written as the page says: in UTC, with a `Z`.
fn is_time(text: &str) -> bool {
    let time: Option<DateTime<Utc>> = text.parse().ok();
    time.is_some_and(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)[..19] == text[..19] && text.ends_with('Z'))
}
