//! What services have given, against what a reader with `read_committed` finds.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::reader::read_committed;

/// Every record that a service has given, as the line that it has to become.
#[derive(Default)]
pub(super) struct Ledger(BTreeSet<String>);

/// What is wrong with the topics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Given, and not to be found.
    pub(super) lost: Vec<String>,
    /// Found more than once, with how often.
    pub(super) repeated: Vec<(String, usize)>,
    /// Found, and given by nobody.
    pub(super) invented: Vec<String>,
}

impl Ledger {
    /// Notes what a service has given.
    pub(super) fn note(&mut self, line: String) {
        assert!(!self.0.contains(&line), "given twice: {line}");
        self.0.insert(line);
    }

    /// Takes over what another has noted.
    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many were given.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all are among these.
    pub(super) fn is_within<'a>(&self, values: impl Iterator<Item = &'a str>) -> bool {
        let found: BTreeSet<_> = values.collect();
        self.0.iter().all(|line| found.contains(line.as_str()))
    }

    /// Reads these topics with a client that is not the program's.
    pub(super) fn judge(&self, address: &str, topics: &[String]) -> Verdict {
        let messages = topics.iter().flat_map(|topic| read_committed(address, topic));
        self.judge_lines(messages.map(|message| message.value))
    }

    /// The same of the lines of day files.
    pub(super) fn judge_lines(&self, lines: impl Iterator<Item = String>) -> Verdict {
        let mut found = BTreeMap::<String, usize>::new();
        for line in lines {
            *found.entry(line).or_default() += 1;
        }
        let lost = self.0.iter().filter(|line| !found.contains_key(*line));
        let repeated = found.iter().filter(|(_, count)| **count > 1);
        let invented = found.keys().filter(|line| !self.0.contains(*line));
        Verdict {
            lost: lost.cloned().collect(),
            repeated: repeated.map(|(line, count)| (line.clone(), *count)).collect(),
            invented: invented.cloned().collect(),
        }
    }
}
