//! What the entries of a log come to: of each file, what it held and when; and which of them contradict each other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::entry::{Content, Entry, FileId, Says};
use super::note::VerifierKey;
use super::tree::Hash;
use crate::archive::day_of_name;
use crate::coverage::{JOURNAL, PREVIOUS_JOURNAL};

/// What a log says.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) files: BTreeMap<FileId, History>,
    /// Of each stream, up to which day every file has an entry.
    pub(crate) closed_to: BTreeMap<String, NaiveDate>,
    /// Of each stream, when it was sealed last.
    pub(crate) sealed_at: BTreeMap<String, DateTime<Utc>>,
    /// The keys that sign, each from the entry with this number on.
    pub(crate) keys: Vec<(u64, VerifierKey)>,
    /// Why this log was begun in place of another one.
    pub(crate) restarts: Vec<String>,
    /// When the last entry was written, and the first one that is older than the one before it.
    pub(crate) newest_at: Option<DateTime<Utc>>,
    pub(crate) goes_back_at: Option<u64>,
    /// Number of entries.
    pub(crate) size: u64,
    /// What cannot be true.
    pub(crate) faults: Vec<String>,
}

/// What a file held, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Since a person acknowledged last that the file is not what was sealed, if ever.
    pub(crate) sealed: Vec<Sealed>,
    /// What was acknowledged.
    pub(crate) broken: Vec<Acknowledged>,
    /// Whether it is the file of a day that is closed.
    pub(crate) is_closed: bool,
    /// Whether this program had packed it.
    pub(crate) is_packed: bool,
    /// When it was deleted for its age and why, if nothing was sealed of it since.
    pub(crate) expired: Option<Expired>,
    /// Whether the first entry about it acknowledges what is there.
    was_never_sealed: bool,
}

/// What a file held when an entry was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// The number of the entry, from 0.
    pub(crate) entry: u64,
    pub(crate) content: Content,
    /// Of its bytes, where the entry has it.
    pub(crate) sha256: Option<Hash>,
    pub(crate) at: DateTime<Utc>,
}

/// That a file was deleted for its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) at: DateTime<Utc>,
    pub(crate) reason: String,
}

/// That a file is not what was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) was: Content,
    pub(crate) is: Content,
    pub(crate) reason: String,
    pub(crate) at: DateTime<Utc>,
}

impl History {
    /// Returns what it held last.
    pub(crate) fn newest(&self) -> Option<Sealed> {
        self.sealed.last().copied()
    }

    /// Notes that the file is stored otherwise, or no more.
    fn change_form(&mut self, at: DateTime<Utc>, says: &Says) {
        match says {
            Says::Packed { is_packed, .. } => self.is_packed = *is_packed,
            Says::Expired { reason, .. } => {
                let reason = reason.clone();
                self.expired = Some(Expired { at, reason });
            }
            _ => {}
        }
    }

    /// Returns whether a file without a single line is less than what was sealed.
    pub(crate) fn is_missed(&self) -> bool {
        self.expired.is_none() && self.newest().is_some_and(|newest| newest.content.lines > 0)
    }
}

