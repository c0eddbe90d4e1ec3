//! Writes and reads the text format of Prometheus, version 0.0.4.

use std::fmt::Write;

use super::family::{FAMILIES, Family, Kind};
use super::{Key, Part};
use crate::http::request_stats::BOUNDS;

/// Labels as written between the braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) fn none() -> Self {
        Labels(String::new())
    }

    pub(super) fn of(name: &str, value: &str) -> Self {
        Self::none().and(name, value)
    }

    /// Returns those of a stream: of `acme/tfc` the label of the organization too.
    pub(super) fn of_stream(name: &str) -> Self {
        match name.split_once('/') {
            Some((organization, stream)) => Self::of("stream", stream).and("organization", organization),
            None => Self::of("stream", name),
        }
    }

    pub(super) fn and(mut self, name: &str, value: &str) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        self.0.push_str(&format!("{comma}{name}=\"{escaped}\""));
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Labels> for String {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

/// Writes the samples of one family after its help and type; nothing if there are none.
pub(super) fn write<'a>(out: &mut String, family: &Family, samples: impl Iterator<Item = (&'a Key, &'a f64)>) {
    let name = family.text;
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return;
    }
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "# HELP {name} {}\n# TYPE {name} {}",
        family.help,
        family.kind.text()
    );
    for (key, value) in samples {
        let labels = &key.labels;
        let _ = match key.part {
            Part::Value if labels.is_empty() => writeln!(out, "{name} {value}"),
            Part::Value => writeln!(out, "{name}{{{labels}}} {value}"),
            Part::Bucket(index) => {
                let bound = Part::bound(index);
                writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {value}")
            }
            Part::Sum => writeln!(out, "{name}_sum{{{labels}}} {value}"),
            Part::Count => writeln!(out, "{name}_count{{{labels}}} {value}"),
        };
    }
}

/// Reads one line that [`write()`] wrote; `None` for any other.
pub(super) fn read(line: &str) -> Option<(Key, f64)> {
    let (name, labels, value) = parts(line)?;
    let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    let (family, part, labels) = FAMILIES.iter().find_map(|family| {
        let suffix = name.strip_prefix(family.text)?;
        let (part, labels) = part(family.kind, suffix, labels)?;
        Some((family, part, labels))
    })?;
    let key = Key {
        name: family.name,
        labels: labels.to_owned(),
        part,
    };
    Some((key, value))
}

/// Splits a line into name, labels and value.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let Some((name, rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ')?;
        return Some((name, "", value));
    };
    let (labels, value) = rest.rsplit_once("} ")?;
    Some((name, labels, value))
}

/// Returns which sample a name with this suffix is, and its labels without the bound.
fn part<'a>(kind: Kind, suffix: &str, labels: &'a str) -> Option<(Part, &'a str)> {
    match (kind, suffix) {
        (Kind::Counter | Kind::Gauge, "") => Some((Part::Value, labels)),
        (Kind::Histogram, "_sum") => Some((Part::Sum, labels)),
        (Kind::Histogram, "_count") => Some((Part::Count, labels)),
        (Kind::Histogram, "_bucket") => {
            let (labels, bound) = labels.rsplit_once(",le=\"")?;
            let bound = bound.strip_suffix('"')?;
            let index = (0..=BOUNDS.len()).find(|index| Part::bound(*index) == bound)?;
            Some((Part::Bucket(index), labels))
        }
        _ => None,
    }
}
