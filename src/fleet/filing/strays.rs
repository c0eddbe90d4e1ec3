//! Messages that are no stream's, and never will be: each is kept once in the rejected file of the member, counted, and told.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::incoming::{Stray, line_of};
use super::member_note::BASE;
use crate::archive::{Archive, Incomplete, Lock, WriteError};
use crate::forward::kafka::fleet::Taken;
use crate::record::{Form, Reader, Rejected};
use crate::source::SOURCES;

/// The permission bits of files that are made there; of the rejected file they are always those of its kind.
const MODE: u32 = 0o640;

/// So much is kept of a value, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// They are written when there is so much of them, in bytes.
const ENOUGH: usize = 16 << 20;

/// So many reasons are told one by one.
const MOST_REASONS: usize = 16;

/// Those that are to be written, and what was said of those that were.
pub(super) struct Strays {
    lock: Arc<Lock>,
    archive: Option<Archive>,
    reader: Reader,
    waiting: BTreeMap<String, Waiting>,
    bytes: usize,
    told: BTreeMap<String, Told>,
}

struct Waiting {
    first: String,
    records: Vec<Rejected>,
}

struct Told {
    first: String,
    count: u64,
}

impl Strays {
    /// None so far. The lock is that of the member's folder.
    pub(super) fn of(lock: Arc<Lock>) -> Self {
        Self {
            lock,
            archive: None,
            // Any: a line of JSON is one whatever its stream is.
            reader: Reader::new(SOURCES[0].shape),
            waiting: BTreeMap::new(),
            bytes: 0,
            told: BTreeMap::new(),
        }
    }

    /// Takes a message of a topic.
    pub(super) fn take(&mut self, topic: &str, message: &Taken<'_>, why: &Stray) {
        let has_many = self.told.len() + self.waiting.len() >= MOST_REASONS;
        let mut reason = why.reason(true);
        if has_many && !self.told.contains_key(&reason) && !self.waiting.contains_key(&reason) {
            reason = why.reason(false);
        }
        let Some((line, content)) = line_of(&shown(topic, message), &mut self.reader) else {
            return;
        };
        self.bytes += line.len();
        let waiting = self.waiting.entry(reason.clone()).or_insert_with(|| Waiting {
            first: format!("{topic}, partition {}, message {}", message.partition, message.offset),
            records: Vec::new(),
        });
        waiting.records.push(Rejected {
            reason,
            content,
            line: line.into(),
            form: Form::Record,
        });
    }

    /// Returns whether it is time to write them.
    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= ENOUGH
    }

    /// Writes them, if they are not there yet.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(super) fn keep(&mut self, now: DateTime<Utc>) -> Result<(), WriteError> {
        self.bytes = 0;
        for (reason, Waiting { first, records }) in std::mem::take(&mut self.waiting) {
            let archive = match &mut self.archive {
                Some(archive) => archive,
                none => none.insert(Archive::open(Arc::clone(&self.lock), SOURCES[0].shape, MODE, now)?),
            };
            let (noted, is_noted) = Incomplete::split(archive.reject(&records, now));
            if noted.records > 0 {
                let told = self.told.entry(reason).or_insert(Told { first, count: 0 });
                told.count += noted.records;
            }
            if let Err(error) = is_noted {
                // After a failed write nothing is known of the file: it is read anew.
                self.archive = None;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns how many were kept since the start.
    pub(super) fn count(&self) -> u64 {
        self.told.values().map(|told| told.count).sum()
    }

    /// Returns what is to be known of them, in sentences.
    pub(super) fn sentences(&self) -> impl Iterator<Item = String> {
        self.told.iter().map(|(reason, Told { first, count })| {
            let others = match count - 1 {
                0 => String::new(),
                1 => ", as is another one".to_owned(),
                others => format!(", as are {others} others"),
            };
            format!("{first}: {reason}; it is kept in `.trailkeeper/{BASE}.rejected.jsonl` of ARCHIVE_FOLDER{others}")
        })
    }
}

/// Returns a message as JSON, with where it stood: the same whenever it is read.
fn shown(topic: &str, message: &Taken<'_>) -> String {
    let quoted = |bytes: &[u8]| {
        let bytes = Rejected::of_bytes(&bytes[..bytes.len().min(MOST_BYTES)], "");
        bytes.map_or_else(|| "null".to_owned(), |bytes| bytes.line.to_string())
    };
    let headers = message.headers();
    let headers = headers.map(|(name, value)| format!("{}: {}", quoted(name.as_bytes()), quoted(value.as_bytes())));
    let headers: Vec<_> = headers.collect();
    format!(
        "{{\"topic\": {}, \"partition\": {}, \"offset\": {}, \"key\": {}, \"headers\": {{{}}}, \"value\": {}}}",
        quoted(topic.as_bytes()),
        message.partition,
        message.offset,
        quoted(message.key),
        headers.join(", "),
        message.value.map_or_else(|| "null".to_owned(), quoted),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Catalog;
    use crate::test_support::record::time;

    #[test]
    fn each_is_kept_once_and_told_by_its_reason() {
        let catalog = Catalog::with_state_folder();
        let now = time("2026-01-05T00:00:00Z");
        let lock = Arc::new(Lock::acquire_for_run(&catalog.location, "archive", now).unwrap());
        let unnameable = Stray::Unnameable("../../etc".to_owned());
        let message = |offset| {
            let mut message = Taken::of("{\"id\": \"\u{fffd}\"", &[("organization", "../../etc")]);
            message.offset = offset;
            message
        };
        for _ in 0..2 {
            let mut strays = Strays::of(Arc::clone(&lock));
            let is_first = !catalog.location.state_file("rejected.jsonl").exists();
            (1..=3).for_each(|offset| strays.take("audit", &message(offset), &unnameable));
            strays.take("audit", &message(4), &Stray::NoStream);
            strays.keep(now).unwrap();
            let told: Vec<_> = strays.sentences().collect();
            assert_eq!((strays.count(), told.len()), if is_first { (4, 2) } else { (0, 0) });
            if is_first {
                assert!(told[1].starts_with("audit, partition 0, message 1: no file can be named after"));
                assert!(
                    told[1].contains("`../../etc`") && told[1].ends_with("as are 2 others"),
                    "{told:?}"
                );
            }
        }
        let kept = std::fs::read_to_string(catalog.location.state_file("rejected.jsonl")).unwrap();
        assert_eq!(kept.lines().count(), 4, "{kept}");
    }

    #[test]
    fn a_stranger_who_makes_up_many_names_makes_no_long_list() {
        let catalog = Catalog::with_state_folder();
        let now = time("2026-01-05T00:00:00Z");
        let lock = Arc::new(Lock::acquire_for_run(&catalog.location, "archive", now).unwrap());
        let mut strays = Strays::of(lock);
        for number in 0..100 {
            let mut message = Taken::of("x", &[]);
            message.offset = number;
            strays.take("audit", &message, &Stray::Unnameable(format!("/{number}")));
        }
        strays.keep(now).unwrap();
        assert_eq!((strays.count(), strays.sentences().count()), (100, MOST_REASONS + 1));
    }
}
