//! The fields of a record that are counted: its columns, and whether it failed.

use chrono::{DateTime, Utc};

use crate::source::{ColumnReader, Kind, ReadRow};

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
    columns: ColumnReader,
}

impl FieldReader {
    pub(super) fn new(kind: &'static Kind) -> Self {
        Self {
            columns: ColumnReader::new(kind),
        }
    }

    /// Reads a line; `None` if it is not a record.
    pub(super) fn read(&mut self, line: &str) -> Option<Fields> {
        let ReadRow { time, row, .. } = self.columns.read(line).ok()?;
        Some(Fields {
            time,
            event: Some(row.event()).filter(|event| !event.is_empty()),
            actor: row.actor.into_iter().next(),
            address: row.address.into_iter().next(),
            failure: row.failure,
        })
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
