//! The pending file, `.trailkeeper/<base>.pending.jsonl`: records that the service gave, of spans that no run has fetched
//! completely. The run that does so files them, whether the service gives them again or not.
//!
//! A JSON object in each line: `{"given_at": "…Z", "scope": {…}, "record": {…}}`, the scope being that of the journal. What
//! was given in another scope stays in the file, for the runs of that.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::scope::Scope;
use crate::archive::{FileUse, Location, StateFile};
use crate::fs::FileError;
use crate::record::digests::Digests;
use crate::record::{Reader, Record, Rejected, Shape};

/// Name of the file, after `<base>.`.
pub(crate) const PENDING: &str = "pending.jsonl";

/// The file, for who tries what a run uses.
pub(crate) const PENDING_FILE: (&str, FileUse) = (PENDING, FileUse::Replace);

/// The most bytes of lines that are kept, as many as a walk holds.
const MOST_BYTES: usize = 128 << 20;

/// Why a line is in the rejected file.
const DAMAGED: &str = "a line of the pending file that cannot be read";

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    given_at: DateTime<Utc>,
    scope: Scope,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The pending records of a stream, during a run.
pub(crate) struct Pending {
    file: StateFile,
    scope: Scope,
    /// Those of this scope, and when they were given.
    records: Vec<(DateTime<Utc>, Record)>,
    contents: Digests,
    bytes: usize,
    /// The lines of other scopes, as they are.
    others: Vec<u8>,
    /// How many records were one too many.
    dropped: u64,
    /// Whether the file says something else.
    is_changed: bool,
    /// Why the file cannot be read: then it is not replaced.
    unreadable: Option<String>,
}

/// Why pending records could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PendingError {
    /// The file cannot be written.
    #[error("records that the service gave could not be kept for the next run: {0}")]
    Write(#[from] FileError),
    /// A record is no JSON: a bug in the program.
    #[error("a record that the service gave could not be kept for the next run: {0}")]
    Json(#[from] serde_json::Error),
    /// The file cannot be read.
    #[error("records that the service gave could not be kept for the next run beside those that cannot be read: {0}")]
    Unreadable(String),
}

/// Returns the number of pending records of a stream, in any scope.
///
/// # Errors
/// If the file cannot be read; a missing one is empty.
pub(super) fn count(location: &Location) -> Result<u64, FileError> {
    let content = location.state(PENDING).read()?.unwrap_or_default();
    Ok(lines(&content).count() as u64)
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = content.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty())
}

