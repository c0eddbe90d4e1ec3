//! The columns of a record: what it tells of under the same names for every service.

use chrono::{DateTime, Utc};

use super::Kind;
use crate::json::KeyPath;
use crate::record::{IdentifyError, Reader};

/// Where the records of a kind of stream have each column. The first path with a text or a number counts, unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// What happened: the values at these paths, joined.
    pub(crate) event: &'static [KeyPath],
    /// Who did it.
    pub(crate) actor: &'static [KeyPath],
    /// The network address that it came from.
    pub(crate) address: &'static [KeyPath],
    /// What it was done to: the first of these with a value; the values at its paths are joined.
    pub(crate) object: &'static [&'static [KeyPath]],
}

/// The texts of a record in each column, those after the first as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) event: Vec<String>,
    pub(crate) actor: Vec<String>,
    pub(crate) address: Vec<String>,
    /// The values of each way to name it that the record has.
    pub(crate) object: Vec<Vec<String>>,
    pub(crate) id: Option<String>,
    /// The word for how it ended, if that is not the word for success.
    pub(crate) failure: Option<String>,
}

impl Row {
    /// Returns what happened; empty if the record does not say it.
    pub(crate) fn event(&self) -> String {
        self.event.join(" ")
    }

    /// Returns who did it.
    pub(crate) fn actor(&self) -> Option<&str> {
        self.actor.first().map(String::as_str)
    }

    /// Returns where it came from.
    pub(crate) fn address(&self) -> Option<&str> {
        self.address.first().map(String::as_str)
    }

    /// Returns what it was done to; empty if the record does not say it.
    pub(crate) fn object(&self) -> String {
        self.object.first().map(|values| values.join(" ")).unwrap_or_default()
    }
}

/// A record that was read.
#[derive(Debug)]
pub(crate) struct ReadRow {
    pub(crate) time: DateTime<Utc>,
    /// The hash of its content, by which it is known again.
    pub(crate) content: u128,
    pub(crate) row: Row,
}

/// Reads the columns of the records of one kind, in one pass over each.
#[derive(Debug)]
pub(crate) struct ColumnReader {
    columns: Columns,
    success: Option<&'static str>,
    reader: Reader,
}

impl ColumnReader {
    pub(crate) fn new(kind: &Kind) -> Self {
        let columns = kind.columns;
        let objects = columns.object.iter().copied().flatten();
        let paths = columns.event.iter().chain(columns.actor).chain(columns.address);
        let outcome = kind.outcome.iter().map(|outcome| &outcome.path);
        let paths: Vec<_> = paths.chain(objects).chain(outcome).copied().collect();
        Self {
            columns,
            reader: Reader::with_paths(kind.shape, &paths),
            success: kind.outcome.map(|outcome| outcome.success),
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The line is none.
    pub(crate) fn read(&mut self, line: &str) -> Result<ReadRow, IdentifyError> {
        let (identified, id) = self.reader.identify_with_id(line)?;
        let mut path = 0;
        let mut texts = |paths: &[KeyPath]| -> Vec<String> {
            let sought = path..path + paths.len();
            path = sought.end;
            sought.filter_map(|path| self.reader.text(path)).collect()
        };
        let mut row = Row {
            event: texts(self.columns.event),
            actor: texts(self.columns.actor),
            address: texts(self.columns.address),
            object: self.columns.object.iter().map(|paths| texts(paths)).collect(),
            id,
            failure: None,
        };
        row.failure = self
            .success
            .and_then(|success| self.reader.text(path).filter(|word| word != success));
        row.object.retain(|values| !values.is_empty());
        Ok(ReadRow {
            time: identified.time,
            content: identified.identity.content,
            row,
        })
    }

    /// Returns the last record in the form of a line, whatever white space and escapes its line has.
    pub(crate) fn form(&self) -> &str {
        self.reader.form()
    }
}
