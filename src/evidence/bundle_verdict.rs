//! Verifies the files of records of a bundle against their proofs, with nothing but a checkpoint that is believed.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use chrono::{DateTime, Utc};

use super::bundle_prover::Segment;
use super::checkpoint::Checkpoint;
use super::entry::FileId;
use super::folder::Folder;
use super::ledger::Ledger;
use super::lines_proof::ProvenLines;
use super::tree::{Hash, leaf};
use crate::fs::FileError;

/// What a file of records comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordsVerdict {
    pub(crate) proved: u64,
    /// Lines that have no proof; each reason once.
    pub(crate) unproved: u64,
    pub(crate) reasons: Vec<String>,
    /// The closed days of which every line is there that the entry of their proof is about.
    pub(crate) whole_days: Vec<WholeDay>,
    /// Where the proofs and the lines do not agree: nothing is proved from there on.
    pub(crate) problem: Option<String>,
}

/// A closed day of which every line is there, as of an entry of the log: only the log shows whether a newer one is about more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeDay {
    pub(crate) file: FileId,
    /// The number of the entry, when it was written, and how many lines it is about.
    pub(crate) entry: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) lines: u64,
}

/// The log that a bundle was made of, up to its checkpoint.
#[derive(Debug)]
pub(crate) struct BundleLog(Ledger);

impl BundleLog {
    /// Reads it; or says why it is not that log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(folder: &Folder, checkpoint: &Checkpoint) -> Result<Result<Self, String>, FileError> {
        let Some(content) = folder.read()? else {
            return Ok(Err(format!("{} holds no log", folder.shown())));
        };
        let tree = content.tree_of(checkpoint.size);
        if tree.is_none_or(|(tree, _)| tree.root() != checkpoint.root) {
            let (folder, size) = (folder.shown(), checkpoint.size);
            return Ok(Err(format!(
                "the first {size} entries in {folder} are not those of its checkpoint"
            )));
        }
        Ok(Ok(Self(Ledger::read(content.lines(checkpoint.size)))))
    }

    /// Says why a day is not whole by the newest entry about it, if it is not.
    pub(crate) fn problem(&self, day: &WholeDay) -> Option<String> {
        let (file, entry) = (&day.file.file, day.entry);
        let history = self.0.files.get(&day.file)?;
        if !history.broken.is_empty() {
            return Some(format!("{file}: it was acknowledged as broken"));
        }
        let newest = history.newest().filter(|newest| newest.content.lines != day.lines)?;
        Some(format!(
            "{file}: the proof is about its {} lines as of entry {entry}, and entry {} is about {}",
            day.lines, newest.entry, newest.content.lines
        ))
    }
}

/// The lines of each file that segments were about: where they begin, and where they end.
#[derive(Debug, Default)]
struct SeenLines(BTreeMap<String, BTreeMap<u64, u64>>);

impl SeenLines {
    /// Notes lines of a file; returns whether none of them was seen before.
    fn note(&mut self, file: &str, lines: &[(u64, u64)]) -> bool {
        let seen = self.0.entry(file.to_owned()).or_default();
        lines.iter().all(|(first, count)| {
            let end = first.saturating_add(*count);
            let before = seen.range(..end).next_back();
            let is_new = before.is_none_or(|(_, seen_to)| seen_to <= first);
            seen.insert(*first, end);
            is_new
        })
    }
}

/// Verifies the records of a stream.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn verify_records(
    stream: &str,
    mut records: impl BufRead,
    proofs: impl BufRead,
    checkpoint: &Checkpoint,
) -> io::Result<RecordsVerdict> {
    let (mut verdict, mut seen) = (RecordsVerdict::default(), SeenLines::default());
    for (text, number) in proofs.lines().zip(1..) {
        let text = text?;
        let problem = match serde_json::from_str(&text) {
            Ok(segment) => verdict.take(stream, &segment, (&mut records, &mut seen), checkpoint)?,
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            verdict.problem = Some(format!("line {number} of the proofs proves nothing: {problem}"));
            return Ok(verdict);
        }
    }
    if !records.fill_buf()?.is_empty() {
        verdict.problem = Some("there are more records than the proofs are about".to_owned());
    }
    Ok(verdict)
}

impl RecordsVerdict {
    /// Takes the lines that a segment is about; returns why it proves nothing.
    fn take(
        &mut self,
        stream: &str,
        segment: &Segment,
        (records, seen): (&mut impl BufRead, &mut SeenLines),
        checkpoint: &Checkpoint,
    ) -> io::Result<Option<String>> {
        let count = match segment {
            Segment::Proved(proof) => proof.count(),
            Segment::Unproved { unproved, .. } => *unproved,
        };
        let Some(lines) = leaves(records, count)? else {
            return Ok(Some("there are fewer records than it is about".to_owned()));
        };
        match segment {
            Segment::Unproved { unproved, reason } => {
                self.unproved += unproved;
                if !self.reasons.contains(reason) {
                    self.reasons.push(reason.clone());
                }
            }
            Segment::Proved(proof) => match proof.verify(checkpoint, &lines) {
                Err(error) => return Ok(Some(error.to_string())),
                Ok(proven) if proven.file.stream != stream => {
                    return Ok(Some(format!("it is of another stream, {}", proven.file.stream)));
                }
                Ok(proven) if !seen.note(&proven.file.file, proof.lines()) => {
                    return Ok(Some(format!("lines of {} are there twice", proven.file.file)));
                }
                Ok(proven) => {
                    self.proved += count;
                    let ProvenLines { at, entry, lines, .. } = proven;
                    let day = WholeDay {
                        file: proven.file,
                        entry,
                        at,
                        lines,
                    };
                    self.whole_days.extend(Some(day).filter(|_| proven.is_whole_day));
                }
            },
        }
        Ok(None)
    }
}

/// Reads so many whole lines; `None` if there are fewer.
fn leaves(records: &mut impl BufRead, count: u64) -> io::Result<Option<Vec<Hash>>> {
    let (mut leaves, mut line) = (Vec::new(), Vec::new());
    for _ in 0..count {
        line.clear();
        records.read_until(b'\n', &mut line)?;
        match line.split_last() {
            Some((b'\n', line)) => leaves.push(leaf(line)),
            _ => return Ok(None),
        }
    }
    Ok(Some(leaves))
}