impl Ledger {
    /// Reads entries, a line each.
    pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut ledger = Self::default();
        lines.for_each(|line| ledger.add(line));
        if ledger.keys.first().is_none_or(|(number, _)| *number > 1) {
            ledger.faults.push("the log does not begin with its key".to_owned());
        }
        ledger
    }

    fn add(&mut self, line: &[u8]) {
        let number = self.size;
        self.size += 1;
        match Entry::read(line) {
            Ok(entry) => self.take(number, entry),
            Err(problem) => self.faults.push(format!("entry {number} cannot be read: {problem}")),
        }
    }

    fn take(&mut self, number: u64, entry: Entry) {
        let Entry { says, at, .. } = entry;
        if self.newest_at > Some(at) {
            self.goes_back_at = self.goes_back_at.or(Some(number));
        }
        self.newest_at = Some(at);
        if let Some((file, content)) = says.content() {
            if !is_file_name(&file.file) {
                let fault = format!(
                    "entry {number} names a file outside of the catalog: {}",
                    file.file.escape_debug()
                );
                self.faults.push(fault);
                return;
            }
            if is_of_a_seal(&says) {
                let newest = self.sealed_at.entry(file.stream.clone()).or_insert(at);
                *newest = at.max(*newest);
            }
            let (file, sha256, is_closed) = (file.clone(), sha256(&says), is_of_a_closed_day(&says));
            let sealed = Sealed {
                entry: number,
                content,
                sha256,
                at,
            };
            self.note(&file, sealed, &says);
            let history = self.files.entry(file).or_default();
            // Of a day file that was never sealed a person has acknowledged all that there is.
            let is_foreign = matches!(says, Says::Broken { .. }) && history.was_never_sealed;
            history.is_closed |= is_closed || is_foreign;
        }
        match says {
            Says::Key { key } => self.take_key(number, &key),
            Says::Restart { reason, .. } => self.restarts.push(reason),
            Says::Journal {
                file,
                closed_to: Some(closed_to),
                ..
            } => {
                let known = self.closed_to.entry(file.stream).or_insert(closed_to);
                *known = closed_to.max(*known);
            }
            _ => {}
        }
    }

    fn take_key(&mut self, number: u64, key: &str) {
        match VerifierKey::parse(key) {
            Ok(key) => self.keys.push((number, key)),
            Err(error) => self
                .faults
                .push(format!("the key in entry {number} cannot be used: {error}")),
        }
    }

    fn note(&mut self, file: &FileId, sealed: Sealed, says: &Says) {
        let history = self.files.entry(file.clone()).or_default();
        history.expired = None;
        let is_day = day_of_name(&file.file).is_some();
        if is_day == matches!(says, Says::Journal { .. }) && !matches!(says, Says::Broken { .. }) {
            let fault = format!(
                "entry {} takes a day file for another file, or another one for a day file: {file}",
                sealed.entry
            );
            self.faults.push(fault);
            return;
        }
        if let Says::Broken { was, reason, .. } = says {
            let known = history.newest().map(|sealed| sealed.content);
            if known.is_some_and(|known| known != *was) {
                self.faults.push(format!(
                    "entry {} acknowledges what was never sealed of {file}",
                    sealed.entry
                ));
            }
            history.was_never_sealed = is_day && history.sealed.is_empty() && history.broken.is_empty();
            history.broken.push(Acknowledged {
                was: *was,
                is: sealed.content,
                reason: reason.clone(),
                at: sealed.at,
            });
            history.sealed = vec![sealed];
            return;
        }
        if is_journal_of_coverage(&file.file) {
            // One that is full is put aside, and another one begins under its name.
            history.sealed.clear();
        } else if let Some(newest) = history.newest()
            && let Some(fault) = contradiction(newest.content, sealed.content)
        {
            self.faults.push(format!("entry {} {fault} of {file}", sealed.entry));
        }
        if matches!(says, Says::Packed { .. } | Says::Expired { .. }) {
            if history.newest().map(|newest| newest.content) != Some(sealed.content) {
                self.faults.push(format!(
                    "entry {} packs something or lets it expire that was not sealed of {file}",
                    sealed.entry
                ));
            }
            history.change_form(sealed.at, says);
            return;
        }
        history.sealed.push(sealed);
    }

    /// Returns the names of the streams that have entries.
    pub(crate) fn streams(&self) -> BTreeSet<&str> {
        self.files.keys().map(|file| file.stream.as_str()).collect()
    }
}

/// Says why a later entry about a file cannot be true after an earlier one.
fn contradiction(earlier: Content, later: Content) -> Option<&'static str> {
    if later.lines < earlier.lines || later.bytes < earlier.bytes {
        Some("says less than an earlier entry")
    } else if later.lines == earlier.lines && later != earlier {
        Some("says something else than an earlier entry about the same lines")
    } else {
        None
    }
}

