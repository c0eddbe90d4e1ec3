//! The fields of a record that are counted, read at the key paths that its source declares.

use chrono::{DateTime, Utc};

use crate::json::{Found, KeyPath, Scanner};
use crate::source::Kind;

/// What is read of a line.
pub(super) struct Fields {
    pub(super) time: DateTime<Utc>,
    pub(super) event: Option<String>,
    pub(super) actor: Option<String>,
    /// The word for how it ended, if that is not the word for success.
    pub(super) failure: Option<String>,
    pub(super) address: Option<String>,
}

/// Reads the lines of one kind of stream.
pub(super) struct FieldReader {
    kind: &'static Kind,
    scanner: Scanner,
    form: String,
}

impl FieldReader {
    pub(super) fn new(kind: &'static Kind) -> Self {
        let outcome = kind.outcome.map(|outcome| outcome.path);
        let paths: Vec<KeyPath> = [kind.shape.time]
            .into_iter()
            .chain(kind.event.iter().copied())
            .chain(kind.actor.iter().copied())
            .chain(kind.address.iter().copied())
            .chain(outcome)
            .collect();
        Self {
            kind,
            scanner: Scanner::new(&paths),
            form: String::new(),
        }
    }

    /// Reads a line; `None` if it is not a record.
    pub(super) fn read(&mut self, line: &str) -> Option<Fields> {
        self.form.clear();
        self.scanner.scan(line, &mut self.form).ok()?;
        let time = DateTime::parse_from_rfc3339(&self.text(0)?).ok()?.to_utc();
        let kind = self.kind;
        // In the order in which the paths are sought.
        let actors = 1 + kind.event.len();
        let addresses = actors + kind.actor.len();
        let outcome = addresses + kind.address.len();
        let events: Vec<_> = (1..actors).filter_map(|path| self.text(path)).collect();
        Some(Fields {
            time,
            event: (!events.is_empty()).then(|| events.join(" ")),
            actor: (actors..addresses).find_map(|path| self.text(path)),
            address: (addresses..outcome).find_map(|path| self.text(path)),
            failure: kind
                .outcome
                .and_then(|sought| self.text(outcome).filter(|word| word != sought.success)),
        })
    }

    /// Returns the text or number at a path; `None` for anything else, and for an empty text.
    fn text(&self, path: usize) -> Option<String> {
        let Found { range, .. } = self.scanner.found(path)?;
        let written = &self.form[range.clone()];
        let is_number = written.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if is_number {
            return Some(written.to_owned());
        }
        let inner = written.strip_prefix('"')?.strip_suffix('"')?;
        if inner.is_empty() {
            return None;
        }
        // A lone surrogate stays as written: no `String` can hold it.
        Some(serde_json::from_str(written).unwrap_or_else(|_| inner.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Api, samples};
    use crate::source::SOURCES;

    fn read(api: Api) -> Vec<Fields> {
        let kind = SOURCES.iter().find(|kind| kind.name == api.name()).unwrap();
        let mut reader = FieldReader::new(kind);
        let events = samples(api).unwrap();
        let read: Vec<_> = events.iter().filter_map(|event| reader.read(&event.text)).collect();
        assert!(read.len() * 10 >= events.len() * 9 && !read.is_empty(), "{}", kind.name);
        read
    }

    #[test]
    fn every_stream_has_an_event_type_and_an_actor() {
        for api in Api::ALL {
            let read = read(api);
            assert!(read.iter().all(|read| read.event.is_some()), "{api:?}");
            let with_actor = read.iter().filter(|read| read.actor.is_some()).count();
            assert!(with_actor * 2 > read.len(), "{api:?}");
        }
    }

    #[test]
    fn failures_and_addresses_are_read_where_a_source_has_them() {
        let counts = Api::ALL.map(|api| {
            let read = read(api);
            let failures = read.iter().filter(|read| read.failure.is_some()).count();
            let addresses = read.iter().filter(|read| read.address.is_some()).count();
            (failures > 0, addresses * 2 > read.len())
        });
        let (none, addresses, failures) = ((false, false), (false, true), (true, false));
        assert_eq!(counts, [addresses, addresses, (true, true), failures, none]);
    }
}