impl Pending {
    /// Reads the pending records of a scope, and returns with them the lines that cannot be read. A file that cannot be read at
    /// all is told, and left alone.
    pub(crate) fn read(location: &Location, scope: Scope, shape: Shape) -> (Self, Vec<Rejected>) {
        let file = location.state(PENDING);
        let (content, unreadable) = match file.read() {
            Ok(content) => (content.unwrap_or_default(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let mut pending = Self {
            file,
            scope,
            records: Vec::new(),
            contents: Digests::default(),
            bytes: 0,
            others: Vec::new(),
            dropped: 0,
            is_changed: false,
            unreadable,
        };
        let mut reader = Reader::new(shape);
        let damaged = lines(&content).filter_map(|line| pending.take_line(line, &mut reader));
        let damaged = damaged.collect();
        (pending, damaged)
    }

    /// Takes a line of the file; returns it if it cannot be read.
    fn take_line(&mut self, bytes: &[u8], reader: &mut Reader) -> Option<Rejected> {
        let line = serde_json::from_slice::<Line<'_>>(bytes).ok();
        let record = line.and_then(|line| Some((line.given_at, line.scope, reader.read(line.record.get()).ok()?)));
        match record {
            Some((given_at, scope, record)) if scope == self.scope => {
                self.add(given_at, record);
            }
            Some(_) => {
                self.others.extend_from_slice(bytes);
                self.others.push(b'\n');
            }
            None => {
                self.is_changed = true;
                return Rejected::of_bytes(bytes, DAMAGED);
            }
        }
        None
    }

    fn add(&mut self, given_at: DateTime<Utc>, record: Record) -> bool {
        if !self.contents.insert(record.identity.content) {
            return false;
        }
        if self.bytes + record.line.len() > MOST_BYTES {
            self.dropped += 1;
            return false;
        }
        self.bytes += record.line.len();
        self.records.push((given_at, record));
        true
    }

    /// Keeps records that were given at this time, each once.
    pub(crate) fn keep(&mut self, records: impl IntoIterator<Item = Record>, given_at: DateTime<Utc>) {
        for record in records {
            self.is_changed |= self.add(given_at, record);
        }
    }

    /// Takes out the records whose time is picked.
    pub(crate) fn take(&mut self, is_picked: impl Fn(DateTime<Utc>) -> bool) -> Vec<Record> {
        let picked = self.records.extract_if(.., |(_, record)| is_picked(record.time));
        let picked: Vec<Record> = picked.map(|(_, record)| record).collect();
        for record in &picked {
            self.contents.remove(&record.identity.content);
            self.bytes -= record.line.len();
        }
        self.is_changed |= !picked.is_empty();
        picked
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Says what is to be known of it at the end of a run.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let path = self.file.path().display();
        let (kept, others) = (self.records.len(), lines(&self.others).count());
        let all = [
            (kept > 0).then(|| {
                format!(
                    "{kept} records that the service gave are pending, in {path}: the run that fetches all of their time files \
                     them, even if it is not given them again"
                )
            }),
            (others > 0).then(|| {
                format!(
                    "{others} records in {path} were given to runs with another organization, address or filter, and are \
                     left for these"
                )
            }),
            (self.dropped > 0).then(|| {
                format!(
                    "{} records that the service gave are more than is kept for the next run, which has to be given them again",
                    self.dropped
                )
            }),
            self.unreadable.clone(),
        ];
        all.into_iter().flatten().collect()
    }

    /// Makes the file say what is pending now. What was taken out has to be on disk.
    ///
    /// # Errors
    /// If it cannot be written; the old file is then still there.
    pub(crate) fn write(&mut self) -> Result<(), PendingError> {
        if !self.is_changed {
            return Ok(());
        }
        if let Some(cause) = &self.unreadable {
            return Err(PendingError::Unreadable(cause.clone()));
        }
        let mut content = self.others.clone();
        for (given_at, record) in &self.records {
            self.push_line(*given_at, record, &mut content)?;
        }
        if content.is_empty() {
            self.file.remove()?;
        } else {
            self.file.replace(&content)?;
        }
        self.is_changed = false;
        Ok(())
    }

    fn push_line(&self, given_at: DateTime<Utc>, record: &Record, content: &mut Vec<u8>) -> serde_json::Result<()> {
        let line = Line {
            given_at,
            scope: self.scope.clone(),
            record: serde_json::from_str(&record.line)?,
        };
        serde_json::to_writer(&mut *content, &line)?;
        content.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::record::{SHAPE, line};

    fn record(id: &str) -> Record {
        Record::read(&line(id, "2026-06-09T10:00:00Z"), &SHAPE).unwrap()
    }

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-06-09T{hour:02}:00:00Z").parse().unwrap()
    }

    fn read(catalog: &Catalog) -> (Pending, Vec<Rejected>) {
        Pending::read(&catalog.location, Scope::sample(), SHAPE)
    }

    fn text(catalog: &Catalog) -> Option<String> {
        fs::read_to_string(catalog.location.state_file(PENDING)).ok()
    }

    #[test]
    fn a_record_is_kept_once_from_when_it_was_given_first_until_it_is_taken_out() {
        let catalog = Catalog::with_state_folder();
        for (hour, ids) in [(1, ["a", "b"]), (2, ["b", "c"])] {
            let (mut pending, damaged) = read(&catalog);
            assert_eq!(damaged.len(), 0);
            pending.keep(ids.map(record), at(hour));
            pending.write().unwrap();
        }
        let line = |hour: u32, id: &str| {
            let record = record(id).line;
            format!(
                "{{\"given_at\":\"2026-06-09T{hour:02}:00:00Z\",\"scope\":{{\"stream\":\"tfc\",\"organization\":null,\
                 \"address\":\"https://app.terraform.io\",\"filter\":null}},\"record\":{record}}}\n"
            )
        };
        assert_eq!(text(&catalog), Some(line(1, "a") + &line(1, "b") + &line(2, "c")));
        assert_eq!(count(&catalog.location).unwrap(), 3);
        let (mut pending, _) = read(&catalog);
        assert_eq!(pending.take(|time| time < at(10)), []);
        assert_eq!(pending.take(|time| time == at(10)), ["a", "b", "c"].map(record));
        pending.write().unwrap();
        assert_eq!((text(&catalog), count(&catalog.location).unwrap()), (None, 0));
    }

    #[test]
    fn what_is_not_changed_is_not_written() {
        let catalog = Catalog::with_state_folder();
        let (mut pending, _) = read(&catalog);
        pending.write().unwrap();
        assert_eq!(text(&catalog), None);
        pending.keep([record("a")], at(1));
        pending.write().unwrap();
        let (mut pending, _) = read(&catalog);
        fs::write(catalog.location.state_file(PENDING), "as it was").unwrap();
        pending.keep([record("a")], at(2));
        pending.write().unwrap();
        assert_eq!(text(&catalog).as_deref(), Some("as it was"));
    }

    #[test]
    fn of_a_file_with_damage_anywhere_every_whole_line_counts_and_the_others_are_returned() {
        let catalog = Catalog::with_state_folder();
        let (mut pending, _) = read(&catalog);
        pending.keep(["a", "b"].map(record), at(1));
        pending.write().unwrap();
        let whole = text(&catalog).unwrap();
        for cut in 1..whole.len() {
            let damaged = [&whole.as_bytes()[..cut], b"\xff", &whole.as_bytes()[cut..]].concat();
            fs::write(catalog.location.state_file(PENDING), damaged).unwrap();
            let (pending, damaged) = read(&catalog);
            assert_eq!((pending.records.len(), damaged.len()), (1, 1), "{cut}");
            assert_eq!((damaged[0].reason.as_str(), pending.is_changed), (DAMAGED, true));
        }
    }

    #[test]
    fn what_was_given_in_another_scope_stays_as_it_is() {
        let catalog = Catalog::with_state_folder();
        let other = Scope {
            filter: Some("a=b".into()),
            ..Scope::sample()
        };
        let (mut pending, _) = Pending::read(&catalog.location, other, SHAPE);
        pending.keep([record("a")], at(1));
        pending.write().unwrap();
        let before = text(&catalog).unwrap();
        let (mut pending, _) = read(&catalog);
        assert!(pending.is_empty());
        pending.keep([record("a")], at(2));
        pending.write().unwrap();
        assert_eq!(count(&catalog.location).unwrap(), 2);
        let (mut pending, _) = read(&catalog);
        assert_eq!(pending.take(|_| true).len(), 1);
        pending.write().unwrap();
        assert_eq!(text(&catalog), Some(before));
    }

    #[test]
    fn what_is_more_than_is_kept_is_told() {
        let catalog = Catalog::with_state_folder();
        let (mut pending, _) = read(&catalog);
        pending.bytes = MOST_BYTES - record("a").line.len();
        pending.keep(["a", "b"].map(record), at(1));
        let warnings = pending.warnings();
        assert_eq!((pending.records.len(), warnings.len()), (1, 2));
        assert!(
            warnings[1].starts_with("1 records that the service gave are more than"),
            "{warnings:?}"
        );
    }
}