/// Returns whether a file of the state folder is a journal of the coverage, or the one before it.
fn is_journal_of_coverage(name: &str) -> bool {
    [JOURNAL, PREVIOUS_JOURNAL]
        .into_iter()
        .any(|what| name.ends_with(&format!(".{what}")))
}

fn sha256(says: &Says) -> Option<Hash> {
    match says {
        Says::Day { sha256, .. } | Says::Late { sha256, .. } => Some(*sha256),
        _ => None,
    }
}

/// Returns whether an entry is of a seal, which looks at all files of its stream: not of one file alone.
fn is_of_a_seal(says: &Says) -> bool {
    !matches!(says, Says::Expired { .. } | Says::Broken { .. })
}

fn is_of_a_closed_day(says: &Says) -> bool {
    matches!(says, Says::Day { .. } | Says::Late { .. })
}

/// Returns whether a name is that of a file in a folder, and leads nowhere else.
fn is_file_name(name: &str) -> bool {
    let leads_away = |c: char| c == '/' || c == '\\' || c.is_control();
    !name.is_empty() && name != "." && name != ".." && !name.contains(leads_away)
}

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.file, self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signer::Signer;
    use super::super::tree::sha256;
    use super::*;

    const A: &str = "tfc_2026-11-18.log";
    const B: &str = "tfc_2026-11-19.log";

    fn at() -> DateTime<Utc> {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    fn file(name: &str) -> FileId {
        FileId {
            stream: "tfc".to_owned(),
            file: name.to_owned(),
        }
    }

    fn content(lines: u64, root: &str) -> Content {
        Content {
            lines,
            bytes: lines * 10,
            root: sha256(root.as_bytes()),
        }
    }

    fn key() -> Says {
        let key = Signer::sample("example.org/audit").verifier().to_string();
        Says::Key { key }
    }

    fn open(name: &str, lines: u64, root: &str) -> Says {
        Says::Open {
            file: file(name),
            content: content(lines, root),
        }
    }

    fn day(name: &str, lines: u64, root: &str) -> Says {
        Says::Day {
            file: file(name),
            content: content(lines, root),
            sha256: sha256(b""),
            first: None,
            last: None,
            covered: Vec::new(),
            gaps: Vec::new(),
        }
    }

    fn ledger(says: Vec<Says>) -> Ledger {
        let lines: Vec<_> = says
            .into_iter()
            .map(|says| Entry::new(says, at()).to_line().unwrap())
            .collect();
        Ledger::read(lines.iter().map(String::as_bytes))
    }

    #[test]
    fn a_file_that_grows_and_is_closed_has_a_history() {
        let ledger = ledger(vec![
            key(),
            open(A, 1, "1"),
            open(A, 3, "3"),
            open(B, 1, "1"),
            day(A, 3, "3"),
        ]);
        assert_eq!(ledger.faults, Vec::<String>::new());
        let history = &ledger.files[&file(A)];
        let lines: Vec<_> = history
            .sealed
            .iter()
            .map(|sealed| (sealed.entry, sealed.content.lines))
            .collect();
        assert_eq!((lines, history.is_closed), (vec![(1, 1), (2, 3), (4, 3)], true));
        assert!(!ledger.files[&file(B)].is_closed);
        assert_eq!((ledger.size, ledger.keys.len()), (5, 1));
    }

    #[test]
    fn entries_that_contradict_each_other_are_faults() {
        let broken = Says::Broken {
            file: file(A),
            content: content(1, "new"),
            was: content(2, "other"),
            reason: "restored".to_owned(),
        };
        let table = [
            (
                vec![key(), open(A, 2, "2"), open(A, 1, "1")],
                "entry 2 says less than an earlier entry of tfc_2026-11-18.log (tfc)",
            ),
            (
                vec![key(), open(A, 2, "2"), day(A, 2, "3")],
                "entry 2 says something else than an earlier entry about the same lines of tfc_2026-11-18.log (tfc)",
            ),
            (
                vec![key(), open("../a", 1, "1")],
                "entry 1 names a file outside of the catalog: ../a",
            ),
            (vec![open(A, 1, "1")], "the log does not begin with its key"),
            (
                vec![key(), open(A, 2, "2"), broken],
                "entry 2 acknowledges what was never sealed of tfc_2026-11-18.log (tfc)",
            ),
        ];
        for (says, expected) in table {
            assert_eq!(ledger(says).faults, [expected]);
        }
        assert!(Ledger::read([&b"{}"[..]].into_iter()).faults[0].starts_with("entry 0 cannot be read: "));
    }

    #[test]
    fn what_a_person_acknowledged_is_what_counts_from_then_on() {
        let broken = Says::Broken {
            file: file(A),
            content: content(1, "new"),
            was: content(2, "2"),
            reason: "restored from a copy".to_owned(),
        };
        let ledger = ledger(vec![key(), open(A, 2, "2"), broken, open(A, 3, "3")]);
        assert_eq!(ledger.faults, Vec::<String>::new());
        let history = &ledger.files[&file(A)];
        assert_eq!(history.sealed.len(), 2);
        assert_eq!(history.broken[0].reason, "restored from a copy");
    }

    #[test]
    fn what_expires_is_not_missed_and_has_to_be_what_was_sealed() {
        let expired = |lines, root| Says::Expired {
            file: file(A),
            content: content(lines, root),
            reason: "older than 3 years".to_owned(),
        };
        let first = ledger(vec![key(), day(A, 2, "2"), expired(2, "2")]);
        assert_eq!(first.faults, Vec::<String>::new());
        let history = &first.files[&file(A)];
        assert!(history.is_closed && !history.is_missed() && history.expired.is_some());
        for (says, fault) in [
            (
                expired(1, "1"),
                "entry 2 says less than an earlier entry of tfc_2026-11-18.log (tfc)",
            ),
            (
                expired(3, "3"),
                "entry 2 packs something or lets it expire that was not sealed of tfc_2026-11-18.log (tfc)",
            ),
        ] {
            let faults = ledger(vec![key(), day(A, 2, "2"), says]).faults;
            assert_eq!(faults[0], fault);
        }
        let again = ledger(vec![key(), day(A, 2, "2"), expired(2, "2"), day(A, 2, "2")]);
        assert!(again.files[&file(A)].is_missed(), "it is sealed again");
    }

    #[test]
    fn what_expires_or_is_acknowledged_is_one_file_and_seals_no_stream() {
        let of_one = [
            Says::Expired {
                file: file(A),
                content: content(2, "2"),
                reason: "older than 3 years".to_owned(),
            },
            Says::Broken {
                file: file(A),
                content: content(1, "new"),
                was: content(2, "2"),
                reason: "restored".to_owned(),
            },
        ];
        let later = at() + chrono::TimeDelta::hours(1);
        let sealed = [key(), day(A, 2, "2")].map(|says| Entry::new(says, at()));
        for says in of_one {
            let entries = sealed.iter().cloned().chain([Entry::new(says, later)]);
            let lines: Vec<_> = entries.map(|entry| entry.to_line().unwrap()).collect();
            let ledger = Ledger::read(lines.iter().map(String::as_bytes));
            assert_eq!(ledger.faults, Vec::<String>::new());
            assert_eq!(
                ledger.sealed_at["tfc"],
                at(),
                "what a killed run wrote before is still to be sealed"
            );
        }
    }

    #[test]
    fn a_journal_may_be_begun_anew() {
        let journal = |lines, root| Says::Journal {
            file: file("tfc.coverage.jsonl"),
            content: content(lines, root),
            closed_to: "2026-11-18".parse().ok(),
        };
        let ledger = ledger(vec![key(), journal(9, "9"), journal(1, "1"), journal(2, "2")]);
        assert_eq!(ledger.faults, Vec::<String>::new());
        assert_eq!(ledger.files[&file("tfc.coverage.jsonl")].sealed[0].content.lines, 2);
        assert_eq!(ledger.closed_to["tfc"].to_string(), "2026-11-18");
    }
}
